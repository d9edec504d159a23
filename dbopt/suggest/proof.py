"""The final list held against every statement, for all values that there are to try: nothing may become dearer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.suggest.model import GENERIC, Outcome
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.suggest.cost.costing import Costing
    from dbopt.suggest.model import Candidate, Probe, Subject

# So much dearer is a regression; below it is how the planner rounds and breaks ties. Our own.
TOLERANCE = 0.01
TOLERANCE_COST = 1.0  # in the planner's units: reading one page


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """`blamed`: the candidates in the dearer plan."""

    subject: Subject
    probe: Probe
    before: float
    after: float
    blamed: frozenset[Candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`outcomes`: for any values (the generic plan), one a subject that could be planned; where that plan gains nothing
    and those for some values do, for the values with the most to gain. `used`: by subject's number, the candidates in
    any of its plans.
    """

    outcomes: tuple[Outcome, ...]
    regressions: tuple[Regression, ...]
    used: tuple[frozenset[Candidate], ...]


def prove(costing: Costing, subjects: Sequence[Subject], chosen: frozenset[Candidate]) -> Proof:
    """Every subject with every probe, without and with the list. Raises psycopg errors if the connection is lost."""
    questions = [(subject, probe) for subject in subjects for probe in subject.probes]
    # Without a list first, so that each list has to be made once.
    before = costing.ask([(subject, frozenset(), probe) for subject, probe in questions])
    after = costing.ask([(subject, chosen, probe) for subject, probe in questions])
    best: dict[int, Outcome] = {}  # the generic plan is the first of a subject's
    regressions: list[Regression] = []
    used: dict[int, set[Candidate]] = {number: set() for number in range(len(subjects))}
    numbers = {id(subject): number for number, subject in enumerate(subjects)}
    for (subject, probe), was, now in zip(questions, before, after, strict=True):
        if was is None or now is None:
            continue
        old, new = was, now
        used[numbers[id(subject)]] |= new.used
        if is_dearer(old.cost, new.cost):
            regressions.append(
                Regression(subject=subject, probe=probe, before=old.cost, after=new.cost, blamed=new.used)
            )
        if probe.name != GENERIC.name:  # its plans have somebody's values in their conditions
            old, new = replace(old, plan=None), replace(new, plan=None)
        outcome = Outcome(subject=subject, before=old, after=new, probe=probe.name)
        known = best.get(subject.item.number)
        if known is None or (_saved(known) <= 0 and _saved(outcome) > 0):
            best[subject.item.number] = outcome
    return Proof(
        outcomes=tuple(best.values()),
        regressions=tuple(regressions),
        used=tuple(frozenset(used[number]) for number in range(len(subjects))),
    )


def _saved(outcome: Outcome) -> float:
    return outcome.before.cost - outcome.after.cost


def is_dearer(before: float, after: float) -> bool:
    return after > before * (1 + TOLERANCE) + TOLERANCE_COST
