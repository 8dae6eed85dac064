"""The one layout of policy text: what `pdp fmt` writes."""
