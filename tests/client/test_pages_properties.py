"""Pages against the whole list as the server sorts it: whatever the order, and whatever happens between two pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dbopt.client import Database

from . import shelf
from .shelf import EXPRESSIONS, VALUES, Book, book

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

    from dbopt.client.paging.pages import Page


@pytest.fixture(scope="module")
def library(pg: Server) -> Iterator[tuple[Database, psycopg.Connection[Any]]]:
    with (
        shelf.built(pg) as conninfo,
        psycopg.connect(conninfo, autocommit=True) as conn,
        Database(conninfo, min_connections=0) as db,
    ):
        yield db, conn


Order = list[tuple[str, bool, bool | None]]  # name, whether it is descending, whether NULLs come first

NAMES = [*VALUES, *EXPRESSIONS]
orders = st.lists(
    st.tuples(st.sampled_from(NAMES), st.booleans(), st.sampled_from([None, None, True, False])),
    max_size=4,
    unique_by=lambda each: each[0],
)


@st.composite
def kinds_of_books(draw: st.DrawFn, order: Order) -> st.SearchStrategy[dict[str, str | None]]:
    """Few values of the columns that count, so that there are ties and NULLs."""
    names = {"shelf"}.union(*(EXPRESSIONS[name][2] if name in EXPRESSIONS else (name,) for name, *_ in order))
    few = {
        name: st.sampled_from(draw(st.lists(st.sampled_from(VALUES[name]), min_size=2, max_size=3, unique=True)))
        for name in sorted(names)
    }
    return st.fixed_dictionaries(few)


def as_text(order: Order) -> str:
    """ORDER BY of SQL, with the key that pages add."""
    parts = []
    for name, descending, nulls_first in order:
        what = EXPRESSIONS[name][1] if name in EXPRESSIONS else shelf.column_of(name).as_string(None)
        nulls = "" if nulls_first is None else " NULLS FIRST" if nulls_first else " NULLS LAST"
        parts.append(f"{what}{' DESC' if descending else ''}{nulls}")
    return ", ".join([*parts, "id DESC" if order and order[-1][1] else "id"])


def as_clauses(order: Order, of: Any) -> list[Any]:
    clauses = []
    for name, descending, nulls_first in order:
        what = EXPRESSIONS[name][0](of) if name in EXPRESSIONS else of(name)
        clause = what.desc() if descending else what.asc()
        if nulls_first is not None:
            clause = clause.nulls_first() if nulls_first else clause.nulls_last()
        clauses.append(clause)
    return clauses


def mapped(name: str) -> Any:
    return getattr(Book, name)


def column(name: str) -> Any:
    return Book.__mapper__.columns[name]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.data(),
    orders,
    st.integers(1, 9),
    st.sampled_from(["mapped", "columns", "table"]),
    st.booleans(),
)
def test_pages_are_pieces_of_the_sorted_list(
    library: tuple[Database, psycopg.Connection[Any]],
    data: st.DataObject,
    order: Order,
    size: int,
    how: str,
    only_two: bool,
) -> None:
    db, conn = library
    conn.execute('TRUNCATE "Book"')
    shelf.fill(conn, data.draw(st.lists(data.draw(kinds_of_books(order)), max_size=25)))
    expected = shelf.ids_in_order(conn, as_text(order), "shelf = 2" if only_two else "true")

    # Not every value that PostgreSQL has, Python has too: infinite dates are only ordered by.
    what: Any
    if how == "mapped":
        what, of = sa.select(Book).options(sa.orm.load_only(Book.id)), mapped
    elif how == "columns":
        what, of = sa.select(Book.id, Book.pages), mapped
    else:
        what, of = sa.select(book.c.id), column
    if only_two:
        what = what.where(of("shelf") == 2)

    def read(**place: Any) -> Page[Any]:
        return db.paginate(what, order_by=as_clauses(order, of), size=size, **place)

    forwards, backwards = shelf.walk(read)
    for pages in (forwards, backwards):
        assert [item.id for page in pages for item in page.items] == expected
        assert all(len(page.items) == size for page in pages[1:-1])
    assert [len(page.items) for page in forwards[:-1]] == [size] * (len(forwards) - 1)

    # A cursor is a place, whatever size the page there has, and whether its row is there.
    page = data.draw(st.sampled_from(forwards))
    if page.next_cursor is None:
        return
    here = expected.index(page.items[-1].id) + 1
    gone = data.draw(st.sets(st.sampled_from(expected)))
    conn.execute('DELETE FROM "Book" WHERE id = ANY(%s)', [list(gone)])
    before, behind = ([id_ for id_ in some if id_ not in gone] for some in (expected[:here], expected[here:]))
    size = data.draw(st.integers(1, 30))
    after = read(after=page.next_cursor)
    assert [item.id for item in after.items] == behind[:size]
    assert (after.has_previous, after.has_next) == (bool(before), len(behind) > size)
    earlier = read(before=page.next_cursor)
    assert [item.id for item in earlier.items] == before[-size:]
    assert (earlier.has_previous, earlier.has_next) == (len(before) > size, bool(behind))
    if after.has_previous:
        assert [item.id for item in read(before=after.previous_cursor).items] == before[-size:]
    if earlier.has_next:
        assert [item.id for item in read(after=earlier.next_cursor).items] == behind[:size]


def test_walks_while_others_write(library: tuple[Database, psycopg.Connection[Any]]) -> None:
    """Pages this way and that while rows come and go: each is a piece of the list as it is then, and begins where the
    one before has ended.
    """
    db, conn = library

    class Walk(RuleBasedStateMachine):
        @initialize(data=st.data(), order=orders, size=st.integers(1, 4))
        def begin(self, data: st.DataObject, order: Order, size: int) -> None:
            conn.execute('TRUNCATE "Book"')
            self.count, self.order, self.size = 0, order, size
            self.kinds = data.draw(kinds_of_books(order))
            self.insert(data, 15)
            self.page: Page[Any] = self.read()

        def now(self) -> list[int]:
            return shelf.ids_in_order(conn, as_text(self.order))

        def read(self, **place: Any) -> Page[Any]:
            return db.paginate(sa.select(Book.id), order_by=as_clauses(self.order, mapped), size=self.size, **place)

        @rule(data=st.data(), most=st.just(3))
        def insert(self, data: st.DataObject, most: int) -> None:
            books = data.draw(st.lists(self.kinds, max_size=most))
            shelf.fill(conn, books, first=self.count + 1)
            self.count += len(books)

        @rule(data=st.data())
        def delete(self, data: st.DataObject) -> None:
            if ids := self.now():
                some = data.draw(st.sets(st.sampled_from(ids), min_size=1, max_size=3))
                conn.execute('DELETE FROM "Book" WHERE id = ANY(%s)', [list(some)])

        @rule(forward=st.booleans())
        def turn(self, forward: bool) -> None:
            cursor = self.page.next_cursor if forward else self.page.previous_cursor
            if cursor is None:
                return
            was = [item.id for item in self.page.items]
            self.page = self.read(after=cursor) if forward else self.read(before=cursor)
            full = self.now()
            ids = [item.id for item in self.page.items]
            at = full.index(ids[0]) if ids else None
            if at is not None:
                assert ids == full[at : at + len(ids)]
                assert self.page.has_previous is (at > 0)
                assert self.page.has_next is (at + len(ids) < len(full))
            still = [id_ for id_ in was if id_ in full]
            if still and forward:
                end = full.index(still[-1]) + 1
                assert ids == full[end : end + self.size] or was[-1] != still[-1]
            elif still:
                start = full.index(still[0])
                assert ids == full[max(0, start - self.size) : start] or was[0] != still[0]

        @rule(forward=st.booleans(), data=st.data())
        def go_all_the_way(self, forward: bool, data: st.DataObject) -> None:
            """What has been there all the time comes once, though rows go and come between any two pages."""
            page = self.read()
            while not forward and page.has_next:
                page = self.read(after=page.next_cursor)
            stay, seen = set(self.now()), [item.id for item in page.items]
            while (cursor := page.next_cursor if forward else page.previous_cursor) is not None:
                if len(seen) < 30:
                    self.delete(data)
                    self.insert(data, 2)
                    stay &= set(self.now())
                page = self.read(after=cursor) if forward else self.read(before=cursor)
                seen += [item.id for item in page.items]
                assert len(seen) <= 30 + 2 * shelf.MOST_PAGES
            assert len(seen) == len(set(seen))
            assert stay <= set(seen)

        @invariant()
        def says_the_truth_of_its_neighbours(self) -> None:
            assert self.page.has_next is (self.page.next_cursor is not None)
            assert self.page.has_previous is (self.page.previous_cursor is not None)

    run_state_machine_as_test(Walk, settings=settings(max_examples=20, stateful_step_count=8, deadline=None))
