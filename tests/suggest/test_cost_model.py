"""The parts of the reckoning that need no server."""

from __future__ import annotations

from typing import Any

import pytest

from dbopt.postgres.planner_costs import PlannerCosts
from dbopt.suggest.cost import model, selectivity, wanted
from dbopt.suggest.cost.pages import Asked, Heap, index_pages, pages_fetched
from dbopt.suggest.cost.paths import Path, best, stopped
from dbopt.suggest.cost.steps import steps
from dbopt.suggest.cost.wanted import By, Wanted
from dbopt.suggest.model import Candidate, Key
from dbopt.workload.conditions import conditions
from dbopt.workload.finding import Column
from dbopt.workload.plan import root

COSTS = PlannerCosts(1.0, 4.0, 0.01, 0.005, 0.0025, 524288, 8192)
T = ("public", "t")
ROWS, PAGES = 100_000.0, 1_000.0


def column(name: str, **more: Any) -> Column:
    facts = {"n_distinct": 1000.0, "avg_width": 4, "null_frac": 0.0, "correlation": 0.0, "most_common_freq": 0.001}
    return Column(name=name, attnum=1, type_name="integer", has_statistics=True, **{**facts, **more})


COLUMNS = {
    item.name: item
    for item in (
        column("a"),
        column("b", n_distinct=10.0, most_common_freq=0.6),
        column("c", n_distinct=-1.0, correlation=1.0),
        column("d", null_frac=0.9),
    )
}


def shares(where: str, together: float | None = None) -> tuple[float, ...]:
    tests = tuple(map(selectivity.test, conditions(where)))
    return selectivity.shares(tests, lambda item: COLUMNS.get(item.target), ROWS, together)


def asked(where: str, *, loops: float = 1.0, output: str | None = None, visible: float = 1.0) -> Asked:
    tests = tuple(map(selectivity.test, conditions(where))) if where else ()
    return Asked(
        heap=Heap(ROWS, PAGES, visible),
        tests=tests,
        shares=shares(where) if where else (),
        row_cost=0.01 + 0.0025 * len(tests),
        column_of=lambda item: COLUMNS.get(item.target),
        columns=COLUMNS,
        loops=loops,
        output=None if output is None else frozenset(output.split()),
    )


def cheapest(candidate: Candidate, question: Asked) -> float | None:
    pages = index_pages(candidate, question.heap, COLUMNS, COSTS.page_bytes)
    return min((item.total for item in model.readings(candidate, question, COSTS, pages)), default=None)


def of(*names: str | Key, **more: Any) -> Candidate:
    return Candidate(T, tuple(Key(column=name) if isinstance(name, str) else name for name in names), **more)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("a = $1", 0.001),
        ("a = ANY ($1)", 0.01),
        ("a = ANY ('{1,2,3}'::integer[])", 0.003),
        ("a > $1", 1 / 3),
        ("a > $1 AND a < $2", 0.005),
        ("d IS NULL", 0.9),
        ("d IS NOT NULL", 0.1),
        ("d = $1", 0.0001),
        ("lower(x) = $1", 0.005),
        ("x ~~ $1", 0.005),
    ],
)
def test_what_a_condition_lets_through(where: str, expected: float) -> None:
    product = 1.0
    for share in shares(where):
        product *= share
    assert product == pytest.approx(expected)


def test_what_the_planner_knows_more_is_of_the_condition_that_has_a_value() -> None:
    """b = 1 is its commonest value; nobody knows which one $1 will be."""
    assert shares("a = $1 AND b = 1", 0.0006) == pytest.approx((0.001, 0.6))
    assert shares("a = $1 AND b = 7", 0.00001) == pytest.approx((0.001, 0.01))
    assert shares("a = $1 AND b = $2", 0.0001) == pytest.approx((0.001, 0.1))
    # One row is the least that a plan says.
    assert shares("c = $1 AND a = $2", 1 / ROWS) == pytest.approx((1 / ROWS, 0.001))


@pytest.mark.parametrize(
    ("part", "given", "is_implied"),
    [
        ("d IS NULL", "(d IS NULL) AND a = $1", True),
        ("s = 'open'", "(s)::text = 'open'::text", True),
        ("s = 'open'", "(s)::text = 'done'::text", False),
        ("s = 'open'", "(s)::text = $1", False),
        ("s = 'open'::kind", "s = 'open'::kind", True),
        ("d IS NOT NULL", "d > $1", True),
        ("d IS NOT NULL", "a > $1", False),
        ("a = 1", "a = ANY ('{1}'::integer[])", False),
    ],
)
def test_a_predicate_has_to_be_said(part: str, given: str, *, is_implied: bool) -> None:
    [wanted_part] = conditions(part)
    assert (selectivity.implied(wanted_part, conditions(given)) is not None) == is_implied


def test_expressions_are_one_whatever_cast_they_have_between_texts() -> None:
    assert selectivity.normal("lower((email)::text)") == selectivity.normal("lower(email)")
    assert selectivity.normal("(at)::date") != selectivity.normal("at")


def test_pages_fetched() -> None:
    """Of a table that the cache holds no more than all, of a larger one again and again."""
    assert pages_fetched(1, 1000, 10, COSTS) == 1
    assert pages_fetched(1e9, 1000, 10, COSTS) == 1000
    small = PlannerCosts(1.0, 4.0, 0.01, 0.005, 0.0025, 100, 8192)
    assert pages_fetched(10_000, 1000, 1, small) > 5000


def test_leading_equality_then_one_range() -> None:
    question = asked("a = $1 AND b = $2 AND c > $3")
    best_first = [
        of("a", "b", "c"),
        of("a", "c", "b"),  # looks b up among what c bounds
        of("a"),
        of("c", "a", "b"),
    ]
    costs = [cheapest(item, question) for item in best_first]
    assert costs == sorted(costs)  # type: ignore[type-var]
    assert cheapest(of("c"), question) > PAGES  # type: ignore[operator]


def test_rows_in_order_are_cheap_to_fetch() -> None:
    sorted_rows, scattered = cheapest(of("c"), asked("c > $1")), cheapest(of("a"), asked("a > $1"))
    assert sorted_rows is not None
    assert scattered is not None
    assert sorted_rows < 0.8 * scattered


def test_brin_reads_ranges_of_pages_where_rows_lie_in_order() -> None:
    sorted_rows = cheapest(of("c", method="brin"), asked("c > $1 AND c < $2"))
    scattered = cheapest(of("a", method="brin"), asked("a > $1 AND a < $2"))
    assert sorted_rows is not None
    assert scattered is not None
    assert sorted_rows < scattered / 2


def test_lookups_again_and_again_find_pages_in_the_cache() -> None:
    once, often = cheapest(of("b"), asked("b = $1")), cheapest(of("b"), asked("b = $1", loops=1000))
    assert once is not None
    assert often is not None
    assert often < once / 3


def test_an_index_alone_is_enough_where_all_is_in_it() -> None:
    plain = cheapest(of("a"), asked("a > $1", output="a b"))
    covering = cheapest(of("a", include=("b",)), asked("a > $1", output="a b"))
    unseen = cheapest(of("a", include=("b",)), asked("a > $1", output="a b", visible=0.0))
    assert plain is not None
    assert covering is not None
    assert unseen is not None
    assert covering < 0.6 * plain
    assert unseen > covering * 2


def test_a_partial_index_holds_less() -> None:
    question = asked("d IS NOT NULL AND a > $1")
    whole, partial = cheapest(of("a"), question), cheapest(of("a", where="d IS NOT NULL"), question)
    assert whole is not None
    assert partial is not None
    assert partial < whole
    assert cheapest(of("a", where="d IS NULL"), question) is None


def test_equal_values_share_an_entry() -> None:
    heap = Heap(ROWS, PAGES)
    once = index_pages(of("c"), heap, COLUMNS, 8192)
    shared = index_pages(of("b"), heap, COLUMNS, 8192)
    assert shared < once / 2
    assert index_pages(of("b", include=("c",)), heap, COLUMNS, 8192) >= once


@pytest.mark.parametrize(
    ("keys", "pinned", "order", "does"),
    [
        (("a",), "", "a", True),
        (("a",), "", "a DESC", True),
        (("a", "b"), "", "a, b DESC", False),
        (("a", "b"), "", "a DESC, b DESC", True),
        (("a", "b"), "a", "b", True),
        (("a", "b"), "a", "a, b", True),
        (("a", "b"), "", "b", False),
        (("a",), "", "a, b", False),
        (("a",), "", "a NULLS FIRST", False),
        (("a", "b"), "b", "a", True),
    ],
)
def test_order(keys: tuple[str, ...], pinned: str, order: str, *, does: bool) -> None:
    want = wanted.of_keys(tuple(order.split(", ")))
    assert want is not None
    given = [Key(column=name) for name in keys]
    assert wanted.gives(given, set(pinned), want, ("t",)) == does


def test_an_order_of_another_table_is_none() -> None:
    want = wanted.of_keys(("u.a",))
    assert want == Wanted((By("u", "a", False, False),))
    assert not wanted.gives([Key(column="a")], (), want, ("t",))
    assert wanted.gives([Key(column="a")], (), want, ("u_1", "u"))
    assert not wanted.gives([Key(column="a", opclass="text_pattern_ops")], (), want, ("u",))


def test_groups_take_any_order() -> None:
    want = wanted.of_keys(("t.a", "t.b"), any_order=True)
    assert want is not None
    assert wanted.gives([Key(column="b"), Key(column="a"), Key(column="c")], (), want, ("t",))
    assert not wanted.gives([Key(column="b"), Key(column="c"), Key(column="a")], (), want, ("t",))


def test_the_worst_comes_first_where_a_limit_stops() -> None:
    everything = Path(0.0, 1000.0, 1000.0, used=1)
    assert stopped(everything, 0.01) == everything._replace(total=10.0, hoped=10.0)
    half = stopped(everything._replace(passed=0.5), 0.01)
    assert (half.total, half.hoped) == (505.0, 10.0)


def test_paths_are_kept_for_what_they_are_better_in() -> None:
    cheap = Path(50.0, 100.0, 100.0, used=1)
    quick = Path(0.0, 120.0, 120.0, used=2)
    ordered = Path(60.0, 130.0, 130.0, used=4, is_ordered=True)
    assert best([ordered, quick, cheap, Path(60.0, 140.0, 140.0, used=8)]) == [cheap, quick, ordered]


def test_one_process_does_what_several_did() -> None:
    scan = {
        "Node Type": "Seq Scan",
        "Parent Relationship": "Outer",
        "Parallel Aware": True,
        "Schema": "public",
        "Relation Name": "t",
        "Alias": "t",
        "Startup Cost": 0.0,
        "Total Cost": 1500.0,
        "Plan Rows": 100,
    }
    gather = {
        "Node Type": "Gather",
        "Parent Relationship": "Outer",
        "Workers Planned": 2,
        "Startup Cost": 1000.0,
        "Total Cost": 2524.0,
        "Plan Rows": 240,
        "Plans": [scan],
    }
    total = {"Node Type": "Aggregate", "Startup Cost": 2530.0, "Total Cost": 2530.0, "Plan Rows": 1, "Plans": [gather]}
    node = root({"Plan": total})
    assert node is not None
    step = steps(node, lambda _: 1000.0)
    [inner] = step.inputs
    assert inner.kind == "Seq Scan"
    # Two and four tenths of a leader: 500 for rows, done by each.
    assert (inner.total, inner.rows) == (1000.0 + 500.0 * 2.4, 240.0)
    assert step.total == pytest.approx(2530.0 - 2524.0 + inner.total)
