"""Whether suggestions have kept their promises: verdicts, what is known of each, and what the command does with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dbopt.optimize.guard import ReplicaUse, Scanned, Window
from dbopt.postgres.reviewed_indexes import ReviewedIndex
from dbopt.snapshot.model import Change, Family, Interval
from dbopt.spec.load import load
from dbopt.store.suggestions import IndexStep, Kept
from dbopt.suggest import evidence, review_spec
from dbopt.suggest.model import Basis, Candidate, Helped, Item, Key, Report, Size, Suggestion, WriteCost
from dbopt.suggest.remembering import Promise, PromisedStatement, promises
from dbopt.suggest.review import (
    CALLS_LEAST,
    FASTER_RATIO,
    LEAST_AGE,
    Built,
    Facts,
    StatementFacts,
    There,
    Times,
    Verdict,
    compared,
    judge,
    proposals,
    reviewed,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PROMISED = NOW - 30 * DAY
BUILT = Built(NOW - 21 * DAY, NOW - 21 * DAY + HOUR)
STATEMENT = PromisedStatement(
    fingerprint="f1", queryids=(7,), cost_before=900.0, cost_after=8.0, calls=100.0, mean_ms=40.0
)
PROMISE = Promise(
    schema="app",
    table="orders",
    index="orders_customer_id_idx",
    candidate=Candidate(relation=("app", "orders"), keys=(Key(column="customer_id"),)),
    size_bytes=8192,
    writes=WriteCost(),
    benefit=0.5,
    basis=Basis.HYPOPG,
    statements=(STATEMENT,),
)
THERE = There(name=PROMISE.index, is_valid=True, size_bytes=16384, scans=500, counted_since=NOW - 100 * DAY)
SPENT = StatementFacts(promised=STATEMENT, before=Times(100, 4000), after=Times(1000, 1000))
FACTS = Facts(promise=PROMISE, promised_at=PROMISED, there=THERE, built=BUILT, dropped_at=None, statements=(SPENT,))


def spent(before: Times | None, after: Times | None) -> StatementFacts:
    return replace(SPENT, before=before, after=after)


def test_what_is_promised():
    """By the report; no text and no value of anybody's."""
    item = Item(
        number=1, query="SELECT 'secret'", shown="SELECT $1", calls=4, time_ms=10.0, queryids=(7, 8), fingerprint="f1"
    )
    unmeasured = replace(item, number=2, time_ms=None, queryids=(), fingerprint=None)
    suggestion = Suggestion(
        candidate=PROMISE.candidate,
        name="orders_customer_id_idx",
        helped=(Helped(item=item, before=900.0, after=8.0), Helped(item=unmeasured, before=5.0, after=1.0)),
        benefit=0.5,
        size=Size(size_bytes=8192, rows=10.0),
        writes=WriteCost(wal_bytes=5.0),
    )
    report = Report(basis=Basis.HYPOPG, suggestions=(suggestion, replace(suggestion, name="other", size=None)))
    first, second = promises(report)
    assert first == replace(
        PROMISE,
        writes=WriteCost(wal_bytes=5.0),
        statements=(
            replace(STATEMENT, queryids=(7, 8), calls=4, mean_ms=2.5),
            PromisedStatement(fingerprint=None, queryids=(), cost_before=5.0, cost_after=1.0, calls=4, mean_ms=None),
        ),
    )
    assert (second.index, second.size_bytes) == ("other", None)
    assert "secret" not in repr(first)


@pytest.mark.parametrize(
    ("facts", "verdict", "reason"),
    [
        (FACTS, Verdict.EARNED, "500 scans; its statements take 1.0 ms and took 40.0 ms"),
        (
            replace(FACTS, statements=(spent(Times(10, 10), Times(100, 100 * FASTER_RATIO)),)),
            Verdict.EARNED,
            "500 scans; its statements take 0.90 ms and took 1.0 ms",
        ),
        (
            replace(FACTS, statements=(spent(Times(10, 400), Times(100, 3700)),)),
            Verdict.NO_FASTER,
            "500 scans; its statements take 37.0 ms and took 40.0 ms",
        ),
        (
            replace(FACTS, there=replace(THERE, scans=0)),
            Verdict.NOT_USED,
            "no scan in 20 d 23 h, though its statements were called 1,000 times",
        ),
        (
            replace(FACTS, there=replace(THERE, scans=0, unasked=(("standby", "no route"),))),
            Verdict.UNKNOWN,
            "no scan here; what the replica standby scans is not known: no route",
        ),
        (
            replace(FACTS, there=replace(THERE, scans=0, counted_since=NOW - LEAST_AGE + HOUR)),
            Verdict.TOO_EARLY,
            "no scan, but scans are counted for 6 d 23 h only",
        ),
        (
            replace(FACTS, there=replace(THERE, scans=0, counted_since=NOW - LEAST_AGE)),
            Verdict.NOT_USED,
            "no scan in 7 d 0 h, though its statements were called 1,000 times",
        ),
        (
            replace(FACTS, there=replace(THERE, scans=0), statements=(spent(None, Times(CALLS_LEAST - 1, 1)),)),
            Verdict.TOO_EARLY,
            "no scan; its statements were called 9 times since, 10 are needed",
        ),
        (
            replace(FACTS, statements=(spent(Times(100, 4000), Times(1, 1)),)),
            Verdict.TOO_EARLY,
            "500 scans; its statements were called 1 time since, 10 are needed",
        ),
        (
            replace(FACTS, built=Built(PROMISED, NOW - LEAST_AGE + HOUR)),
            Verdict.TOO_EARLY,
            "known for 6 d 23 h: judged from 2026-11-22 on",
        ),
        (replace(FACTS, built=Built(PROMISED, NOW - LEAST_AGE)), Verdict.EARNED, None),
        (replace(FACTS, built=None), Verdict.TOO_EARLY, "first seen now: judged from 2026-11-29 on"),
        (
            replace(FACTS, there=replace(THERE, scans=None)),
            Verdict.UNKNOWN,
            "scans are not counted: track_counts is off",
        ),
        (
            replace(FACTS, statements=(spent(Times(100, 4000), None),)),
            Verdict.UNKNOWN,
            "500 scans; nothing is known of its statements since it was built",
        ),
        (replace(FACTS, statements=()), Verdict.UNKNOWN, None),
        (
            replace(FACTS, statements=(spent(None, Times(100, 100)),)),
            Verdict.UNKNOWN,
            "500 scans; how long its statements took before is not known",
        ),
        (replace(FACTS, there=None, built=None), Verdict.NOT_APPLIED, "there is no such index"),
        (
            replace(FACTS, there=replace(THERE, is_valid=False)),
            Verdict.NOT_APPLIED,
            "it is INVALID: its build failed, or is not finished",
        ),
        (replace(FACTS, there=None), Verdict.GONE, "it was there, and is not any more"),
        (replace(FACTS, there=None, dropped_at=NOW - DAY), Verdict.GONE, "dropped on 2026-11-21"),
    ],
)
def test_the_verdict(facts, verdict, reason):
    found = judge(facts, NOW)
    assert found.verdict is verdict
    assert reason in (None, found.reason)


def test_times_are_weighed_by_the_calls_since():
    """A statement that is called more often than before makes nothing slower."""
    quick, slow = spent(Times(1000, 1000), Times(10, 10)), spent(Times(10, 1000), Times(1000, 50_000))
    assert compared((quick, slow)) == (pytest.approx(100_010 / 1010), pytest.approx(50_010 / 1010))
    new = spent(None, Times(5, 5000))
    idle = spent(Times(5, 5000), Times(0, 0))
    assert compared((quick, new, idle)) == (1.0, 1.0), "of what cannot be compared nothing counts"
    assert compared((new, idle)) == (None, None)


def test_what_asks_for_a_decision_comes_first():
    unused = replace(FACTS, there=replace(THERE, scans=0))
    other = replace(FACTS, promise=replace(PROMISE, schema="aa"))
    found = reviewed([replace(FACTS, there=None, built=None), FACTS, unused, other], NOW)
    assert [(item.verdict, item.facts.promise.schema) for item in found] == [
        (Verdict.NOT_USED, "app"),
        (Verdict.EARNED, "aa"),
        (Verdict.EARNED, "app"),
        (Verdict.NOT_APPLIED, "app"),
    ]


# What is known of a promise


ROW = ReviewedIndex(
    oid=100,
    table_schema="app",
    table="orders",
    index=PROMISE.index,
    method="btree",
    is_valid=True,
    is_unique=False,
    columns=["customer_id"],
    opclasses=[None],
    indoption=[0],
    has_predicate=False,
    comment="Why it is there. [dbopt:1 shop/orders_customer_id_idx sha=0123456789ab]",
    oids=[100],
    part_schemas=["app"],
    part_names=[PROMISE.index],
    idx_scan=3,
    size_bytes=4096,
)
KEPT = Kept(id=1, promised_at=PROMISED, seen_at=None, promise=PROMISE)
WINDOW = Window(seconds=50 * 86_400.0)
NOTHING = evidence.Evidence(queryids={}, texts={})


def step(action: str, at: datetime, index: str = PROMISE.index, schema: str = "app") -> IndexStep:
    return IndexStep(schema=schema, table="orders", index=index, action=action, started_at=at, ended_at=at + HOUR)


def statements(from_at: datetime, to_at: datetime, **calls: tuple[float, float]) -> Interval:
    """Calls and milliseconds by queryid, after a q."""
    changes = {}
    for name, amounts in calls.items():
        key = f"{name.removeprefix('q')}/10/1"
        changes[key] = Change(key, name.removeprefix("q"), amounts)
    counts = ("calls", "total_exec_time_ms")
    seconds = (to_at - from_at).total_seconds()
    return Interval(
        family=Family.STATEMENTS, from_at=from_at, to_at=to_at, seconds=seconds, counts=counts, changes=changes
    )


def scans(from_at: datetime, to_at: datetime, **amounts: float) -> Interval:
    changes = {
        name.removeprefix("i"): Change(name.removeprefix("i"), name, (amount,)) for name, amount in amounts.items()
    }
    return Interval(
        family=Family.INDEXES, from_at=from_at, to_at=to_at, seconds=1.0, counts=("idx_scan",), changes=changes
    )


def known(*rows: ReviewedIndex, kept: Kept = KEPT, replicas: tuple[ReplicaUse, ...] = (), **stored: object) -> Facts:
    now = evidence.Now(at=NOW, indexes=rows, window=WINDOW, replicas=replicas)
    [found] = evidence.facts([kept], now, replace(NOTHING, **stored))
    return found


def test_the_ledger_tells_when_it_was_built():
    earlier = step("create", PROMISED - DAY)
    others = (step("create", PROMISED + HOUR, schema="other"), step("create", PROMISED + HOUR, index="other"))
    first, again = step("create", PROMISED + DAY), step("replace", PROMISED + 2 * DAY)
    found = known(ROW, steps=(earlier, *others, first, again))
    assert found.built == Built(first.started_at, first.ended_at)
    assert found.there == There(
        name=PROMISE.index,
        is_valid=True,
        size_bytes=4096,
        scans=3,
        counted_since=NOW - 50 * DAY,
        domain="shop",
    )
    dropped = step("drop", PROMISED + 3 * DAY)
    gone = known(steps=(first, dropped))
    assert (gone.there, gone.built, gone.dropped_at) == (None, found.built, dropped.ended_at)
    back = step("create", PROMISED + 4 * DAY)
    assert known(ROW, steps=(first, dropped, back)).built == Built(back.started_at, back.ended_at)
    mended = step("repair", PROMISED + 5 * DAY)
    assert known(ROW, steps=(first, mended)).built == Built(mended.started_at, mended.ended_at), "INVALID until then"


def test_else_the_first_reading_or_review_that_has_seen_it():
    readings = (scans(PROMISED, PROMISED + DAY, i1000=5), scans(PROMISED + DAY, PROMISED + 2 * DAY, i100=5))
    assert known(ROW, indexes=readings).built == Built(PROMISED, PROMISED + 2 * DAY)
    seen = replace(KEPT, seen_at=PROMISED + HOUR)
    assert known(ROW, kept=seen, indexes=readings).built == Built(PROMISED, PROMISED + HOUR)
    assert known(kept=seen).built is not None, "it was there once"
    assert known(ROW).built is None


def test_an_index_that_was_renamed_is_found_by_its_definition():
    renamed = replace(ROW, index="by_customer", comment=None)
    assert known(renamed, steps=(step("create", PROMISED + DAY, index="by_customer"),)).built is not None
    found = known(renamed).there
    assert found is not None
    assert (found.name, found.domain) == ("by_customer", None)
    for other in (
        replace(renamed, table_schema="other"),
        replace(renamed, columns=["customer_id", "note"]),
        replace(renamed, columns=[None]),
        replace(renamed, opclasses=["text_pattern_ops"]),
        replace(renamed, indoption=[3]),
        replace(renamed, has_predicate=True),
        replace(renamed, is_unique=True),
        replace(renamed, method="brin"),
    ):
        assert known(other).there is None


def test_scans_of_all_parts_before_a_reset_and_on_replicas():
    tree = replace(ROW, oids=[101, 102], part_schemas=["app", "old"], part_names=["a_idx", "b_idx"], idx_scan=4)
    created = step("create", PROMISED + DAY)
    since = (
        scans(PROMISED, PROMISED + DAY, i101=1000),
        scans(PROMISED + 2 * DAY, PROMISED + 3 * DAY, i101=5, i102=6, i1010=99),
    )
    used = {("old", "b_idx"): Scanned("old", "b_idx", 7, None), ("app", "b_idx"): Scanned("app", "b_idx", 50, None)}
    replicas = (ReplicaUse(name="near", seconds=1.0, scanned=used), ReplicaUse(name="far", problem="no route"))
    found = known(tree, steps=(created,), indexes=since, replicas=replicas).there
    assert found is not None
    assert (found.scans, found.unasked) == (5 + 6 + 7, (("far", "no route"),))
    assert known(tree, steps=(created,)).there == replace(found, scans=4, unasked=())


def test_statements_before_and_since():
    """Under all ids that one has had; what was running while it was built says neither."""
    created = step("create", NOW - 20 * DAY)
    built = (created.started_at, created.ended_at)
    stored = (
        statements(built[0] - 8 * DAY, built[0] - 7 * DAY - HOUR, q7=(500, 500)),
        statements(built[0] - 2 * DAY, built[0] - DAY, q7=(10, 300), q8=(10, 500), q9=(1, 1)),
        statements(built[0] - HOUR, built[1] + HOUR, q7=(7, 7)),
        statements(built[1], built[1] + DAY, q7=(100, 100)),
        statements(built[1] + DAY, NOW, q8=(200, 500), q9=(1, 1)),
    )
    ids = {"f1": frozenset({7, 8}), "f2": frozenset({9})}
    [found] = known(ROW, steps=(created,), statements=stored, queryids=ids, texts={8: "SELECT $1"}).statements
    assert (found.before, found.after, found.query) == (Times(20, 800), Times(300, 600), "SELECT $1")
    [few] = known(ROW, steps=(created,), statements=stored[2:], queryids=ids).statements
    assert (few.before, few.after) == (Times(100, 4000), Times(300, 600)), "then by what was promised"
    [none] = known(ROW, steps=(created,), statements=stored[:3], queryids=ids).statements
    assert none.after is None
    nobodys = replace(KEPT, promise=replace(PROMISE, statements=(replace(STATEMENT, queryids=(), fingerprint=None),)))
    [alone] = known(ROW, kept=nobodys, steps=(created,), statements=stored, queryids=ids).statements
    assert alone.after is None


def test_a_reading_that_was_taken_somewhat_before_the_build_counts_as_since():
    created = step("create", NOW - 20 * DAY)
    mostly = statements(created.ended_at - DAY, created.ended_at + 9 * DAY, q7=(100, 100))
    [found] = known(ROW, steps=(created,), statements=(mostly,)).statements
    assert found.after == Times(100, 100)
    partly = replace(mostly, from_at=created.ended_at - DAY - HOUR)
    [found] = known(ROW, steps=(created,), statements=(partly,)).statements
    assert found.after is None


# What it comes to


UNUSED = replace(FACTS, there=replace(THERE, scans=0, domain="shop"))
SLOW = replace(
    FACTS,
    promise=replace(PROMISE, schema="public", table="notes", index="notes_idx"),
    there=replace(THERE, name="notes_idx"),
    statements=(spent(Times(10, 400), Times(100, 3700)),),
)
SPEC = """\
spec: 1
domain: shop
defaults: {schema: app}
# by hand
indexes:
  - name: orders_customer_id_idx  # the list of a customer
    table: orders
    keys: [customer_id]
    include: [note]
    why: suggested
    owner: team-shop
    priority: 1
    serves: [{query: SELECT 1}]
    needs: {extension: btree_gin}
  - name: other_idx
    table: orders
    keys: [other]
    why: still needed
"""


def test_what_has_not_earned_its_place_is_proposed_to_go():
    found = reviewed([UNUSED, SLOW, FACTS, replace(FACTS, there=None)], NOW)
    assert proposals(found, NOW) == (
        {
            "name": "orders_customer_id_idx",
            "table": {"schema": "app", "name": "orders"},
            "state": "absent",
            "guard": {"unused_for": "7d"},
            "why": "suggested on 2026-10-23 for 1 statement; as of 2026-11-22 not used: no scan in 20 d 23 h, though"
            " its statements were called 1,000 times",
        },
        {
            "name": "notes_idx",
            "table": {"schema": "public", "name": "notes"},
            "state": "absent",
            "why": "suggested on 2026-10-23 for 1 statement; as of 2026-11-22 no faster: 500 scans; its statements take"
            " 37.0 ms and took 40.0 ms",
        },
    )


def test_as_a_new_file(tmp_path):
    found = reviewed([UNUSED, SLOW], NOW)
    path = tmp_path / "drops.yaml"
    domain = review_spec.domain_of(found)
    path.write_text(review_spec.new_file(proposals(found, NOW), domain))
    [file] = load([path]).files
    assert (file.domain, [(entry.schema_name, entry.name, entry.state) for entry in file.indexes]) == (
        "shop",
        [("app", "orders_customer_id_idx", "absent"), ("public", "notes_idx", "absent")],
    )
    assert file.indexes[0].guard is not None
    assert file.indexes[0].guard.unused_for == LEAST_AGE.total_seconds()
    assert review_spec.is_foreign(found, domain), "notes_idx was made by hand"
    assert not review_spec.is_foreign(reviewed([UNUSED, FACTS], NOW), domain)
    assert review_spec.domain_of(reviewed([SLOW], NOW)) == review_spec.DOMAIN


def test_as_changes_in_a_spec(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(SPEC)
    entries = proposals(reviewed([UNUSED, SLOW], NOW), NOW)
    done = review_spec.updated(load([path]).files[0], SPEC, entries)
    assert done is not None
    assert (done.changed, done.added, done.undone) == (1, 1, ())
    path.write_text(done.text)
    gone, other, added = load([path]).files[0].indexes
    assert (gone.name, gone.state, gone.keys, gone.serves, gone.owner, gone.priority) == (
        "orders_customer_id_idx",
        "absent",
        (),
        (),
        "team-shop",
        1,
    )
    assert (gone.why or "").startswith("suggested on 2026-10-23")
    assert (other.name, other.state) == ("other_idx", "present")
    assert (added.name, added.schema_name, added.state) == ("notes_idx", "public", "absent")
    assert {"# by hand", "# the list of a customer"} <= {line[line.find("#") :] for line in done.text.splitlines()}
    again = review_spec.updated(load([path]).files[0], done.text, entries)
    assert again is not None
    assert (again.text, again.changed, again.added) == (done.text, 0, 0)
