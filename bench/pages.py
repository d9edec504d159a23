"""Page 1 and page 1,000 of `paginate`, beside what OFFSET costs there: ten mapped objects of 200,000 rows.

The three are read in turns, each a thousand times, and compared by their medians: what disturbs one disturbs all. In
some orders of an index that fits: the newest first; of one owner, by a select that is made anew for each page, as an
application does; in mixed directions; by a column with NULLs. An owner's page 1,000 is the last but one.
"""

from __future__ import annotations

import datetime
import statistics
import time
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from _measure import Figure, note, options, report, server
from sqlalchemy import orm

from dbopt.client import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS, SIZE, LATE = 200_000, 10, 1_000
OWNERS = ROWS // (SIZE * (LATE + 1))
WANTED = 1.2  # of page 1

SCHEMA = f"""
CREATE TABLE post (id bigint PRIMARY KEY, owner int NOT NULL, at timestamptz NOT NULL, score int, title text NOT NULL);
INSERT INTO post SELECT n, n % {OWNERS}, '2026-01-01'::timestamptz + n / 2 * interval '1 s', nullif(n % 5000, 0),
    'title ' || n FROM generate_series(1, {ROWS}) AS n;
CREATE INDEX ON post (at, id);
CREATE INDEX ON post (owner, at, id);
CREATE INDEX ON post (at DESC, id);
CREATE INDEX ON post (score, id);
VACUUM ANALYZE post;
"""


class Base(orm.DeclarativeBase):
    pass


class Post(Base):
    __tablename__ = "post"

    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
    owner: orm.Mapped[int]
    at: orm.Mapped[datetime.datetime] = orm.mapped_column(sa.DateTime(timezone=True))
    score: orm.Mapped[int | None]
    title: orm.Mapped[str]


# How `paginate` gets it, and what one writes oneself.
ORDERS: dict[str, tuple[Callable[[], Any], tuple[str, ...], tuple[Any, ...]]] = {
    "newest first": (lambda: Post, ("-at",), (Post.at.desc(), Post.id.desc())),
    "of one owner": (lambda: sa.select(Post).where(Post.owner == 1), ("-at",), (Post.at.desc(), Post.id.desc())),
    "mixed directions": (lambda: Post, ("-at", "id"), (Post.at.desc(), Post.id)),
    "with NULLs": (lambda: Post, ("score",), (Post.score, Post.id)),
}


def main() -> None:
    chosen = options(__doc__, rounds=(1_000, "rounds of a page each"))
    with server() as private:
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            for statement in filter(str.strip, SCHEMA.split(";")):
                conn.execute(statement)  # type: ignore[call-overload]
            version = conn.info.parameter_status("server_version")
        with Database(private.conninfo, max_connections=1) as db:
            figures = [figure for name in ORDERS for figure in of_an_order(db, name, chosen.rounds)]
    report("pages", figures, as_json=chosen.json, server_version=version)


def of_an_order(db: Database, name: str, rounds: int) -> Iterator[Figure]:
    note(name)
    what, order_by, clauses = ORDERS[name]
    cursor = None
    for _ in range(LATE - 1):
        cursor = db.paginate(what(), order_by=order_by, size=SIZE, after=cursor).next_cursor

    def by_offset() -> list[int]:
        statement = what() if isinstance(what(), sa.Select) else sa.select(what())
        with db.session() as session:
            found = session.scalars(statement.order_by(*clauses).limit(SIZE + 1).offset((LATE - 1) * SIZE))
            return [item.id for item in found.all()[:SIZE]]

    late = db.paginate(what(), order_by=order_by, size=SIZE, after=cursor)
    assert [item.id for item in late.items] == by_offset()
    seconds = in_turns(
        {
            "page 1": lambda: db.paginate(what(), order_by=order_by, size=SIZE),
            f"page {LATE:,}": lambda: db.paginate(what(), order_by=order_by, size=SIZE, after=cursor),
            f"page {LATE:,} by OFFSET": by_offset,
        },
        rounds,
    )
    for page, took in seconds.items():
        yield Figure(f"{name}: {page}", took * 1000, "ms")
    first, late_one, offset = seconds.values()
    yield Figure(f"{name}: page {LATE:,} / page 1", late_one / first, "times", WANTED)
    yield Figure(f"{name}: page {LATE:,} by OFFSET / page 1", offset / first, "times")


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Medians in seconds; psycopg prepares what it has sent five times."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for n in range(rounds + 10):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            if n >= 10:
                took[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in took.items()}


if __name__ == "__main__":
    main()
