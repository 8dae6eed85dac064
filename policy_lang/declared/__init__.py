"""What modules declare and what names mean: parsed modules go in, the inventory and the bindings come out."""
