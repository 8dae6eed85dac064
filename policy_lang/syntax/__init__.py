"""Text to tree: the bytes of a policy file go in, frozen nodes and mistakes come out."""
