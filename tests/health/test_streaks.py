"""Runs in a row."""

from __future__ import annotations

import pytest

from dbopt.health.check import Status
from dbopt.health.streaks import found, hold_back, is_over

from .results import finding, result, skipped, subjects

KEY = ("unused-index", "a")


@pytest.mark.parametrize(("before", "counts"), [(0, False), (1, False), (2, True), (9, True)])
def test_it_counts_from_the_nth_run_on(before: int, counts: bool) -> None:
    [left] = hold_back([result("unused-index", finding("a"))], {KEY: before}, 3)
    assert bool(left.findings) is counts
    assert (left.status is Status.WARNING) is counts
    assert subjects(left.pending) == ([] if counts else ["a"])


def test_pending_says_how_far_it_is() -> None:
    [left] = hold_back([result("unused-index", finding("a"))], {KEY: 1}, 3)
    assert left.pending[0].reason == "seen in 2 of 3 runs in a row"


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ([result("unused-index")], True),
        ([result("unused-index", finding("b"))], True),
        ([result("unused-index", finding("a", Status.CRITICAL))], False),
        ([result("unused-index", finding("b"), reason="no right: c")], False),
        ([result("unused-index", reason="statistics are too young")], False),
        ([skipped("unused-index")], False),
        ([result("duplicate-index")], False),
        ([], False),
    ],
)
def test_a_row_is_broken_by_a_run_that_could_tell(now: list, over: bool) -> None:
    assert is_over(KEY, {item.id: item for item in now}, found(now)) is over
