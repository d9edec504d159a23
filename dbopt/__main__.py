"""`python -m dbopt` is `dbopt`."""

from dbopt.cli import main

if __name__ == "__main__":
    main()
