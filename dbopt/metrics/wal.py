"""The write-ahead log, of the whole server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Group, Metric, Unit
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window

_FROM_14 = "counted from PostgreSQL 14 on"


def _no_records(window: Window) -> str:
    counted = window.sum(Family.SERVER, "wal_records", "wal") is not None
    return "no WAL was made" if counted else _FROM_14


def _rate(name: str) -> Callable[[Window], float | None]:
    return lambda window: window.rate(Family.SERVER, name, "wal")


def _full_pages(window: Window) -> float | None:
    images, records = (window.sum(Family.SERVER, name, "wal") for name in ("wal_fpi", "wal_records"))
    return None if images is None or not records else images / records


METRICS = (
    Metric(
        name="wal_bytes_per_second",
        title="WAL",
        group=Group.WAL,
        unit=Unit.BYTES_PER_SECOND,
        meaning="Bytes of write-ahead log that the server made.",
        families=(Family.SERVER,),
        value=_rate("wal_bytes"),
        lacks="a standby of PostgreSQL 13 makes no WAL that it could count",
    ),
    Metric(
        name="wal_records_per_second",
        title="Records",
        group=Group.WAL,
        unit=Unit.PER_SECOND,
        meaning="Records of write-ahead log that the server made (14+).",
        families=(Family.SERVER,),
        value=_rate("wal_records"),
        lacks=_FROM_14,
    ),
    Metric(
        name="full_page_images_per_second",
        title="Full page images",
        group=Group.WAL,
        unit=Unit.PER_SECOND,
        meaning="Whole pages written to WAL, as each is at its first change after a checkpoint (14+).",
        families=(Family.SERVER,),
        value=_rate("wal_fpi"),
        lacks=_FROM_14,
    ),
    Metric(
        name="full_page_images_per_record",
        title="Full page images a record",
        group=Group.WAL,
        unit=Unit.RATIO,
        meaning="How many full page images there were for each record (14+): many mean frequent checkpoints.",
        families=(Family.SERVER,),
        value=_full_pages,
        lacks=_no_records,
    ),
    Metric(
        name="wal_buffers_full",
        title="WAL buffers full",
        group=Group.WAL,
        unit=Unit.COUNT,
        meaning="How often WAL had to be written because wal_buffers were full (14+).",
        families=(Family.SERVER,),
        value=lambda window: window.sum(Family.SERVER, "wal_buffers_full", "wal"),
        adds_up=True,
        lacks=_FROM_14,
    ),
    Metric(
        name="wal_files_archived",
        title="Files archived",
        group=Group.WAL,
        unit=Unit.COUNT,
        meaning="Files of WAL that were archived.",
        families=(Family.SERVER,),
        value=lambda window: window.sum(Family.SERVER, "archived_count", "archiver"),
        adds_up=True,
    ),
    Metric(
        name="wal_archive_failures",
        title="Archiving failed",
        group=Group.WAL,
        unit=Unit.COUNT,
        meaning="How often archiving a file of WAL failed.",
        families=(Family.SERVER,),
        value=lambda window: window.sum(Family.SERVER, "failed_count", "archiver"),
        adds_up=True,
    ),
)
