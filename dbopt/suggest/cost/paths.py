"""Ways to get the rows of a step of a plan. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dbopt.suggest.cost.steps import ALL_BUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.suggest.cost.steps import Step


class Path(NamedTuple):
    """`total`: what it costs. `hoped`: what the planner takes it to cost, which counts on stopping early at a LIMIT
    though rows are still dropped; by that it chooses. `used`: bits of candidates. `gone`: bits of steps that are no
    longer done. `is_ordered`: rows come as was wanted. `passed`: the share of what is read in that order that is not
    dropped on the way, 0..1.
    """

    startup: float
    total: float
    hoped: float
    used: int = 0
    gone: int = 0
    is_ordered: bool = False
    passed: float = 1.0

    @classmethod
    def of(cls, step: Step, *, is_ordered: bool = False) -> Path:
        """As it is."""
        return cls(step.startup, step.total, step.total, is_ordered=is_ordered)

    def more(self, cost: float, startup: float = 0.0) -> Path:
        """Never less than nothing."""
        total, hoped = max(0.0, self.total + cost), max(0.0, self.hoped + cost)
        return self._replace(startup=min(max(0.0, self.startup + startup), total, hoped), total=total, hoped=hoped)

    def below(self, step: Step, below: Step) -> Path:
        """What a step adds to this way of getting the rows of the one below it."""
        change = step.total - below.total
        startup = (
            self.total + step.startup - below.total
            if waits(step, below)
            else self.startup + step.startup - below.startup
        )
        made = self.more(change)
        return made._replace(startup=min(max(0.0, startup), made.total, made.hoped))

    def with_bits(self, other: Path) -> Path:
        """And what another one takes that is part of it."""
        return self._replace(used=self.used | other.used, gone=self.gone | other.gone)


def waits(step: Step, below: Step) -> bool:
    """Whether a step needs all rows from below before it gives one."""
    return step.startup >= below.total * ALL_BUT


def rank(path: Path) -> tuple[float, float, float, int, int]:
    """What the planner takes first; of equal ones that with the fewest candidates."""
    return path.hoped, path.total, path.startup, path.used.bit_count(), path.used


def chosen(paths: Iterable[Path]) -> Path:
    return min(paths, key=rank)


def best(paths: Iterable[Path]) -> list[Path]:
    """Without those that another one is as good as in everything."""
    kept: list[Path] = []
    for path in sorted(paths, key=rank):
        if not any(_is_as_good(other, path) for other in kept):
            kept.append(path)
    return kept


def _is_as_good(one: Path, other: Path) -> bool:
    return (
        one.startup <= other.startup
        and one.total <= other.total
        and one.is_ordered >= other.is_ordered
        and one.passed >= other.passed
    )


def both(one: Path, other: Path) -> Path:
    """One after the other."""
    total, hoped = one.total + other.total, one.hoped + other.hoped
    return one.with_bits(other)._replace(startup=min(total, hoped), total=total, hoped=hoped)


def stopped(path: Path, part: float) -> Path:
    """Of a LIMIT that takes this part of the rows. At worst all that is dropped comes first (honest.py)."""
    read = (1 - path.passed) + path.passed * part
    return path._replace(
        total=path.startup + read * (path.total - path.startup),
        hoped=path.startup + part * (path.hoped - path.startup),
    )


def each(step: Step, ways: Sequence[Path], inputs: Sequence[Step], *, is_ordered: bool) -> Path:
    """All inputs of a step, each by one way."""
    made = Path.of(step)
    for path, part in zip(ways, inputs, strict=True):
        made = made._replace(
            total=made.total + path.total - part.total, hoped=made.hoped + path.hoped - part.total
        ).with_bits(path)
    startup = sum(path.startup for path in ways) if is_ordered else ways[0].startup if ways else step.startup
    passed = min((path.passed for path in ways), default=1.0)
    return made._replace(startup=0.0, is_ordered=is_ordered, passed=passed).more(0.0, startup)
