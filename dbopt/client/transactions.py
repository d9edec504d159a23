"""Which failed transactions are worth another try, and when: pure, for threads and asyncio alike.

Serialisation failures and deadlocks only: the server has rolled the transaction back and says that it was nobody's
fault (https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html). A lost connection is not
among them: whether a COMMIT that was under way has been done, nobody can tell.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

from dbopt.client.failures import sqlstate
from dbopt.errors import ConnectionLost, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPTS = 5
RETRIED = frozenset(("40001", "40P01"))  # serialization_failure, deadlock_detected
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 1.0
ISOLATION = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


def is_retryable(error: BaseException) -> bool:
    """Also where the driver's own error came through."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, exc.DBAPIError) or hasattr(seen, "sqlstate"):
            return sqlstate(seen) in RETRIED
        seen = seen.__cause__
    return False


def options(isolation: str | None, *, read_only: bool) -> dict[str, Any]:
    """As SQLAlchemy's execution options. Raises UsageError."""
    made: dict[str, Any] = {"postgresql_readonly": True} if read_only else {}
    if isolation is not None:
        if isolation.upper() not in ISOLATION:
            raise UsageError(f"no isolation level is called {isolation!r}", hint=f"Valid: {', '.join(ISOLATION)}.")
        made["isolation_level"] = isolation.upper()
    return made


class Attempts:
    """The attempts of one transaction."""

    def __init__(self, attempts: int) -> None:
        self._pauses = _pauses(attempts)
        self.has_body_ended = False

    def pause(self, error: Exception) -> float:
        """Seconds until the next attempt. Raises the error, where there is none."""
        pause = next(self._pauses, None) if is_retryable(error) else None
        if pause is not None:
            self.has_body_ended = False
            return pause
        if isinstance(error, ConnectionLost) and self.has_body_ended:
            raise ConnectionLost(
                f"{error.message} while committing",
                detail="whether the transaction was committed is not known",
                hint="Look for what it would have written before you try it again.",
            ) from error
        raise error


def _pauses(attempts: int) -> Iterator[float]:
    """Seconds before each attempt but the first: anything up to a bound that doubles ("full jitter"), so that those
    who have failed together do not meet again.
    """
    if attempts < 1:
        raise UsageError("a transaction needs at least one attempt", detail=f"found attempts={attempts}")
    for tried in range(attempts - 1):
        yield random.uniform(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**tried))
