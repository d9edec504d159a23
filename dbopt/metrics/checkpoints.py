"""Checkpoints, and who writes out changed buffers; of the whole server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Group, Metric, Unit
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window


def _metric(
    name: str,
    title: str,
    unit: Unit,
    meaning: str,
    value: Callable[[Window], float | None],
    *,
    adds_up: bool = False,
) -> Metric:
    return Metric(
        name=name,
        title=title,
        group=Group.CHECKPOINTS,
        unit=unit,
        meaning=meaning,
        families=(Family.SERVER,),
        value=value,
        adds_up=adds_up,
    )


def _seconds(name: str) -> Callable[[Window], float | None]:
    def value(window: Window) -> float | None:
        milliseconds = window.sum(Family.SERVER, name, "checkpointer")
        return None if milliseconds is None else milliseconds / 1000

    return value


METRICS = (
    _metric(
        "checkpoints_timed",
        "Checkpoints by time",
        Unit.COUNT,
        "Checkpoints that checkpoint_timeout asked for; from 17 on those skipped on an idle server too.",
        lambda window: window.sum(Family.SERVER, "checkpoints_timed", "checkpointer"),
        adds_up=True,
    ),
    _metric(
        "checkpoints_requested",
        "Checkpoints requested",
        Unit.COUNT,
        "Checkpoints that somebody or max_wal_size asked for: many mean that max_wal_size is small.",
        lambda window: window.sum(Family.SERVER, "checkpoints_requested", "checkpointer"),
        adds_up=True,
    ),
    _metric(
        "checkpoint_write_seconds",
        "Time writing",
        Unit.SECONDS,
        "How long checkpoints that ended were writing; they take their time on purpose.",
        _seconds("checkpoint_write_time"),
        adds_up=True,
    ),
    _metric(
        "checkpoint_sync_seconds",
        "Time syncing",
        Unit.SECONDS,
        "How long checkpoints that ended waited for files to be on disk.",
        _seconds("checkpoint_sync_time"),
        adds_up=True,
    ),
    _metric(
        "checkpoint_buffers_per_second",
        "Buffers written by checkpoints",
        Unit.PER_SECOND,
        "Buffers that checkpoints wrote.",
        lambda window: window.rate(Family.SERVER, "buffers_checkpoint", "checkpointer"),
    ),
    _metric(
        "bgwriter_buffers_per_second",
        "Buffers written in the background",
        Unit.PER_SECOND,
        "Buffers that the background writer wrote.",
        lambda window: window.rate(Family.SERVER, "buffers_clean", "bgwriter"),
    ),
    _metric(
        "buffers_allocated_per_second",
        "Buffers allocated",
        Unit.PER_SECOND,
        "Buffers that were taken for other blocks.",
        lambda window: window.rate(Family.SERVER, "buffers_alloc", "bgwriter"),
    ),
)
