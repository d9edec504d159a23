"""Everything in a store as JSON, the same from both databases, and read back from it."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime

import pytest

from dbopt.snapshot.model import Family
from dbopt.store import marks, packing, snapshots
from dbopt.store.export import records
from dbopt.store.marks import Kind

from .readings import DAY, HOUR, START, keep, opened, part
from .values import events_of, make_plan, record

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def filled(url):
    readings = [part(START, 1, q7=1), part(START + HOUR, 5, q7=2)]
    target_id = keep(url, *readings, part(START, 1, Family.STATEMENTS), part(START + HOUR, 2, Family.STATEMENTS, q7=2))
    with opened(url) as session:
        snapshots.keep_texts(session, target_id, {7: "SELECT $1", -8: "SELECT $2"})
        marks.add(
            session,
            target_id,
            "main",
            START + HOUR,
            kind=Kind.RESET,
            scope="pg_stat_io",
            os_user="anna",
            role="deployer",
            parts=readings[1:],
        )
    record(url, events_of(make_plan(), error="canceled"), clock=lambda: START + DAY)
    record(url, events_of(make_plan(1, dbname="crm")), clock=lambda: START + 2 * DAY)
    with opened(url) as session:  # killed
        session.run("UPDATE runs SET finished_at = NULL, interrupted = NULL WHERE id = :id", [{"id": 2}])
    return url


def exported(url, since=LONG_AGO):
    with opened(url, reading=True) as session:
        return list(records(session, since, START))


def of_kind(found, kind):
    return [row for row in found if row["kind"] == kind]


def test_everything_is_there_and_nothing_stands_before_what_it_refers_to(filled):
    found = exported(filled)
    assert (found[0]["kind"], found[0]["schema_version"]) == ("store", 1)
    kinds = [row["kind"] for row in found]
    assert {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)} == {
        "store": 1,
        "target": 3,
        "run": 2,
        "step": 3,
        "statement_text": 2,
        "statement": 2,
        "mark": 1,
        "mark_part": 1,
        "interval": 2,
        "reading": 2,
    }
    run, unfinished = of_kind(found, "run")
    assert (run["started_at"], run["interrupted"], run["failed"]) == (START + DAY, False, 1)
    assert (unfinished["finished_at"], unfinished["interrupted"]) == (None, None)
    assert of_kind(found, "step")[0]["statements"] == ['CREATE INDEX CONCURRENTLY "orders_1" ON "app"."orders" ("a")']
    assert [row["queryid"] for row in of_kind(found, "statement")] == ["-8", "7"]
    [mark] = of_kind(found, "mark")
    assert (mark["mark_kind"], mark["scope"], mark["marked_at"]) == ("reset", "pg_stat_io", START + HOUR)


def test_intervals_and_readings_can_be_read_back(filled):
    found = json.loads(json.dumps(exported(filled), default=str))
    with opened(filled) as session:
        [interval] = snapshots.intervals(session, 1, Family.TABLES)
        head = snapshots.head(session, 1, Family.TABLES)

    def packed(kind):
        [row] = [row for row in of_kind(found, kind) if row["family"] == "tables"]
        return zlib.compress(json.dumps(row["packed"]).encode())

    assert packing.unpack_interval("tables", packed("interval")) == interval
    assert packing.unpack_part("tables", packed("reading")) == head
    assert packing.unpack_part("tables", packed("mark_part")) == head


def test_only_what_is_younger(filled):
    found = exported(filled, START + 1.5 * DAY)
    assert [row["started_at"] for row in of_kind(found, "run")] == [START + 2 * DAY]
    assert {row["run_id"] for row in of_kind(found, "step")} == {of_kind(found, "run")[0]["id"]}
    assert of_kind(found, "interval") == of_kind(found, "mark") == of_kind(found, "mark_part") == []


def test_pages(filled, monkeypatch):
    """More rows than are read at once."""
    whole = exported(filled)
    monkeypatch.setattr("dbopt.store.export._PAGE_ROWS", 1)
    assert exported(filled) == whole


def test_what_nobody_can_read_is_null(filled):
    with opened(filled) as session:
        session.run("UPDATE intervals SET packed = :packed", [{"packed": b"torn"}])
    assert [row["packed"] for row in of_kind(exported(filled), "interval")] == [None, None]
