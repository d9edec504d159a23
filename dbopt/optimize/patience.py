"""For how long a run waits, and for whom it has waited long enough.

The budget is for each phase of waiting of one statement. But a transaction that one step has waited for in vain is
still there for the next: that one is put off at once, and comes back when all others have had their turn.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbopt.optimize.steps import Blocker

_SAME_START_SECONDS = 2.0  # two looks at one transaction's age differ by less

_Whom = tuple[int | None, str | None]


class Patience:
    """`seconds` None: for ever. `round`: how many times a step has had its turn; each round is a new chance."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._hopeless: dict[tuple[int, _Whom], float] = {}  # when their transactions began, by the clock here

    def is_over(self, waited_seconds: float) -> bool:
        return self.seconds is not None and waited_seconds > self.seconds

    def give_up_on(self, blockers: Iterable[Blocker], round_: int) -> None:
        for who in blockers:
            self._hopeless[round_, (who.pid, who.gid)] = _began(who)

    def has_given_up_on(self, who: Blocker, round_: int) -> bool:
        """The same transaction, not only the same session."""
        began = self._hopeless.get((round_, (who.pid, who.gid)))
        return began is not None and abs(began - _began(who)) < _SAME_START_SECONDS


def _began(who: Blocker) -> float:
    return time.monotonic() - (who.xact_age_seconds or 0.0)
