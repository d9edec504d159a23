"""Figures as Prometheus' text format.

What the server counts and nothing but a reset makes fall is a counter with the raw value of the present reading: rates
are Prometheus' to make. How things stand are gauges. Ratios, latencies, and what is a sum over things that come and go
(statements are evicted, tables dropped) are gauges over the window of the call, whose length is one too.
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Group, Unit
from dbopt.metrics.pool import POOLER
from dbopt.render.exposition import Family
from dbopt.snapshot.model import Family as Counted
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.metrics.breakdown import Breakdown
    from dbopt.metrics.measurement import Measurement
    from dbopt.metrics.metric import Metric

PREFIX = "dbopt"
_MS = 1e-3


@dataclass(frozen=True, slots=True)
class _Counter:
    """A column of a subject of SERVER."""

    name: str
    group: Group
    subject: str
    column: str
    help_text: str
    label: tuple[str, str] | None = None
    scale: float = 1.0


_TRANSACTIONS = "Transactions of this database that ended."
_LOST = "Sessions of this database that did not end by the client's wish."
_CHECKPOINTS = "Checkpoints of the server."
_WRITTEN = "Buffers that were written out."
_COUNTERS = (
    _Counter("transactions", Group.THROUGHPUT, "database", "xact_commit", _TRANSACTIONS, ("outcome", "commit")),
    _Counter("transactions", Group.THROUGHPUT, "database", "xact_rollback", _TRANSACTIONS, ("outcome", "rollback")),
    _Counter("rows_read", Group.THROUGHPUT, "database", "tup_returned", "Rows and index entries that scans read."),
    _Counter("rows_fetched", Group.THROUGHPUT, "database", "tup_fetched", "Rows that index scans fetched."),
    _Counter("rows_inserted", Group.THROUGHPUT, "database", "tup_inserted", "Rows that were inserted."),
    _Counter("rows_updated", Group.THROUGHPUT, "database", "tup_updated", "Rows that were updated."),
    _Counter("rows_deleted", Group.THROUGHPUT, "database", "tup_deleted", "Rows that were deleted."),
    _Counter("blocks_hit", Group.CACHE, "database", "blks_hit", "Blocks found in shared_buffers, catalogs included."),
    _Counter("blocks_read", Group.CACHE, "database", "blks_read", "Blocks not found there, catalogs included."),
    _Counter(
        "catalog_blocks_hit", Group.CACHE, "database", "catalog_blks_hit", "Of blocks_hit, those of system catalogs."
    ),
    _Counter(
        "catalog_blocks_read", Group.CACHE, "database", "catalog_blks_read", "Of blocks_read, those of system catalogs."
    ),
    _Counter(
        "block_read_seconds",
        Group.IO,
        "database",
        "blk_read_time",
        "Time reading blocks, with track_io_timing.",
        scale=_MS,
    ),
    _Counter(
        "block_write_seconds",
        Group.IO,
        "database",
        "blk_write_time",
        "Time writing blocks, with track_io_timing.",
        scale=_MS,
    ),
    _Counter("temp_files", Group.IO, "database", "temp_files", "Temporary files of statements."),
    _Counter("temp_bytes", Group.IO, "database", "temp_bytes", "Bytes in temporary files of statements."),
    _Counter("deadlocks", Group.IO, "database", "deadlocks", "Deadlocks."),
    _Counter("conflicts", Group.IO, "database", "conflicts", "Statements cancelled for recovery on a standby."),
    _Counter("checksum_failures", Group.IO, "database", "checksum_failures", "Pages whose checksum was wrong."),
    _Counter(
        "session_seconds",
        Group.CONNECTIONS,
        "database",
        "session_time",
        "Time that sessions lasted.",
        scale=_MS,
    ),
    _Counter(
        "session_active_seconds",
        Group.CONNECTIONS,
        "database",
        "active_time",
        "Time that sessions ran statements.",
        scale=_MS,
    ),
    _Counter(
        "session_idle_in_transaction_seconds",
        Group.CONNECTIONS,
        "database",
        "idle_in_transaction_time",
        "Time that sessions were idle in a transaction.",
        scale=_MS,
    ),
    _Counter("sessions", Group.CONNECTIONS, "database", "sessions", "Sessions that were opened."),
    _Counter("sessions_lost", Group.CONNECTIONS, "database", "sessions_abandoned", _LOST, ("cause", "abandoned")),
    _Counter("sessions_lost", Group.CONNECTIONS, "database", "sessions_fatal", _LOST, ("cause", "fatal")),
    _Counter("sessions_lost", Group.CONNECTIONS, "database", "sessions_killed", _LOST, ("cause", "killed")),
    _Counter("wal_records", Group.WAL, "wal", "wal_records", "Records of WAL."),
    _Counter("wal_full_page_images", Group.WAL, "wal", "wal_fpi", "Full page images in WAL."),
    _Counter("wal_bytes", Group.WAL, "wal", "wal_bytes", "Bytes of WAL."),
    _Counter("wal_buffers_full", Group.WAL, "wal", "wal_buffers_full", "Writes of WAL for want of wal_buffers."),
    _Counter("wal_files_archived", Group.WAL, "archiver", "archived_count", "Files of WAL that were archived."),
    _Counter("wal_archive_failures", Group.WAL, "archiver", "failed_count", "Failures to archive a file of WAL."),
    _Counter(
        "checkpoints",
        Group.CHECKPOINTS,
        "checkpointer",
        "checkpoints_timed",
        _CHECKPOINTS,
        ("cause", "timed"),
    ),
    _Counter(
        "checkpoints",
        Group.CHECKPOINTS,
        "checkpointer",
        "checkpoints_requested",
        _CHECKPOINTS,
        ("cause", "requested"),
    ),
    _Counter(
        "checkpoint_write_seconds",
        Group.CHECKPOINTS,
        "checkpointer",
        "checkpoint_write_time",
        "Time that checkpoints were writing.",
        scale=_MS,
    ),
    _Counter(
        "checkpoint_sync_seconds",
        Group.CHECKPOINTS,
        "checkpointer",
        "checkpoint_sync_time",
        "Time that checkpoints waited for files to be on disk.",
        scale=_MS,
    ),
    _Counter(
        "buffers_written", Group.CHECKPOINTS, "checkpointer", "buffers_checkpoint", _WRITTEN, ("by", "checkpointer")
    ),
    _Counter("buffers_written", Group.CHECKPOINTS, "bgwriter", "buffers_clean", _WRITTEN, ("by", "bgwriter")),
    _Counter("buffers_allocated", Group.CHECKPOINTS, "bgwriter", "buffers_alloc", "Buffers taken for other blocks."),
)
_OF_IO = (
    ("io_reads", "reads", "Reads by kind of process.", 1.0),
    ("io_read_bytes", "read_bytes", "Bytes read by kind of process.", 1.0),
    ("io_read_seconds", "read_time", "Time reading by kind of process, with track_io_timing.", _MS),
    ("io_writes", "writes", "Writes by kind of process.", 1.0),
    ("io_write_bytes", "write_bytes", "Bytes written by kind of process.", 1.0),
    ("io_write_seconds", "write_time", "Time writing by kind of process, with track_io_timing.", _MS),
    ("io_extends", "extends", "Extensions of files by kind of process.", 1.0),
    ("io_extend_bytes", "extend_bytes", "Bytes by which files grew by kind of process.", 1.0),
    ("io_hits", "hits", "Blocks found in shared_buffers by kind of process.", 1.0),
    ("io_evictions", "evictions", "Blocks evicted by kind of process.", 1.0),
    ("io_fsyncs", "fsyncs", "Fsyncs by kind of process.", 1.0),
)


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A level of a family."""

    name: str
    group: Group
    family: str
    level: str
    help_text: str


_GAUGES = (
    _Gauge("connections", Group.CONNECTIONS, Counted.SERVER, "connections", "Sessions of clients, of all databases."),
    _Gauge(
        "connections_max",
        Group.CONNECTIONS,
        Counted.SERVER,
        "connections_max",
        "The most that there may be: max_connections less the slots reserved for superusers.",
    ),
    _Gauge("connections_active", Group.CONNECTIONS, Counted.SERVER, "connections_active", "Sessions at work."),
    _Gauge("connections_idle", Group.CONNECTIONS, Counted.SERVER, "connections_idle", "Sessions at rest."),
    _Gauge(
        "connections_idle_in_transaction",
        Group.CONNECTIONS,
        Counted.SERVER,
        "connections_idle_in_transaction",
        "Sessions at rest with a transaction open.",
    ),
    _Gauge(
        "connections_waiting",
        Group.CONNECTIONS,
        Counted.SERVER,
        "connections_waiting",
        "Sessions that wait for a lock.",
    ),
    _Gauge(
        "oldest_transaction_seconds",
        Group.CONNECTIONS,
        Counted.SERVER,
        "oldest_xact_seconds",
        "How long the oldest transaction of a client has been open.",
    ),
    _Gauge("replicas", Group.REPLICATION, Counted.SERVER, "replicas", "Standbys that stream from here."),
    _Gauge(
        "replay_lag_bytes",
        Group.REPLICATION,
        Counted.SERVER,
        "replay_lag_bytes",
        "WAL not replayed by the standby furthest behind, or by this one.",
    ),
    _Gauge(
        "replay_lag_seconds",
        Group.REPLICATION,
        Counted.SERVER,
        "replay_lag_seconds",
        "How long ago what was replayed last was written.",
    ),
    _Gauge(
        "slot_retained_bytes",
        Group.REPLICATION,
        Counted.SERVER,
        "slot_retained_bytes",
        "WAL kept for the replication slot furthest behind.",
    ),
    _Gauge(
        "autovacuum_workers", Group.VACUUM, Counted.SERVER, "autovacuum_workers", "Autovacuum workers of the server."
    ),
    _Gauge(
        "xid_age",
        Group.VACUUM,
        Counted.SERVER,
        "xid_age",
        "Transactions since the oldest row that is not frozen was written.",
    ),
    _Gauge("dead_rows", Group.VACUUM, Counted.RELATIONS, "n_dead_tup", "Dead rows in the tables of this database."),
    _Gauge("pool_connections", Group.POOL, POOLER, "pool_used", "Connections that PgBouncer has lent out."),
    _Gauge("pool_size", Group.POOL, POOLER, "pool_size", "The most that PgBouncer may lend out."),
    _Gauge("pool_waiting", Group.POOL, POOLER, "pool_waiting", "Clients that wait for a connection of PgBouncer."),
    _Gauge("pool_wait_seconds", Group.POOL, POOLER, "pool_wait_seconds", "For how long the first of them has waited."),
)
# Figures that are there as counters or gauges already, under whichever name.
_THERE = frozenset((*(gauge.name for gauge in _GAUGES), "oldest_xact_seconds"))
_FROM_SUMS = (Counted.STATEMENTS, Counted.RELATIONS)  # what they count falls without a reset


def exposition(measurements: Sequence[Measurement]) -> str:
    return "".join(family.text() for family in _families(measurements))


def _families(measurements: Sequence[Measurement]) -> Iterator[Family]:
    up = Family(f"{PREFIX}_metrics_up", "Whether the database could be read.")
    collected = Family(
        f"{PREFIX}_metrics_collected_timestamp_seconds", "When the reading was taken, since 1970 in UTC."
    )
    window = Family(f"{PREFIX}_metrics_window_seconds", "Of which time ratios, latencies and rates are.")
    found: dict[str, Family] = {}
    for measurement in measurements:
        labels = {"target": measurement.about.label, "database": measurement.about.dbname or ""}
        up.add(labels, measurement.error is None)
        if measurement.span is None:
            continue
        collected.add(labels, measurement.parts[Counted.SERVER].taken_at.timestamp())
        window.add(labels, measurement.span.seconds)
        groups = {figure.metric.group for figure in measurement.figures}
        _counters(found, measurement, groups, labels)
        _gauges(found, measurement, groups, labels)
    yield from (up, collected, window, *found.values())


def _counters(
    found: dict[str, Family], measurement: Measurement, groups: set[Group], labels: Mapping[str, str]
) -> None:
    server = measurement.parts[Counted.SERVER]
    for counter in _COUNTERS:
        value = server.subjects[counter.subject].counts[server.counts.index(counter.column)]
        if counter.group in groups and value is not None:
            name = f"{PREFIX}_{counter.name}_total"
            family = found.setdefault(name, Family(name, counter.help_text, "counter"))
            family.add({**labels, **dict([counter.label] if counter.label else [])}, value * counter.scale)
    part = measurement.parts.get(Counted.IO)
    if part is None or Group.IO not in groups:
        return
    for short, column, help_text, scale in _OF_IO:
        name = f"{PREFIX}_{short}_total"
        family = found.setdefault(name, Family(name, help_text, "counter"))
        for key, subject in part.subjects.items():
            kind, thing, context = key.split("/")
            value = subject.counts[part.counts.index(column)]
            if value is not None:
                family.add({**labels, "backend_type": kind, "object": thing, "context": context}, value * scale)


def _gauges(found: dict[str, Family], measurement: Measurement, groups: set[Group], labels: Mapping[str, str]) -> None:
    for gauge in _GAUGES:
        part = measurement.parts.get(gauge.family)
        if gauge.group in groups and part is not None and gauge.level in part.levels:
            name = f"{PREFIX}_{gauge.name}"
            found.setdefault(name, Family(name, gauge.help_text)).add(labels, part.levels[gauge.level])
    for figure in measurement.figures:
        metric = figure.metric
        if figure.value is not None and _over_window(metric):
            name = metric_name(metric)
            scale = _MS if metric.unit is Unit.MILLISECONDS else 1.0
            found.setdefault(name, Family(name, metric.meaning)).add(labels, figure.value * scale)
    for breakdown in measurement.breakdowns:
        if breakdown.group is Group.CLIENTS:
            _applications(found, breakdown, labels)


def _applications(found: dict[str, Family], breakdown: Breakdown, labels: Mapping[str, str]) -> None:
    """Gauges all of them: processes come and go, so that no sum of theirs only grows."""
    kind = breakdown.name.removeprefix("applications").removeprefix("application_").removesuffix("s")
    for place, measure in enumerate(breakdown.measures):
        name = "_".join(filter(None, (PREFIX, "application", kind, measure.name)))
        scale = 1.0
        if measure.unit is Unit.MILLISECONDS:
            name, scale = name.removesuffix("_ms") + "_seconds", _MS
        family = found.setdefault(name, Family(name, f"{breakdown.title}: {measure.title}."))
        for row in breakdown.rows:
            value = row.values[place]
            if value is not None:
                family.add({**labels, "application": row.subject}, value * scale)


def metric_name(metric: Metric) -> str:
    """`dbopt_statement_time_p95_seconds`: in base units."""
    name = metric.name.removesuffix("_ms") + "_seconds" if metric.unit is Unit.MILLISECONDS else metric.name
    return f"{PREFIX}_{name}"


def _over_window(metric: Metric) -> bool:
    if metric.name in _THERE:
        return False
    return metric.unit in (Unit.RATIO, Unit.MILLISECONDS) or any(family in _FROM_SUMS for family in metric.families)
