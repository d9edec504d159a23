"""What many ids at once and relations at once save: `fetch_many` of 10,000 ids beside one query for each, by plain
SQLAlchemy and plain psycopg, and `load_relations` of 1,000 items beside SQLAlchemy's lazy and eager loading.

The server is on this machine: a round trip costs next to nothing here, and more everywhere else. Each way in turns, in
a session of its own. With --chunks also all sizes of chunks and numbers of connections.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from _measure import Figure, note, options, report, server
from sqlalchemy import orm

from dbopt.client import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROWS, IDS, ITEMS, EACH = 200_000, 10_000, 1_000, 5
TIMES_WANTED = 20  # of the issue: faster than one by one
CHUNKS, CONCURRENCIES = (100, 250, 500, 1_000, 2_000, 5_000, 10_000), (1, 2, 4, 8)


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]


class Post(Base):
    __tablename__ = "post"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("author.id"))
    title: orm.Mapped[str]
    status: orm.Mapped[str]
    length: orm.Mapped[int]
    author: orm.Mapped[Author] = orm.relationship()
    notes: orm.Mapped[list[Note]] = orm.relationship()


class Note(Base):
    __tablename__ = "note"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    post_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("post.id"), index=True)
    text: orm.Mapped[str]


FILL = f"""
    INSERT INTO author SELECT n, 'author ' || n FROM generate_series(1, {ROWS // 100}) AS n;
    INSERT INTO post (id, author_id, title, status, length)
        SELECT n, 1 + n % {ROWS // 100}, 'a title of some length, ' || n, 'published', n % 5000
        FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO note (id, post_id, text)
        SELECT n, 1 + n % {ROWS}, 'a note' FROM generate_series(1, {ROWS * EACH}) AS n;
    ANALYZE;
"""


def main() -> None:
    chosen = options(__doc__, flags={"chunks": "sizes of chunks, too"}, runs=(5, "rounds"))
    with server(autovacuum="off", fsync="off") as private:
        note("making the database")
        engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(private.conninfo))
        Base.metadata.create_all(engine)
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            conn.execute(FILL)
            conn.execute("VACUUM")
            with Database(private.conninfo, min_connections=0, max_connections=8) as db:
                figures = [*fetching(db, engine, conn, chosen.runs), *relating(db, engine, chosen.runs)]
                if chosen.chunks:
                    figures += chunks(db, chosen.runs)
            version = conn.info.parameter_status("server_version")
        engine.dispose()
    report("fetch_many", figures, as_json=chosen.json, server_version=version)


def fetching(db: Database, engine: sa.Engine, conn: psycopg.Connection[Any], runs: int) -> Iterator[Figure]:
    ids = random.Random(1).sample(range(1, ROWS + 1), IDS)
    post = Post.__table__

    def one_by_one() -> list[Any]:
        with orm.Session(engine) as session:
            return [session.get(Post, each) for each in ids]

    def at_once() -> list[Any]:
        with orm.Session(engine) as session:
            return list(session.scalars(sa.select(Post).where(Post.id.in_(ids))))

    def by_psycopg() -> list[Any]:
        return [conn.execute("SELECT * FROM post WHERE id = %s", [each]).fetchone() for each in ids]

    def at_once_by_psycopg() -> list[Any]:
        return conn.execute("SELECT * FROM post WHERE id = ANY (%s)", [ids]).fetchall()

    names = ("session.get, one by one", "psycopg, one by one", "fetch_many, objects", "fetch_many, dicts")
    seconds = in_turns(
        {
            names[0]: one_by_one,
            names[1]: by_psycopg,
            names[2]: lambda: db.fetch_many(Post, ids).items,
            names[3]: lambda: db.fetch_many(post, ids).items,
            "select ... IN, objects": at_once,
            "psycopg, = ANY": at_once_by_psycopg,
        },
        runs,
        IDS,
    )
    yield from (Figure(name, each * 1000, "ms") for name, each in seconds.items())
    yield Figure("fetch_many, objects, of session.get", seconds[names[2]] / seconds[names[0]], "", 1 / TIMES_WANTED)
    yield Figure("fetch_many, objects: times faster", seconds[names[0]] / seconds[names[2]], "")
    yield Figure("fetch_many, dicts, of psycopg one by one", seconds[names[3]] / seconds[names[1]], "")
    yield Figure("fetch_many, dicts: times faster", seconds[names[1]] / seconds[names[3]], "")


def relating(db: Database, engine: sa.Engine, runs: int) -> Iterator[Figure]:
    """An author and some notes for each of many posts."""
    some = sa.select(Post).where(Post.id <= ITEMS)
    eager = some.options(orm.selectinload(Post.author), orm.selectinload(Post.notes))

    def lazily() -> list[Any]:
        with orm.Session(engine) as session:
            return [(each.author, each.notes) for each in session.scalars(some)]

    def eagerly() -> list[Any]:
        with orm.Session(engine) as session:
            return list(session.scalars(eager))

    seconds = in_turns(
        {
            "lazy loading": lazily,
            "selectinload": eagerly,
            "load_relations": lambda: db.load_relations(db.rows(some), ["author", "notes"]),
        },
        runs,
        ITEMS,
    )
    yield from (Figure(f"{ITEMS:,} items, {name}", each * 1000, "ms") for name, each in seconds.items())
    yield Figure("load_relations: times faster than lazy", seconds["lazy loading"] / seconds["load_relations"], "")


def chunks(db: Database, runs: int) -> Iterator[Figure]:
    ids = random.Random(2).sample(range(1, ROWS + 1), IDS)
    ways = {f"chunks of {size:,}, {at_once} at a time": (size, at_once) for size in CHUNKS for at_once in CONCURRENCIES}
    seconds = in_turns(
        {
            name: lambda size=size, at_once=at_once: (
                db.fetch_many(Post, ids, chunk_size=size, concurrency=at_once).items
            )
            for name, (size, at_once) in ways.items()
        },
        runs,
        IDS,
    )
    yield from (Figure(name, each * 1000, "ms") for name, each in seconds.items())


def in_turns(ways: Mapping[str, Callable[[], list[Any]]], runs: int, count: int) -> dict[str, float]:
    """Median seconds of each, after a first time that counts for nothing but the number of what came."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        assert len(way()) == count, name
    for _ in range(runs):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in taken.items()}


if __name__ == "__main__":
    main()
