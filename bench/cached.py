"""What a cached answer costs: in memory, and in Redis where there is one, beside the query that it saves.

The question is a row by its key, asked again and again with one prepared statement, in turns.
"In memory" is the cache by itself; "by rows()" is all that an application's call does, objects made anew included.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from _measure import Figure, note, options, report, server

from dbopt.client import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WANTED_MICROSECONDS = 20.0  # of a cached read in memory
CALLS = 200  # of one measurement
TTL_SECONDS = 3600

metadata = sa.MetaData()
items = sa.Table(
    "bench_item",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("price", sa.Numeric),
    sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
)
ROW = sa.select(items).where(items.c.id == 1)
PAGE = sa.select(items).order_by(items.c.id).limit(100)
KEY = ("bench", ROW)


def main() -> None:
    chosen = options(__doc__, rounds=(60, f"rounds of {CALLS} calls each"))
    with server() as private, redis_url() as redis, contextlib.ExitStack() as stack:
        db = stack.enter_context(Database(private.conninfo, min_connections=1))
        metadata.create_all(db.engine)
        db.execute(items.insert(), [{"id": number, "name": f"item {number}", "price": number} for number in range(500)])
        calls: dict[str, Callable[[], object]] = {
            "query": lambda: plain(db),
            "memory": lambda: cached(db),
            "rows": lambda: db.rows(ROW, cache=TTL_SECONDS),
            "page": lambda: db.rows(PAGE, cache=TTL_SECONDS),
            "page query": lambda: db.rows(PAGE),
        }
        if redis is not None:
            shared = stack.enter_context(Database(private.conninfo, min_connections=1, cache_url=redis))
            calls["redis"] = lambda: cached(shared)
        took = in_turns(calls, chosen.rounds)
        hits = db.cache.figures()
        note(f"hits {hits.hits}, misses {hits.misses}")
    figures = [
        Figure("a cached read in memory", took["memory"], "us", WANTED_MICROSECONDS),
        Figure("the same by rows()", took["rows"], "us"),
        *([Figure("the same in Redis, by a socket of this machine", took["redis"], "us")] if redis else []),
        Figure("the query that it saves, by SQLAlchemy", took["query"], "us"),
        Figure("the query in proportion to the cached read", took["query"] / took["memory"], "times"),
        *([Figure("the query in proportion to Redis", took["query"] / took["redis"], "times")] if redis else []),
        Figure("100 rows, cached, by rows()", took["page"], "us"),
        Figure("100 rows, queried, by rows()", took["page query"], "us"),
    ]
    report("cached", figures, as_json=chosen.json)


def plain(db: Database) -> object:
    with db.engine.connect() as connection:
        return connection.execute(ROW).all()


def cached(db: Database) -> object:
    def make() -> object:
        with db.engine.connect() as connection:
            return tuple(map(tuple, connection.execute(ROW)))

    return db.cache.get_or_make(KEY, ("bench_item",), TTL_SECONDS, make)


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median of all rounds, in microseconds a call."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            took[name].append((time.perf_counter() - began) / CALLS * 1e6)
    return {name: statistics.median(every) for name, every in took.items()}


@contextlib.contextmanager
def redis_url() -> Iterator[str | None]:
    """A Redis of the bench's own, None where none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        note("redis-server is not installed: left out")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dbopt-bench-") as folder:
        path = Path(folder, "redis.sock")
        command = [program, "--port", "0", "--unixsocket", str(path), "--save", ""]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
            while not path.exists() and process.poll() is None:
                time.sleep(0.01)
            try:
                yield f"unix://{path}"
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
