"""Alembic's way into the store, for `dbopt` (which hands over its connection) and for the `alembic` command.

A migration runs in one transaction on both databases: it is done whole or not at all.
"""

from __future__ import annotations

import logging
import os

from alembic import context

from dbopt.errors import ConfigError
from dbopt.store.engine import make_engine
from dbopt.store.location import locate
from dbopt.store.migrate import prepare
from dbopt.store.tables import SCHEMA, metadata


def online(connection) -> None:
    prepare(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transactional_ddl=True,  # SQLite's too, as its transactions begin where we say
        render_as_batch=True,  # SQLite changes columns by making the table anew: autogenerate writes migrations so
    )
    with context.begin_transaction():
        context.run_migrations()


def offline(dialect_name: str) -> None:
    """`alembic upgrade head --sql`: the statements for somebody else to run."""
    context.configure(dialect_name=dialect_name, target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        if dialect_name == "postgresql":
            context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            context.execute(f"SET LOCAL search_path = {SCHEMA}")
        context.run_migrations()


def main() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        online(given)
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    location = locate(os.environ.get("DBOPT_STORE_URL"))
    if location is None:
        raise ConfigError("there is no store to migrate", detail="DBOPT_STORE_URL is none")
    if context.is_offline_mode():
        offline("sqlite" if location.path else "postgresql")
        return
    location.make_private_file()
    with make_engine(location).begin() as connection:
        online(connection)


main()
