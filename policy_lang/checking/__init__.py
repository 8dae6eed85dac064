"""Rules checked in each of their environments, and lowered: inventory and bindings go in, a program comes out."""
