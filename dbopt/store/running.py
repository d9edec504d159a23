"""The processes of applications that run, for `dbopt health`: what they have published last, and done of late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.applications import WINDOW, Process
from dbopt.snapshot import delta
from dbopt.snapshot.model import CLIENTS
from dbopt.store import clients, snapshots, targets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dbopt.store.plain import Session
    from dbopt.store.targets import Whose


def processes(session: Session, whose: Whose, now: datetime) -> Sequence[Process]:
    """`now` by the database's clock."""
    target_id = targets.find(session, whose)
    if target_id is None:
        return ()
    found = []
    for family, part in clients.lately(session, target_id, now).items():
        application, instance = family.removeprefix(CLIENTS).split("/")
        [subject] = part.subjects.values()
        stored = snapshots.intervals(session, target_id, family, now - WINDOW)
        found.append(
            Process(
                application=application,
                instance=instance,
                started_at=subject.since or now,
                now=part,
                lately=delta.total(stored),
            )
        )
    return tuple(found)
