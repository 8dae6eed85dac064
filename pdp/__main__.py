"""`python -m pdp` is the command `pdp`."""

from pdp.cli import main

if __name__ == "__main__":
    main()
