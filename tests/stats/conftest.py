"""`dbopt stats` on a shop, with a store of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stats.shop import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli_runner import Result
    from server import Database, Server


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Database]:
    """One for all tests of a module: what they do to it, they undo."""
    with pg.database() as fresh:
        build(fresh)
        yield fresh


@pytest.fixture
def stats(run_cli: Callable[..., Result], tmp_path: Path) -> Callable[..., Result]:
    """`stats(database, "tables", "--limit", "3")`."""

    def run(database: Database, *words: str, user: str | None = None, **env: str) -> Result:
        dsn = database.conninfo if user is None else f"{database.conninfo} user={user}"
        return run_cli("stats", *words, env={"DBOPT_DSN": dsn, **env})

    return run
