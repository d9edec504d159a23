"""What was promised of indexes, on both databases."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from alembic import command

from dbopt.store import migrate, plain, retention, space, suggestions, targets
from dbopt.store.export import records
from dbopt.suggest.model import Basis, Candidate, Key, WriteCost
from dbopt.suggest.remembering import Promise, PromisedStatement

from .readings import DAY, HOUR, START, WHOSE, located, opened, rows
from .test_migrations import alembic_on
from .values import events_of, make_plan, record

STATEMENT = PromisedStatement(
    fingerprint="a1b2c3d4e5f60718",
    queryids=(-(2**63), 2**63 - 1),
    cost_before=1234.5,
    cost_after=8.3,
    calls=1e6,
    mean_ms=41.25,
)
PROMISE = Promise(
    schema="app",
    table='Odd "orders"',
    index="größe_idx",
    candidate=Candidate(
        relation=("app", 'Odd "orders"'),
        keys=(Key(column="größe"), Key(expression="lower(name)", opclass="text_pattern_ops", descending=True)),
        include=("note",),
        where="status = 'open'::text",
        parameters=(("fillfactor", "70"), ("deduplicate_items", "off")),
    ),
    size_bytes=2**40,
    writes=WriteCost(entries=10.0, wal_bytes=1e9, lost_hot=3.0, cost=77.5),
    benefit=0.25,
    basis=Basis.HYPOPG,
    statements=(STATEMENT, replace(STATEMENT, fingerprint=None, queryids=(), mean_ms=None)),
)
BARE = replace(
    PROMISE,
    table="notes",
    index="notes_body_idx",
    candidate=Candidate(relation=("app", "notes"), keys=(Key(column="body"),), method="gin"),
    size_bytes=None,
    basis=Basis.STATISTICS,
    statements=(),
)


def promise(url: str, *promises: Promise, at=START) -> int:
    with opened(url) as session:
        target_id = targets.find_or_add(session, WHOSE)
        suggestions.keep(session, target_id, promises, target_name="main", promised_at=at)
    return target_id


def kept(url: str, target_id: int) -> list[suggestions.Kept]:
    with opened(url, reading=True) as session:
        return suggestions.kept(session, target_id)


def test_promises_come_back_as_they_were_given(url):
    target_id = promise(url, PROMISE)
    promise(url, BARE, at=START + HOUR)
    promise(url)
    assert [(item.promise, item.promised_at, item.seen_at) for item in kept(url, target_id)] == [
        (BARE, START + HOUR, None),
        (PROMISE, START, None),
    ]
    assert kept(url, target_id + 1) == []


def test_an_index_that_is_promised_again_is_held_to_the_last_promise(url):
    target_id = promise(url, PROMISE, BARE)
    with opened(url) as session:
        suggestions.seen(session, [item.id for item in suggestions.kept(session, target_id)], START + HOUR)
        suggestions.seen(session, [item.id for item in suggestions.kept(session, target_id)], START + DAY)
    assert {item.seen_at for item in kept(url, target_id)} == {START + HOUR}, "the first time counts"
    again = replace(PROMISE, size_bytes=5, statements=(STATEMENT,))
    promise(url, again, at=START + DAY)
    first, second = kept(url, target_id)
    assert (first.promise, first.promised_at, first.seen_at) == (again, START + DAY, None)
    assert (second.promise, second.seen_at) == (BARE, START + HOUR)


@pytest.mark.parametrize("packed", [b"", b"not packed", b"x\x9c\x03\x00\x00\x00\x00\x01", b"x\x9c\xabV*J-\x04\x00"])
def test_a_promise_that_cannot_be_read_is_missing(url, packed):
    target_id = promise(url, PROMISE, BARE)
    with opened(url) as session:
        session.run(
            "UPDATE suggestions SET packed = :packed WHERE index_name = :name", [{"packed": packed, "name": BARE.index}]
        )
    assert [item.promise for item in kept(url, target_id)] == [PROMISE]


def test_what_runs_made_and_dropped_since(url):
    plan = make_plan(3)
    record(url, events_of(plan, error="disk is full"), clock=lambda: START)
    record(url, events_of(make_plan(1)), clock=lambda: START + DAY)
    with opened(url, reading=True) as session:
        server = plan.target.system_identifier
        target_id = targets.find(session, targets.Whose(server, "app", server))
        steps = suggestions.index_steps(session, [target_id, target_id + 1], START - HOUR)
        assert suggestions.index_steps(session, [target_id], START + HOUR) == steps[2:]
    lasted = timedelta(seconds=1.5)
    assert [(step.index, step.action, step.ended_at) for step in steps] == [
        ("orders_1", "create", START),
        ("orders_2", "create", START),
        ("orders_1", "create", START + DAY),
    ], "the third of the first run has failed"
    assert all(
        (step.schema, step.table, step.ended_at - step.started_at) == ("app", "orders", lasted) for step in steps
    )


def test_the_store_counts_exports_and_forgets_them(url):
    target_id = promise(url, PROMISE)
    promise(url, BARE, at=START + DAY)
    with opened(url, reading=True) as session:
        told = [row for row in records(session, START - DAY, START) if row["kind"] == "suggestion"]
        counted = space.contents(session)
    assert [row["index_name"] for row in told] == [PROMISE.index, BARE.index]
    assert (told[0]["promised_at"], told[0]["seen_at"]) == (START, None)
    assert told[0]["packed"]["statements"][0]["queryids"] == [str(-(2**63)), str(2**63 - 1)]
    assert (counted.rows["suggestions"], counted.oldest, counted.newest) == (2, START, START + DAY)
    with opened(url) as session:
        assert retention.forget(session, START + HOUR) == Counter(suggestions=1)
    assert [item.promise for item in kept(url, target_id)] == [BARE]


def test_a_step_back_puts_them_aside(url):
    """And the next upgrade takes them back."""
    target_id = promise(url, PROMISE)
    with alembic_on(url) as (config, connection):
        command.downgrade(config, "0005")
        assert not sa.inspect(connection).has_table("suggestions")
        assert migrate.revision(connection) == "0005"
    plain.make_ready(located(url))
    assert [item.promise for item in kept(url, target_id)] == [PROMISE]
    promise(url, BARE)
    assert rows(url, "suggestions") == 2
