"""WAL that cannot be archived.

While archive_command or archive_library fails, each WAL file stays in pg_wal until the disk is full, and a backup
cannot be restored to any time after the last file that was archived. Reported while it fails (nothing was archived
since the last failure), where archive_mode is on and nothing is configured to do it, and where the archiver is far
behind without saying why. Measured is the time since the last success. What the command says stands in the server's
log.
https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-ARCHIVING-WAL
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Limit, NotJudged, Status, Unit, above
from dbopt.postgres.settings import SETTINGS, Setting, by_name
from dbopt.postgres.wal import WAL_STATE, WalState
from dbopt.units import format_bytes, format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Archiving:
    seconds: float  # since the last success
    detail: str
    remedy: str
    grade: Status | None = None


def _archiving(rows: Sequence[WalState], scene: Scene) -> Iterator[Archiving]:
    settings = by_name(scene.rows(SETTINGS))
    mode = settings["archive_mode"].value
    if mode == "off" or (scene.server.in_recovery and mode != "always"):
        where = " on a standby" if scene.server.in_recovery and mode == "on" else ""
        raise NotJudged(f"archive_mode is {mode}{where}: nothing is to be archived", status=Status.SKIPPED)
    (state,) = rows
    up = (scene.surroundings.now - scene.surroundings.postmaster_started).total_seconds()
    seconds = state.last_archived_age
    young = state.archiver_age is not None and state.archiver_age < scene.limits["window"]
    if seconds is None and state.last_failed_age is None and young and _is_configured(settings):
        window = format_duration(state.archiver_age or 0.0)
        raise NotJudged(f"neither success nor failure since the archiver's statistics started {window} ago")
    if seconds is None:
        seconds = min(up, state.archiver_age or up)
        last = "nothing was archived yet"
    else:
        last = f"the last file was archived {format_duration(seconds)} ago: {state.last_archived_wal}"
    if state.archiver_failing:
        failed = f"archiving {state.last_failed_wal} failed {format_duration(state.last_failed_age or 0.0)} ago"
        yield Archiving(seconds, f"{failed}; {last}", _HOW)
    elif not _is_configured(settings):
        detail = f"archive_mode is {mode}, but archive_command is empty: WAL is kept for ever; {last}"
        yield Archiving(seconds, detail, _CONFIGURE)
    else:
        yield _backlog(state, settings["wal_segment_size"].amount, seconds, last, scene)


def _backlog(state: WalState, segment: float, seconds: float, last: str, scene: Scene) -> Archiving:
    """That the archiver has not failed does not mean that it has got anything done."""
    archived = end_of_segment(state.last_archived_wal, int(segment))
    if archived is None or state.written_lsn is None:
        return Archiving(seconds, last, _HOW, grade=Status.OK)
    waiting = max(0, state.written_lsn - archived)
    late = waiting >= scene.limits["backlog"]
    return Archiving(
        seconds, f"{format_bytes(waiting)} of WAL not archived; {last}", _HOW, grade=None if late else Status.OK
    )


def end_of_segment(name: str | None, segment_bytes: int) -> int | None:
    """The position behind a WAL file; None for other files, such as those of a timeline's history.

    24 hexadecimal digits: timeline, then the upper 32 bits of the position, then the number of the file within them.
    """
    match = re.fullmatch(r"[0-9A-F]{8}([0-9A-F]{8})([0-9A-F]{8})", name or "")
    if match is None:
        return None
    return int(match[1], 16) * 2**32 + (int(match[2], 16) + 1) * segment_bytes


def _is_configured(settings: Mapping[str, Setting]) -> bool:
    return any(settings[name].value for name in ("archive_command", "archive_library") if name in settings)


_HOW = "SHOW archive_command;  -- run it by hand as the server's account; its words are in the server's log"
_CONFIGURE = (
    "ALTER SYSTEM SET archive_command = '...';\n"
    "SELECT pg_catalog.pg_reload_conf();  -- or archive_mode = off, and a restart"
)

CHECK: Check[Archiving] = Check(
    id="archiving-failed",
    title="WAL that cannot be archived",
    group=Group.REPLICATION,
    query=WAL_STATE,
    also=(SETTINGS,),
    unit=Unit.SECONDS,
    thresholds=above(
        warning=0, critical=3600, source="our own reasoning: an hour of work that no backup would bring back"
    ),
    limits=(
        Limit("window", 120, Unit.SECONDS, "the archiver tries again a minute after it has failed"),
        Limit(
            "backlog",
            1024**3,
            Unit.BYTES,
            "our own reasoning: as much as the default of max_wal_size waits for an archiver that reports no failure",
        ),
    ),
    subject=lambda _: "archiver",
    measure=lambda archiving: archiving.seconds,
    detail=lambda archiving: archiving.detail,
    remedy=lambda archiving: archiving.remedy,
    grade=lambda archiving: archiving.grade,
    rows=_archiving,
)
