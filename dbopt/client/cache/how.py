"""How an answer is cached, and what a cache has done: the values of this package that others see."""

from __future__ import annotations

import math

from dbopt.errors import UsageError
from dbopt.values import dataclass

TTL_SECONDS = 300.0  # cacheTTL of the guide that dbopt succeeds


@dataclass(frozen=True, slots=True)
class Cached:
    """For how long an answer may be given again, in seconds, unless a write makes it invalid before.

    `tags`: names by which `invalidate(tags=...)` finds it. `stale_for`: for so long after the `ttl` the old answer is
    still given, while one renewal is under way in the background; a write makes it invalid nevertheless.
    """

    ttl: float = TTL_SECONDS
    tags: tuple[str, ...] = ()
    stale_for: float = 0

    def __post_init__(self) -> None:
        if not (_is_number(self.ttl) and self.ttl > 0 and _is_number(self.stale_for) and self.stale_for >= 0):
            raise UsageError(
                "an answer cannot be cached for such a time",
                detail=f"found ttl={self.ttl!r}, stale_for={self.stale_for!r}, in seconds",
                hint="Give a ttl above 0 and a stale_for of 0 or more; cache=None caches nothing.",
            )
        if isinstance(self.tags, str) or not all(isinstance(tag, str) for tag in self.tags):
            raise UsageError(f"tags are a sequence of texts, found {type(self.tags).__name__}")
        object.__setattr__(self, "tags", tuple(self.tags))

    @classmethod
    def of(cls, how: Cached | float) -> Cached:
        """A number is the ttl. Raises UsageError."""
        return how if isinstance(how, Cached) else cls(how)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFigures:
    """Since the process has started. Each question that was asked with `cache=` is one hit or one miss: a hit was
    answered without a query of its own, be it by waiting for somebody else's. Not counted are questions of `warming`,
    and of transactions that may not be answered from a cache.
    """

    hits: int
    misses: int
    stale: int  # of the hits, those older than their ttl
    entries: int | None  # in memory, those that a write has made invalid included; None: they are in Redis
    bytes: int | None
    evictions: int | None  # for want of room, not of age
    uncached: int  # of the misses, those whose answer was not kept: too large, of other types, nowhere to keep it
    errors: int  # of Redis, of the connection that listens, of renewals in the background

    @property
    def hit_ratio(self) -> float | None:
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class Warming:
    """What the questions of `warming` have done. `made`: answers that were put into the cache; `present`: those that
    were there.
    """

    def __init__(self, renew: bool) -> None:
        self.renew = renew
        self.made = self.present = 0

    def count(self, *, is_present: bool, is_kept: bool) -> None:
        self.present += is_present
        self.made += is_kept and not is_present
