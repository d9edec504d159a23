"""A new SQLite file with the tables of HEAD, without the half second that SQLAlchemy and Alembic take to import.

`python -m dbopt.store.fresh` writes alembic/sqlite.sql from the migrations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.resources import migrations
from dbopt.store import sqlite

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_END = ";\n"


def make_tables(connection: sqlite3.Connection) -> None:
    """In a file without any; two processes that do so at once make one store. Others' tables stay alone."""
    sqlite.prepare(connection)
    connection.execute(sqlite.begin(reading=False))
    if is_empty(connection):
        for statement in statements_file().read_text(encoding="utf-8").split(_END)[:-1]:
            connection.execute(statement)
    connection.execute("COMMIT")


def is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def statements_file() -> Path:
    return migrations() / "sqlite.sql"


def statements() -> str:
    """What the migrations make, as one script."""
    import contextlib
    import sqlite3
    import tempfile
    from pathlib import Path

    from dbopt.store.head import HEAD
    from dbopt.store.location import Location
    from dbopt.store.repository import Store

    with tempfile.TemporaryDirectory(prefix="dbopt-fresh-") as folder:
        path = Path(folder, "store.db")
        with contextlib.closing(Store(Location(path))) as store:
            store.make_ready()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            made = connection.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
            ).fetchall()
    texts = [*(sql for (sql,) in made), f"INSERT INTO alembic_version VALUES ('{HEAD}')"]  # noqa: S608 - our own
    lines = "".join(text + _END for text in texts).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


if __name__ == "__main__":
    statements_file().write_text(statements(), encoding="utf-8")
