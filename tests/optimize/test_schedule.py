"""Which steps run beside each other, and what comes back when. No server."""

from __future__ import annotations

from dataclasses import replace

from dbopt.optimize.canonical import Definition, KeyForm
from dbopt.optimize.patience import Patience
from dbopt.optimize.schedule import Schedule
from dbopt.optimize.steps import Action, Blocker, Proof, Step

KEY = KeyForm(
    column="a",
    expression=None,
    opclass="pg_catalog.int4_ops",
    opclass_options=None,
    collation=None,
    descending=False,
    nulls_first=False,
)
PLAIN = Definition(
    method="btree",
    unique=False,
    nulls_not_distinct=False,
    keys=(KEY,),
    include=(),
    predicate=None,
    parameters=(),
    tablespace=None,
)
PARTIAL = replace(PLAIN, predicate="(a > 1)")
EXPRESSION = replace(PLAIN, keys=(replace(KEY, column=None, expression="lower(a)"),))


def step(index: str, table: str = "t", *, group: str = "", form: Definition = PLAIN) -> Step:
    return Step(
        action=Action.CREATE,
        index=index,
        schema="public",
        table=table,
        statements=(f"CREATE INDEX CONCURRENTLY {index} ON public.{table} (a)",),
        reason="a test",
        group=group,
        proofs=(Proof(schema="public", index=index, table=table, definition=form),),
    )


def taken(schedule: Schedule, running: list[Step]) -> str | None:
    task = schedule.take(running)
    if task is None:
        return None
    running.append(task.step)
    return task.step.index


def test_never_two_on_one_table_and_in_its_order() -> None:
    schedule = Schedule([step("a1", "a"), step("a2", "a"), step("b1", "b")], holds_up_others=False)
    running: list[Step] = []
    assert [taken(schedule, running) for _ in range(3)] == ["a1", "b1", None]
    assert taken(schedule, running[1:]) == "a2"
    assert schedule.rest() == []


def test_never_two_in_one_tree() -> None:
    parts = [step("p1", "p_1", group="public.p"), step("p2", "p_2", group="public.p"), step("q", "q", group="public.q")]
    schedule = Schedule(parts, holds_up_others=False)
    running: list[Step] = []
    assert [taken(schedule, running) for _ in range(3)] == ["p1", "q", None]


def test_expressions_and_predicates_one_at_a_time() -> None:
    steps = [
        step("a", "a", form=PARTIAL),
        step("b", "b", form=EXPRESSION),
        step("c", "c"),
        step("d", "d", form=PARTIAL),
    ]
    schedule = Schedule(steps, holds_up_others=False)
    running: list[Step] = []
    assert [taken(schedule, running) for _ in range(3)] == ["a", "c", None]
    assert taken(schedule, [one for one in running if one.index != "a"]) == "b"


def test_on_a_server_where_every_build_holds_up_the_others_one_at_a_time() -> None:
    analyze = replace(step("c", "c"), action=Action.ANALYZE, index=None, statements=("ANALYZE public.c",), proofs=())
    schedule = Schedule([step("a", "a"), step("b", "b"), analyze], holds_up_others=True)
    running: list[Step] = []
    assert [taken(schedule, running) for _ in range(3)] == ["a", None, None]


def test_what_is_put_off_comes_last_with_the_rest_of_its_table() -> None:
    schedule = Schedule([step("a1", "a"), step("a2", "a"), step("b1", "b")], holds_up_others=False)
    first = schedule.take([])
    assert first is not None
    schedule.put_off(first, again=2)
    left = schedule.rest()
    assert [(task.step.index, task.round) for task in left] == [("b1", 1), ("a1", 2), ("a2", 2)]
    assert schedule.rest() == []


def blocker(age: float, pid: int = 7) -> Blocker:
    return Blocker(phase="waiting for writers before build", pid=pid, xact_age_seconds=age)


def test_who_was_waited_for_in_vain_is_not_waited_for_again_in_this_round() -> None:
    patience = Patience(5.0)
    patience.give_up_on([blocker(age=60)], 1)
    assert patience.has_given_up_on(blocker(age=60.5), 1)
    assert not patience.has_given_up_on(blocker(age=60.5), 2)  # a new chance
    assert not patience.has_given_up_on(blocker(age=1), 1)  # the same session, another transaction
    assert not patience.has_given_up_on(blocker(age=60, pid=8), 1)
