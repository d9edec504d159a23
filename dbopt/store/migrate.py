"""The revision of a store's tables. Alembic is imported only when there is something to migrate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from dbopt.resources import migrations
from dbopt.store.head import HEAD, newer
from dbopt.store.tables import SCHEMA

if TYPE_CHECKING:
    from alembic.config import Config

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))
_UPGRADE_LOCK = 0x64626F7074  # "dbopt": an advisory lock's key in the store's own database


def revision(connection: sa.Connection) -> str | None:
    """Which revision the tables have; None before the first."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()


def is_newer(found: str | None) -> bool:
    """Whether a revision is none of ours: a newer dbopt made it."""
    if found is None or found == HEAD:
        return False
    from alembic.script import ScriptDirectory

    return found not in {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}


def upgrade(connection: sa.Connection) -> None:
    """Bring the tables to HEAD within the connection's transaction: done whole or not at all.

    Raises StoreUnusable for a store that a newer dbopt has made.
    """
    found = revision(connection)
    if is_newer(found):
        raise newer(found)
    from alembic import command

    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


def config() -> Config:
    """Alembic's configuration made by hand: an installed dbopt has no alembic.ini."""
    from alembic.config import Config

    settings = Config()
    # Values are interpolated, so a % in the path is doubled.
    settings.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    return settings


def prepare(connection: sa.Connection) -> None:
    """Before migrating: wait for another process that migrates, and make our schema. Both are PostgreSQL's affair.

    SQLite has taken its write lock at the beginning of the transaction, and knows no schemas.
    """
    if connection.dialect.name != "postgresql":
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
    # IF NOT EXISTS asks for the right to create even where the schema exists.
    if not sa.inspect(connection).has_schema(SCHEMA):
        connection.execute(sa.schema.CreateSchema(SCHEMA))
