"""paginate: which rows, in which order, by which statements, and what is refused."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from dbopt.client import AsyncDatabase, Database
from dbopt.client.paging.pages import LARGEST_SIZE
from dbopt.errors import InvalidCursor, UsageError

from . import shelf
from .blog import Author, Post, Tag, filled, post, statements
from .shelf import Book, book

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Server

    from dbopt.client.paging.pages import Page

GRID = [{"pages": pages, "weight": weight} for pages in (None, "1", "2") for weight in (None, "1", "NaN")] * 2


@pytest.fixture(scope="module")
def library(pg: Server) -> Iterator[str]:
    """Nobody writes to it."""
    with shelf.built(pg) as conninfo:
        with psycopg.connect(conninfo) as conn:
            shelf.fill(conn, GRID)
        yield conninfo


@pytest.fixture(scope="module")
def books(library: str) -> Iterator[Database]:
    with Database(library, min_connections=0) as made:
        yield made


@pytest.fixture
def own_books(pg: Server) -> Iterator[Database]:
    with shelf.built(pg) as conninfo, Database(conninfo, min_connections=0) as made:
        yield made


@pytest.fixture(scope="module")
def blog(pg: Server) -> Iterator[Database]:
    """Nobody writes to it."""
    with filled(pg) as conninfo, Database(conninfo, min_connections=0) as made:
        yield made


def all_of(db: Database, what: Any, size: int = 3, **options: Any) -> list[Any]:
    forwards, backwards = shelf.walk(lambda **place: db.paginate(what, size=size, **options, **place))
    items = [item for page in forwards for item in page.items]
    assert len(items) == sum(len(page.items) for page in backwards)
    return items


# Order


def test_every_mix_of_two_columns(books: Database, library: str) -> None:
    """Directions and places of NULL, with ties, the key of the table settling them in the direction of the last one."""
    mixes = [f"{direction}{nulls}" for direction in ("ASC", "DESC") for nulls in ("", " NULLS FIRST", " NULLS LAST")]
    clauses: dict[str, Callable[[Any], Any]] = {
        mix: lambda column, mix=mix: _clause(column, *mix.partition(" ")[::2]) for mix in mixes
    }
    with psycopg.connect(library) as conn:
        for one, other in itertools.product(mixes, mixes):
            order = f"pages {one}, weight {other}, id {other.partition(' ')[0]}"
            found = all_of(
                books, sa.select(book.c.id), 4, order_by=[clauses[one](book.c.pages), clauses[other](book.c.weight)]
            )
            assert [id_ for (id_,) in found] == shelf.ids_in_order(conn, order), order


def _clause(column: Any, direction: str, nulls: str) -> Any:
    ordered = column.desc() if direction == "DESC" else column.asc()
    return {"": ordered, "NULLS FIRST": ordered.nulls_first(), "NULLS LAST": ordered.nulls_last()}[nulls]


def test_names_attributes_and_the_select_s_own_order_are_the_same(books: Database) -> None:
    expected = [item.id for item in all_of(books, Book, order_by=[Book.pages.desc(), Book.title])]
    for what, order_by in (
        (Book, ["-pages", "title"]),
        (Book, ("-pages", Book.title)),
        (book, [book.c.pages.desc(), "Title"]),
        (sa.select(Book).order_by(Book.pages.desc(), Book.title), ()),
        (sa.select(Book).order_by("id").order_by(None).order_by(sa.desc("pages"), "title"), ()),
        (sa.select(Book).order_by(Book.id), ["-pages", "title"]),
        (sa.select(Book.id, Book.pages.label("length"), Book.title), ["-length", sa.asc("title")]),
        (sa.select(Book.id, Book.pages.label("length")).order_by(sa.desc("length"), Book.title), []),
    ):
        found = all_of(books, what, order_by=order_by)
        assert [item["id"] if isinstance(item, dict) else item.id for item in found] == expected
    assert [item.id for item in all_of(books, Book)] == list(range(1, len(GRID) + 1))
    assert [item.id for item in all_of(books, Book, order_by="-id")] == list(range(len(GRID), 0, -1))


def test_what_comes(books: Database) -> None:
    """Objects of a class, dicts of a table, else Rows with nothing of the pages' own in them."""
    [one] = books.paginate(Book, size=1).items
    assert isinstance(one, Book)
    assert sa.inspect(one).detached
    assert one.title == "a"
    [row] = books.paginate(book, size=1).items
    assert list(row) == list(book.c.keys())
    assert (row["id"], row["Title"]) == (1, "a")
    [row] = books.paginate(sa.select(Book.title, Book.id.label("number")), order_by=Book.weight, size=1).items
    assert row._fields == ("title", "number")
    assert row._mapping[Book.title] == row.title == "a"
    [row] = books.paginate(sa.select(Book, Book.id), order_by=Book.added, size=1).items
    assert (row.Book.id, len(row)) == (row.id, 2)


def test_sizes_and_ends(books: Database) -> None:
    total = len(GRID)
    for size in (1, total - 1, total, total + 1, LARGEST_SIZE):
        page = books.paginate(Book, size=size)
        assert len(page.items) == min(size, total)
        assert page.has_next is (size < total)
        assert not page.has_previous
    last = books.paginate(Book, size=3, after=books.paginate(Book, size=total - 1).next_cursor)
    assert [item.id for item in last.items] == [total]
    empty = books.paginate(sa.select(Book).where(Book.id < 0))
    assert (empty.items, empty.next_cursor, empty.previous_cursor) == ([], None, None)


def test_a_page_that_has_become_empty_leads_back(own_books: Database) -> None:
    with own_books.begin() as session:
        session.add_all([Book(id=n, shelf=1, title="a") for n in range(1, 7)])
    second = own_books.paginate(Book, size=2, after=own_books.paginate(Book, size=2).next_cursor)
    assert [item.id for item in second.items] == [3, 4]
    with own_books.begin() as session:
        session.execute(sa.delete(Book).where(Book.id > 4))
    empty = own_books.paginate(Book, size=2, after=second.next_cursor)
    assert (empty.items, empty.has_next, empty.has_previous) == ([], False, True)
    back = own_books.paginate(Book, size=3, before=empty.previous_cursor)
    assert [item.id for item in back.items] == [2, 3, 4]
    assert (back.has_previous, back.has_next) == (True, False)
    with own_books.begin() as session:
        session.execute(sa.delete(Book))
    for place in ({"after": second.next_cursor}, {"before": second.previous_cursor}):
        gone = own_books.paginate(Book, **place)
        assert (gone.items, gone.has_next, gone.has_previous) == ([], False, False)


def test_a_cursor_is_a_place_for_both_directions(books: Database) -> None:
    page = books.paginate(Book, size=4, after=books.paginate(Book, size=4).next_cursor)
    assert [item.id for item in books.paginate(Book, size=4, after=page.previous_cursor).items] == [5, 6, 7, 8]
    assert [item.id for item in books.paginate(Book, size=4, before=page.next_cursor).items] == [5, 6, 7, 8]
    # The row beside it is not taken for one on the other side.
    begin = books.paginate(Book, size=LARGEST_SIZE, before=page.previous_cursor)
    first = books.paginate(Book, after=books.paginate(Book, size=1, after=None).next_cursor).previous_cursor
    assert not books.paginate(sa.select(Book).where(Book.id >= 2), size=1).has_previous
    assert [item.id for item in begin.items] == [1, 2, 3, 4]
    assert [item.id for item in books.paginate(Book, before=first).items] == [1]
    last = books.paginate(Book, size=len(GRID) - 1)
    assert books.paginate(Book, size=LARGEST_SIZE, before=last.next_cursor).has_next


def test_neither_side_counts_the_row_at_the_cursor_twice(own_books: Database) -> None:
    with own_books.begin() as session:
        session.add_all([Book(id=n, shelf=1, title="a") for n in (1, 2)])
    one = own_books.paginate(Book, size=1)
    two = own_books.paginate(Book, size=1, after=one.next_cursor)
    with own_books.begin() as session:
        session.execute(sa.delete(Book).where(Book.id == 2))
    assert not own_books.paginate(Book, before=one.next_cursor).has_next
    with own_books.begin() as session:
        session.add(Book(id=2, shelf=1, title="a"))
        session.execute(sa.delete(Book).where(Book.id == 1))
    assert not own_books.paginate(Book, after=two.previous_cursor).has_previous


def test_iterating_all_pages(books: Database) -> None:
    pages = list(books.pages(Book, order_by="-pages", size=5))
    assert [len(page.items) for page in pages] == [5, 5, 5, 3]
    assert [item.id for page in pages for item in page.items] == [
        item.id for item in all_of(books, Book, order_by="-pages")
    ]
    assert [len(page.items) for page in books.pages(Book, order_by="-pages", size=5, after=pages[1].next_cursor)] == [
        5,
        3,
    ]


def test_under_asyncio(library: str) -> None:
    import asyncio

    async def main() -> list[list[int]]:
        async with AsyncDatabase(library, min_connections=0) as db:
            found = [
                [item.id for item in page.items] async for page in db.pages(Book, order_by=["pages", "-weight"], size=7)
            ]
            first = await db.paginate(Book, order_by=["pages", "-weight"], size=7)
            second = await db.paginate(Book, order_by=["pages", "-weight"], size=7, after=first.next_cursor)
            back = await db.paginate(Book, order_by=["pages", "-weight"], size=7, before=second.previous_cursor)
            assert [item.id for item in back.items] == found[0]
            return found

    with Database(library, min_connections=0) as db:
        expected = [[item.id for item in page.items] for page in db.pages(Book, order_by=["pages", "-weight"], size=7)]
    assert asyncio.run(main()) == expected


def test_within_a_session_of_the_caller_s(own_books: Database) -> None:
    with own_books.session() as session:
        session.add_all([Book(id=n, shelf=1, title="a") for n in (1, 2, 3)])
        here = own_books.within(session)
        page = here.paginate(Book, order_by=["pages", "-title"], size=2)
        assert [item in session for item in page.items] == [True, True]
        page = here.paginate(Book, order_by=["pages", "-title"], size=2, after=page.next_cursor)
        assert len(page.items) == 1
        session.rollback()
    assert own_books.paginate(Book).items == []


def test_a_page_of_several_statements_is_of_one_moment(own_books: Database) -> None:
    """A row that somebody moves to where the page goes on comes once."""
    with own_books.begin() as session:
        session.add_all([Book(id=n, shelf=1, title="a", pages=n if n < 4 else None) for n in range(1, 7)])
    first = own_books.paginate(Book, order_by="pages", size=1)

    def move(connection: Any, cursor: Any, text: str, parameters: Any, context: Any, many: bool) -> None:
        if "pages IS NULL ORDER" in text:
            with psycopg.connect(own_books.settings.conninfo) as other:
                other.execute('UPDATE "Book" SET pages = NULL WHERE id = 2')

    sa.event.listen(own_books.engine, "before_cursor_execute", move)
    rest = own_books.paginate(Book, order_by="pages", size=9, after=first.next_cursor)
    assert [item.id for item in rest.items] == [2, 3, 4, 5, 6]
    assert own_books.scalar(sa.select(Book.pages).where(Book.id == 2)) is None


# Settings of the session


@pytest.mark.parametrize("order", ["day", "-seen", "added", "weight", "-height"])
def test_values_mean_the_same_in_sessions_with_other_settings(own_books: Database, order: str) -> None:
    """DateStyle and extra_float_digits change how the server writes a value, and the former how it reads one."""
    insert = """
        INSERT INTO "Book" (id, shelf, "Title", day, seen, added, weight, height)
        SELECT n, 1, 'a', '2026-01-01'::date + n, '2026-01-01 00:00:00.000001'::timestamp + n * interval '1 day',
            '2026-01-01 00:00:00.000001+00'::timestamptz + n * interval '1 day', 0.1 + n * 3e-17, 0.1 + n * 1e-8
        FROM generate_series(1, 12) AS n
    """
    clause = getattr(Book, order.removeprefix("-"))
    clause = clause.desc() if order.startswith("-") else clause
    styles = itertools.cycle(("SQL, DMY", "ISO, MDY", "German"))
    with own_books.session() as session:
        session.execute(sa.text(insert))
        session.execute(sa.text("SET LOCAL extra_float_digits = 0"))
        expected = _ids_of(session.execute(sa.select(Book.id).order_by(clause, Book.id)))

        def read(**place: Any) -> Page[Any]:
            session.execute(sa.text(f"SET LOCAL datestyle = '{next(styles)}'"))
            return own_books.within(session).paginate(sa.select(Book.id), order_by=clause, size=3, **place)

        for pages in shelf.walk(read):
            assert [id_ for page in pages for id_ in _ids_of(page.items)] == expected


def _ids_of(rows: Any) -> list[int]:
    return [row.id for row in rows]


# What is refused


def _distinct_on(statement: sa.Select[Any], column: Any) -> sa.Select[Any]:
    if hasattr(postgresql, "distinct_on"):  # SQLAlchemy 2.1, which warns of the old way
        return statement.ext(postgresql.distinct_on(column))
    return statement.distinct(column)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (sa.select(Post).limit(5), "LIMIT"),
        (sa.select(Post).offset(5), "OFFSET"),
        (sa.select(Post).fetch(5), "FETCH"),
        (sa.select(Post.author_id).distinct(), "DISTINCT"),
        (_distinct_on(sa.select(Post.author_id), Post.author_id), "DISTINCT"),
        (sa.select(Post.author_id).group_by(Post.author_id), "GROUP BY"),
        (sa.select(Post.author_id).having(sa.true()), "HAVING"),
        (sa.select(Post).with_for_update(), "FOR UPDATE"),
        (sa.select(Post.id, sa.func.row_number().over(order_by=Post.id)), "window functions"),
        (sa.select(Post.id, (1 + sa.func.row_number().over()).label("n")), "window functions"),
        (sa.select(sa.func.count(Post.id)), "aggregates"),
        (sa.union(sa.select(Post.id), sa.select(Tag.id)), "UNION"),
        (sa.text("SELECT 1"), "SQL in a text"),
    ],
)
def test_selects_that_pages_would_change_the_meaning_of(blog: Database, what: Any, words: str) -> None:
    with pytest.raises(UsageError, match=rf"{words}.* cannot be paged") as refused:
        blog.paginate(what)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "1 to 10000 rows"),
        ({"size": -1}, "1 to 10000 rows"),
        ({"size": LARGEST_SIZE + 1}, "1 to 10000 rows"),
        ({"size": "10"}, "1 to 10000 rows"),
        ({"size": True}, "1 to 10000 rows"),
        ({"size": 2.0}, "1 to 10000 rows"),
        ({"after": "a", "before": "b"}, "after one cursor or before one"),
        ({"order_by": "nothing"}, "cannot be ordered by 'nothing'"),
        ({"order_by": "--id"}, "cannot be ordered by '-id'"),
        ({"order_by": "author"}, "cannot be ordered by 'author'"),
        ({"order_by": [None]}, "cannot be ordered by None"),
        ({"order_by": [3]}, "cannot be ordered by that"),
        ({"order_by": {"id": 1}}, "cannot be ordered by that"),
        ({"order_by": [Post.author]}, "cannot be ordered by the relationship author"),
        ({"order_by": sa.text("id")}, "cannot be ordered by that"),
        ({"order_by": sa.literal_column("1").desc()}, "cannot be ordered by the number of a column"),
        ({"unique": "nothing"}, "cannot be ordered by 'nothing'"),
    ],
)
def test_wrong_arguments(blog: Database, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        blog.paginate(Post, **options)


def test_names_that_several_columns_have(blog: Database) -> None:
    with pytest.raises(UsageError, match="several columns of the select are called id"):
        blog.paginate(sa.select(Post.id, Author.id).join(Post.author), order_by="id")


def test_json_has_no_order(own_books: Database) -> None:
    table = sa.Table(
        "facts",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("plain", sa.JSON),
        sa.Column("binary", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
    )
    table.create(own_books.engine)
    with own_books.begin() as session:
        session.execute(table.insert(), [{"id": n, "plain": {"n": n}, "binary": {"n": -n}} for n in range(5)])
    for order in (table.c.plain, table.c.plain["n"].desc()):
        with pytest.raises(UsageError, match="type json"):
            own_books.paginate(table, order_by=order)
    assert [row["id"] for row in all_of(own_books, table, 2, order_by="binary")] == [4, 3, 2, 1, 0]
    assert [row["id"] for row in all_of(own_books, table, 2, order_by=table.c.plain["n"].as_string().desc())] == [
        4,
        3,
        2,
        1,
        0,
    ]


# Cursors


def test_a_cursor_of_another_query(blog: Database) -> None:
    """Filters with their values, order and tables count; the size and what is selected of a class do not."""
    what = sa.select(Post).where(Post.id > 0, Post.headline.in_(["p1", "p2", "p3", "p4"]))
    cursor = blog.paginate(what, order_by="-headline", size=1).next_cursor
    again = sa.select(Post).where(Post.id > 0, Post.headline.in_(["p1", "p2", "p3", "p4"]))
    assert len(blog.paginate(again, order_by=Post.headline.desc(), size=2, after=cursor).items) == 2
    deferred = again.options(orm.load_only(Post.headline))
    assert len(blog.paginate(deferred, order_by="-headline", size=2, after=cursor).items) == 2
    for other, order in (
        (sa.select(Post).where(Post.id > 1, Post.headline.in_(["p1", "p2", "p3", "p4"])), "-headline"),
        (sa.select(Post).where(Post.id > 0, Post.headline.in_(["p1", "p2", "p3"])), "-headline"),
        (sa.select(Post).where(Post.id >= 0, Post.headline.in_(["p1", "p2", "p3", "p4"])), "-headline"),
        (again.where(Post.is_draft), "-headline"),
        (again, "headline"),
        (again, ["-headline", "is_draft"]),
        (Post, "-headline"),
        (post, "-title"),
        (Author, "-email"),
    ):
        with pytest.raises(InvalidCursor, match="another query"):
            blog.paginate(other, order_by=order, after=cursor)


def test_a_cursor_is_good_in_another_process(blog: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of its fingerprint depends on addresses or on the order of sets; here only what is remembered is gone."""
    from dbopt.client.paging import page_query

    with Database(blog.settings.conninfo, min_connections=0, cursor_secrets=("one",)) as one:
        what = lambda: sa.select(Post).where(Post.id.in_({1, 2, 3, 4}), Post.headline != "x")  # noqa: E731
        cursor = one.paginate(what(), order_by="-headline", size=1).next_cursor
    page_query._known.clear()
    page_query._queries.clear()
    with Database(blog.settings.conninfo, min_connections=0, cursor_secrets=("two", "one")) as two:
        page = two.paginate(what(), order_by="-headline", size=1, after=cursor)
        assert page.items
    with (
        Database(blog.settings.conninfo, min_connections=0, cursor_secrets=("one",)) as old,
        pytest.raises(InvalidCursor, match="not one of ours"),
    ):
        old.paginate(what(), order_by="-headline", after=page.next_cursor)


def test_a_column_that_has_another_type_by_now(own_books: Database) -> None:
    with own_books.begin() as session:
        session.add_all([Book(id=n, shelf=1, title=f"t{n}") for n in (1, 2, 3)])
    cursor = own_books.paginate(sa.select(Book.id), order_by=Book.title, size=1).next_cursor
    with own_books.begin() as session:
        session.execute(sa.text('ALTER TABLE "Book" ALTER "Title" TYPE int USING 1'))
    with pytest.raises(InvalidCursor, match="cannot read the values") as refused:
        own_books.paginate(sa.select(Book.id), order_by=Book.title, after=cursor)
    assert "t1" not in f"{refused.value.message} {refused.value.detail} {refused.value.hint}"


# Cached


def test_cached_pages_are_the_same(own_books: Database) -> None:
    with own_books.begin() as session:
        session.add_all([Book(id=n, shelf=1, title=f"t{n % 3}", price=n, key=None) for n in range(1, 8)])
    for what in (Book, book, sa.select(Book.id, Book.title), sa.select(book.c.id, book.c.Title.label("title"))):
        order = "Title" if what is book else "title"
        plain = list(own_books.pages(what, order_by=order, size=3))
        for _ in range(2):
            page = own_books.paginate(what, order_by=order, size=3, cache=60)
            assert page.next_cursor == plain[0].next_cursor
            with statements(own_books) as sent:
                page = own_books.paginate(what, order_by=order, size=3, after=page.next_cursor, cache=60)
            assert _ids(page) == _ids(plain[1])
            assert (page.has_next, page.has_previous) == (True, True)
        assert sent == []
        back = own_books.paginate(what, order_by=order, size=3, before=page.previous_cursor, cache=60)
        assert _ids(back) == _ids(plain[0])
        assert _ids(own_books.paginate(what, order_by=order, size=2, cache=60)) == _ids(plain[0])[:2]
    with own_books.begin() as session:
        session.execute(sa.delete(Book).where(Book.id == 1))
    assert 1 not in _ids(own_books.paginate(Book, order_by="title", size=3, cache=60))


def test_an_empty_page_is_cached_too(own_books: Database) -> None:
    for _ in range(2):
        assert own_books.paginate(sa.select(Book.id), cache=60).items == []


def _ids(page: Page[Any]) -> list[int]:
    return [item["id"] if isinstance(item, dict) else item.id for item in page.items]
