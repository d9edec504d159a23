"""The library for applications: `Database` and `AsyncDatabase`, on SQLAlchemy 2 and psycopg 3."""

from dbopt.client.aio import AsyncDatabase
from dbopt.client.cache import Cached
from dbopt.client.database import Database
from dbopt.client.reading.relations import Relation
from dbopt.client.searching.search import Marks, Search, tsvector_sql
from dbopt.client.settings import Settings

__all__ = ["AsyncDatabase", "Cached", "Database", "Marks", "Relation", "Search", "Settings", "tsvector_sql"]
