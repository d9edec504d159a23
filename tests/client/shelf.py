"""One table with a column of every kind that pages may be ordered by, and the truth: the order of the server."""

from __future__ import annotations

import contextlib
import enum
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from server import Server

    from dbopt.client.paging.pages import Page


class Base(orm.DeclarativeBase):
    pass


class Mood(enum.Enum):
    glad = "glad"
    sad = "sad"


class Weighed(sa.types.UserDefinedType[float]):
    """A type that SQLAlchemy knows nothing of."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "weighed"


class Book(Base):
    __tablename__ = "Book"

    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True)
    shelf: orm.Mapped[int]
    title: orm.Mapped[str] = orm.mapped_column("Title", sa.Text)
    pages: orm.Mapped[int | None]
    price: orm.Mapped[Any] = orm.mapped_column(sa.Numeric, nullable=True)
    weight: orm.Mapped[float | None] = orm.mapped_column(sa.Double)
    height: orm.Mapped[float | None] = orm.mapped_column(sa.REAL)
    name: orm.Mapped[str | None] = orm.mapped_column(sa.Text)  # of a collation that takes A for a, if there is one
    code: orm.Mapped[str | None] = orm.mapped_column(sa.CHAR(3))
    added: orm.Mapped[Any] = orm.mapped_column(sa.DateTime(timezone=True), nullable=True)
    seen: orm.Mapped[Any] = orm.mapped_column(sa.DateTime, nullable=True)
    day: orm.Mapped[Any] = orm.mapped_column(sa.Date, nullable=True)
    at: orm.Mapped[Any] = orm.mapped_column(sa.Time, nullable=True)
    span: orm.Mapped[Any] = orm.mapped_column(sa.Interval, nullable=True)
    lent: orm.Mapped[bool | None]
    mood: orm.Mapped[Mood | None] = orm.mapped_column(sa.Enum(Mood, name="mood"))
    key: orm.Mapped[Any] = orm.mapped_column(sa.UUID, nullable=True)
    cover: orm.Mapped[bytes | None]
    marks: orm.Mapped[list[int] | None] = orm.mapped_column(postgresql.ARRAY(sa.Integer))
    facts: orm.Mapped[Any] = orm.mapped_column(postgresql.JSONB, nullable=True)
    address: orm.Mapped[Any] = orm.mapped_column(postgresql.INET, nullable=True)
    lines: orm.Mapped[Any] = orm.mapped_column(postgresql.INT4RANGE, nullable=True)
    own: orm.Mapped[Any] = orm.mapped_column(Weighed, nullable=True)


book = Book.__table__

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN weighed AS double precision;
CREATE TABLE "Book" (
    id bigint PRIMARY KEY, shelf int NOT NULL, "Title" text NOT NULL COLLATE "C", pages int, price numeric,
    weight double precision, height real, name text, code char(3), added timestamptz, seen timestamp,
    day date, at time, span interval, lent boolean, mood mood, key uuid, cover bytea, marks int[], facts jsonb,
    address inet, lines int4range, own weighed
)
"""

# Where the server is built with ICU.
ANY_CASE = """
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
ALTER TABLE "Book" ALTER name TYPE text COLLATE any_case;
"""

# As SQL writes them. Each has values that are equal and look different, where its type has such.
VALUES: dict[str, Sequence[str | None]] = {
    "shelf": ("1", "2", "3"),
    "title": ("a", "B", "b", "ä", "", 'it\'s \\ "q" %s'),
    "pages": (None, "-1", "0", "7", "2147483640"),
    "price": (None, "NaN", "1.0", "1.00", "-0.1", "12345678901234567890.123456789", "12345678901234567890.123456788"),
    "weight": (None, "NaN", "Infinity", "-Infinity", "-0", "0", "0.1", "0.30000000000000004", "0.3", "5e-324"),
    "height": (None, "NaN", "0.1", "0.10000001", "-0", "0", "3.4028235e38"),
    "name": (None, "ab", "AB", "Ab", "b", "É", "é"),
    "code": (None, "a", "ab", "a  ", "b"),
    "added": (
        *(None, "infinity", "-infinity", "2026-11-22 10:00:00.000001+00", "2026-11-22 10:00:00.000002+00"),
        *("2026-11-22 11:00:00.000001+01", "20026-01-02 00:00+00", "0044-03-15 00:00:00.5+00 BC"),
    ),
    "seen": (None, "infinity", "2026-01-02 03:04:05.999999", "2026-02-01 03:04:05.999999", "0044-03-15 00:00:00 BC"),
    "day": (None, "infinity", "-infinity", "2026-01-02", "2026-02-01", "20026-01-01", "0044-03-15 BC"),
    "at": (None, "00:00:00.000001", "24:00:00", "12:00"),
    "span": (None, "1 mon", "30 days", "720:00:00", "-1 days +02:03:00", "0.000001 s"),
    "lent": (None, "true", "false"),
    "mood": (None, "sad", "glad"),
    "key": (None, "00000000-0000-0000-0000-000000000001", "ffffffff-0000-0000-0000-000000000001"),
    "cover": (None, "\\x", "\\x00ff", "\\x5c27"),
    "marks": (None, "{}", "{1,2}", "{1,NULL}", "{2}"),
    "facts": (None, "null", '{"a": 1}', '{"a": 1.0}', "[]", '"x"', "2"),
    "address": (None, "10.0.0.1", "10.0.0.0/8", "::1"),
    "lines": (None, "empty", "[1,2)", "[1,)", "(,5)"),
    "own": (None, "NaN", "0.30000000000000004", "0.3", "-0", "0"),
}

# Of a Book or a table like it, how SQL says it, and the columns in it.
EXPRESSIONS: dict[str, tuple[Callable[[Any], Any], str, tuple[str, ...]]] = {
    "lower": (lambda of: sa.func.lower(of("title")), 'lower("Title")', ("title",)),
    "coalesce": (lambda of: sa.func.coalesce(of("pages"), 3), "coalesce(pages, 3)", ("pages",)),
    "negative": (lambda of: -of("pages"), "-pages", ("pages",)),
    "is lent": (lambda of: of("lent").is_(True), "lent IS TRUE", ("lent",)),
    "abs": (lambda of: sa.func.abs(of("weight")), "abs(weight)", ("weight",)),
    "collated": (lambda of: sa.collate(of("title"), "POSIX"), '"Title" COLLATE "POSIX"', ("title",)),
    "labelled": (lambda of: (of("pages") + of("shelf")).label("sum"), "pages + shelf", ("pages", "shelf")),
}


MOST_PAGES = 100  # of any walk here: it might never end


def column_of(name: str) -> sql.Composable:
    return sql.Identifier(book.c[name].name if name in book.c else Book.__mapper__.columns[name].name)


@contextlib.contextmanager
def built(pg: Server) -> Iterator[str]:
    """Its conninfo."""
    with pg.database() as own:
        own.sql(SCHEMA)
        with contextlib.suppress(psycopg.errors.FeatureNotSupported):
            own.sql(ANY_CASE)
        yield own.conninfo


def fill(conn: psycopg.Connection[Any], rows: Sequence[dict[str, str | None]], first: int = 1) -> None:
    """`rows`: values as SQL writes them; the others are NULL, or the first of VALUES."""
    names = ["shelf", "title", *(name for name in VALUES if name not in ("shelf", "title"))]
    insert = sql.SQL('INSERT INTO "Book" (id, {}) VALUES (%s, {})').format(
        sql.SQL(", ").join(map(column_of, names)), sql.SQL(", ").join([sql.Placeholder()] * len(names))
    )
    required = {"shelf": "1", "title": "a"}
    with conn.cursor() as cursor:
        cursor.executemany(
            insert,
            [(id_, *(row.get(name, required.get(name)) for name in names)) for id_, row in enumerate(rows, first)],
        )


def ids_in_order(conn: psycopg.Connection[Any], order: str, where: str = "true") -> list[int]:
    return [id_ for (id_,) in conn.execute(f'SELECT id FROM "Book" WHERE {where} ORDER BY {order}')]  # type: ignore[arg-type]


def walk(read: Callable[..., Page[Any]]) -> tuple[list[Page[Any]], list[Page[Any]]]:
    """All pages forwards, and from the last of them backwards, both in the order of the rows. What pages say of their
    neighbours is checked.
    """
    forwards = [read()]
    while forwards[-1].has_next:
        assert len(forwards) <= MOST_PAGES
        forwards.append(read(after=forwards[-1].next_cursor))
    backwards = [forwards[-1]]
    while backwards[0].has_previous:
        assert len(backwards) <= MOST_PAGES
        backwards.insert(0, read(before=backwards[0].previous_cursor))
    for pages in (forwards, backwards):
        assert [page.has_previous for page in pages] == [False] + [True] * (len(pages) - 1)
        assert [page.has_next for page in pages] == [True] * (len(pages) - 1) + [False]
        for page in pages:
            assert (page.next_cursor is not None) is page.has_next
            assert (page.previous_cursor is not None) is page.has_previous
    return forwards, backwards
