"""What `bulk_upsert` of 100,000 rows costs beside raw COPY and INSERT ... SELECT ... ON CONFLICT by psycopg, beside
SQLAlchemy's own insert of many rows, and beside a statement a row; and from how many rows on COPY is worth a temporary
table.

Half of the rows are there already, in a table with a primary key and an index. All ways have the same dicts and take
turns; a statement a row does so with fewer rows, and its seconds are multiplied.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import statistics
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from _measure import Figure, note, options, report, server
from sqlalchemy.dialects import postgresql

from dbopt.client import AsyncDatabase, Database
from dbopt.client.bulk import upsert as bulk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RAW_RATIO_WANTED = 1 / 0.8  # of raw COPY: issue 7 asks for 0.8 of its speed
SINGLE_ROWS = 2_000
SMALL = (100, 500, 1_000, 2_000, 4_000, 8_000)

TABLE = sa.Table(
    "reading",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("email", sa.Text, index=True),
    sa.Column("score", sa.Integer),
    sa.Column("amount", sa.Numeric(12, 2)),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("active", sa.Boolean),
)
NAMES = tuple(TABLE.columns.keys())
COLUMNS = ", ".join(NAMES)
STAGE = "CREATE TEMP TABLE stage (LIKE reading) ON COMMIT DROP"
CHANGES = ", ".join(f"{name} = excluded.{name}" for name in NAMES if name != "id")
RAW = f"INSERT INTO reading SELECT * FROM stage ON CONFLICT (id) DO UPDATE SET {CHANGES}"
SINGLE = (
    f"INSERT INTO reading ({COLUMNS}) VALUES (%(id)s, %(email)s, %(score)s, %(amount)s, %(at)s, %(active)s)"
    f" ON CONFLICT (id) DO UPDATE SET {CHANGES}"
)
HALF = """
    TRUNCATE reading;
    INSERT INTO reading SELECT n, 'x', 1, 1, pg_catalog.now(), true FROM pg_catalog.generate_series(0, %s, 2) AS n
"""


def main() -> None:
    chosen = options(__doc__, runs=(7, "rounds"), rows=(100_000, "rows of an upsert"))
    rows = make(chosen.rows)
    with server(synchronous_commit="off") as private:  # all ways commit once or often: the disk is not the question
        conninfo = private.conninfo
        with psycopg.connect(conninfo) as conn:
            version = conn.info.parameter_status("server_version")
        with Database(conninfo, min_connections=0, statement_timeout_ms=0) as db:
            TABLE.metadata.create_all(db.engine)
            figures = [*large(conninfo, db, rows, chosen.runs), *small(conninfo, db, rows, chosen.runs)]
    report("bulk", figures, as_json=chosen.json, server_version=version)


def make(count: int) -> list[dict[str, Any]]:
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    numbers = random.Random(7).sample(range(count), count)
    return [
        {
            "id": number,
            "email": f"user{number}@example.org",
            "score": number % 100,
            "amount": Decimal(number) / 100,
            "at": at + dt.timedelta(seconds=number),
            "active": number % 2 == 0,
        }
        for number in numbers
    ]


def large(conninfo: str, db: Database, rows: list[dict[str, Any]], runs: int) -> Iterator[Figure]:
    ways: dict[str, Callable[[], object]] = {
        "raw": lambda: raw(conninfo, rows),
        "ours": lambda: db.bulk_upsert(TABLE, rows),
        "by batch": lambda: db.bulk_upsert(TABLE, rows, commit="batch"),
        "asyncio": lambda: asyncio.run(in_loop(conninfo, rows)),
        "only changes": lambda: db.bulk_upsert(TABLE, rows, where_changed=True),
        "sqlalchemy": lambda: by_sqlalchemy(db, rows),
        "single": lambda: one_by_one(conninfo, rows[:SINGLE_ROWS]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(runs + 1):  # the first one is for the caches
        note(f"round {number} of {runs}")
        for name, way in ways.items():
            half(conninfo, len(rows))
            took = timed(way)
            if number:
                seconds[name].append(took)
    took = {name: statistics.median(each) for name, each in seconds.items()}
    count = f"{len(rows):,} rows"
    # What comes right after one another shares what else the machine does: the ratio of each round, then the median.
    ratio = statistics.median(ours / raw for ours, raw in zip(seconds["ours"], seconds["raw"], strict=True))
    yield Figure(f"{count}, raw COPY + INSERT ... SELECT", took["raw"], "s")
    yield Figure(f"{count}, bulk_upsert", took["ours"], "s")
    yield Figure("bulk_upsert, times raw", ratio, "x", RAW_RATIO_WANTED)
    yield Figure(f"{count}, bulk_upsert, commit=batch", took["by batch"], "s")
    yield Figure(f"{count}, bulk_upsert under asyncio", took["asyncio"], "s")
    yield Figure(f"{count}, bulk_upsert, where_changed", took["only changes"], "s")
    yield Figure(f"{count}, SQLAlchemy's insert of many rows", took["sqlalchemy"], "s")
    yield Figure(f"{count}, a statement a row (reckoned up)", took["single"] * len(rows) / SINGLE_ROWS, "s")


def small(conninfo: str, db: Database, rows: list[dict[str, Any]], runs: int) -> Iterator[Figure]:
    """Either way for few rows: bulk.ARRAY_ROWS is where they cross."""
    usual = bulk.ARRAY_ROWS
    for count in SMALL:
        seconds: dict[str, list[float]] = {"arrays": [], "COPY": []}
        for number in range(runs * 2 + 1):
            for name, most in (("arrays", count), ("COPY", 0)):
                bulk.ARRAY_ROWS = most
                half(conninfo, count)
                took = timed(lambda count=count: db.bulk_upsert(TABLE, rows[:count]))  # type: ignore[misc]
                if number:
                    seconds[name].append(took)
        for name, each in seconds.items():
            yield Figure(f"{count:,} rows by {name}", statistics.median(each) * 1000, "ms")
    bulk.ARRAY_ROWS = usual


def raw(conninfo: str, rows: list[dict[str, Any]]) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute(STAGE)
        with conn.cursor().copy("COPY stage FROM STDIN") as copy:
            for row in rows:
                copy.write_row([row[name] for name in NAMES])
        conn.execute(RAW)


async def in_loop(conninfo: str, rows: list[dict[str, Any]]) -> None:
    async with AsyncDatabase(conninfo, min_connections=0, statement_timeout_ms=0) as adb:
        await adb.bulk_upsert(TABLE, rows)


def by_sqlalchemy(db: Database, rows: list[dict[str, Any]]) -> None:
    insert = postgresql.insert(TABLE)
    changes = {name: insert.excluded[name] for name in NAMES if name != "id"}
    with db.begin() as session:
        session.execute(insert.on_conflict_do_update(index_elements=["id"], set_=changes), rows)


def one_by_one(conninfo: str, rows: list[dict[str, Any]]) -> None:
    with psycopg.connect(conninfo) as conn:
        for row in rows:
            conn.execute(SINGLE, row)


def half(conninfo: str, count: int) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in HALF.split(";"):
            conn.execute(statement, [count - 1] if "%s" in statement else None)
        conn.execute("VACUUM ANALYZE reading")


def timed(way: Callable[[], object]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
