"""Whether an index has been unused for as long as its `guard` asks, as far as anybody can know.

A count of scans says nothing without the time since which it counts: right after a restore, a crash or a reset of the
statistics every index looks unused, and so it does right after a failover, as the new primary has counted only what it
scanned as a standby. A reset of one index's counters is seen too: the server notes it as one of the whole database.
Scans on standbys are counted there, so each replica that is known is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from dbopt.postgres.query import Query
from dbopt.spec.model import Extras, State
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server
    from dbopt.spec.model import SpecSet

# Of `extras: prune` where the file's `defaults` have no guard. What health's unused-index asks of an index that was
# used before: what somebody needs may be needed monthly.
UNUSED_FOR_SECONDS = 31 * 86_400.0

NO_DATE = (
    "when it was made is not known, as track_commit_timestamp is off: it may be younger than the time that scans were "
    "counted"
)
NO_REPLICAS = (
    "standbys receive from this server, and dbopt knows none of them (replicas_of in dbopt.yaml): what they scan is "
    "not seen here"
)


@dataclass(frozen=True, slots=True)
class Window:
    """`seconds` since the counters of this database began. A row of WINDOW."""

    seconds: float | None
    tracks_counts: bool = True
    dates_commits: bool = False
    was_promoted: bool = False  # a standby once, or restored from an archive
    feeds_standbys: bool = False


WINDOW = Query(
    "statistics-window",
    Window,
    {
        # The database's own stats_reset is NULL before its first reset (15+). The counters cannot be older than those
        # of the whole server, which begin anew after a crash, and at each start of a standby before 15. Whoever was
        # promoted writes on another timeline than the first.
        (13,): """
        /* dbopt: since when the counters count */
        SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                       - GREATEST(d.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time()))::float8 AS seconds,
               pg_catalog.current_setting('track_counts') = 'on' AS tracks_counts,
               pg_catalog.current_setting('track_commit_timestamp') = 'on' AS dates_commits,
               CASE WHEN pg_catalog.pg_is_in_recovery() THEN false
                    ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) <> '00000001'
                    END AS was_promoted,
               EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_type = 'physical' AND s.active)
                 OR EXISTS (SELECT 1 FROM pg_catalog.pg_stat_replication AS r
                             WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots AS l
                                                WHERE l.slot_type = 'logical' AND l.active_pid = r.pid))
                 AS feeds_standbys
          FROM pg_catalog.pg_stat_database AS d
         WHERE d.datname = pg_catalog.current_database()
        """
    },
)


@dataclass(frozen=True, slots=True)
class Since:
    seconds: float | None


PROMOTED = Query(
    "promoted",
    Since,
    {
        (13,): """
        /* dbopt: since when this server is the primary: it wrote the history of its timeline then */
        SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.max(w.modification))::float8 AS seconds
          FROM pg_catalog.pg_ls_waldir() AS w
         WHERE w.name = pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) || '.history'
        """
    },
)

MADE = Query(
    "index-made",
    Since,
    {
        # NULL: before the server kept dates, or so long ago that it keeps this one no more.
        (13,): """
        /* dbopt: when an index was made, or last changed; only where track_commit_timestamp is on */
        SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                       - CASE WHEN pg_catalog.current_setting('track_commit_timestamp')::bool
                              THEN pg_catalog.pg_xact_commit_timestamp(i.xmin) END)::float8 AS seconds
          FROM pg_catalog.pg_index AS i
         WHERE i.indexrelid = %(oid)s::oid
        """
    },
    {"oid": 2662},
)


@dataclass(frozen=True, slots=True)
class Scanned:
    """An index that was scanned at all."""

    schema: str
    index: str
    idx_scan: int
    last_scan_seconds: float | None  # 16+


SCANNED = Query(
    "scanned-indexes",
    Scanned,
    {
        (13,): """
        /* dbopt: the indexes that a replica has scanned */
        SELECT s.schemaname::text AS schema, s.indexrelname::text AS index, s.idx_scan,
               NULL::float8 AS last_scan_seconds
          FROM pg_catalog.pg_stat_user_indexes AS s
         WHERE s.idx_scan > 0
         ORDER BY s.schemaname, s.indexrelname
        """,
        (16,): """
        /* dbopt: the indexes that a replica has scanned */
        SELECT s.schemaname::text AS schema, s.indexrelname::text AS index, s.idx_scan,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - s.last_idx_scan)::float8 AS last_scan_seconds
          FROM pg_catalog.pg_stat_user_indexes AS s
         WHERE s.idx_scan > 0
         ORDER BY s.schemaname, s.indexrelname
        """,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaUse:
    """What a replica has scanned, by schema and index, in the `seconds` that it has counted. `problem`: why that is not
    known.
    """

    name: str
    seconds: float | None = None
    scanned: Mapping[tuple[str, str], Scanned] | None = None
    problem: str | None = None


def is_asked(specs: SpecSet) -> bool:
    """Whether a plan of these specs may have to know what was scanned."""
    return any(file.defaults.extras is Extras.PRUNE for file in specs.files) or any(
        entry.state is State.ABSENT and entry.guard is not None and entry.guard.unused_for is not None
        for file in specs.files
        for entry in file.indexes
    )


def use(conn: Connection, server: Server, name: str) -> ReplicaUse:
    """What this server, a replica of that name, has scanned. Reads only; raises psycopg errors."""
    known = window(conn, server)
    if not known.tracks_counts:
        return ReplicaUse(name=name, problem="track_counts is off there")
    rows = SCANNED.rows(conn, server.version)
    return ReplicaUse(name=name, seconds=known.seconds, scanned={(row.schema, row.index): row for row in rows})


def window(conn: Connection, server: Server) -> Window:
    rows = WINDOW.rows(conn, server.version)
    return rows[0] if rows else Window(None)


class Guard:
    """What is known of the scans on one server and its replicas; each question to the server is asked once."""

    def __init__(self, conn: Connection, server: Server, replicas: Sequence[ReplicaUse] = ()) -> None:
        self._conn = conn
        self._server = server
        self._replicas = tuple(replicas)
        self._window: Window | None = None
        self._promoted: Since | None = None

    @property
    def window(self) -> Window:
        if self._window is None:
            self._window = window(self._conn, self._server)
        return self._window

    def objection(self, index: Index, parts: Sequence[Index], unused_for_seconds: float) -> str | None:
        """Why nobody can say that an index, or one of its parts in a partition tree, was unused for so long; None when
        it was.
        """
        known = self.window
        every = [one for one in (index, *parts) if one.relkind == "i"] or [index]
        if known.was_promoted and (why := new_primary(self._primary_for(), unused_for_seconds)) is not None:
            return why
        for one in every:
            why = objection(one, unused_for_seconds, known) or self._too_young(one, unused_for_seconds)
            if why is not None:
                return _of(one, index, why)
        for replica in self._replicas:
            for one in every:
                if (why := objection_there(one, unused_for_seconds, replica)) is not None:
                    return _of(one, index, why)
        return None

    def remarks(self) -> tuple[str, ...]:
        """What a drop that the guard allows is still to be told with."""
        return (
            *(() if self.window.dates_commits else (NO_DATE,)),
            *((NO_REPLICAS,) if self.window.feeds_standbys and not self._replicas else ()),
        )

    def _primary_for(self) -> float | None:
        if self._promoted is None:
            try:
                rows = PROMOTED.rows(self._conn, self._server.version)
            except psycopg.errors.InsufficientPrivilege:  # pg_monitor may
                rows = []
            self._promoted = rows[0] if rows else Since(None)
        return self._promoted.seconds

    def _too_young(self, index: Index, unused_for_seconds: float) -> str | None:
        if not self.window.dates_commits:
            return None
        for made in MADE.rows(self._conn, self._server.version, {"oid": index.oid}):
            if made.seconds is not None and made.seconds < unused_for_seconds:
                return f"it was made or changed {format_duration(made.seconds)} ago"
        return None


def new_primary(seconds: float | None, unused_for_seconds: float) -> str | None:
    """Why a server that was promoted cannot tell: it was a standby for some of that time. Pure."""
    if seconds is not None and seconds >= unused_for_seconds:
        return None
    since = "an unknown time" if seconds is None else format_duration(seconds)
    wanted = format_duration(unused_for_seconds)
    return f"whether it was unused for {wanted} is not known: this server is the primary for {since}"


def objection(index: Index, unused_for_seconds: float, known: Window) -> str | None:
    """Why this server's counters do not let the index go; None when they do. Pure."""
    wanted = format_duration(unused_for_seconds)
    if not known.tracks_counts:
        return f"whether it was unused for {wanted} is not known: track_counts is off"
    if index.last_scan_seconds is not None:
        if index.last_scan_seconds >= unused_for_seconds:
            return None
        return f"it was last used {format_duration(index.last_scan_seconds)} ago, less than {wanted}"
    if known.seconds is None or known.seconds < unused_for_seconds:
        since = "at an unknown time" if known.seconds is None else f"{format_duration(known.seconds)} ago"
        return f"whether it was unused for {wanted} is not known: the counters began {since}"
    if index.idx_scan > 0:
        return f"it was used since the counters began (scans: {index.idx_scan})"
    return None


def objection_there(index: Index, unused_for_seconds: float, replica: ReplicaUse) -> str | None:
    """Why a replica's counters do not. Pure."""
    if replica.problem is not None or replica.scanned is None:
        return f"whether the replica {replica.name} uses it is not known: {replica.problem}"
    scanned = replica.scanned.get((index.schema, index.index))
    if scanned is not None and scanned.last_scan_seconds is not None:
        if scanned.last_scan_seconds >= unused_for_seconds:
            return None
        return f"the replica {replica.name} last used it {format_duration(scanned.last_scan_seconds)} ago"
    if scanned is not None:
        return f"the replica {replica.name} has used it (scans: {scanned.idx_scan})"
    if replica.seconds is None or replica.seconds < unused_for_seconds:
        since = "an unknown time" if replica.seconds is None else format_duration(replica.seconds)
        return f"whether the replica {replica.name} uses it is not known: it has counted for {since}"
    return None


def _of(one: Index, top: Index, why: str) -> str:
    return why if one is top else f"its part {one.index}: {why}"
