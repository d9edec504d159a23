"""What keeping an index costs. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.suggest.model import Candidate, Key, Size, Table, Writes
from dbopt.suggest.writes import columns, write_cost
from suggest.worlds import ROWS, T, candidate, index, table

if TYPE_CHECKING:
    from dbopt.suggest.model import WriteCost

COLUMNS: dict[str, dict[str, Any]] = {
    "id": {"n_distinct": -1.0, "correlation": 1.0},
    "a": {},
    "b": {},
    "at": {"n_distinct": -0.9, "correlation": 0.99, "avg_width": 8},
    "tags": {"type_name": "text[]", "avg_width": 84},
    "body": {"type_name": "text", "avg_width": 700},
}
SIZE = Size(size_bytes=20_000_000, rows=ROWS)


def written(*, size: Size | None = SIZE, weight: float = 1.0, **writes: Any) -> Any:
    """A function from candidates to costs."""
    base = table(COLUMNS, index("t_pkey", "id", unique=True), index("by_b", "b"))
    return lambda item: write_cost(item, replace(base, writes=Writes(**writes)), size, weight=weight)


def test_each_inserted_row_is_an_entry() -> None:
    cost: WriteCost = written(inserted=10_000)(candidate("a"))
    assert (cost.entries, cost.lost_hot) == (10_000, 0)
    assert 1 < cost.cost / cost.entries < 6
    assert cost.wal_bytes > 64 * 10_000


def test_nothing_written_costs_nothing() -> None:
    cost = written()(candidate("a"))
    assert (cost.entries, cost.wal_bytes, cost.lost_hot, cost.cost) == (0, 0, 0, 0)


def test_a_partial_index_has_its_share() -> None:
    small = Size(size_bytes=200_000, rows=ROWS / 100)
    assert written(size=small, inserted=10_000)(candidate("a", where="b = 1")).entries == 100


def test_updates_that_are_not_hot_write_to_every_index() -> None:
    assert written(updated=1000, hot=900)(candidate("a")).entries == 100


@pytest.mark.parametrize(
    "item",
    [
        candidate("a"),
        candidate("id", include=("a",)),
        candidate("id", where="a = 1"),
        candidate("abs(a)"),
    ],
    ids=["key", "include", "where", "expression"],
)
def test_an_index_on_what_is_updated_costs_all_others_as_well(item: Candidate) -> None:
    cost = written(updated=1000, hot=1000, columns={"a": 600.0})(item)
    assert cost.lost_hot == 600
    assert cost.entries == 600 * 3  # and into the two that there are
    assert cost.cost > written(updated=1000, hot=1000, columns={"a": 600.0})(candidate("id")).cost


def test_what_another_index_has_is_not_hot_anyway() -> None:
    cost = written(updated=1000, hot=400, columns={"b": 600.0})(candidate("b", "a"))
    assert (cost.lost_hot, cost.entries) == (0, 600)


def test_a_statement_that_sets_two_columns_sets_them_in_the_same_rows() -> None:
    assert written(updated=600, hot=600, columns={"a": 600.0, "at": 600.0})(candidate("a", "at")).lost_hot == 600


def test_keys_that_grow_all_go_to_the_last_page() -> None:
    spread, appended = (written(inserted=10_000)(candidate(name)) for name in ("a", "at"))
    assert appended.wal_bytes < spread.wal_bytes / 3
    assert appended.cost < spread.cost


def test_the_longer_it_takes_the_more_pages_are_new_to_a_checkpoint() -> None:
    quick, slow = (written(inserted=100_000, seconds=seconds)(candidate("a")) for seconds in (60.0, 36_000.0))
    assert slow.wal_bytes > 2 * quick.wal_bytes


def test_gin_has_an_entry_for_each_element_and_brin_hardly_any() -> None:
    rows = written(inserted=1000)
    assert rows(candidate("tags", method="gin")).entries == pytest.approx(10_500)
    words = Candidate(T, (Key(expression="to_tsvector('english', body)"),), method="gin")
    assert rows(words).entries == pytest.approx(100_000)
    assert rows(candidate("body gin_trgm_ops", method="gin")).entries == pytest.approx(700_000)
    assert rows(candidate("at", method="brin")).entries < 1
    assert rows(candidate("at", method="brin")).cost < rows(candidate("at")).cost / 100


def test_without_a_size_it_is_reckoned_from_the_table() -> None:
    known, unknown = (written(size=size, inserted=10_000)(candidate("a")) for size in (SIZE, None))
    assert unknown.cost == pytest.approx(known.cost, rel=0.3)


def test_the_weight_is_of_the_cost_alone() -> None:
    once, never = (written(inserted=100, weight=weight)(candidate("a")) for weight in (1.0, 0.0))
    assert (never.cost, never.entries, never.wal_bytes) == (0, once.entries, once.wal_bytes)


def test_a_table_that_nobody_has_analyzed_has_costs_too() -> None:
    base = table(COLUMNS)
    bare = Table(
        relation=replace(
            base.relation,
            rows=None,
            columns=tuple(replace(column, avg_width=None, n_distinct=None) for column in base.relation.columns),
        ),
        writes=Writes(inserted=10),
    )
    assert write_cost(candidate("a", where="b = 1"), bare, None).entries == 10


def test_columns_are_all_that_an_update_must_leave_alone() -> None:
    item = candidate("a", "lower(body)", include=("id",), where="b = 1")
    assert columns(item) == ("a", "body", "id", "b")
