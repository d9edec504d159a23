"""The store as an aside of a job that matters more: the first that is wrong with it is one warning, and no error.

`Needed` is the opposite: the store is the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dbopt.errors import ConfigError, StoreUnusable
from dbopt.store import plain
from dbopt.store.faults import warn
from dbopt.store.location import NONE, locate, require

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.store.location import Location
    from dbopt.store.plain import Session

Value = TypeVar("Value")

UNKEPT = "nothing new is kept"
# A verdict or a number that somebody waits for is worth more than its record.
LOCK_WAIT_SECONDS = 1.0
PATIENCE_SECONDS = 30.0  # of a command for which nobody waits: a store that is pruned is busy for seconds


class Aside:
    """The store for one call. Never raises because of it; nothing is kept any more once that has failed (a full disk, a
    lock), and nothing read either once that has.
    """

    def __init__(self, url: str | None, consequence: str) -> None:
        """`none` is no store, without a warning. `consequence`: how the job goes on without it."""
        self._consequence = consequence
        self._location: Location | None = None
        self._ready = False
        self._keeps = True
        try:
            self._location = None if url == NONE else locate(url)
        except ConfigError as exc:
            warn(exc, consequence)

    @property
    def is_usable(self) -> bool:
        """As far as is known."""
        return self._location is not None

    @property
    def is_made(self) -> bool:
        """Whether it is worth while to read: a file that is not there holds nothing, and need not be made for that."""
        return self._location is not None and (self._location.path is None or self._location.path.exists())

    def attempt(self, work: Callable[[Session], Value], *, reading: bool) -> Value | None:
        """The result of `work` in one transaction; None where there is no store, or it failed."""
        if self._location is None or not (reading or self._keeps):
            return None
        try:
            if not self._ready:
                plain.make_ready(self._location)
                self._ready = True
            with plain.transaction(self._location, reading=reading, wait_seconds=LOCK_WAIT_SECONDS) as session:
                return work(session)
        except StoreUnusable as exc:
            is_lost = reading or not self._ready
            if self._keeps:  # else it was said already that something is wrong
                warn(exc, self._consequence if is_lost else UNKEPT)
            self._keeps = False
            if is_lost:
                self._location = None
            return None


class Needed:
    """The store of a command that has done nothing without it: what is wrong with it is an error."""

    def __init__(self, url: str | None) -> None:
        """Made and brought up to date where needed. Raises ConfigError, for `none` too, and StoreUnusable."""
        self.location = require(url)
        plain.make_ready(self.location)

    def attempt(self, work: Callable[[Session], Value], *, reading: bool) -> Value:
        """The result of `work` in one transaction. Raises StoreUnusable."""
        with plain.transaction(self.location, reading=reading, wait_seconds=PATIENCE_SECONDS) as session:
            return work(session)
