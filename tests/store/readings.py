"""Readings of counters made up, and a store to keep them in."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family, Part, Subject
from dbopt.store import plain, snapshots, targets
from dbopt.store.location import locate
from dbopt.store.targets import Whose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.store.location import Location
    from dbopt.store.plain import Session
    from dbopt.store.retention import Policy

WHOSE = Whose("7001", "app", "7001")
START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def located(url: str) -> Location:
    location = locate(url)
    assert location is not None
    return location


@contextlib.contextmanager
def opened(url: str, *, reading: bool = False) -> Iterator[Session]:
    plain.make_ready(located(url))
    with plain.transaction(located(url), reading=reading, wait_seconds=5) as session:
        yield session


def part(at: datetime, scans: float, family: str = Family.TABLES, **more: float) -> Part:
    """`more`: other subjects by name; for statements their queryids are what follows the q."""
    subjects = {"t": scans, **more}
    return Part(
        family=family,
        taken_at=at,
        lineage="7001/1",
        counts=("seq_scan",),
        subjects={name: Subject(name, name.removeprefix("q"), (value,)) for name, value in subjects.items()},
    )


def keep(url: str, *parts: Part, whose: Whose = WHOSE, name: str = "main", policy: Policy | None = None) -> int:
    """The target's number."""
    with opened(url) as session:
        for item in parts:
            snapshots.keep(session, whose, name, [item], policy=policy)
        return targets.find_or_add(session, whose)


def counted(url: str, target_id: int, since: datetime | None = None, family: str = Family.TABLES) -> float:
    """What the table's scans add up to."""
    with opened(url, reading=True) as session:
        found = snapshots.intervals(session, target_id, family, since)
    return sum(item.count("t", "seq_scan") or 0 for item in found)


def rows(url: str, table: str) -> int:
    with opened(url, reading=True) as session:
        return int(session.rows(f"SELECT count(*) FROM {table}", {})[0][0])
