"""An upsert against a model of it: a dict of rows by key, in Python."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from dbopt.client import Database
from dbopt.client.bulk import upsert as bulk
from dbopt.client.bulk.upsert import Upserted
from dbopt.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server import Server

Row = dict[str, Any]
VALUES = ("a", "b", "c")


class Shape(NamedTuple):
    """Columns of a key, their values, and what is the same for the server."""

    columns: dict[str, str]
    values: Any
    same: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    nulls_are_distinct: bool = True


def as_they_are(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return key


def rounded(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.quantize(Decimal("0.1"), ROUND_HALF_UP) + 0 for part in key)


def padded(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.rstrip(" ") for part in key)


def flat(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(tuple(part) for part in key)


SMALL = st.integers(-1, 3)
TEXT = st.sampled_from(["", "a", "A", "ä", "a ", "\\N", "\t"])
SHAPES = {
    "whole": Shape({"k": "int NOT NULL"}, st.tuples(SMALL), as_they_are),
    "text": Shape({"k": "text NOT NULL"}, st.tuples(TEXT), as_they_are),
    "padded": Shape({"k": "char(3) NOT NULL"}, st.tuples(st.sampled_from(["", "a", "a ", "b", "B  "])), padded),
    "rounded": Shape({"k": "numeric(4,1) NOT NULL"}, st.tuples(st.decimals(-1, 1, places=2)), rounded),
    "nullable": Shape({"k": "int"}, st.tuples(st.none() | SMALL), as_they_are),
    "composite": Shape({"k": "int NOT NULL", "l": "text"}, st.tuples(SMALL, st.none() | TEXT), as_they_are),
    "lists": Shape({"k": "int[] NOT NULL"}, st.tuples(st.lists(st.none() | SMALL, max_size=1)), flat),
}


class Outcome(NamedTuple):
    rows: list[Row]
    done: Upserted


def upserted(
    shape: Shape, there: list[Row], rows: list[Row], *, update: Any, duplicates: str, where_changed: bool
) -> Outcome:
    """What one call has to make of it. Raises BadRow."""

    def key(row: Row) -> tuple[Any, ...] | None:
        found = tuple(row[name] for name in shape.columns)
        return None if None in found and shape.nulls_are_distinct else shape.same(found)

    settled: dict[Any, Row] = {}
    for number, row in enumerate(rows):
        same = key(row)
        place = ("alone", number) if same is None else same
        if place in settled and duplicates == "error":
            raise BadRow("duplicate", row=number)
        if place not in settled or duplicates == "last":
            settled[place] = row
    result = [dict(row) for row in there]
    done = Upserted(rows=len(rows), duplicates=len(rows) - len(settled), batches=1 if rows else 0)
    for row in settled.values():
        same = key(row)
        found = next((one for one in result if same is not None and key(one) == same), None)
        if found is None:
            result.append({"a": None, "b": 7, "c": "north", **row})
            done = replace(done, inserted=done.inserted + 1)
            continue
        changed = {
            name: value
            for name, value in row.items()
            if name not in shape.columns and (update is None or name in update)
        }
        if not changed or (where_changed and all(found[name] == value for name, value in changed.items())):
            done = replace(done, unchanged=done.unchanged + 1)
        else:
            found.update(changed)
            done = replace(done, updated=done.updated + 1)
    return Outcome(result, done)


@pytest.fixture(scope="module")
def made(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        for name, shape in SHAPES.items():
            columns = ", ".join(f"{column} {kind}" for column, kind in shape.columns.items())
            unique = ", ".join(shape.columns)
            fresh.sql(f"CREATE TABLE {name} ({columns}, a int, b int, c text DEFAULT 'north', UNIQUE ({unique}))")
        with Database(fresh.conninfo, min_connections=0) as database:
            yield database


def table_of(name: str) -> sa.Table:
    return sa.Table(
        name,
        sa.MetaData(),
        *(sa.Column(column, sa.types.NullType()) for column in SHAPES[name].columns),
        sa.Column("a", sa.Integer),
        sa.Column("b", sa.Integer, default=7),
        sa.Column("c", sa.Text, server_default="north"),
    )


def inputs(shape: Shape) -> Any:
    given_values = st.fixed_dictionaries(
        {}, optional={"a": st.none() | SMALL, "b": st.none() | SMALL, "c": st.sampled_from([None, "x", "y"])}
    )
    row = st.builds(
        lambda key, rest: {**dict(zip(shape.columns, key, strict=True)), **rest}, shape.values, given_values
    )
    return st.lists(row, max_size=9)


def sorted_rows(rows: list[Row], shape: Shape) -> list[str]:
    def plain(row: Row) -> str:
        key = tuple(row[name] for name in shape.columns)
        same = key if None in key else shape.same(key)
        return repr((same, *(row[name] for name in VALUES)))

    return sorted(map(plain, rows))


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_as_the_model(made: Database, name: str, data: st.DataObject) -> None:
    shape, table = SHAPES[name], table_of(name)
    made.execute(sa.text(f"DELETE FROM {name}"))
    there: list[Row] = []
    for _ in range(data.draw(st.integers(1, 3), "calls")):
        rows = data.draw(inputs(shape), "rows")
        options = {
            "update": data.draw(st.none() | st.lists(st.sampled_from(VALUES), unique=True), "update"),
            "duplicates": data.draw(st.sampled_from(["last", "first", "error"]), "duplicates"),
            "where_changed": data.draw(st.booleans(), "where_changed"),
        }
        batch_size = data.draw(st.integers(1, 10), "batch_size")
        by_batch = data.draw(st.booleans(), "by_batch")
        size = batch_size if by_batch else max(len(rows), 1)
        expected, committed, error = there, Upserted(), None
        for start in range(0, len(rows), size):
            try:
                expected, done = upserted(shape, expected, rows[start : start + size], **options)
            except BadRow as bad:
                error = bad.row + start
                break
            committed += done
        if not by_batch:
            committed = replace(committed, batches=-(-len(rows) // batch_size))
        how = {
            "key": tuple(shape.columns),
            "batch_size": batch_size,
            "commit": "batch" if by_batch else "all",
            **options,
        }
        patched = {"ARRAY_ROWS": data.draw(st.sampled_from([0, bulk.ARRAY_ROWS]), "arrays up to")}
        if error is None:
            with patch.multiple(bulk, **patched):
                assert made.bulk_upsert(table, iter(rows), **how) == committed
        else:
            with pytest.raises(BadRow) as caught, patch.multiple(bulk, **patched):
                made.bulk_upsert(table, iter(rows), **how)
            assert caught.value.row == error
            if by_batch:
                assert caught.value.committed == committed  # type: ignore[attr-defined]
        there = expected
        assert sorted_rows(made.rows(table), shape) == sorted_rows(there, shape)
