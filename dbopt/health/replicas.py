"""What the replicas of a target say about its unused indexes: a scan there is counted there alone.

Asked only where an index looks unused on the primary, one short session on each replica that the configuration names.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from dbopt.errors import ConnectionFailed
from dbopt.health.check import Status
from dbopt.health.collect import CONNECT_DEADLINE_SECONDS, STATEMENT_TIMEOUT_MS, begin
from dbopt.postgres.query import Query
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.health.check import Result
    from dbopt.health.run import Connect

CHECK_ID = "unused-index"


@dataclass(frozen=True, slots=True)
class ReplicaScans:
    """`idx_scan` is None where the replica does not have the index yet."""

    index: str
    idx_scan: int | None
    seconds: float | None  # over which they were counted


REPLICA_SCANS = Query(
    "replica-scans",
    ReplicaScans,
    {
        (13,): """
        /* dbopt: how often a replica has scanned the indexes that its primary never scans, partitions included */
        SELECT wanted.name AS index,
               (SELECT pg_catalog.sum(pg_catalog.pg_stat_get_numscans(tree.relid))::int8
                  FROM (SELECT pg_catalog.to_regclass(wanted.name) AS relid
                         UNION
                        SELECT t.relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(wanted.name)) AS t)
                       AS tree) AS idx_scan,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                       - GREATEST(d.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time()))::float8 AS seconds
          FROM pg_catalog.unnest(%(indexes)s::text[]) AS wanted(name)
          JOIN pg_catalog.pg_stat_database AS d ON d.datname = pg_catalog.current_database()
         ORDER BY wanted.name
        """
    },
    {"indexes": ["pg_catalog.pg_class_oid_index", "no.such_index"]},
)


def asked(results: Sequence[Result], replicas: Mapping[str, Connect]) -> tuple[Result, ...]:
    """The same results, but for indexes that one of the replicas scans. `replicas`: how to connect to each, by name."""
    return tuple(
        _asked(result, replicas) if result.id == CHECK_ID and result.findings else result for result in results
    )


def _asked(result: Result, replicas: Mapping[str, Connect]) -> Result:
    window = next(limit.value for limit in result.check.limits if limit.name == "window")
    left = {finding.subject: finding for finding in result.findings}
    for name, connect in replicas.items():
        if not left:
            break
        try:
            rows = _scans(connect, list(left))
        except (ConnectionFailed, psycopg.Error) as exc:
            why = exc.message if isinstance(exc, ConnectionFailed) else str(exc).partition("\n")[0]
            return _not_known(result, f"whether the replica {name} scans them is not known: {why}", blind=True)
        counted = min((row.seconds for row in rows if row.seconds is not None), default=None)
        if counted is None or counted < window:
            since = "an unknown time" if counted is None else format_duration(counted)
            return _not_known(result, f"the replica {name} has counted scans for {since} only", blind=False)
        for row in rows:
            if row.idx_scan:
                del left[row.index]
    neither = f"; no scan on {' and '.join(replicas)} either"
    findings = tuple(replace(finding, detail=finding.detail + neither) for finding in left.values())
    return replace(result, findings=findings, status=result.status if findings else Status.OK)


def _scans(connect: Connect, indexes: Sequence[str]) -> list[ReplicaScans]:
    with contextlib.closing(connect(deadline_seconds=CONNECT_DEADLINE_SECONDS)) as conn:
        begin(conn, STATEMENT_TIMEOUT_MS)
        return REPLICA_SCANS.rows(conn, divmod(conn.info.server_version, 10000), {"indexes": list(indexes)})


def _not_known(result: Result, reason: str, *, blind: bool) -> Result:
    """None of the findings stands while a replica may be using what it is about."""
    return replace(result, status=Status.UNKNOWN, reason=reason, blind=blind, findings=())
