"""An Alembic project as applications have it, for one database."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from pathlib import Path

    from server import Database

_INI = "[alembic]\nscript_location = {}\npath_separator = os\n"
_ENV = """
import psycopg
from alembic import context
from sqlalchemy import MetaData, create_engine, pool

# Names are made after a convention, as many projects have it.
metadata = MetaData(naming_convention={"ix": "ix_%(constraint_name)s"})
if context.is_offline_mode():
    context.configure(
        url="postgresql+psycopg://", literal_binds=True, dialect_opts={"paramstyle": "named"}, target_metadata=metadata
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    conninfo = context.config.attributes["conninfo"]
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=pool.NullPool
    )
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata)
        with context.begin_transaction():
            context.run_migrations()
"""


class Revisions:
    """`database` None: for `as_sql` alone."""

    def __init__(self, database: Database | None, folder: Path) -> None:
        self.versions = folder / "versions"
        self.versions.mkdir(parents=True)
        self.ini = folder / "alembic.ini"
        self.ini.write_text(_INI.format(folder), encoding="utf-8")
        (folder / "env.py").write_text(_ENV, encoding="utf-8")
        self._config = Config(str(self.ini))
        if database is not None:
            self._config.attributes["conninfo"] = database.conninfo

    def add(self, revision: str, text: str) -> None:
        (self.versions / f"{revision}.py").write_text(text, encoding="utf-8")

    def upgrade(self) -> None:
        command.upgrade(self._config, "head")

    def downgrade(self) -> None:
        command.downgrade(self._config, "base")

    def as_sql(self) -> str:
        """What `alembic upgrade --sql` prints."""
        config = Config(str(self.ini), output_buffer=(printed := io.StringIO()))
        command.upgrade(config, "head", sql=True)
        return printed.getvalue()
