"""`python -m dbopt` is `dbopt`."""

import sys

from dbopt.cli import main

if __name__ == "__main__":
    sys.exit(main())
