"""The rows: as many as said, the same on every run, skewed, with gaps where an application has gaps."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from dbopt.demo import app as apps
from dbopt.demo import data, schema
from dbopt.demo.app import MAX_ROWS, MIN_ROWS
from dbopt.errors import UsageError
from dbopt.postgres.connect import connect

from .conftest import ROWS

if TYPE_CHECKING:
    from server import Database

    from .conftest import Sample


def digests(database: Database, tables: list[str]) -> dict[str, str]:
    query = sql.SQL("SELECT md5(string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\")) FROM {} AS t")
    return {name: database.sql(query.format(sql.Identifier(name)))[0][0] for name in tables}  # type: ignore[arg-type]


def test_each_table_has_the_rows_that_were_said(sample: Sample) -> None:
    query = sql.SQL("SELECT count(*) FROM {}")
    for table, rows in sample.loaded.rows.items():
        assert sample.database.sql(query.format(sql.Identifier(table))) == [(rows,)]  # type: ignore[arg-type]
    assert max(sample.loaded.rows.values()) == ROWS


def test_every_table_that_the_spec_touches_has_rows(sample: Sample) -> None:
    touched = {entry.table.name for entry in sample.specs.indexes}
    assert touched <= sample.loaded.rows.keys()


def test_a_second_load_gives_the_same_rows(sample: Sample, database: Database) -> None:
    data.load(functools.partial(connect, database.conninfo, command="test", read_only=False), sample.app.book(ROWS))
    tables = list(sample.loaded.rows)
    assert digests(database, tables) == digests(sample.database, tables)


@pytest.mark.parametrize("name", schema.APPS)
def test_the_smallest_scale_loads(name: str, database: Database) -> None:
    loaded = data.load(
        functools.partial(connect, database.conninfo, command="test", read_only=False), apps.get(name).book(MIN_ROWS)
    )
    assert min(loaded.rows.values()) >= 1


@pytest.mark.parametrize("rows", [-1, 0, MIN_ROWS - 1, MAX_ROWS + 1])
def test_a_scale_that_makes_no_sense_is_refused(rows: int) -> None:
    with pytest.raises(UsageError, match=f"from {MIN_ROWS} to {MAX_ROWS}"):
        apps.get("neonhub").book(rows)


def test_an_unknown_application_lists_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        apps.get("acme")
    assert caught.value.hint == "Valid names: thrive_send, neonhub."


def test_names_may_be_written_with_a_hyphen() -> None:
    assert apps.get("thrive-send").name == "thrive_send"


def test_few_owners_have_most_rows(sample: Sample) -> None:
    table, column = {"thrive_send": ("Activity", "userId"), "neonhub": ("campaigns", "userId")}[sample.app.name]
    query = sql.SQL("SELECT count(*) FROM {} GROUP BY {} ORDER BY 1 DESC").format(
        sql.Identifier(table), sql.Identifier(column)
    )
    counts = [count for (count,) in sample.database.sql(query)]  # type: ignore[arg-type]
    assert sum(counts[: len(counts) // 4]) > sum(counts) / 2
    assert counts[-1] < counts[0] / 10


def test_an_error_of_one_session_ends_the_load(database: Database) -> None:
    """The tables are there already: the first CREATE TABLE fails, and nobody goes on."""
    open_session = functools.partial(connect, database.conninfo, command="test", read_only=False)
    book = apps.get("neonhub").book(MIN_ROWS)
    database.sql('CREATE TABLE "leads" (id text)')
    with pytest.raises(psycopg.errors.DuplicateTable):
        data.load(open_session, book)
    assert database.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ) == [(0,)]
