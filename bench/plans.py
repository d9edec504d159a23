"""Of how many statements, as pg_stat_statements stores them, dbopt can show a plan: `$1` where values stood, nothing
known of their types.

Without arguments: what the two sample applications and pgbench's built-in scripts send, each with values in its text
and, where it has parameters, by the extended protocol too. With --schema FILE and --statements FOLDER: each .sql file
of the folder is run once in a database that the file has made, which may be empty; what fails is left out, and told.

One server a run: that of DBOPT_TEST_PG, or the newest that is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from _measure import Figure, note, options, report, server
from psycopg.conninfo import make_conninfo

from dbopt.demo import app, data, schema
from dbopt.demo.paths import bind
from dbopt.postgres.server import inspect
from dbopt.workload.explain import Planner
from dbopt.workload.model import Planned

if TYPE_CHECKING:
    from dbopt.embedded import EmbeddedServer

UNPLANNED_PERCENT_WANTED = 5.0
ROWS = 200  # of the sample applications' largest tables: parameters are chosen from the data

PGBENCH_SCHEMA = """
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
"""
PGBENCH = (
    "UPDATE pgbench_accounts SET abalance = abalance + %s WHERE aid = %s",
    "SELECT abalance FROM pgbench_accounts WHERE aid = %s",
    "UPDATE pgbench_tellers SET tbalance = tbalance + %s WHERE tid = %s",
    "UPDATE pgbench_branches SET bbalance = bbalance + %s WHERE bid = %s",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (%s, %s, 7, %s, CURRENT_TIMESTAMP)",
)
# What pg_stat_statements has of this database: utility statements are not tracked here, and what made it is reset.
TEXTS = """
    SELECT s.query, s.userid::int8 FROM pg_stat_statements AS s
     WHERE s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
       AND s.query NOT LIKE '%pg_stat_statements%'
     ORDER BY s.query
"""

Connect = Callable[[], "psycopg.Connection[Any]"]


@dataclass(frozen=True, slots=True)
class Workload:
    """`prepare` makes the schema, `run` sends each statement and returns how many the server refused."""

    name: str
    prepare: Callable[[Connect], None]
    run: Callable[[Connect], int]


def main() -> None:
    chosen = options(
        __doc__, paths={"schema": "SQL that makes the tables", "statements": "folder with a .sql file a statement"}
    )
    if (chosen.schema is None) is not (chosen.statements is None):
        raise SystemExit("--schema and --statements belong together")
    workloads = [given(chosen.schema, chosen.statements)] if chosen.schema else [*map(sample, schema.APPS), PG_BENCH]
    settings = {
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track_utility": "off",
        "track_activity_query_size": "1MB",
    }
    with server(**settings) as private:
        figures = [figure for workload in workloads for figure in measure(private, workload)]
        with psycopg.connect(private.conninfo) as conn:
            version = conn.info.parameter_status("server_version")
    report("plans", figures, as_json=chosen.json, server_version=version)


def given(tables: Path, folder: Path) -> Workload:
    files = sorted(folder.glob("**/*.sql"))
    if not files:
        raise SystemExit(f"no .sql files in {folder}")

    def run(connect: Connect) -> int:
        with connect() as conn:
            return sum(not sent(conn, path.name, path.read_text(encoding="utf-8")) for path in files)

    return Workload(folder.name, lambda connect: script(connect, tables.read_text(encoding="utf-8")), run)


def sample(name: str) -> Workload:
    """The access paths of a sample application."""
    application = app.get(name)

    def run(connect: Connect) -> int:
        with connect() as conn:
            bound = bind(conn, application.paths)
            conn.execute("SELECT pg_stat_statements_reset()")  # how parameters are chosen is not the application's
            return twice(conn, [(item.path.sql, item.parameters) for item in bound])

    return Workload(application.title, lambda connect: _load(connect, application), run)


def _load(connect: Connect, application: app.App) -> None:
    data.load(connect, application.book(ROWS))


def pgbench(connect: Connect) -> int:
    with connect() as conn:
        return twice(conn, [(text, [1] * text.count("%s")) for text in PGBENCH])


PG_BENCH = Workload("pgbench", lambda connect: script(connect, PGBENCH_SCHEMA), pgbench)


def script(connect: Connect, text: str) -> None:
    with connect() as conn:
        conn.execute(text.encode())


def twice(conn: psycopg.Connection[Any], statements: Sequence[tuple[str, Any]]) -> int:
    """With the values in the text, which the server takes out, and as parameters."""
    cursors = (psycopg.ClientCursor(conn), conn.cursor())
    return sum(not sent(cursor, text, text, parameters) for cursor in cursors for text, parameters in statements)


def sent(by: Any, name: str, text: str, parameters: Any = None) -> bool:
    try:
        by.execute(text.encode(), parameters)
    except psycopg.Error as exc:
        note(f"{name}: not run: {str(exc).splitlines()[0]}")
        return False
    return True


def measure(private: EmbeddedServer, workload: Workload) -> Iterator[Figure]:
    database = f"bench_{''.join(filter(str.isalnum, workload.name)).lower()}"
    with psycopg.connect(private.conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {database}")
    conninfo = make_conninfo(private.conninfo, dbname=database)

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(conninfo, autocommit=True)

    note(f"{workload.name}: making the database")
    workload.prepare(connect)
    with connect() as conn:
        conn.execute("CREATE EXTENSION pg_stat_statements")
        conn.execute("SELECT pg_stat_statements_reset()")
    refused = workload.run(connect)
    with connect() as conn:
        texts = conn.execute(TEXTS).fetchall()
    reasons: Counter[str] = Counter()
    with connect() as conn:
        planner = Planner(conn, inspect(conn))
        for query, userid in texts:
            found = planner.plan(query, userid)
            if not isinstance(found, Planned):
                reasons[found.reason] += 1
                note(f"{workload.name}: {found.reason}: {' '.join(query.split())[:100]}")
    unplanned = sum(reasons.values())
    yield Figure(f"{workload.name}: statements", len(texts), "")
    yield Figure(f"{workload.name}: that the server refused to run", refused, "")
    yield Figure(f"{workload.name}: with a plan", len(texts) - unplanned, "")
    if texts:
        yield Figure(f"{workload.name}: without", 100 * unplanned / len(texts), "%", UNPLANNED_PERCENT_WANTED)


if __name__ == "__main__":
    main()
