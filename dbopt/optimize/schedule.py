"""Which step runs next. Pure.

Steps of one group (a table, a whole partition tree) run one after another in the plan's order: two concurrent builds on
one table deadlock. Builds on expressions or with a predicate run one at a time: every other build waits at its end for
the transactions of these, and of these only (PostgreSQL 14; on 13 for those of any build).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.postgres.identifiers import display
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dbopt.optimize.steps import Step


@dataclass(frozen=True, slots=True)
class Task:
    """A step and its turn. `number` counts from 1; `round` 2: it comes back, since it could not have its turn before.
    `tries` counts how often it was started.
    """

    number: int
    step: Step
    round: int = 1
    tries: int = 0

    def started(self) -> Task:
        return replace(self, tries=self.tries + 1)


class Schedule:
    def __init__(self, steps: Sequence[Step], *, holds_up_others: bool) -> None:
        """`holds_up_others`: on this server every build is waited for by every other."""
        self._pending = [Task(number, step) for number, step in enumerate(steps, start=1)]
        self._holds_up_others = holds_up_others

    def take(self, running: Collection[Step]) -> Task | None:
        """The first that may run beside those; None when there is none now."""
        busy = {group_of(step) for step in running}
        alone = any(self._is_alone(step) for step in running)
        for task in self._pending:
            if group_of(task.step) not in busy and not (alone and self._is_alone(task.step)):
                self._pending.remove(task)
                return task
            busy.add(group_of(task.step))  # what comes later in the group waits for this one
        return None

    def put_off(self, task: Task, *, again: int) -> None:
        """To the end, with all that is left of its group: it would meet the same obstacle. `again`: its next round."""
        group = group_of(task.step)
        behind = [other for other in self._pending if group_of(other.step) == group]
        self._pending = [other for other in self._pending if group_of(other.step) != group]
        back = [task, *behind]
        self._pending += [replace(other, round=max(other.round, again)) for other in back]

    def rest(self) -> list[Task]:
        """What is not started yet; it will not be."""
        rest, self._pending = self._pending, []
        return rest

    def _is_alone(self, step: Step) -> bool:
        if not step.builds:
            return False
        forms = [proof.definition for proof in step.proofs]
        return self._holds_up_others or any(form.has_expressions or form.predicate is not None for form in forms)


def group_of(step: Step) -> str:
    """A plan from an older file says nothing of groups: there each table is its own."""
    return step.group or display(step.schema, step.table)
