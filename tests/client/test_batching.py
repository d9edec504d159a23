"""fetch_many: which rows come for which ids, in how many statements, and what is refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from dbopt.client import AsyncDatabase, Database
from dbopt.client.reading.batching import CHUNK_SIZE
from dbopt.errors import ConnectionLost, NoUniqueKey, RowsMissing, UsageError

from .blog import Album, Author, Place, Post, author, filled, log, post, statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

MANY = 30_000  # rows, so that an index is worth while


@pytest.fixture(scope="module")
def blog(pg: Server) -> Iterator[str]:
    """Nobody writes to it."""
    with filled(pg) as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def db(blog: str) -> Iterator[Database]:
    with Database(blog, min_connections=0, max_connections=4) as made:
        yield made


# What comes


def test_rows_come_in_the_order_of_their_ids(db: Database) -> None:
    with statements(db) as sent:
        found = db.fetch_many(Post, [7, 3, 99, 7, 1, 98, 99])
    assert [each.headline for each in found.items] == ["p7", "p3", "p1"]
    assert list(found.missing) == [99, 98]
    assert list(found.by_id) == [7, 3, 1]
    assert found.by_id[3] is found.items[1]
    assert len(sent) == 1


def test_models_and_tables_whole_and_by_columns(db: Database) -> None:
    assert db.fetch_many(post, [2]).items == [
        {"id": 2, "title": "p2", "is_draft": False, "author_id": 2, "answers_id": None}
    ]
    assert db.fetch_many(post, [2, 1], columns=["title"]).items == [{"title": "p2"}, {"title": "p1"}]
    (row,) = db.fetch_many(Post, [2], columns=["headline", "id"]).items
    assert (row.headline, row.id) == ("p2", 2)
    assert sa.inspect(db.fetch_many(Post, [2]).items[0]).detached


def test_the_text_is_the_same_however_many(db: Database) -> None:
    with statements(db) as sent:
        for count in (1, 2, 1_000):
            db.fetch_many(Post, range(count))
    assert len({text for text, _ in sent}) == 1
    assert len(sent) == 3


@pytest.mark.parametrize("concurrency", [1, 3])
def test_chunks(db: Database, concurrency: int) -> None:
    most = 0

    def count(connection: sa.Connection, *_: Any) -> None:
        nonlocal most
        most = max(most, len(db.holders()))

    sa.event.listen(db.engine, "before_cursor_execute", count)
    try:
        with statements(db) as sent:
            found = db.fetch_many(post, range(40, 0, -1), chunk_size=7, concurrency=concurrency)
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", count)
    assert [each["id"] for each in found.items] == list(range(30, 0, -1))
    assert list(found.missing) == list(range(40, 30, -1))
    assert len(sent) == 6
    assert 1 <= most <= concurrency


@pytest.mark.parametrize("ids", [[], (), set(), iter(()), [2**63, -(2**80)]])
def test_nothing_is_asked_for_what_cannot_be_there(db: Database, ids: Any) -> None:
    given = list(ids)
    with statements(db) as sent:
        found = db.fetch_many(Post, given)
    assert (found.items, list(found.missing), sent) == ([], given, [])


def test_any_iterable(db: Database) -> None:
    assert len(db.fetch_many(Post, {1, 2, 3}).items) == 3
    assert [each.id for each in db.fetch_many(Post, (n for n in (3, 1))).items] == [3, 1]


def test_a_hundred_thousand_ids(db: Database) -> None:
    with statements(db) as sent:
        found = db.fetch_many(Author, range(100_000), columns=["id"])
    assert len(found.items) == 9
    assert len(found.missing) == 99_991
    assert len(sent) == 100_000 // CHUNK_SIZE


def test_composite_keys(db: Database) -> None:
    found = db.fetch_many(Place, [("it", 2), ("de", 9), ("de", 1)])
    assert [each.name for each in found.items] == ["it2", "de1"]
    assert list(found.missing) == [("de", 9)]
    with db.session() as session:
        keys = session.execute(sa.select(Place.country, Place.number)).all()
    assert list(db.fetch_many(Place, keys).by_id) == keys  # Rows are tuples


def test_another_key_and_a_condition(db: Database) -> None:
    found = db.fetch_many(Author, ["a4", "a3", "x"], key="email", where=Author.city.is_not(None))
    assert [each.id for each in found.items] == [4]
    assert list(found.missing) == ["a3", "x"]
    found = db.fetch_many(author, [(3, "a3"), (3, "a4")], key=("id", "email"), where=[author.c.id > 1])
    assert list(found.by_id) == [(3, "a3")]


def test_every_id_may_have_to_be_there(db: Database) -> None:
    assert db.fetch_many(Post, [1], missing="raise").items
    with pytest.raises(RowsMissing, match="2 of 3 ids of Post have no row") as caught:
        db.fetch_many(Post, [1, 500, 501], missing="raise")
    assert caught.value.missing == (500, 501)


def test_a_class_that_loads_along_by_joining(db: Database) -> None:
    found = db.fetch_many(Album, [3, 1, 2, 4])
    assert [[song.id for song in each.songs] for each in found.items] == [[], [2, 4, 6], [1, 3, 5]]
    assert list(found.missing) == [4]


def test_within_a_session_objects_are_its_own(db: Database) -> None:
    with db.session() as session:
        own = session.get_one(Post, 2)
        own.headline = "changed"
        found = db.within(session).fetch_many(Post, range(1, 6), chunk_size=2, cache=60)
        assert found.by_id[2] is own
        assert all(each in session for each in found.items)
        assert db.within(session).fetch_many(post, [2]).items[0]["title"] == "changed"
        session.rollback()


def test_async(blog: str) -> None:
    async def read() -> list[str]:
        async with AsyncDatabase(blog, min_connections=0, max_connections=3) as adb:
            with statements(adb) as sent:  # type: ignore[arg-type]
                found = await adb.fetch_many(Post, [3, 50, *range(20, 0, -1)], chunk_size=4, concurrency=3)
            assert len(sent) == 6
            assert list(found.missing) == [50]
            assert adb.metrics().pool.used == 0
            return [each.headline for each in found.items]

    assert asyncio.run(read()) == ["p3", *(f"p{n}" for n in range(20, 0, -1) if n != 3)]


# What the server says is equal


class Mood(enum.Enum):
    GOOD = "fine"
    BAD = "not fine (at all)"


UUID_TEXT = str(uuid.UUID(int=171))
TYPES: dict[str, tuple[sa.types.TypeEngine[Any], list[Any], list[Any]]] = {
    # ids that are one row's, and ids that are nobody's
    "small": (sa.SmallInteger(), [5], [2**40]),
    "integer": (sa.Integer(), [-7], [2**62]),
    "text": (sa.Text(), ["ä%"], ["a\0b", "\ud800", "Ä%"]),
    "short": (sa.String(3), ["abc"], ["abcd"]),
    "blanks": (sa.CHAR(4), ["ab", "ab  "], ["abcde"]),
    "uuid": (sa.UUID(), [uuid.UUID(int=5)], [uuid.UUID(int=6)]),
    "uuid_text": (sa.UUID(as_uuid=False), [UUID_TEXT, f"{{{UUID_TEXT.upper()}}}"], ["x", "0-0"]),
    "numeric": (sa.Numeric(6, 2), [Decimal("1.5"), Decimal("1.500")], [Decimal("1.501"), Decimal("99999")]),
    "whole": (sa.Numeric(), [3], [4]),
    "real": (sa.REAL(), [0.1], [0.2]),
    "double": (sa.Double(), [0.1], [0.2]),
    "day": (sa.Date(), [dt.date(2026, 1, 2)], [dt.date(2026, 1, 3)]),
    "moment": (
        postgresql.TIMESTAMP(timezone=True, precision=0),
        [
            dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC),
            dt.datetime(2026, 1, 2, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        ],
        [dt.datetime(2026, 1, 2, 12, 0, 0, 1, tzinfo=dt.UTC)],
    ),
    "hour": (sa.Time(), [dt.time(3)], [dt.time(4)]),
    "span": (sa.Interval(), [dt.timedelta(days=1), dt.timedelta(hours=24)], [dt.timedelta(1, 1)]),
    "mood": (sa.Enum(Mood, name="Mood (of one)"), [Mood.BAD], [Mood.GOOD]),
    "label": (sa.Enum("x", "y", name="label"), ["x"], ["nothing of it"]),
    "bytes": (sa.LargeBinary(), [b"\0a"], [b"a"]),
    "address": (postgresql.INET(), ["10.0.0.1"], ["10.0.0.2"]),
}


def test_types(database: Any) -> None:
    kinds = sa.Table("kinds", sa.MetaData(), *(sa.Column(name, kind) for name, (kind, _, _) in TYPES.items()))
    with Database(database.conninfo, min_connections=0) as db:
        with db.begin() as session:
            kinds.metadata.create_all(session.connection())
            session.execute(kinds.insert(), {name: good[0] for name, (_, good, _) in TYPES.items()})
        for name, (_, good, bad) in TYPES.items():
            found = db.fetch_many(kinds, [*good, *bad], key=name, columns=[name])
            assert (name, list(found.by_id), list(found.missing)) == (name, list(dict.fromkeys(good)), bad)


def test_a_collation_that_takes_texts_for_equal(database: Any) -> None:
    """Two spellings are two ids, of one row."""
    try:
        database.sql("CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("needs a server with ICU")
    loose = sa.Table("loose", sa.MetaData(), sa.Column("name", sa.Text(collation="loose"), primary_key=True))
    with Database(database.conninfo, min_connections=0) as db:
        with db.begin() as session:
            loose.metadata.create_all(session.connection())
            session.execute(loose.insert(), {"name": "Ann"})
        found = db.fetch_many(loose, ["ann", "ANN", "Bob"])
    assert dict(found.by_id) == {"ann": {"name": "Ann"}, "ANN": {"name": "Ann"}}
    assert list(found.missing) == ["Bob"]


def test_the_index_is_used(database: Any) -> None:
    pairs = sa.Table(
        "pairs",
        sa.MetaData(),
        sa.Column("one", sa.Integer, primary_key=True),
        sa.Column("two", sa.String(10), primary_key=True),
        sa.Column("short", sa.CHAR(8), unique=True),
    )
    with Database(database.conninfo, min_connections=0) as db:
        pairs.metadata.create_all(db.engine)
        database.sql(f"INSERT INTO pairs SELECT n, 'x' || n, n FROM generate_series(1, {MANY}) n; ANALYZE pairs")
        for ids, key, index in (
            ([(n, f"x{n}") for n in range(50)], None, "pairs_pkey"),
            (range(50), "one", "pairs_pkey"),
            (list(map(str, range(50))), "short", "pairs_short_key"),
        ):
            with statements(db) as sent:
                assert len(db.fetch_many(pairs, ids, key=key).items) == 49
            ((text, parameters),) = sent
            with db.engine.connect() as connection:
                plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {text}", parameters).scalars())
            assert f"Index Scan using {index}" in plan
            assert "Seq Scan" not in plan


# What is refused


@pytest.mark.parametrize(
    ("ids", "words", "detail"),
    [
        ([1, 2, "3"], "an id for Post.id has the wrong type", "position 2 (from 0) is a str, not int"),
        ([1, True], "an id for Post.id has the wrong type", "position 1 (from 0) is a bool, not int"),
        ([1.0], "an id for Post.id has the wrong type", "position 0 (from 0) is a float, not int"),
        ([1, None], "an id for Post.id is None", "at position 1 (from 0)"),
        ([1, 1, [2]], "an id for Post.id has the wrong type", "position 2 (from 0) is a list, not int"),
        ("123", "ids of Post are a str", None),
        (5, "ids of Post are a int", None),
    ],
)
def test_ids_that_are_none(db: Database, ids: Any, words: str, detail: str | None) -> None:
    with statements(db) as sent, pytest.raises(UsageError) as caught:
        db.fetch_many(Post, ids)
    assert (caught.value.message, caught.value.detail, sent) == (words, detail, [])


def test_ids_of_several_types(db: Database) -> None:
    everything = sa.Table("any_key", sa.MetaData(), sa.Column("key", sa.Uuid, primary_key=True))
    with pytest.raises(UsageError, match=r"ids for any_key.key have several types") as caught:
        db.fetch_many(everything, [uuid.UUID(int=1), uuid.UUID(int=1), str(uuid.UUID(int=1))])
    assert caught.value.detail == "position 2 (from 0) is a str, those before are UUID"
    days = sa.Table("days", sa.MetaData(), sa.Column("day", sa.Date, primary_key=True))
    with pytest.raises(UsageError, match="wrong type"):  # the server would make the day of it
        db.fetch_many(days, [dt.datetime(2026, 1, 1)])
    documents = sa.Table("documents", sa.MetaData(), sa.Column("key", postgresql.JSONB, primary_key=True))
    with pytest.raises(UsageError, match="ids of documents cannot be compared"):
        db.fetch_many(documents, [{}])


@pytest.mark.parametrize("ids", [[1], ["de1"], [("de",)], [("de", 1, 2)]])
def test_ids_of_several_columns_are_tuples(db: Database, ids: Any) -> None:
    with pytest.raises(UsageError, match=r"an id of Place is no tuple of \(country, number\)"):
        db.fetch_many(Place, ids)


def test_no_key_no_uniqueness(db: Database) -> None:
    with pytest.raises(NoUniqueKey, match="log has no primary key"):
        db.fetch_many(log, ["a"])
    assert db.fetch_many(log, ["a"], key="line").items == [{"line": "a"}]
    for model in (Post, post):
        with pytest.raises(NoUniqueKey, match="has several rows") as caught:
            db.fetch_many(model, [1, 2], key="author_id")
        assert "author_id" in str(caught.value.detail)
    assert db.metrics().pool.used == 0


def test_words_of_the_call(db: Database) -> None:
    with pytest.raises(UsageError) as caught:
        db.fetch_many(Post, [1], key="titel")
    assert "headline" in str(caught.value.hint)
    with pytest.raises(UsageError, match="has no column 'title'"):
        db.fetch_many(Post, [1], columns=["title"])
    for wrong in ({"chunk_size": 0}, {"concurrency": 0}, {"missing": "ignore"}):
        with pytest.raises(UsageError, match="cannot work so"):
            db.fetch_many(Post, [1], **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="narrowed down by a str"):
        db.fetch_many(Post, [1], where="id > 3")  # type: ignore[arg-type]


def test_an_error_leaves_no_connection_behind(db: Database) -> None:
    division = sa.literal_column("1") / sa.literal_column("0") == 1
    with pytest.raises(sa.exc.DataError):
        db.fetch_many(Post, range(1, 30), where=division, chunk_size=5, concurrency=3)
    assert db.metrics().pool.used == 0


def test_a_session_that_ends_in_the_middle(db: Database) -> None:
    ended = sa.func.pg_terminate_backend(sa.func.pg_backend_pid())
    with pytest.raises(ConnectionLost):
        db.fetch_many(Post, range(1, 30), where=ended, chunk_size=5, concurrency=3)
    assert db.metrics().pool.used == 0
    assert len(db.fetch_many(Post, range(1, 30), chunk_size=5, concurrency=3).items) == 29


def test_a_task_that_is_cancelled(blog: str) -> None:
    async def body() -> None:
        async with AsyncDatabase(blog, min_connections=0, max_connections=4) as adb:
            waiting = sa.cast(sa.func.pg_sleep(600), sa.Text).is_not(None)
            task = asyncio.ensure_future(adb.fetch_many(Post, range(1, 30), where=waiting, chunk_size=5, concurrency=3))
            while adb.metrics().pool.used < 3:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert adb.metrics().pool.used == 0
            assert len((await adb.fetch_many(Post, [1, 2])).items) == 2

    asyncio.run(body())


# From the cache


def test_cached(pg: Server) -> None:
    with filled(pg) as conninfo, Database(conninfo, min_connections=0) as db:
        first = db.fetch_many(Post, [3, 1, 99, 2], chunk_size=2, concurrency=1, cache=60)
        first.by_id[1].headline = "mine"
        with statements(db) as sent:
            again = db.fetch_many(Post, [1, 2, 99, 3, 3], chunk_size=2, cache=60)
            assert [each.headline for each in again.items] == ["p1", "p2", "p3"]
            assert list(again.missing) == [99]
            assert sent == []
        for columns in ((), ("title", "id")):
            expected = db.fetch_many(post, [4, 5], columns=columns).items
            assert db.fetch_many(post, [4, 5], columns=columns, cache=60).items == expected
            assert db.fetch_many(post, [5, 4], columns=columns, cache=60).items == expected[::-1]
        (row,) = db.fetch_many(Post, [4], columns=["headline"], cache=60).items
        (same,) = db.fetch_many(Post, [4], columns=["headline"], cache=60).items
        assert (row.headline, same.headline) == ("p4", "p4")
        with db.begin() as session:
            session.get_one(Post, 1).headline = "new"
        assert db.fetch_many(Post, [1, 2, 99, 3], cache=60).by_id[1].headline == "new"


def test_a_condition_is_a_part_of_what_is_cached(db: Database) -> None:
    found = [db.fetch_many(Post, [1, 2, 3], where=Post.is_draft == wanted, cache=60) for wanted in (True, False)]
    assert [list(each.by_id) for each in found] == [[3], [1, 2]]
