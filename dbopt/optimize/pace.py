"""How long a build will take: from what builds have taken, in this run and in past ones. Pure.

CREATE INDEX CONCURRENTLY scans the table twice, writes the index, and reads it once to see which rows are missing in it
(https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY; validate_index in
src/backend/catalog/index.c). So the bytes of both, twice, are what is moved, and each method has a pace of its own:
GIN takes apart each value, BRIN hardly does more than read. No speed is assumed that was not measured.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.optimize.steps import Step

# Three quarters of the bytes were moved at this pace or a better one: rather too long than too short, while a build
# that was held up (a checkpoint, a cold cache) does not slow down all that come.
_QUANTILE = 0.75
# A build of some milliseconds tells what any build costs, not how fast bytes are moved. Beyond so many times the
# largest that is known, nothing is known: so an estimate is at most so many times what was measured.
_REACH = 100


@dataclass(frozen=True, slots=True)
class Built:
    """What one build was. `seconds` without waiting for other sessions; `table_bytes` None: nobody has noted it."""

    method: str
    size_bytes: int
    table_bytes: int | None
    seconds: float


class Pace:
    """What builds have taken. Past ones are asked for when they are first needed."""

    def __init__(self, past: Iterable[Built] = ()) -> None:
        self._past = past
        self._read: list[Built] | None = None
        self._here: list[Built] = []

    def add(self, built: Built) -> None:
        """A build of this run has ended."""
        self._here.append(built)

    def seconds(self, step: Step) -> float | None:
        """For a step that builds, from its estimate; None where nothing is known.

        Builds of this run count alone as soon as they have moved as much together as the step will: the server may be
        busier tonight than it was.
        """
        method = method_of(step)
        return None if method is None or step.estimate is None else self.foreseen(method, step.estimate)

    def foreseen(self, method: str, estimate: Mapping[str, float]) -> float | None:
        """For an index of a method, of `size_bytes` on `table_bytes`."""
        here = [built for built in self._here if built.method == method]
        for work in (_moved, _written):
            wanted = work(estimate.get("size_bytes"), estimate.get("table_bytes"))
            if wanted is None:
                continue
            measured = _measured(here, work)
            if sum(amount for amount, _ in measured) < wanted:
                measured += _measured([built for built in self._known() if built.method == method], work)
            if measured and wanted <= _REACH * max(amount for amount, _ in measured):
                return _at_pace(wanted, measured)
        return None

    def _known(self) -> list[Built]:
        if self._read is None:
            self._read = list(self._past)
        return self._read


def method_of(step: Step) -> str | None:
    """The access method of the index that a step builds."""
    return next((proof.definition.method for proof in step.proofs), None) if step.builds else None


def _moved(size_bytes: float | None, table_bytes: float | None) -> float | None:
    return None if size_bytes is None or table_bytes is None else 2 * (size_bytes + table_bytes)


def _written(size_bytes: float | None, _table_bytes: float | None) -> float | None:
    """Where nobody knows how large the tables were."""
    return size_bytes


def _measured(
    builds: Iterable[Built], work: Callable[[float | None, float | None], float | None]
) -> list[tuple[float, float]]:
    """(bytes, seconds) of each build of which that is known."""
    found = [(work(built.size_bytes, built.table_bytes), built.seconds) for built in builds]
    return [(amount, seconds) for amount, seconds in found if amount]


def _at_pace(wanted: float, measured: Sequence[tuple[float, float]]) -> float:
    """Each build counts by its bytes: of a small one, most was fixed cost. None was ever quicker than the quickest."""
    by_pace = sorted((seconds / amount, amount) for amount, seconds in measured)
    enough = _QUANTILE * sum(amount for _, amount in by_pace)
    so_far = itertools.accumulate(amount for _, amount in by_pace)
    pace = next(pace for (pace, _), amount in zip(by_pace, so_far, strict=True) if amount >= enough)
    return max(wanted * pace, min(seconds for _, seconds in measured))
