"""Indexes that may go, what speaks for it, and whether statements suffer."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction

from dbopt.errors import Error
from dbopt.postgres.indexes import UnscannedIndex
from dbopt.relations.unused import LAST_SCAN_SECONDS, WINDOW_SECONDS, idle_seconds
from dbopt.suggest import drop_evidence
from dbopt.suggest.cost.combined import Combined
from dbopt.suggest.cost.installed import HypoPG, installed
from dbopt.suggest.cost.reckoned import Reckoned
from dbopt.suggest.drop_proof import hiding
from dbopt.suggest.drops import drops
from dbopt.suggest.model import Candidate, Drop, Evidence, Key, Subject
from dbopt.suggest.probes import all_probes
from dbopt.suggest.reading.accesses import accesses
from dbopt.suggest.tables import tables
from suggest.readings import Reader, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

SCHEMA = """
    CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int, d int, code text UNIQUE, note text)
      WITH (autovacuum_enabled = off);
    INSERT INTO t SELECT g, g % 5000, g % 7, g % 3000, g % 2000, 'code' || g, md5(g::text)
      FROM generate_series(1, 20000) g;
    CREATE INDEX by_a ON t (a);
    CREATE INDEX by_a_again ON t (a);
    CREATE INDEX by_a_b ON t (a, b);
    CREATE INDEX "By c" ON t (c);
    CREATE INDEX by_d ON t (d);
    CREATE INDEX by_note ON t (lower(note));
    CREATE UNIQUE INDEX unique_b ON t (b, id);
    CREATE TABLE events (at date, kind int) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO events SELECT date '2026-01-01' + g % 300, g FROM generate_series(1, 5000) g;
    CREATE INDEX by_kind ON events (kind);
    VACUUM ANALYZE t;
    ANALYZE events;
"""
T = ("public", "t")
BY_A, BY_C = "SELECT * FROM t WHERE a = $1", "SELECT * FROM t WHERE c = $1"
BY_C_ID = Candidate(T, (Key("c"), Key("id")))


def fill(database: Database) -> Database:
    for statement in SCHEMA.split(";")[:-1]:  # VACUUM wants to be alone
        database.sql(statement)
    return database


@pytest.fixture(scope="module")
def world(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fill(fresh)


@pytest.fixture(scope="module")
def copy(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fill(fresh)


@pytest.fixture(scope="module")
def hypo_world(hypo_server: Server) -> Iterator[Database]:
    with hypo_server.database() as fresh:
        fresh.sql("CREATE EXTENSION hypopg")
        yield fill(fresh)


@pytest.fixture
def any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if scans had been counted long enough, and small indexes were large."""
    monkeypatch.setattr(drop_evidence, "idle_seconds", partial(idle_seconds, window_seconds=0.0))
    monkeypatch.setattr(drop_evidence, "MIN_SIZE_BYTES", 0)


def proposed(
    database: Database, *queries: str, chosen: tuple[Candidate, ...] = (), scratch: str | None = None
) -> dict[str, Drop]:
    """By the index's name."""
    with reading(database) as reader:
        read = [reader.prepared(query) for query in ("SELECT * FROM events", *queries)]
        found = tables(reader.conn, reader.server, read).tables
        made = [Subject(item=one.item, planned=one.planned, accesses=accesses(one, found)) for one in read]
        subjects = all_probes(reader.conn, reader.server, made, found)
        with costing(reader, found) as asked:
            everything = drops(reader.conn, reader.server, found, subjects, frozenset(chosen), asked, scratch=scratch)
        return {one.name: one for one in everything}


@contextlib.contextmanager
def costing(reader: Reader, found: dict[tuple[str, str], object]) -> Iterator[Combined | Reckoned]:
    where = installed(reader.conn, reader.server)
    known = (
        Combined(reader.conn, reader.server, found, where)
        if isinstance(where, HypoPG)
        else Reckoned(reader.conn, reader.server, found)
    )
    with known as asked:
        yield asked


# What speaks for it


def test_a_twin_goes_and_what_can_do_more_stays(world: Database) -> None:
    found = proposed(world, BY_C)
    assert list(found) == ["by_a", "by_a_again"]
    assert {one.evidence for one in found.values()} == {Evidence.REDUNDANT}
    assert found["by_a"].detail == "it does nothing that is not done by by_a_b, which can do more"
    assert found["by_a"].proved
    assert found["by_a"].how == "plans of 2 statements, none of which uses it"


def test_a_twin_goes_though_a_plan_has_it(world: Database) -> None:
    world.sql('CREATE INDEX "By c too" ON t (c)')
    try:
        found = proposed(world, BY_C)["By c too"]
    finally:
        world.sql('DROP INDEX "By c too"')
    assert found.detail == "it does the same as By c, which is older"
    assert not found.proved
    assert found.how == "no planner has tried: that takes a copy of the database (--scratch), or HypoPG 1.4"


@pytest.mark.usefixtures("any_time")
def test_what_nobody_scans(world: Database) -> None:
    found = proposed(world, BY_C)
    unused = [name for name, one in found.items() if one.evidence is Evidence.UNUSED]
    assert sorted(unused) == ["by_a", "by_a_again", "by_a_b", "by_d"]
    assert "By c" not in found  # a plan uses it
    assert not {"by_note", "unique_b", "t_pkey", "t_code_key", "by_kind", "events_1_kind_idx"} & found.keys()
    assert found["by_d"].proved
    assert found["by_d"].detail.startswith("no scan in the ")
    assert found["by_d"].size_bytes > 65_536


def test_young_counters_tell_nothing(world: Database) -> None:
    assert all(one.evidence is not Evidence.UNUSED for one in proposed(world, BY_C).values())


def test_scans_are_counted_for_long_enough_or_not_at_all() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    index = UnscannedIndex(
        oid=1, index="i", schema="public", name="i", relation="t", table_schema="public", table="t", relkind="i",
        idx_scan=0, last_idx_scan=None, made_at=None, size_bytes=1, is_estimated=False, feeds_standbys=False,
    )  # fmt: skip
    assert idle_seconds(index, WINDOW_SECONDS, now) == WINDOW_SECONDS
    assert idle_seconds(index, WINDOW_SECONDS - 1, now) is None
    assert idle_seconds(replace(index, made_at=now - timedelta(days=1)), WINDOW_SECONDS, now) is None
    used = replace(index, idx_scan=5)
    assert idle_seconds(used, WINDOW_SECONDS, now) is None
    long_ago = replace(used, last_idx_scan=now - timedelta(seconds=LAST_SCAN_SECONDS))
    assert idle_seconds(long_ago, WINDOW_SECONDS, now) == LAST_SCAN_SECONDS
    assert idle_seconds(replace(used, last_idx_scan=now - timedelta(days=1)), WINDOW_SECONDS, now) is None


def test_beaten_by_the_new_list(world: Database) -> None:
    longer = Candidate(T, (Key("d"), Key("b")))
    found = proposed(world, BY_C, chosen=(longer, Candidate(T, (Key("b"), Key("c")))))
    assert (found["by_d"].evidence, found["by_d"].detail) == (
        Evidence.BEATEN,
        "the suggested btree (d, b) begins with its keys",
    )
    assert "By c" not in found
    partial_ = longer._replace(where="b = 1")
    backward = Candidate(T, (Key("d", descending=True, nulls_first=True), Key("b")))
    mixed = Candidate(T, (Key("d", descending=True), Key("b")))
    assert "by_d" not in proposed(world, BY_C, chosen=(partial_,))
    assert "by_d" in proposed(world, BY_C, chosen=(backward,))
    assert "by_d" not in proposed(world, BY_C, chosen=(mixed,))


def test_nothing_that_a_statement_uses_is_beaten_without_proof(world: Database) -> None:
    assert "By c" not in proposed(world, BY_C, chosen=(BY_C_ID,))


# With HypoPG, and on a copy


def test_hypopg_knows_what_plans_there_will_be(hypo_world: Database) -> None:
    covering = Candidate(T, (Key("c"),), include=("id", "b"))
    query = "SELECT id, b FROM t WHERE c = $1"
    assert "By c" not in proposed(hypo_world, query)
    found = proposed(hypo_world, query, chosen=(covering,))["By c"]
    assert (found.evidence, found.proved) == (Evidence.BEATEN, True)


def test_an_old_hypopg_hides_nothing(hypo_world: Database) -> None:
    with reading(hypo_world) as reader:
        where = installed(reader.conn, reader.server)
        assert isinstance(where, HypoPG)
        if where.version.startswith(("1.1", "1.2", "1.3")):
            assert hiding(reader.conn, reader.server) is None


def test_a_copy_proves_what_plans_alone_do_not(world: Database, copy: Database) -> None:
    assert "By c" not in proposed(world, BY_C, chosen=(BY_C_ID,))
    found = proposed(world, BY_C, chosen=(BY_C_ID,), scratch=copy.conninfo)
    assert (found["By c"].evidence, found["By c"].proved) == (Evidence.BEATEN, True)
    assert found["By c"].how == "plans of 2 statements on a copy without it"
    names = {name for (name,) in copy.sql("SELECT indexrelname FROM pg_stat_user_indexes")}
    assert names >= {"By c", "by_a", "by_a_again", "by_a_b"}  # all is rolled back
    assert not any("dbopt" in name for name in names)


def test_on_a_copy_one_that_stands_in_for_another_stays(world: Database, copy: Database) -> None:
    found = proposed(world, BY_A, scratch=copy.conninfo)
    assert sorted(found) == ["by_a", "by_a_again"]
    assert all(one.proved for one in found.values())


@pytest.mark.usefixtures("any_time")
def test_what_suffers_on_a_copy_stays(world: Database, copy: Database) -> None:
    assert "by_d" in proposed(world, BY_C, scratch=copy.conninfo)
    assert "by_d" not in proposed(world, BY_C, "SELECT * FROM t WHERE d = $1", scratch=copy.conninfo)


def test_a_copy_of_another_size_proves_nothing(world: Database, pg: Server) -> None:
    with pg.database() as other:
        fill(other)
        other.sql("DELETE FROM t WHERE id > 2000")
        other.sql("VACUUM ANALYZE t")
        found = proposed(world, BY_C, chosen=(BY_C_ID,), scratch=other.conninfo)
        assert "By c" not in found
        other.sql("ALTER TABLE t RENAME TO gone")
        assert "By c" not in proposed(world, BY_C, chosen=(BY_C_ID,), scratch=other.conninfo)


def test_a_lock_on_the_copy_is_not_waited_for(world: Database, copy: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbopt.suggest.drop_copy.LOCK_TIMEOUT_MS", 50)
    with open_transaction(copy, "SELECT 1 FROM t LIMIT 1"):
        assert "By c" not in proposed(world, BY_C, chosen=(BY_C_ID,), scratch=copy.conninfo)


def test_the_database_itself_is_no_copy(world: Database) -> None:
    with pytest.raises(Error, match="is the database itself") as caught:
        proposed(world, BY_C, chosen=(BY_C_ID,), scratch=world.conninfo)
    assert caught.value.hint is not None
    assert "pg_dump" in caught.value.hint
