"""The plans of the statements that are shown: those that are kept and fresh, else the planner is asked."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from dbopt import __version__
from dbopt.errors import Error
from dbopt.store import workload as keeping
from dbopt.workload import findings, kept
from dbopt.workload.finding import Scene
from dbopt.workload.kept import Look
from dbopt.workload.model import Flip, Planned, Shape, Unplanned
from dbopt.workload.plan import root, shape, summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.cli.readings import Reader
    from dbopt.store.aside import Aside, Needed
    from dbopt.store.plain import Session as Kept
    from dbopt.workload.model import Statement
    from dbopt.workload.plan import Node

# A plan changes when statistics do, or an index comes or goes: looked at again and again, it need not be asked each
# time.
PLAN_AGE = timedelta(minutes=10)
# All plans of one call together, as somebody waits for them; planning twenty statements takes some 20 ms.
BUDGET_SECONDS = 3.0
OUT_OF_TIME = Unplanned(
    reason=f"planning the statements above took {BUDGET_SECONDS:g} s already",
    hint="dbopt slow-queries show QUERYID plans one alone.",
)


class Plans(Protocol):
    @property
    def planner(self) -> Reader:
        """The session that asks the planner, in the database that the statements are of. Raises Error without one."""


Key = int | str  # of a statement: its queryid, or its fingerprint where the source has none


class Planning:
    """Of one target, for one call, or for all looks of --watch."""

    def __init__(self, store: Aside | Needed, source: Plans) -> None:
        self._store = store
        self._source = source
        self._looks: dict[Key, tuple[datetime, Look]] = {}

    def planned(
        self, statements: Sequence[Statement], target_id: int | None, *, afresh: bool = False
    ) -> list[Statement]:
        """The same, each with its plan, what was found about it, and how its plan has changed. `afresh`: the planner is
        asked whatever is kept.
        """
        now = datetime.now(UTC)
        plans, shapes = self._recalled([item.queryid for item in statements if item.queryid is not None], target_id)
        for queryid, plan in plans.items():
            if not afresh and _is_fresh(plan, now):
                self._looks.setdefault(queryid, (plan.planned_at, kept.look(plan.content)))
        made = self._ask([item for item in statements if afresh or self._is_wanting(item, now)])
        self._looks |= {key: (now, look) for key, look in made.items()}
        keepable = {key: look for key, look in made.items() if isinstance(key, int) and look.planned is not OUT_OF_TIME}
        if keepable and target_id is not None:
            self._store.attempt(lambda session: _keep(session, target_id, keepable, now), reading=False)
        return [self._with(item, shapes.get(item.queryid or 0, ()), made) for item in statements]

    def _recalled(
        self, queryids: Sequence[int], target_id: int | None
    ) -> tuple[Mapping[int, keeping.KeptPlan], Mapping[int, Sequence[keeping.KeptShape]]]:
        if target_id is None or not queryids:
            return {}, {}

        def recall(
            session: Kept,
        ) -> tuple[Mapping[int, keeping.KeptPlan], Mapping[int, Sequence[keeping.KeptShape]]]:
            return keeping.plans(session, target_id, queryids), keeping.shapes(session, target_id, queryids)

        return self._store.attempt(recall, reading=True) or ({}, {})

    def _is_wanting(self, statement: Statement, now: datetime) -> bool:
        known = self._looks.get(key_of(statement))
        return known is None or now - known[0] >= PLAN_AGE

    def _ask(self, statements: Sequence[Statement]) -> dict[Key, Look]:
        askable = [
            (item, item.query)
            for item in statements
            # Of a text that is cut off, its source says so.
            if item.query is not None and item.kind.has_plan and not isinstance(item.planned, Unplanned)
        ]
        if not askable:
            return {}
        from dbopt.workload.explain import Planner
        from dbopt.workload.scene import scene, scenes_facts

        try:
            reader = self._source.planner
        except Error as exc:  # another database than the one that is read
            return {key_of(item): Look(Unplanned(reason=exc.message, hint=exc.hint)) for item, _ in askable}
        planner = Planner(reader.conn, reader.server)
        until = time.monotonic() + BUDGET_SECONDS
        answers: list[tuple[Statement, Planned | Unplanned]] = []
        for item, query in askable:
            if time.monotonic() >= until:
                answers.append((item, OUT_OF_TIME))
            else:
                userid = next(iter(item.userids), None)
                answers.append((item, planner.plan(query, userid)))
        trees = [tree(answer) for _, answer in answers]
        known = scenes_facts(reader.conn, reader.server, [node for node in trees if node is not None])
        looks: dict[Key, Look] = {}
        for (item, answer), node in zip(answers, trees, strict=True):
            advice = () if node is None else findings.look(scene(known, item, node), on_plan=True)
            looks[key_of(item)] = Look(answer, advice)
        return looks

    def _with(self, statement: Statement, old: Sequence[keeping.KeptShape], made: Mapping[Key, Look]) -> Statement:
        key = key_of(statement)
        at, look = self._looks.get(key, (None, None))
        shapes = [
            Shape(digest=item.digest, summary=item.summary, first_at=item.first_at, last_at=item.last_at)
            for item in old
        ]
        if look is not None and at is not None and key in made:
            shapes = _with_new(shapes, tree(look.planned), at)
        on_plan = () if look is None else look.advice
        on_counters = findings.look(Scene(statement=statement, plan=None, relations={}), on_plan=False, found=on_plan)
        return replace(
            statement,
            planned=_unplannable(statement) if look is None else look.planned,
            advice=(*on_plan, *on_counters),
            flips=tuple(Flip(before=before, after=after) for after, before in pairwise(shapes)),
        )


def key_of(statement: Statement) -> Key:
    return statement.fingerprint or "" if statement.queryid is None else statement.queryid


def tree(planned: Planned | Unplanned) -> Node | None:
    """Of the first document that has a plan."""
    if isinstance(planned, Unplanned):
        return None
    return next((node for node in map(root, planned.documents) if node is not None), None)


def _unplannable(statement: Statement) -> Unplanned:
    if isinstance(statement.planned, Unplanned):
        return statement.planned
    if statement.query is None:
        return Unplanned(reason="its text is not known", is_lasting=True)
    return Unplanned(reason="utility statements have no plan", is_lasting=True)


def _is_fresh(plan: keeping.KeptPlan, now: datetime) -> bool:
    """What another version of dbopt has found may lack what this one would find."""
    return plan.dbopt_version == __version__ and timedelta(0) <= now - plan.planned_at < PLAN_AGE


def _with_new(shapes: Sequence[Shape], node: Node | None, at: datetime) -> list[Shape]:
    if node is None:
        return list(shapes)
    digest = shape(node)
    if shapes and shapes[0].digest == digest:
        return [replace(shapes[0], last_at=at), *shapes[1:]]
    return [Shape(digest=digest, summary=summary(node), first_at=at, last_at=at), *shapes]


def _keep(session: Kept, target_id: int, made: Mapping[int, Look], now: datetime) -> None:
    for queryid, look in made.items():
        node = tree(look.planned)
        plan = keeping.KeptPlan(planned_at=now, dbopt_version=__version__, content=kept.content(look))
        keeping.keep_plan(session, target_id, queryid, plan, None if node is None else (shape(node), summary(node)))
