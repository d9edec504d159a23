"""What came of the runs, by kind of kill."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.run import Outcome

WHEN = ("before", "during", "after", "missed")


def table(outcomes: Sequence[Outcome]) -> str:
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.kind if len(outcome.kills) == 1 else "two in a row"].append(outcome)
    lines = [f"{'killed':<18}{'runs':>6}" + "".join(f"{when:>8}" for when in WHEN) + f"{'converged':>11}"]
    for kind, those in [*sorted(kinds.items()), ("all", list(outcomes))]:
        counts = "".join(f"{sum(one.when == when for one in those):>8}" for when in WHEN)
        lines.append(f"{kind:<18}{len(those):>6}{counts}{sum(not one.problems for one in those):>11}")
    orphans = sum(outcome.orphan is not None for outcome in outcomes)
    commits = sum(outcome.commits for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    lines.append(
        f"{orphans} builds went on without their client; {commits} transactions of writers; {seconds:.0f} s of runs"
    )
    lines += [f"run {one.number}: {one.log}" for one in outcomes if one.problems]
    return "\n".join(lines)
