"""What `dbopt slow-queries` costs the server, with 4,500 entries and 72 MB of texts in pg_stat_statements, beside the
query on the view that people use.

The bill is the server's own: what pg_stat_statements has of a role that is dbopt's alone, utility statements included.
Each round begins without a store: the first call fetches texts and plans, the second and the third are what later calls
cost. In between, the application goes on: twenty sessions whose statements take long, the one longer than the other.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import DBOPT, Figure, Run, environment, median, note, options, report, run, server
from health import TABLE
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTRIES = 4_500
TABLES = 100
WIDTH = 242  # columns of the shortest statements; as an ORM writes them: quoted, each with its table and an alias
# Statements that wait, each in a session of its own: as on a busy server, a call of dbopt is a trifle beside them.
BUSY = 20
FIRST_SECONDS, MORE_SECONDS = 5.0, 0.2

STEADY_MS_WANTED = 10.0
COLUMNS = ("id", "account_id", "status", "due_at", "created_at")
CONDITIONS = '"account_id" = 1 AND "status" = \'open\' AND "created_at" > \'2026-01-01\''
USUAL = (
    "SELECT query, calls, total_exec_time, mean_exec_time, rows FROM pg_stat_statements"
    " ORDER BY total_exec_time DESC LIMIT 20"
)
ROLES = ("dbopt_alone", "dashboard")
CALLS = ("first call", "second call", "third call")
BILL = """
    SELECT COALESCE(sum(total_exec_time), 0)::float8, COALESCE(sum(total_plan_time), 0)::float8,
           COALESCE(sum(calls), 0)::int8, COALESCE(sum(temp_blks_written), 0)::int8
      FROM pg_stat_statements(false) WHERE userid = %(role)s::regrole
"""
STORE = Path(environment()["DBOPT_STORE_URL"].removeprefix("sqlite:///"))


@dataclass(frozen=True, slots=True)
class Bill:
    """What a role's statements came to. Planning is apart, as pg_stat_statements counts it only where it is told to."""

    milliseconds: float
    planning_ms: float
    statements: int
    temp_blocks: int

    def __sub__(self, before: Bill) -> Bill:
        return Bill(
            self.milliseconds - before.milliseconds,
            self.planning_ms - before.planning_ms,
            self.statements - before.statements,
            self.temp_blocks - before.temp_blocks,
        )


def main() -> None:
    chosen = options(__doc__, runs=(5, "rounds of three calls"))
    settings = {
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track_planning": "on",
        "pg_stat_statements.max": str(ENTRIES + 500),
    }
    with server(**settings) as private, tempfile.TemporaryDirectory(prefix="dbopt-bench-") as folder:
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            conn.execute("CREATE DATABASE bench")
        conninfo = make_conninfo(private.conninfo, dbname="bench")
        with psycopg.connect(conninfo, autocommit=True) as conn:
            note("making the database")
            megabytes = fill(conn)
            work(conninfo, FIRST_SECONDS)
            note(f"{ENTRIES} statements with {megabytes:.0f} MB of texts")
            figures = list(measure(conn, conninfo, Path(folder, "answer.json"), chosen.runs))
            version = conn.info.parameter_status("server_version")
    report("slow_queries", figures, as_json=chosen.json, server_version=version)


def fill(conn: psycopg.Connection) -> float:
    """How long the texts are together, in MB."""
    conn.execute("CREATE EXTENSION pg_stat_statements")
    conn.execute("CREATE SCHEMA app")
    for number in range(TABLES):
        conn.execute(TABLE.format(table=f"t{number}"))
    conn.execute("VACUUM ANALYZE")
    for role in ROLES:
        conn.execute(f"CREATE ROLE {role} LOGIN")
        conn.execute(f"GRANT pg_monitor TO {role}")
        conn.execute(f"GRANT USAGE ON SCHEMA app TO {role}")
        conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA app TO {role}")  # without it there are no plans
    conn.execute("SELECT pg_stat_statements_reset()")
    texts = [statement(number) for number in range(ENTRIES)]
    with conn.pipeline():
        for text in texts[BUSY:]:
            conn.execute(text, prepare=False)
    return sum(map(len, texts)) / 1e6


def statement(number: int, seconds: float = 0.0) -> bytes:
    """Each has another shape: so many columns of such a table."""
    table, width = f"t{number % TABLES}", WIDTH + number // TABLES
    columns = ", ".join(
        f'"app"."{table}"."{COLUMNS[column % len(COLUMNS)]}" AS "{table}_CustomerAccountReference_{column}"'
        for column in range(width)
    )
    waiting = f", pg_sleep({seconds}) AS waited" if number < BUSY else ""
    return f'SELECT {columns} FROM "app"."{table}"{waiting} WHERE {CONDITIONS} LIMIT 10'.encode()


def work(conninfo: str, seconds: float) -> None:
    """What the application does before a call."""

    def one(number: int) -> None:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute(statement(number, seconds * (1 + number / BUSY)))

    with ThreadPoolExecutor(BUSY) as pool:
        list(pool.map(one, range(BUSY)))


def bill(conn: psycopg.Connection, role: str) -> Bill:
    row = conn.execute(BILL, {"role": role}).fetchone()
    assert row is not None
    return Bill(*row)


def billed(conn: psycopg.Connection, role: str, deed: Callable[[], Run]) -> tuple[Run, Bill]:
    before = bill(conn, role)
    done = deed()
    return done, bill(conn, role) - before


def measure(conn: psycopg.Connection, conninfo: str, answer: Path, times: int) -> Iterator[Figure]:
    command = [DBOPT, "slow-queries", "-d", make_conninfo(conninfo, user=ROLES[0]), "--format", "json"]
    run(command)  # reads the files from disk and compiles them
    runs: dict[str, list[tuple[Run, Bill]]] = {name: [] for name in (*CALLS, "usual")}
    with psycopg.connect(make_conninfo(conninfo, user=ROLES[1]), autocommit=True) as other:
        for _ in range(times):
            forget()
            for name in CALLS:
                work(conninfo, MORE_SECONDS)
                runs[name].append(billed(conn, ROLES[0], lambda: run(command, stdout=answer)))
            runs["usual"].append(billed(conn, ROLES[1], lambda: usual(other)))
    yield from shown(answer)
    for name, found in runs.items():
        words = "the usual query on the view" if name == "usual" else name
        steady = name in CALLS[1:]
        yield Figure(f"{words}, on the server", of(found, "milliseconds"), "ms", STEADY_MS_WANTED if steady else None)
        yield Figure(f"{words}, planning on the server", of(found, "planning_ms"), "ms")
        yield Figure(f"{words}, temporary blocks written", of(found, "temp_blocks"), "", 0 if steady else None)
        yield Figure(f"{words}, statements", of(found, "statements"), "")
        yield Figure(f"{words}, wall time", median([one for one, _ in found], "seconds"), "s")
        if name != "usual":
            yield Figure(f"{words}, CPU time of dbopt", median([one for one, _ in found], "cpu_seconds"), "s")
            yield Figure(f"{words}, peak memory of dbopt", median([one for one, _ in found], "peak_mb"), "MB")
    steady_ms, usual_ms = of(runs[CALLS[-1]], "milliseconds"), of(runs["usual"], "milliseconds")
    yield Figure(f"the usual query / {CALLS[-1]}, on the server", usual_ms / steady_ms, "times")


def usual(other: psycopg.Connection) -> Run:
    """As a dashboard sends it, over a connection that is open."""
    started = time.perf_counter()
    other.execute(USUAL).fetchall()
    return Run(time.perf_counter() - started, 0.0, 0.0)


def of(found: list[tuple[Run, Bill]], what: str) -> float:
    return statistics.median([float(getattr(one, what)) for _, one in found])


def shown(answer: Path) -> Iterator[Figure]:
    """What the last call has said: nothing would cost nothing."""
    listed = json.loads(answer.read_text(encoding="utf-8"))["statements"]
    yield Figure("statements that are shown", len(listed), "")
    yield Figure("statements without their text", sum(not item["query"] for item in listed), "", 0)


def forget() -> None:
    for path in STORE.parent.glob(f"{STORE.name}*"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


if __name__ == "__main__":
    main()
