"""A moment after the statistics were reset: nothing is unused, dead or quick because the counters say nothing yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from helpers import wait_until

from dbopt.health.check import Status
from dbopt.health.checks import all_checks
from tests.health.faults import plant
from tests.health.looks import failed, look_at, run_check, sample_of, subjects, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.health.verdict import Verdict

USED = """
    CREATE TABLE used (id int PRIMARY KEY, a int, b text);
    INSERT INTO used SELECT i, i, repeat('b', 50) || i FROM generate_series(1, 20000) AS i;
    CREATE INDEX used_a ON used (a);
    CREATE INDEX used_b ON used (b);
    ANALYZE used;
"""


@pytest.fixture(scope="module")
def looks(pg: Server) -> Iterator[tuple[Database, Verdict, Verdict]]:
    """A faulty database, what was said of it before its statistics were reset, and after."""
    with pg.database() as fresh:
        plant(fresh)
        fresh.sql(USED)
        for _ in range(20):
            fresh.sql("SET enable_seqscan = off; SELECT 1 FROM used WHERE a = 7; SELECT 1 FROM used WHERE b = 'x'")
        scans = "SELECT COALESCE(sum(idx_scan), 0)::int8 FROM pg_stat_user_indexes WHERE relname = 'used'"
        wait_until(lambda: fresh.sql(scans) == [(40,)], "counting")
        before, _ = look_at(fresh)
        fresh.sql("SELECT pg_stat_reset()")
        wait_until(lambda: fresh.sql(scans) == [(0,)], "the reset")  # which 13 and 14 do behind one's back
        after, facts = look_at(fresh)
        assert failed(facts) == {}
        yield fresh, before, after


def test_a_reset_makes_no_problem(looks: tuple[Database, Verdict, Verdict]) -> None:
    _, before, after = looks
    known = {(result.id, name) for result in before.results for name in subjects(result)}
    new = {(result.id, name) for result in after.results for name in subjects(result)} - known
    assert new == set(), told(after)


def test_a_reset_heals_nothing(looks: tuple[Database, Verdict, Verdict]) -> None:
    """A half-dead table looks clean then, and is not."""
    _, before, after = looks
    now = {result.id: result for result in after.results}
    healed = {
        result.id: now[result.id].status
        for result in before.results
        if result.status.is_problem and now[result.id].status is Status.OK
    }
    assert healed == {}


def test_a_reset_hides_nothing_for_which_somebody_has_to_get_up(looks: tuple[Database, Verdict, Verdict]) -> None:
    """That there is no answer yet is no reason for an alarm."""
    _, _, after = looks
    assert [result.id for result in after.results if result.blind] == []


@pytest.mark.parametrize("check_id", ["dead-tuples", "missing-index", "cache-hit-ratio"])
def test_what_lives_on_counters_says_how_long_they_have_counted(
    check_id: str, looks: tuple[Database, Verdict, Verdict]
) -> None:
    [result] = [result for result in looks[2].results if result.id == check_id]
    assert result.status is Status.UNKNOWN
    assert any(unit in (result.reason or "") for unit in (" ms", " s", " min")), result.reason


def test_no_index_is_unused_for_want_of_counting(looks: tuple[Database, Verdict, Verdict]) -> None:
    database, _, _ = looks
    result = run_check(database, "unused-index", limits={"min_size": 0})
    assert (result.status, result.findings) == (Status.UNKNOWN, ())
    assert any(unit in (result.reason or "") for unit in (" ms", " s", " min")), result.reason


def _calm() -> list[str]:
    """All but what the tests' server is rightly accused of: it runs without fsync."""
    return [check.id for check in all_checks() if check.id != "unsafe-durability"]


def test_counters_that_were_reset_between_two_looks_are_not_compared(pg: Server) -> None:
    """The last run's counters were higher than these: no negative ratio, and no window longer than there is."""
    with pg.database() as fresh:
        fresh.sql(USED)
        for _ in range(30):
            fresh.sql("SELECT count(*) FROM used")
        _, facts = look_at(fresh)
        before = sample_of(facts)
        much = {
            check_id: tuple(
                replace(one, values={name: value + 1e9 for name, value in one.values.items()}) for one in counters
            )
            for check_id, counters in before.counters.items()
        }
        fresh.sql("SELECT pg_stat_reset()")
        verdict, _ = look_at(fresh, before=replace(before, counters=much), checks=_calm())
        assert told(verdict) == {}
        for result in verdict.results:
            for measured in result.measured:
                assert measured.measure >= 0
