"""An answer that is not there, or is too old: one caller makes it, the others wait, by dogpile's Lock.

A caller that makes an answer waits for no other one: two that need each other's answers would wait for ever, as would
one that asks for its own.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dogpile import Lock, NeedRegenerationException
from dogpile.cache.api import CachedValue

from dbopt.client.cache.store import Unavailable, Uncacheable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbopt.client.cache.how import Cached
    from dbopt.client.cache.renewals import Renewals
    from dbopt.client.cache.store import Generations, Store
    from dbopt.client.cache.turn import Turn

logger = logging.getLogger("dbopt.client")


def is_making(key: str) -> bool:
    """Whether this answer is being made, around this point of the program."""
    return any(one.key == key for one in _around())


def spoil() -> None:
    """What is being made is of a transaction that sees what others do not."""
    for one in _around():
        one.is_spoiled = True


def _around() -> Iterator[Making]:
    one = _current.get()
    while one is not None:
        yield one
        one = one.outer


class _NotKept(Exception):
    """While this caller waited it came out that the answer cannot be kept: there is nothing to wait for."""


class Making:
    """One caller's way to one answer. `found`: what was found a moment ago. `renewals` None: nothing is left to the
    background. `is_new`: what is there does not count.
    """

    outer: Making | None = None
    has_made = has_found = has_kept = is_stale = is_spoiled = False

    def __init__(
        self,
        store: Store,
        key: str,
        names: tuple[str, ...],
        how: Cached,
        make: Callable[[], Any],
        *,
        found: tuple[CachedValue | None, Generations],
        renewals: Renewals | None,
        refused: Refused,
        failed: Callable[[], None],
        is_new: bool = False,
    ) -> None:
        self._store = store
        self.key = key
        self._names = names
        self._how = how
        self._make = make
        self._found: tuple[CachedValue | None, Generations] | None = found
        self._generations: Generations | None = found[1]
        self._renewals = renewals
        self._refused = refused
        self._failed = failed
        self._is_new = is_new

    def answer(self, wait_seconds: float) -> Any:
        """What `make` raises is raised; then the next one tries."""
        if _current.get() is not None:
            wait_seconds = 0
        assert self._generations is not None
        turn = self._store.turn(self.key, self._generations, wait_seconds)
        lock = Lock(  # type: ignore[no-untyped-call]
            turn,
            self._create,
            self._look,
            self._how.ttl,
            self._renew if self._how.stale_for and self._renewals is not None else None,
        )
        try:
            with lock as entry:
                if self.has_made:
                    return entry.payload
                self.has_found = True
                self.is_stale = time.time() - entry.metadata["ct"] > self._how.ttl
                return self._store.opened(entry)
        except _NotKept:
            return self._made()

    def _look(self) -> tuple[CachedValue, float]:
        """As dogpile asks: the answer that is there, however old it may be, and when it was made."""
        found, self._found = self._found, None
        if found is None:
            if self.key in self._refused:
                raise _NotKept
            try:
                found = self._store.find(self.key, self._names)
            except Unavailable:
                self._generations = None  # nothing can be kept, either
                raise NeedRegenerationException from None
        entry, self._generations = found
        if entry is None or self._is_new:
            raise NeedRegenerationException
        made_at: float = entry.metadata["ct"]
        if time.time() - made_at > self._how.ttl + self._how.stale_for:
            raise NeedRegenerationException
        return entry, made_at

    def _create(self) -> tuple[CachedValue, float]:
        self.has_made = True
        value = self._made()
        self._keep(value)
        return CachedValue(value, {}), time.time()

    def _made(self) -> Any:
        self.outer = _current.get()
        token = _current.set(self)
        try:
            return self._make()
        finally:
            _current.reset(token)

    def _keep(self, value: Any) -> None:
        if self._generations is None:
            return
        if self.is_spoiled:
            self._refused.warn("was read by a session that sees its own writes, temporary tables or settings")
            return
        try:
            self._store.keep(self.key, value, self._generations, self._how.ttl + self._how.stale_for)
            self.has_kept = True
        except Unavailable:
            logger.debug("an answer was not kept: the cache cannot be reached")
        except Uncacheable as exc:
            self._refused.add(self.key, self._how.ttl)
            self._refused.warn(f"has {exc}")

    def _renew(self, turn: Turn) -> None:
        """dogpile's async_creator: it has the turn, and gives it back when it is done."""
        assert self._renewals is not None
        self._renewals.start(lambda: self._renew_now(turn), turn.release)

    def _renew_now(self, turn: Turn) -> None:
        try:
            self._generations = self._store.generations(self._names)
            self._keep(self._made())
        except Unavailable:
            logger.debug("an answer was not renewed: the cache cannot be reached")
        except Exception as exc:  # noqa: BLE001 - who asked has an answer; the next one finds out
            self._failed()
            logger.debug("an answer was not renewed: %s", type(exc).__name__)
        finally:
            turn.release()


_current: ContextVar[Making | None] = ContextVar("dbopt_cache_making", default=None)


class Refused:
    """Answers that cannot be kept, for some time: nobody waits for others to make them."""

    _MOST = 1_000

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._reasons: set[str] = set()

    def __contains__(self, key: str) -> bool:
        until = self._until.get(key)
        return until is not None and time.monotonic() < until

    def add(self, key: str, seconds: float) -> None:
        if len(self._until) >= self._MOST:
            self._until.clear()
        self._until[key] = time.monotonic() + seconds

    def warn(self, reason: str) -> None:
        """Of each reason once."""
        if reason not in self._reasons and len(self._reasons) < self._MOST:
            self._reasons.add(reason)
            logger.warning("an answer is not kept in the cache, nor are others like it: it %s", reason)
