"""The search, over costs that are set by hand: what it finds, and what it may not."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import pytest

from dbopt.suggest.cost.bases import Bases
from dbopt.suggest.model import Basis, Costed, Size, WriteCost
from dbopt.suggest.search.moves import merged, narrower, wider
from dbopt.suggest.search.problem import CERTAINTY, Problem
from dbopt.suggest.search.search import Limits, Search
from dbopt.suggest.weights import weights
from suggest.worlds import access, candidate, subject, table, words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dbopt.suggest.model import Candidate, Probe, Subject

TABLE = table({name: {} for name in "abcdefg"})
TABLES = {TABLE.name: TABLE}
MB = 1_000_000


class Costs:
    """The cheapest of what each statement costs with some of the candidates; 100 without any."""

    explains = 0
    basis = Basis.STATISTICS

    def __init__(self, costs: Mapping[int, Mapping[tuple[Candidate, ...], float]]) -> None:
        self._costs = costs

    def makes(self, candidate: Candidate) -> bool:
        return True

    def ask(self, questions: Sequence[tuple[Subject, Collection[Candidate], Probe]]) -> list[Costed | None]:
        return [self._one(one, frozenset(chosen)) for one, chosen, _ in questions]

    def _one(self, one: Subject, chosen: frozenset[Candidate]) -> Costed:
        self.explains += 1
        plans = {(): 100.0, **self._costs.get(one.item.number, {})}
        used = min((plan for plan in plans if chosen.issuperset(plan)), key=lambda plan: plans[plan])
        return Costed(cost=plans[used], planner_cost=plans[used], used=frozenset(used))


def found(
    costs: Mapping[int, Mapping[tuple[Candidate, ...], float]],
    *,
    limits: Limits | None = None,
    sizes: Mapping[Candidate, int] | None = None,
    upkeep: float = 0.0,
    weighed: Sequence[float] | None = None,
    deadline: float | None = None,
) -> list[str]:
    where = " AND ".join(f"{name} = $1" for name in "abcdefg")
    subjects = [subject(number, access(where)) for number in costs]
    possible = [tuple(dict.fromkeys(itertools.chain(*plans))) for plans in costs.values()]
    problem = Problem(
        subjects,
        Costs(costs),
        weighed or [100.0] * len(subjects),
        size=lambda item: Size(size_bytes=(sizes or {}).get(item, MB), rows=1.0),
        writes=lambda item: WriteCost(cost=upkeep),
        deadline=time.monotonic() + 60 if deadline is None else deadline,
    )
    search = Search(problem, possible, TABLES, limits or Limits(), lambda _: None)
    return sorted(words(item) for item in search.run())


A, B, C, AB = candidate("a"), candidate("b"), candidate("c"), candidate("a", "b")


def test_what_helps_is_taken_and_what_does_not_is_left() -> None:
    assert found({1: {(A,): 10.0}, 2: {(B,): 99.9}}) == ["(a)"]


def test_two_that_help_only_together_come_together() -> None:
    assert found({1: {(A, B): 5.0}}) == ["(a)", "(b)"]


def test_one_for_both_takes_the_place_of_two() -> None:
    costs = {1: {(A,): 10.0, (AB,): 10.0}, 2: {(AB,): 5.0}}
    assert found(costs) == ["(a, b)"]


def test_of_two_that_do_the_same_the_smaller_one_stays() -> None:
    assert found({1: {(A,): 10.0, (AB,): 10.0}}, sizes={A: MB, AB: 2 * MB}) == ["(a)"]


def test_what_costs_more_in_writing_than_it_gains_is_left() -> None:
    costs = {1: {(A,): 50.0}, 2: {(B,): 10.0}}
    assert found(costs, upkeep=30.0) == ["(b)"]


def test_none_begins_with_all_of_another() -> None:
    assert found({1: {(A,): 10.0, (AB,): 30.0}, 2: {(AB,): 5.0}}) == ["(a, b)"]


def test_what_saves_a_page_or_two_is_not_worth_an_index() -> None:
    assert found({1: {(A,): 91.0}}) == []


def test_a_budget_is_kept_and_used_well() -> None:
    costs = {1: {(A,): 10.0}, 2: {(B,): 20.0}, 3: {(C,): 20.0}}
    sizes = {A: 10 * MB, B: 5 * MB, C: 5 * MB}
    assert found(costs, sizes=sizes, limits=Limits(budget_bytes=10 * MB)) == ["(b)", "(c)"]


def test_what_nobody_knows_the_size_of_is_not_in_a_budget() -> None:
    subjects = [subject(1, access("a = $1"))]
    problem = Problem(
        subjects,
        Costs({1: {(A,): 10.0}}),
        [100.0],
        size=lambda _: None,
        writes=lambda _: WriteCost(),
        deadline=time.monotonic() + 60,
    )
    assert Search(problem, [(A,)], TABLES, Limits(budget_bytes=MB), lambda _: None).run() == frozenset()


def test_no_more_indexes_than_wanted() -> None:
    costs = {1: {(A,): 10.0}, 2: {(B,): 20.0}, 3: {(C,): 30.0}}
    assert found(costs, limits=Limits(max_indexes=2)) == ["(a)", "(b)"]


def test_what_made_something_dearer_is_not_taken_again() -> None:
    subjects = [subject(1, access("a = $1 AND b = $2"))]
    costing = Costs({1: {(A,): 10.0, (B,): 20.0}})
    problem = Problem(
        subjects,
        costing,
        [100.0],
        size=lambda _: Size(size_bytes=MB, rows=1.0),
        writes=lambda _: WriteCost(),
        deadline=time.monotonic() + 60,
    )
    search = Search(problem, [(A, B)], TABLES, Limits(), lambda _: None)
    assert search.run() == {A}
    search.ban(A)
    assert search.bettered(frozenset()) == {B}


def test_out_of_time_it_says_so() -> None:
    subjects = [subject(1, access("a = $1"))]
    problem = Problem(
        subjects,
        Costs({1: {(A,): 10.0}}),
        [100.0],
        size=lambda _: Size(size_bytes=MB, rows=1.0),
        writes=lambda _: WriteCost(),
        deadline=time.monotonic() - 1,
    )
    search = Search(problem, [(A,)], TABLES, Limits(), lambda _: None)
    assert (search.run(), search.is_complete) == (frozenset(), False)


def test_the_best_of_all_lists_is_found_where_there_are_few() -> None:
    """Against every subset of five candidates, for costs that no rule has made."""
    every = [A, B, C, candidate("d"), candidate("e")]
    for seed in range(20):
        costs = {
            number: {(item,): 10.0 + (seed * 7 + number * 13 + place * 29) % 90 for place, item in enumerate(every)}
            for number in (1, 2, 3)
        }
        where = "a = $1 AND b = $2 AND c = $3 AND d = $4 AND e = $5"
        subjects = [subject(number, access(where)) for number in costs]
        costing = Costs(costs)

        def paid(chosen: frozenset[Candidate], subjects: list[Subject] = subjects, costing: Costs = costing) -> float:
            answers = costing.ask([(one, chosen, one.probes[0]) for one in subjects])
            return sum(answer.cost for answer in answers if answer is not None) + CERTAINTY * 15.0 * len(chosen)

        problem = Problem(
            subjects,
            costing,
            [100.0] * 3,
            size=lambda item: Size(size_bytes=MB, rows=1.0),
            writes=lambda _: WriteCost(cost=15.0),
            deadline=time.monotonic() + 60,
        )
        got = Search(problem, [tuple(every)] * 3, TABLES, Limits(), lambda _: None).run()
        best = min((frozenset(some) for size in range(6) for some in itertools.combinations(every, size)), key=paid)
        assert paid(got) <= 1.1 * paid(best), (seed, sorted(map(words, got)), sorted(map(words, best)))


def test_a_plan_answers_for_every_set_between_what_it_used_and_what_it_had() -> None:
    costing = Costs({1: {(A,): 10.0}})
    problem = Problem(
        [subject(1, access("a = $1 AND b = $2 AND c = $3"))],
        costing,
        [100.0],
        size=lambda _: None,
        writes=lambda _: WriteCost(),
        deadline=time.monotonic() + 60,
    )
    assert problem.ratio(0, problem.choices((A, B, C))) == 0.1
    asked = costing.explains
    assert problem.ratio(0, problem.choices((A, B))) == problem.ratio(0, problem.choices((A,))) == 0.1
    assert costing.explains == asked
    assert problem.ratio(0, problem.choices((B,))) == 1.0
    assert costing.explains == asked + 1


def test_what_a_statement_does_not_ask_for_is_not_planned_with() -> None:
    costing = Costs({})
    problem = Problem(
        [subject(1, access("a = $1"))],
        costing,
        [100.0],
        size=lambda _: None,
        writes=lambda _: WriteCost(),
        deadline=time.monotonic() + 60,
    )
    problem.ratio(0, frozenset())
    asked = costing.explains
    assert problem.ratio(0, problem.choices((B, C))) == 1.0
    assert costing.explains == asked


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (A, B, ["(a, b)", "(a) include (b)"]),
        (AB, C, ["(a, b, c)", "(a, b) include (c)"]),
        (A, candidate("a", "b"), ["(a, b)", "(a) include (b)"]),
        (A, candidate("a", where="b"), []),
        (A, candidate("a", method="gin"), []),
    ],
)
def test_two_become_one(one: Candidate, other: Candidate, expected: list[str]) -> None:
    assert [words(item) for item in merged(one, other, TABLES)] == expected


def test_wider_and_narrower() -> None:
    one = subject(1, access("a = $1", output=frozenset({"a", "d"})))
    assert [words(item) for item in wider(A, [one], TABLES)] == ["(a) include (d)"]
    assert [words(item) for item in narrower(AB)] == ["(a)"]
    assert [words(item) for item in narrower(candidate("a", include=("b", "c")))] == [
        "(a)",
        "(a) include (c)",
        "(a) include (b)",
    ]
    assert list(narrower(A)) == []


def test_times_that_were_measured_weigh_in_the_planners_units() -> None:
    # A unit takes 0.01 ms in two of three statements; the third is what its time says, not its cost.
    assert weights([1, 1, 1], [10.0, 20.0, 1000.0], [1000.0, 2000.0, 10.0]) == [1000.0, 2000.0, 100_000.0]
    assert weights([1, 10, 1], [10.0, 20.0, None], [1000.0, 200.0, 50.0]) == [1000.0, 2000.0, 50.0]
    assert weights([5, 1], [None, None], [10.0, 7.0]) == [50.0, 7.0]


def test_what_a_statement_costs_as_it_is_is_planned_once() -> None:
    costing = Costs({1: {(A,): 10.0}})
    bases = Bases(costing)
    one = subject(1, access("a = $1"))
    questions = [(one, frozenset(), one.probes[0]), (one, frozenset((A,)), one.probes[0])]
    for _ in range(2):
        assert [answer.cost for answer in bases.ask(questions) if answer is not None] == [100.0, 10.0]
    assert bases.explains == 3
