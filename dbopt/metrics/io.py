"""What is read from and written to files, and what went wrong in passing: temporary files, deadlocks, conflicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Group, Metric, Unit
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window

_NO_TIMES = "nothing was read or written, or track_io_timing is off"


def of_relations(key: str) -> bool:
    """Of a subject of IO, `backend_type/object/context`: 18 counts WAL here too, which has figures of its own."""
    return key.split("/")[1] != "wal"


def _sum(window: Window, name: str) -> float | None:
    if not window.counts(Family.IO, name):
        return None
    return sum(amount for change, (amount,) in window.changes(Family.IO, name) if of_relations(change.key))


def _rate(name: str) -> Callable[[Window], float | None]:
    def value(window: Window) -> float | None:
        amount = _sum(window, name)
        return None if amount is None else amount / window.seconds(Family.IO)

    return value


def _time(time: str, number: str) -> Callable[[Window], float | None]:
    def value(window: Window) -> float | None:
        times, operations = _sum(window, time), _sum(window, number)
        # Without track_io_timing all times are 0, and no operation takes none.
        return times / operations if times and operations else None

    return value


def _io(name: str, title: str, unit: Unit, meaning: str, value: Callable[[Window], float | None]) -> Metric:
    return Metric(
        name=name,
        title=title,
        group=Group.IO,
        unit=unit,
        meaning=meaning,
        families=(Family.IO,),
        value=value,
        lacks=_NO_TIMES if unit is Unit.MILLISECONDS else None,
    )


def _count(name: str, title: str, unit: Unit, meaning: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        group=Group.IO,
        unit=unit,
        meaning=meaning,
        families=(Family.SERVER,),
        value=lambda window: window.sum(Family.SERVER, name, "database"),
        adds_up=True,
    )


METRICS = (
    _io(
        "io_reads_per_second",
        "Reads",
        Unit.PER_SECOND,
        "Reads of tables and indexes by all processes of the server (pg_stat_io, 16+).",
        _rate("reads"),
    ),
    _io(
        "io_read_bytes_per_second",
        "Read",
        Unit.BYTES_PER_SECOND,
        "Bytes of tables and indexes that all processes of the server read (16+).",
        _rate("read_bytes"),
    ),
    _io(
        "io_read_time_ms",
        "Time of a read",
        Unit.MILLISECONDS,
        "How long a read took on average (16+, with track_io_timing).",
        _time("read_time", "reads"),
    ),
    _io(
        "io_writes_per_second",
        "Writes",
        Unit.PER_SECOND,
        "Writes of tables and indexes by all processes of the server (16+).",
        _rate("writes"),
    ),
    _io(
        "io_write_bytes_per_second",
        "Written",
        Unit.BYTES_PER_SECOND,
        "Bytes of tables and indexes that all processes of the server wrote (16+).",
        _rate("write_bytes"),
    ),
    _io(
        "io_write_time_ms",
        "Time of a write",
        Unit.MILLISECONDS,
        "How long a write took on average (16+, with track_io_timing).",
        _time("write_time", "writes"),
    ),
    _io(
        "io_extend_bytes_per_second",
        "Grown",
        Unit.BYTES_PER_SECOND,
        "Bytes by which all processes of the server made files of tables and indexes longer (16+).",
        _rate("extend_bytes"),
    ),
    _io(
        "io_fsyncs_per_second",
        "Fsyncs",
        Unit.PER_SECOND,
        "How often a process of the server waited for files of tables and indexes to be on disk (16+).",
        _rate("fsyncs"),
    ),
    _count(
        "temp_files",
        "Temporary files",
        Unit.COUNT,
        "Files that statements of this database wrote as their sorts and hashes did not fit into work_mem.",
    ),
    _count(
        "temp_bytes",
        "In temporary files",
        Unit.BYTES,
        "Bytes that statements of this database wrote into temporary files.",
    ),
    _count(
        "deadlocks", "Deadlocks", Unit.COUNT, "Transactions of this database that were ended to resolve a deadlock."
    ),
    _count(
        "conflicts",
        "Conflicts with recovery",
        Unit.COUNT,
        "Statements that a standby cancelled as they stood in the way of what it had to replay.",
    ),
)
