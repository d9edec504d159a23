"""Every query that dbopt has, on the session's server: it runs, and its columns are the fields of its row type."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

import pytest

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


@pytest.mark.parametrize("query", registry(), ids=lambda query: query.name)
def test_runs_and_gives_its_columns(query: Query[Any], empty: Database) -> None:
    with empty.connect(autocommit=True) as conn:
        cursor = conn.execute(query.text(empty.server_version), query.example)
        assert tuple(column.name for column in cursor.description or ()) == query.columns()
        query.rows(conn, empty.server_version, query.example)


def test_names_are_unique() -> None:
    names = [query.name for query in registry()]
    assert sorted(names) == sorted(set(names))
