"""What a table or an index wastes: its size against what it would take, were it written anew.

The two checks `table-bloat` and `index-bloat` make these values from statistics; `exact.py` replaces the estimate by a
measurement where somebody asked for it.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.health.check import Gap, Limit, Unit, above
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.health.scene import Scene

THRESHOLDS = above(
    warning=0.30,
    critical=0.60,
    source="ours: a b-tree that grew in random order wastes 23 %, which is as it should be; beyond 60 % every page of "
    "it costs more than two pages of memory and reading",
)
MIN_SIZE = Limit(
    "min_size",
    100 * 1024**2,
    Unit.BYTES,
    "ours: of the relation, not of the waste; what is smaller fits into memory anyway. Of those below 100 MB only the "
    "100 largest are looked at, and none below 256 kB",
)
EXACT_SECONDS = Limit("exact_seconds", 30, Unit.SECONDS, "ours: what --exact may take to read relations, in all")


class Storage(StrEnum):
    """What a part is made of, and so how it is measured."""

    HEAP = "heap"
    TOAST = "toast"
    BTREE = "btree"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Part:
    """A table itself, its TOAST table, or an index. `fresh_bytes`: written anew; None: not known."""

    oid: int
    storage: Storage
    size_bytes: int
    fresh_bytes: float | None
    fillfactor: int = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found by reading a part."""

    size_bytes: int
    fresh_bytes: float


@dataclass(frozen=True, slots=True)
class Bloat:
    """A relation. With a `gap` it could not be judged; `facts` are for the detail."""

    relation: str
    parts: tuple[Part, ...]
    remedy: str
    facts: tuple[str, ...] = ()
    gap: Gap | None = None
    is_measured: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)

    @property
    def wasted_bytes(self) -> float:
        """Never negative: an estimate may say that the relation should be larger than it is."""
        return max(self.size_bytes - sum(part.fresh_bytes or 0 for part in self.parts), 0.0)

    @property
    def ratio(self) -> float:
        return self.wasted_bytes / self.size_bytes if self.size_bytes else 0.0

    @property
    def detail(self) -> str:
        words = f"{self.ratio:.0%} of {format_bytes(self.size_bytes)} is waste, {format_bytes(self.wasted_bytes)}"
        return "; ".join((f"{words}, {'measured' if self.is_measured else 'estimated'}", *self.facts))


def is_large(size_bytes: int, scene: Scene) -> bool:
    return size_bytes >= scene.limits[MIN_SIZE.name]


def as_measured(bloat: Bloat, scene: Scene) -> Bloat:
    """With what was measured instead of what was estimated. Only whole: half an estimate is still one."""
    exact = scene.facts.exact
    if not all(part.oid in exact for part in bloat.parts):
        return bloat
    parts = tuple(
        replace(part, size_bytes=exact[part.oid].size_bytes, fresh_bytes=exact[part.oid].fresh_bytes)
        for part in bloat.parts
    )
    return replace(bloat, parts=parts, gap=None, is_measured=True)


def row_count(reltuples: float, n_live_tup: int, n_tup_ins: int, n_tup_del: int) -> float:
    """Two of three agree, as none can be trusted: `reltuples` is of the last VACUUM or ANALYZE, `n_live_tup` counts a
    session's changes twice that are reported after the VACUUM that saw them, and inserted less deleted rows know
    nothing of what was before counters were reset, nor of TRUNCATE and ROLLBACK.
    """
    return sorted((reltuples, float(n_live_tup), max(float(n_tup_ins - n_tup_del), 0.0)))[1]


def uncounted(scene: Scene, hint: str) -> Gap:
    """Rows were counted only from some moment on, and nobody has counted them all since."""
    if not scene.surroundings.tracks_counts:
        return Gap("track_counts is off, so nobody counts rows", "ALTER SYSTEM SET track_counts = on;")
    seconds = scene.surroundings.stats_seconds
    window = "statistics were reset" if seconds is None else f"statistics began, {format_duration(seconds)} ago"
    return Gap(f"neither vacuumed nor analyzed since {window}", hint)


def hidden(scene: Scene, relation: str, *, has_policies: bool, is_index: bool) -> Gap:
    """The role may not read what ANALYZE has found out."""
    server = scene.server
    if has_policies:
        hint = f"ALTER ROLE {Identifier(server.usename).as_string()} BYPASSRLS;"
    elif server.has_read_all_data:
        hint = server.grant("pg_read_all_data")
    elif is_index:  # nothing but the owner's rights shows statistics about an index on an expression
        hint = "Connect as the owner of the table or as a superuser."
    else:
        hint = server.grant(f"SELECT ON {relation}")
    return Gap("pg_stats hides from this role what ANALYZE knows", hint, blind=True)
