"""A database with a past and with names that nobody should give, and the page about it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until

from dbopt.cli import main
from dbopt.postgres.connect import connect, describe
from dbopt.postgres.server import inspect
from dbopt.postgres.surroundings import SURROUNDINGS
from dbopt.snapshot.collect import collect
from dbopt.snapshot.model import Family
from dbopt.store.targets import Whose

from . import browser, past

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server import Database, Server

    from dbopt import embedded

SCRIPT, QUOTES, BACKWARDS, LONG = "<script>alert(1)</script>", 'a\'b" onload="x', "ab\u202ecd", "x" * 63
HOSTILE = (SCRIPT, QUOTES, BACKWARDS, LONG)
SPEC = """\
spec: 1
domain: shop
indexes:
  - {name: orders_by_customer, table: orders, keys: [customer_id], why: the customer's page}
"""


@dataclass(frozen=True, slots=True)
class Reported:
    """`page`: of a database with a past; `first`: of the same without one."""

    database: Database
    page: Path
    first: Path
    has_statements: bool

    @property
    def text(self) -> str:
        return self.page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def reported(
    pg: Server, server_binaries: embedded.Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reported]:
    folder = tmp_path_factory.mktemp("report")
    (folder / "specs").mkdir()
    (folder / "specs" / "shop.yaml").write_text(SPEC, encoding="utf-8")
    url = f"sqlite:///{folder}/store.db"
    has_statements = server_binaries.has_library("pg_stat_statements")
    first, page = folder / "first.html", folder / "page.html"
    with pg.database() as database:
        _fill(database, has_statements=has_statements)
        with pytest.MonkeyPatch.context() as patch:  # the tests have surroundings of their own
            for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
                patch.setenv(name, str(folder))
            patch.chdir(folder)
            patch.setenv("DBOPT_STORE_URL", "none")
            assert main(["report", "-d", database.conninfo, "--html", str(first)]) == 0
            patch.setenv("DBOPT_STORE_URL", url)
            assert main(["optimize", "--yes", "-q", "specs", "-d", database.conninfo]) == 0
            _remember(database, url)
            assert main(["report", "-d", database.conninfo, "--html", str(page)]) == 0
        yield Reported(database, page, first, has_statements)


def _fill(database: Database, *, has_statements: bool) -> None:
    if has_statements:
        database.sql("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()")
    database.sql(
        "CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note text);"
        "INSERT INTO orders SELECT i, i % 500, 'x' FROM generate_series(1, 12000) AS i; ANALYZE orders"
    )
    with database.connect(autocommit=True) as conn:
        for name in HOSTILE:
            quoted = '"' + name.replace('"', '""') + '"'
            conn.execute(f"CREATE TABLE {quoted} (id int PRIMARY KEY)")  # type: ignore[call-overload]
            conn.execute(f"INSERT INTO {quoted} SELECT generate_series(1, 900)")  # type: ignore[call-overload]
            for _ in range(3):
                conn.execute(f"SELECT count(*) FROM {quoted}")  # type: ignore[call-overload]
    counted = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = %s"
    wait_until(lambda: database.sql(counted, [SCRIPT])[0][0] >= 3, "the statistics")


def _remember(database: Database, url: str) -> None:
    """Two days, one reading in three hours."""
    with contextlib.closing(connect(database.conninfo, command="test", read_only=True)) as conn:
        server = inspect(conn)
        now = collect(conn, server, SURROUNDINGS.rows(conn, server.version)[0]).snapshot.parts
    name = describe(database.conninfo)
    past.keep(url, Whose.of_server(server, name), name, now, days=2, every=timedelta(hours=3))
    assert Family.TABLES in now


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    program = browser.find()
    if program is None:
        pytest.skip(f"none of {', '.join(browser.NAMES)} is installed")
    with browser.Browser(program, tmp_path_factory.mktemp("chromium")) as opened:
        yield opened
