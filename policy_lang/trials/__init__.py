"""`test` blocks: lowered to cases, run as calls would run, and what they have not shown."""
