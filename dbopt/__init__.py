"""dbopt: the operational toolkit for PostgreSQL."""

from dbopt.errors import Error

__all__ = ["Error", "__version__"]

__version__ = "0.1.0"
