"""What it costs that every statement is counted: a query of about a millisecond by an engine with a Meter, beside plain
SQLAlchemy and plain psycopg.

In turns, on one session of the server's, so that what disturbs one disturbs all; ratios are of medians. The query takes
its millisecond on the server: it reads some ten thousand rows. The last figures are for a row by its key, where nothing
hides behind the server's work.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy as sa
from _measure import Figure, note, options, report, server

from dbopt.client.meter import Meter
from dbopt.client.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

WANTED = 1.05  # of plain SQLAlchemy
WANTED_MS = 1.0
QUERY = "SELECT count(*) AS matching FROM bench_items WHERE amount > :least AND label <> :label"
QUICK = "SELECT id, label FROM bench_items WHERE id = :id"


def main() -> None:
    chosen = options(__doc__, rounds=(1500, "rounds of a call each"))
    with server() as private:
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            prepare(conn)
            version = conn.info.parameter_status("server_version")
        bare = psycopg.connect(private.conninfo)
        plain, metered = (sa.create_engine("postgresql+psycopg://", creator=lambda: bare) for _ in range(2))
        meter = Meter(Settings(conninfo=private.conninfo), metered)
        with plain.connect() as one, metered.connect() as other:
            figures = []
            for name, text, parameters in (
                ("1 ms", QUERY, {"least": 10, "label": "none"}),
                ("point", QUICK, {"id": 4711}),
            ):
                query = sa.text(text)
                raw = text.replace(":least", "%(least)s").replace(":label", "%(label)s").replace(":id", "%(id)s")
                took = in_turns(
                    {
                        "psycopg": lambda raw=raw, values=parameters: bare.execute(raw, values).fetchall(),
                        "sqlalchemy": lambda query=query, values=parameters: one.execute(query, values).all(),
                        "metered": lambda query=query, values=parameters: other.execute(query, values).all(),
                    },
                    chosen.rounds,
                )
                figures += shown(name, took)
        counted = meter.metrics().total.count
        bare.close()
    note(f"{counted} statements were counted")
    report("metered", figures, as_json=chosen.json, server_version=version)


def prepare(conn: psycopg.Connection) -> None:
    """A table, of which the query reads as much as takes a millisecond here."""
    rows = 1000
    while True:
        conn.execute("DROP TABLE IF EXISTS bench_items")
        conn.execute(
            "CREATE TABLE bench_items AS SELECT n AS id, mod(n, 97) AS amount, md5(n::text) AS label"
            " FROM generate_series(1, %s) AS n",
            [rows],
        )
        conn.execute("ALTER TABLE bench_items ADD PRIMARY KEY (id)")
        conn.execute("VACUUM ANALYZE bench_items")
        text = QUERY.replace(":least", "10").replace(":label", "'none'")
        took = min(timed(lambda text=text: conn.execute(text).fetchall()) for _ in range(20))
        if took >= WANTED_MS / 1000 or rows > 1_000_000:
            note(f"{rows} rows: {took * 1000:.2f} ms")
            return
        rows = int(rows * min(4.0, max(1.1, WANTED_MS / 1000 / took)))


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call. Who comes first in a round changes."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(10):  # prepared, compiled and read by the grammar
            call()
    names = list(calls)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took[name].append(timed(calls[name]))
    return took


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def shown(name: str, took: dict[str, list[float]]) -> list[Figure]:
    middle = {who: statistics.median(seconds) for who, seconds in took.items()}
    wanted = WANTED if name == "1 ms" else None
    return [
        *(Figure(f"{name} query, {who}", seconds * 1e6, "us") for who, seconds in middle.items()),
        Figure(f"{name} query, metered for each of SQLAlchemy", middle["metered"] / middle["sqlalchemy"], "", wanted),
        Figure(f"{name} query, metered for each of psycopg", middle["metered"] / middle["psycopg"], ""),
        Figure(f"{name} query, what counting adds", (middle["metered"] - middle["sqlalchemy"]) * 1e6, "us"),
    ]


if __name__ == "__main__":
    main()
