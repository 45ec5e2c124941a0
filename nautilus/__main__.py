"""`python -m nautilus` is the command `nautilus`."""

import sys

from nautilus.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
