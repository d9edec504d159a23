"""The store as an aside of a job that matters more: the first that is wrong with it is one warning, and no error."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dbopt.errors import ConfigError, StoreUnusable
from dbopt.store import plain
from dbopt.store.faults import warn
from dbopt.store.location import NONE, locate

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.store.location import Location
    from dbopt.store.plain import Session

Value = TypeVar("Value")

# A verdict or a number that somebody waits for is worth more than its record.
LOCK_WAIT_SECONDS = 1.0


class Aside:
    """The store for one call. Never raises because of it; nothing is read or kept any more once it has failed."""

    def __init__(self, url: str | None, consequence: str) -> None:
        """`none` is no store, without a warning. `consequence`: how the job goes on without it."""
        self._consequence = consequence
        self._location: Location | None = None
        self._ready = False
        try:
            self._location = None if url == NONE else locate(url)
        except ConfigError as exc:
            warn(exc, consequence)

    @property
    def is_usable(self) -> bool:
        """As far as is known."""
        return self._location is not None

    def attempt(self, work: Callable[[Session], Value], *, reading: bool) -> Value | None:
        """The result of `work` in one transaction; None where there is no store, or it failed."""
        if self._location is None:
            return None
        try:
            if not self._ready:
                plain.make_ready(self._location)
                self._ready = True
            with plain.transaction(self._location, reading=reading, wait_seconds=LOCK_WAIT_SECONDS) as session:
                return work(session)
        except StoreUnusable as exc:
            warn(exc, self._consequence)
            self._location = None
            return None
