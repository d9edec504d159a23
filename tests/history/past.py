"""A database's past, made up: readings of each family at moments that a test chooses."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family, Part, Subject
from dbopt.store import plain, snapshots, targets
from dbopt.store.location import locate
from dbopt.store.targets import Whose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbopt.store.plain import Session

# On the hour, so that stretches and readings meet.
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WHOSE = Whose("7001", "app", "7001")

_SERVER = ("xact_commit", "xact_rollback", "blks_hit", "blks_read", "catalog_blks_hit", "catalog_blks_read")


def server(at: datetime, commits: float, *, lineage: str = "7001/1", hit: float = 0, read: float = 0) -> Part:
    counts = (commits, 0.0, hit, read, 0.0, 0.0)
    return Part(
        family=Family.SERVER,
        taken_at=at,
        lineage=lineage,
        counts=_SERVER,
        subjects={"database": Subject("database", "database", counts, since=NOW - 900 * DAY)},
        levels={"connections": 5.0, "connections_max": 100.0},
    )


def statements(at: datetime, *calls: tuple[str, float, float, float]) -> Part:
    """Of each its key, calls, milliseconds and rows."""
    return Part(
        family=Family.STATEMENTS,
        taken_at=at,
        lineage="7001/1",
        counts=("calls", "total_exec_time_ms", "rows"),
        gauges=("max_exec_time_ms",),
        subjects={key: Subject(key, key.split("/")[0], tuple(amounts), (1.0,)) for key, *amounts in calls},
    )


def tables(at: datetime, **sizes: tuple[float, float]) -> Part:
    """Of each its bytes and how often it was scanned; its key is the name without vowels."""
    return Part(
        family=Family.TABLES,
        taken_at=at,
        lineage="7001/1",
        counts=("seq_scan",),
        gauges=("rows", "n_dead_tup", "heap_bytes", "toast_bytes"),
        subjects={
            key_of(name): Subject(key_of(name), f"public.{name}", (scans,), (size / 100, 0.0, size, 0.0))
            for name, (size, scans) in sizes.items()
        },
    )


def indexes(at: datetime, **sizes: tuple[str, float, float]) -> Part:
    """Of each its table, its bytes and how often it was scanned."""
    return Part(
        family=Family.INDEXES,
        taken_at=at,
        lineage="7001/1",
        counts=("idx_scan",),
        gauges=("size_bytes",),
        subjects={
            key_of(name): Subject(key_of(name), f"public.{name}", (scans,), (size,), None, f"812 {key_of(table)}")
            for name, (table, size, scans) in sizes.items()
        },
    )


def key_of(name: str) -> str:
    return "".join(str(ord(letter)) for letter in name if letter not in "aeiou")


@contextlib.contextmanager
def opened(url: str, *, reading: bool = False) -> Iterator[Session]:
    location = locate(url)
    assert location is not None
    plain.make_ready(location)
    with plain.transaction(location, reading=reading, wait_seconds=5) as session:
        yield session


def keep(url: str, parts: Iterable[Part], *, whose: Whose = WHOSE, name: str = "main") -> int:
    """The target's number."""
    with opened(url) as session:
        for part in parts:
            snapshots.keep(session, whose, name, [part])
        return targets.find_or_add(session, whose)
