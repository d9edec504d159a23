"""What the store knows of statements beyond their counters, on both databases."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic import command
from helpers import wait_until

from dbopt import __version__
from dbopt.snapshot.model import Family
from dbopt.store import migrate, plain, retention, snapshots, space, targets, workload
from dbopt.store.export import records
from dbopt.store.prune import prune
from dbopt.store.workload import SHAPES_MAX, KeptPlan, KeptShape, KeptTraits

from .readings import DAY, HOUR, START, WHOSE, keep, located, opened, part
from .test_migrations import alembic_on
from .values import start

MINUTE = timedelta(minutes=1)
# 64 bits with a sign, as queryids are.
LOW, HIGH = -(2**63), 2**63 - 1
TRAITS = KeptTraits("a1b2c3d4e5f60718", "select", ("app.orders", '"Odd, ""Name"', "größe"))


def made(at: datetime, **content: object) -> KeptPlan:
    return KeptPlan(at, __version__, content or {"query": "SELECT $1", "documents": [{"Plan": {"Total Cost": 8.3}}]})


def look(url: str, *looks: tuple[datetime, str | None], queryid: int = 7) -> int:
    """Plan a statement at these times in these ways, None being no way; the target's number."""
    with opened(url) as session:
        target_id = targets.find_or_add(session, WHOSE)
        for at, way in looks:
            shape = None if way is None else (way, f"Seq Scan on {way}")
            workload.keep_plan(session, target_id, queryid, made(at, way=way), shape)
    return target_id


def ways(url: str, queryid: int = 7) -> list[tuple[str, datetime, datetime]]:
    """Those that the statement was planned in, the newest first."""
    with opened(url, reading=True) as session:
        found = workload.shapes(session, 1, [queryid])
    return [(shape.digest, shape.first_at, shape.last_at) for shape in found.get(queryid, [])]


def latest(url: str, queryid: int = 7) -> datetime:
    with opened(url, reading=True) as session:
        return workload.plans(session, 1, [queryid])[queryid].planned_at


@pytest.fixture
def target_id(url: str) -> int:
    with opened(url) as session:
        return targets.find_or_add(session, WHOSE)


def test_traits_come_back_and_are_replaced(url, target_id):
    every = {queryid: replace(TRAITS, kind="update") for queryid in range(100)} | {LOW: TRAITS, HIGH: TRAITS}
    with opened(url) as session:
        workload.keep_traits(session, target_id, every)
        workload.keep_traits(session, target_id, {5: KeptTraits("ffffffffffffffff", "utility", ())})
        workload.keep_traits(session, target_id, {})
    with opened(url, reading=True) as session:
        assert workload.traits(session, target_id) == every | {5: KeptTraits("ffffffffffffffff", "utility", ())}
        assert workload.traits(session, target_id + 1) == {}


def test_traits_that_another_dbopt_has_found_are_found_anew(url, target_id, monkeypatch):
    with opened(url) as session:
        workload.keep_traits(session, target_id, {1: TRAITS, 2: TRAITS})
    monkeypatch.setattr(workload, "__version__", "999.0")
    with opened(url) as session:
        assert workload.traits(session, target_id) == {}
        workload.keep_traits(session, target_id, {1: replace(TRAITS, fingerprint="0" * 16)})
        assert workload.traits(session, target_id) == {1: replace(TRAITS, fingerprint="0" * 16)}


def test_the_latest_plan_takes_the_place_of_the_one_before(url, target_id):
    reason = {"reason": "the table is gone", "hint": None, "is_lasting": True}
    with opened(url) as session:
        for queryid in (LOW, 7, HIGH):
            workload.keep_plan(session, target_id, queryid, made(START), ("d1", "Seq Scan on orders"))
        workload.keep_plan(session, target_id, 7, made(START + MINUTE, **reason), None)
    with opened(url, reading=True) as session:
        found = workload.plans(session, target_id, [7, HIGH, LOW, 8])
        assert found == {LOW: made(START), 7: made(START + MINUTE, **reason), HIGH: made(START)}
        assert workload.plans(session, target_id + 1, [7]) == workload.plans(session, target_id, []) == {}
        # No plan is no other plan.
        shape = KeptShape("d1", "Seq Scan on orders", START, START)
        assert workload.shapes(session, target_id, [HIGH, 8, 7]) == {HIGH: [shape], 7: [shape]}


@pytest.mark.parametrize("packed", [b"", b"not packed", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_plan_that_cannot_be_read_is_missing_until_the_next(url, packed):
    look(url, (START, "a"))
    with opened(url) as session:
        session.run("UPDATE statement_plans SET packed = :packed", [{"packed": packed}])
        assert workload.plans(session, 1, [7]) == {}
    look(url, (START + MINUTE, "a"))
    assert latest(url) == START + MINUTE


def test_a_way_of_planning_is_one_row_look_after_look(url):
    look(url, *((START + n * HOUR, "a") for n in range(3)), (START + 3 * HOUR, "b"), (START + 4 * HOUR, "a"))
    look(url, (START, "other"), queryid=8)
    assert ways(url) == [
        ("a", START + 4 * HOUR, START + 4 * HOUR),
        ("b", START + 3 * HOUR, START + 3 * HOUR),
        ("a", START, START + 2 * HOUR),
    ]


def test_whoever_was_held_up_makes_no_flip(url):
    """He has planned before the others, when the plan was another one, and keeps it after them."""
    look(url, (START, "a"), (START + HOUR, "b"), (START + MINUTE, "a"))
    assert ways(url) == [("b", START + HOUR, START + HOUR), ("a", START, START)]
    look(url, (START + 59 * MINUTE, "b"))
    assert ways(url)[0] == ("b", START + HOUR, START + HOUR)
    assert latest(url) == START + HOUR


def test_a_clock_that_was_years_ahead_is_not_waited_for(url):
    now = datetime.now(UTC)
    look(url, (now + 4000 * DAY, "a"), (now, "a"))
    assert (latest(url), ways(url)) == (now, [("a", now + 4000 * DAY, now)])
    look(url, (now + 4000 * DAY, "b"), (now + MINUTE, "c"), (now, "b"))
    assert latest(url) == now + MINUTE
    assert [digest for digest, _, _ in ways(url)] == ["c", "b", "a"]


def test_a_statement_that_flips_at_every_look_does_not_fill_the_store(url):
    look(url, *((START + n * HOUR, "ab"[n % 2]) for n in range(SHAPES_MAX + 5)))
    look(url, (START, "other"), queryid=8)
    found = ways(url)
    assert (len(found), found[0][1]) == (SHAPES_MAX, START + (SHAPES_MAX + 4) * HOUR)
    assert len(ways(url, 8)) == 1


def test_texts_of_a_few(url):
    target_id = keep(url, part(START, 1))
    texts = {queryid: f"SELECT {queryid}" for queryid in range(100)} | {LOW: "SELECT $1", HIGH: "SELECT $1"}
    with opened(url) as session:
        snapshots.keep_texts(session, target_id, texts)
        wanted = [*range(70), LOW, HIGH, 5]  # more than fit into one question
        assert workload.texts_of(session, target_id, [*wanted, 4711]) == {key: texts[key] for key in wanted}
        assert workload.texts_of(session, target_id, []) == {}


LATER = """
import sys
from tests.store.test_workload import *
look(sys.argv[1], (START + MINUTE, "b"))
"""


def test_two_processes_that_plan_the_same_at_once(postgresql_url, database):
    """The later one waits for what the earlier one is about to keep, and sees it."""
    target_id = look(postgresql_url, (START, "a"))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'dbopt store' AND datname = current_database() AND wait_event_type = 'Lock'"
    )
    with plain.transaction(located(postgresql_url), reading=False, wait_seconds=10) as session:
        workload.keep_plan(session, target_id, 7, made(START + MINUTE), ("b", "Seq Scan on b"))
        process = start(LATER, postgresql_url)
        wait_until(lambda: database.sql(waiting) == [(1,)], "the second process's wait")
    with process:
        _, words = process.communicate()
        assert process.returncode == 0, words.decode()
    assert [digest for digest, _, _ in ways(postgresql_url)] == ["b", "a"]


def test_what_is_known_of_a_statement_goes_with_it(url):
    """Of statement 1 the counters are kept, 2 is nowhere any more; 3 is in another database's reading only."""
    other = replace(WHOSE, dbname="crm")
    readings = [part(START, 0, Family.STATEMENTS, q1=1), part(START + HOUR, 0, Family.STATEMENTS, q1=9)]
    target_id = keep(url, *readings)
    keep(url, part(START, 0, Family.STATEMENTS, q3=1), whose=other)
    for queryid in (1, 2, 3):
        look(url, (START, "a"), (START + HOUR, "b"), queryid=queryid)
    with opened(url) as session:
        workload.keep_traits(session, target_id, dict.fromkeys((1, 2, 3), TRAITS))
        snapshots.keep_texts(session, target_id, {1: "SELECT $1", 2: "SELECT $2"})
    done = prune(located(url), before=None, size_bytes=math.inf, dry_run=False, wait_seconds=5)
    gone = {"statement_traits": 2, "statement_plans": 2, "plan_shapes": 4, "statements": 1, "statement_texts": 1}
    assert done.rows == Counter(gone)
    with opened(url) as session:
        assert workload.traits(session, target_id) == {1: TRAITS}
        assert list(workload.plans(session, target_id, [1, 2, 3])) == [1]
        assert {key: len(found) for key, found in workload.shapes(session, target_id, [1, 2, 3]).items()} == {1: 2}


def test_plans_that_are_too_old_go(url):
    look(url, (START, "a"), (START + 5 * DAY, "b"))
    look(url, (START, "a"), queryid=8)
    with opened(url) as session:
        told, _ = retention.would_go(session, START + DAY, math.inf)
        assert told == retention.forget(session, START + DAY) == Counter(plan_shapes=2, statement_plans=1)
    assert [digest for digest, _, _ in ways(url)] == ["b"]
    assert (latest(url), ways(url, 8)) == (START + 5 * DAY, [])


def test_what_there_is_is_counted(url):
    look(url, (START, "a"), (START + DAY, "b"))
    with opened(url) as session:
        workload.keep_traits(session, 1, {7: TRAITS})
        found = space.contents(session)
    assert (found.rows["statement_traits"], found.rows["statement_plans"], found.rows["plan_shapes"]) == (1, 1, 2)
    assert (found.oldest, found.newest) == (START, START + DAY)


def exported(url: str) -> list[dict[str, object]]:
    with opened(url, reading=True) as session:
        return list(records(session, START - DAY, START))


def test_an_export_has_all_of_it(url):
    look(url, (START, "a"), (START + DAY, "b"))
    with opened(url) as session:
        workload.keep_traits(session, 1, {7: TRAITS})
    found = {str(row["kind"]): row for row in exported(url)}
    ours = {"target_id": 1, "queryid": "7"}
    assert found["statement_traits"] == {
        "kind": "statement_traits",
        **ours,
        "dbopt_version": __version__,
        "statement_kind": "select",
        "fingerprint": TRAITS.fingerprint,
        "relations": list(TRAITS.relations),
    }
    plan = {"planned_at": START + DAY, "dbopt_version": __version__, "packed": {"way": "b"}}
    assert found["statement_plan"] == {"kind": "statement_plan", **ours, **plan}
    shape = {"id": 2, "digest": "b", "summary": "Seq Scan on b", "first_at": START + DAY, "last_at": START + DAY}
    assert found["plan_shape"] == {"kind": "plan_shape", **ours, **shape}
    with opened(url, reading=True) as session:
        late = [row["kind"] for row in records(session, START + 2 * DAY, START)]
    assert late == ["store", "target", "statement_traits"]


def test_down_and_up_again_loses_nothing(url):
    """From 0003 on, as stores of an earlier dbopt are, with their readings in them."""
    target_id = keep(url, part(START, 1), part(START + HOUR, 5))
    look(url, (START, "a"), (START + DAY, "b"))
    with opened(url) as session:
        workload.keep_traits(session, target_id, {7: TRAITS})
    before = exported(url)
    with alembic_on(url) as (config, connection):
        command.downgrade(config, "0003")
        assert not sa.inspect(connection).has_table("plan_shapes")
        assert migrate.revision(connection) == "0003"
    assert exported(url) == before  # opening upgrades
    look(url, (START + 2 * DAY, "c"))
    assert [digest for digest, _, _ in ways(url)] == ["c", "b", "a"]


def test_a_store_of_revision_0003_is_brought_up(url):
    """One that never had these tables."""
    target_id = keep(url, part(START, 1), part(START + HOUR, 5))
    with alembic_on(url) as (config, connection):
        command.downgrade(config, "0003")
        for name in ("statement_traits", "statement_plans", "plan_shapes"):
            connection.execute(sa.schema.DropTable(sa.Table(f"aside_0004_{name}", sa.MetaData())))
    assert look(url, (START, "a")) == target_id
    assert len(ways(url)) == 1
    with opened(url) as session:
        assert len(snapshots.intervals(session, target_id, Family.TABLES)) == 1
