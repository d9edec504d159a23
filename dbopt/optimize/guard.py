"""Whether an index has been unused for as long as its `guard` asks, as far as the server can know.

A count of scans says nothing without the time since which it counts: right after a restore, a crash or a reset of the
statistics every index looks unused. Scans on standbys are counted there, not here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server


@dataclass(frozen=True, slots=True)
class Window:
    """`seconds` since the counters of this database began."""

    seconds: float | None


WINDOW = Query(
    "statistics-window",
    Window,
    {
        # The database's own stats_reset is NULL before its first reset. The counters cannot be older than those of the
        # whole server, which begin anew after a crash.
        (13,): """
        /* dbopt: since when the counters count */
        SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                                  - GREATEST(d.stats_reset, b.stats_reset))::float8 AS seconds
          FROM pg_catalog.pg_stat_database AS d CROSS JOIN pg_catalog.pg_stat_bgwriter AS b
         WHERE d.datname = pg_catalog.current_database()
        """
    },
)


def window(conn: Connection, server: Server) -> Window:
    rows = WINDOW.rows(conn, server.version)
    return rows[0] if rows else Window(None)


def objection(index: Index, unused_for_seconds: float, known: Window) -> str | None:
    """Why the guard does not let the index go; None when it does. Pure."""
    wanted = format_duration(unused_for_seconds)
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
