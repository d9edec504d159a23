"""Whatever happens to a server's counters, and whoever reads them when: never negative, never more than the truth, all
of it where nothing destroyed it, and rates right for the time that was watched.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from dbopt.snapshot.delta import total
from dbopt.snapshot.model import Family
from dbopt.store import plain, snapshots, targets
from dbopt.store.location import locate
from dbopt.store.targets import Whose
from tests.snapshot.modelled import CATALOGS, GROUPS, Modelled

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from dbopt.snapshot.model import Interval, Part
    from dbopt.store.location import Location

FAMILIES = (Family.SERVER, Family.RELATIONS, Family.TABLES, Family.INDEXES, Family.STATEMENTS)
_numbers = itertools.count(1)


@dataclass
class Reading:
    parts: list[Part]
    truth: Counter[tuple[str, str]]
    seconds: float
    events: int  # how many had happened


class Truth(RuleBasedStateMachine):
    """`events`: what happened, as (what, family or None for all, name or None for all)."""

    location: Location
    variants: tuple[str, ...]

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.session = self.stack.enter_context(plain.transaction(self.location, reading=False, wait_seconds=5))
        self.whose = Whose("7", f"db{next(_numbers)}", "7")
        self.events: list[tuple[str, str | None, str | None]] = []
        self.held: list[Reading] = []
        self.heads: dict[str, Reading] = {}
        self.made: dict[str, list[tuple[Reading, Reading, Interval]]] = {family: [] for family in FAMILIES}

    def teardown(self) -> None:
        try:
            self.check_totals()
        finally:
            self.stack.close()

    @initialize(variant=st.sampled_from(("1.8", "1.9", "1.11")), traced=st.booleans())
    def begin(self, variant: str, traced: bool) -> None:
        self.server = Modelled(variant)
        self.server.work(60)
        if traced:
            self.server.traces[0] = self.server.clock
        self.server.work(60)
        self.snapshot()

    # What happens.

    @rule(seconds=st.sampled_from((1, 7, 55, 60, 300, 3600, 86_400, 10 * 86_400)))
    def work(self, seconds: int) -> None:
        self.server.work(seconds)

    @rule(number=st.integers(0, CATALOGS - 1))
    def vacuum_a_catalog(self, number: int) -> None:
        self.server.traces[number] = self.server.clock

    @rule()
    def reset_database(self) -> None:
        self.server.reset_database()
        self.destroyed("all", *self.of_database())

    @rule(keeps_statements=st.booleans())
    def crash(self, keeps_statements: bool) -> None:
        self.server.crash(keeps_statements=keeps_statements)
        self.destroyed("all", *self.of_database(), (Family.SERVER, "checkpointer"))
        if not keeps_statements:
            self.destroyed("statements", (Family.STATEMENTS, None))

    @staticmethod
    def of_database() -> list[tuple[str, str | None]]:
        families = (Family.TABLES, Family.INDEXES, Family.RELATIONS)
        return [(Family.SERVER, "database"), *((family, None) for family in families)]

    @rule(family=st.sampled_from((Family.TABLES, Family.INDEXES)), at=st.integers(0, 9))
    def reset_one(self, family: str, at: int) -> None:
        thing = self.pick(family, at)
        self.server.reset_one(thing)
        self.destroyed("one", (family, thing.name), (Family.RELATIONS, None))

    @rule(number=st.integers(0, CATALOGS - 1))
    def reset_a_catalog(self, number: int) -> None:
        self.server.reset_catalog(number)
        self.destroyed("one", (Family.RELATIONS, None))

    @rule()
    def reset_the_checkpointer(self) -> None:
        self.server.reset_checkpointer()
        self.destroyed("own", (Family.SERVER, "checkpointer"))

    @rule(family=st.sampled_from((Family.TABLES, Family.INDEXES)), at=st.integers(0, 9), same_oid=st.booleans())
    def drop_and_create(self, family: str, at: int, same_oid: bool) -> None:
        thing = self.pick(family, at)
        del self.server.things(family)[thing.oid]
        oid = thing.oid if same_oid and family == Family.TABLES else None
        self.server.make(family, thing.name, oid=oid)
        self.destroyed("drop", (family, thing.name), (Family.RELATIONS, None))

    @rule(at=st.integers(0, 9))
    def drop_and_reuse_the_oid(self, at: int) -> None:
        thing = self.pick(Family.TABLES, at)
        del self.server.tables[thing.oid]
        new = self.server.make(Family.TABLES, f"t{100 + len(self.events)}", oid=thing.oid)
        self.destroyed("drop", (Family.TABLES, thing.name), (Family.TABLES, new.name), (Family.RELATIONS, None))

    @rule(family=st.sampled_from((Family.TABLES, Family.INDEXES)))
    def create(self, family: str) -> None:
        new = self.server.make(family, f"{family[0]}{100 + len(self.events)}", rate=3)
        self.destroyed("made", (family, new.name), (Family.RELATIONS, None))
        self.events[-2:] = [("made", family, new.name), ("made", Family.RELATIONS, None)]

    @rule(at=st.integers(0, 9))
    def rebuild_concurrently(self, at: int) -> None:
        thing = self.pick(Family.INDEXES, at)
        self.server.rebuild_concurrently(thing.oid)
        self.destroyed("drop", (Family.RELATIONS, None))
        self.events.append(("rebuilt", Family.INDEXES, thing.name))

    @rule()
    def reset_statements(self) -> None:
        self.server.reset_statements()
        self.destroyed("statements", (Family.STATEMENTS, None))

    @rule(queryid=st.integers(1, 4))
    def reset_statement(self, queryid: int) -> None:
        self.server.reset_statement(queryid)
        self.destroyed("statement", (Family.STATEMENTS, str(queryid)))

    @rule(queryid=st.integers(1, 4))
    def evict(self, queryid: int) -> None:
        self.server.evict(queryid)
        self.destroyed("evict", (Family.STATEMENTS, str(queryid)))

    @rule()
    def fail_over(self) -> None:
        self.server.fail_over()
        self.destroyed("machine", *((family, None) for family in FAMILIES))

    @rule(seconds=st.sampled_from((-86_400, -3600, -30, 30, 3600)))
    def set_the_clock(self, seconds: int) -> None:
        self.server.clock += timedelta(seconds=seconds)
        self.destroyed("clock", *(((family, None) for family in FAMILIES) if seconds < 0 else ()))

    # Who looks.

    @rule()
    def snapshot(self) -> None:
        self.keep(self.reading())

    @rule()
    def hold_a_reading(self) -> None:
        """By another process, which keeps it later."""
        self.held.append(self.reading())

    @precondition(lambda self: self.held)
    @rule()
    def keep_the_held(self) -> None:
        self.server.work(11)
        self.keep(self.held.pop())

    def reading(self) -> Reading:
        return Reading(self.server.read(), self.server.truth.copy(), self.server.seconds, len(self.events))

    def keep(self, reading: Reading) -> None:
        parts = [replace(part, asked_at=reading.seconds) for part in reading.parts]
        target_id = targets.find_or_add(self.session, self.whose)
        with mock.patch.object(snapshots, "time", mock.Mock(time=lambda: self.server.seconds)):
            made = snapshots.keep(self.session, self.whose, "main", parts)
        for part in parts:
            if snapshots.head(self.session, target_id, part.family) == part:
                before, self.heads[part.family] = self.heads.get(part.family), reading
                if before is not None and part.family in made:
                    self.made[part.family].append((before, reading, made[part.family]))
                    self.check(part.family, before, reading, made[part.family])

    def pick(self, family: str, at: int):
        things = list(self.server.things(family).values())
        return things[at % len(things)]

    def destroyed(self, what: str, *subjects: tuple[str, str | None]) -> None:
        self.events.append((what, None, ""))
        self.events.extend((what, family, name) for family, name in subjects)

    # What has to be true of it.

    def check(self, family: str, before: Reading, now: Reading, interval: Interval) -> None:
        happened = self.events[before.events : now.events]
        for name in {name for of, name in now.truth if of == family}:
            truth = max(0.0, now.truth[family, name] - before.truth[family, name])  # held while the clock was set back
            amount = amount_of(interval, name)
            assert 0 <= amount <= truth * (1 + 1e-9), (family, name, amount, truth, happened)
            if not any(
                of == family and which in (None, name)
                for what, of, which in happened
                if what not in ("made", "rebuilt")
            ):
                assert amount == pytest.approx(truth), (family, name, happened)
        for key, change in interval.changes.items():
            for value in change.counts:
                assert value is None or value >= 0
            assert 0 <= change.lost_seconds <= interval.seconds
            rate = rate_of(interval, key)
            if rate is not None and is_steady(family, change.name, happened, self.server.variant):
                expected = (now.truth[family, change.name] - before.truth[family, change.name]) / (
                    now.seconds - before.seconds
                )
                assert rate == pytest.approx(expected, rel=0.01), (family, change.name, happened)

    def check_totals(self) -> None:
        target_id = targets.find_or_add(self.session, self.whose)
        for family, made in self.made.items():
            if not made:
                continue
            whole, thinned = (
                total(items)
                for items in (
                    [interval for _, _, interval in made],
                    snapshots.intervals(self.session, target_id, family),
                )
            )
            assert whole is not None
            assert thinned is not None
            assert thinned.seconds == pytest.approx(whole.seconds)
            if any(what == "clock" for what, _, _ in self.events):  # they lie in another order
                continue
            assert thinned.changes.keys() == whole.changes.keys()
            for key, change in whole.changes.items():
                assert thinned.changes[key].lost_seconds == pytest.approx(change.lost_seconds)
                assert thinned.changes[key].counts == pytest.approx(change.counts)
            happened = self.events[made[0][0].events : made[-1][1].events]
            for key in made[-1][2].changes:
                name = whole.changes[key].name
                rate = rate_of(whole, key)
                first, last = made[0][0], made[-1][1]
                if rate is not None and is_steady(family, name, happened, self.server.variant):
                    truth = last.truth[family, name] - first.truth[family, name]
                    assert rate == pytest.approx(truth / (last.seconds - first.seconds), rel=0.01), (family, name)


def column(interval: Interval, name: str) -> str:
    return name if name in GROUPS else interval.counts[0]


def rate_of(interval: Interval, key: str) -> float | None:
    """None as well where a reset and a reading came one after the other, with no work between them."""
    name = column(interval, interval.changes[key].name)
    return interval.rate(key, name) if interval.seconds_of(key, name) >= 1 else None


def amount_of(interval: Interval, name: str) -> float:
    at = interval.counts.index(column(interval, name))
    return sum(change.counts[at] or 0.0 for change in interval.changes.values() if change.name == name)


def is_steady(family: str, name: str, happened: list[tuple[str, str | None, str | None]], variant: str) -> bool:
    """Whether a rate is to be expected that is the same at all times, and nothing happened that cannot be told."""
    kinds = [what for what, _, _ in happened]
    if "clock" in kinds:
        return False
    if any(what in ("made", "drop") and of == family and which in (None, name) for what, of, which in happened):
        return False  # it was not always there
    if "machine" in kinds and ("rebuilt", family, name) in happened:
        return False  # nobody knows that it is the same one
    if family in (Family.TABLES, Family.INDEXES, Family.RELATIONS, Family.SERVER):
        # Two resets in one interval look like the last one, where nothing tells of the time between them.
        return not ("all" in kinds and "one" in kinds)
    one_by_one = {what for what, _, which in happened if which == name} & {"evict", "statement"}
    if variant == "1.11":
        return not ("statements" in kinds and "statement" in kinds)
    # What was dropped and has by now been called more often than before looks as if it had gone on.
    return not one_by_one and (variant == "1.9" or "statements" not in kinds)


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Location:
    folder: Path = tmp_path_factory.mktemp("truth")
    found = locate(f"sqlite:///{folder}/store.db")
    plain.make_ready(found)
    return found


def test_sums_and_rates(location: Location) -> None:
    machine = type("TruthHere", (Truth,), {"location": location})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
