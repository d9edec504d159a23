"""Every query that dbopt has, on the session's server: it runs, and its columns are the fields of its row type."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import args_row
from psycopg.sql import SQL, Identifier, Literal

import dbopt
from dbopt.postgres.query import Query, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

for _module in pkgutil.walk_packages(dbopt.__path__, "dbopt."):
    if not _module.name.endswith(".__main__"):
        importlib.import_module(_module.name)


@pytest.fixture(scope="module")
def empty(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fresh


OF_THE_SERVER = [query for query in registry() if query.extension is None]
OF_EXTENSIONS = [query for query in registry() if query.extension is not None]


@pytest.mark.parametrize("query", OF_THE_SERVER, ids=lambda query: query.name)
def test_runs_and_gives_its_columns(query: Query[Any], empty: Database) -> None:
    if empty.server_version < min(query.since):
        pytest.skip(f"{query.name} reads what came with {min(query.since)[0]}")
    with empty.connect(autocommit=True) as conn:
        cursor = conn.execute(query.text(empty.server_version), query.example)
        assert tuple(column.name for column in cursor.description or ()) == query.columns()
        query.rows(conn, empty.server_version, query.example)


@pytest.mark.parametrize("query", OF_EXTENSIONS, ids=lambda query: query.name)
def test_runs_on_each_version_of_its_extension(query: Query[Any], empty: Database) -> None:
    """Servers that were upgraded keep the version that the extension was created in."""
    offered = empty.sql("SELECT version FROM pg_available_extension_versions WHERE name = %s", [query.extension])
    versions = sorted(tuple(int(part) for part in text.split(".")) for (text,) in offered)
    usable = [version for version in versions if version >= min(query.since)]
    if not usable:
        pytest.skip(f"this server has no {query.extension}")
    with empty.connect() as conn:
        conn.execute('CREATE SCHEMA "Odd ""one"')
        for version in usable:
            text = SQL("CREATE EXTENSION {} SCHEMA {} VERSION {}").format(
                Identifier(query.extension or ""), Identifier('Odd "one'), Literal(".".join(map(str, version)))
            )
            conn.execute(text)
            with conn.cursor(row_factory=args_row(query.row)) as cursor:
                cursor.execute(query.composed(version, 'Odd "one'), query.example)
                assert tuple(column.name for column in cursor.description or ()) == query.columns(), version
                cursor.fetchall()
            conn.execute(SQL("DROP EXTENSION {}").format(Identifier(query.extension or "")))
        conn.rollback()


def test_names_are_unique() -> None:
    names = [query.name for query in (*OF_THE_SERVER, *OF_EXTENSIONS)]  # not those that other tests have made
    assert sorted(names) == sorted(set(names))
