"""Whom a concurrent build or drop would wait for, seen before it starts.

CREATE INDEX CONCURRENTLY waits for less than people think (checked on 13 to 18). First for its own lock on the table,
and before build and validation once more for those who may write: all whose lock there, held or asked for, is stronger
than a reader's, prepared transactions among them. Then, at its end, for sessions of this database that hold a snapshot:
not for VACUUM, autovacuum of any kind or, since 14, another concurrent build without expression and predicate. Idle
sessions in READ COMMITTED, other databases, SELECT FOR UPDATE: not. But an idle session whose last statement had bound
parameters, as drivers send them, still holds that statement's snapshot, and is waited for until its end.

DROP INDEX CONCURRENTLY waits for all who have any lock on the table, or on the index: COMMENT ON INDEX takes one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, LiteralString

from dbopt.optimize.others import SEEN, Seen
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from dbopt.optimize.steps import Blocker
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

# As pg_stat_progress_create_index names the phases.
WRITERS = "waiting for writers before build"
SNAPSHOTS = "waiting for old snapshots"
READERS = "waiting for readers before dropping"
OTHER_BUILD = "waiting for another build on the table"  # ours: the view has no name for who is not in it yet

# A session that runs a transaction of several statements is idle for moments between them; one that has been idle for
# longer than a round trip may stay so. Our own reasoning.
IDLE_SECONDS = 0.1

# What a lock lets pass. https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
_PASSED_BY_BUILDS = {"AccessShareLock", "RowShareLock"}  # SHARE UPDATE EXCLUSIVE is asked for, SHARE waited with
_PASSED_BY_CATALOG_CHANGES = {*_PASSED_BY_BUILDS, "ShareLock"}  # CREATE INDEX ON ONLY asks for SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row(Seen):
    relation_oid: int | None  # None: a snapshot, whatever the table
    modes: list[str] | None


# Whom we look at: not at ourselves. Parallel workers count as their leader, whose session they belong to.
_OTHERS: LiteralString = """
        WITH here AS (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()),
             others AS MATERIALIZED (
               SELECT a.*, CASE a.backend_type WHEN 'parallel worker' THEN COALESCE(a.leader_pid, a.pid)
                                               ELSE a.pid END AS session
                 FROM pg_catalog.pg_stat_activity AS a
                WHERE a.pid <> ALL (%(ours)s::int4[] || pg_catalog.pg_backend_pid())
                  AND COALESCE(a.leader_pid, 0) <> ALL (%(ours)s::int4[] || pg_catalog.pg_backend_pid()))"""

# Every lock on the relations of `wanted`, held or asked for: whoever asks now stands in front of us, and holds it when
# it is our turn. A prepared transaction has the lock on its own transaction under the same virtual transaction as all
# its others; its subtransactions have theirs there, too.
_HOLDERS: LiteralString = """,
             locks AS MATERIALIZED (
               SELECT l.locktype, l.relation, l.virtualtransaction, l.transactionid, l.pid, l.mode
                 FROM pg_catalog.pg_locks AS l
                WHERE l.locktype = 'transactionid' AND l.pid IS NULL
                   OR l.locktype = 'relation' AND l.database = (SELECT here.oid FROM here)
                      AND l.relation IN (SELECT wanted.oid FROM wanted)),
             holders AS (
               SELECT l.relation, o.session, NULL::text AS gid, pg_catalog.array_agg(DISTINCT l.mode) AS modes
                 FROM locks AS l
                 JOIN others AS o ON o.pid = l.pid
                WHERE l.locktype = 'relation'
                GROUP BY l.relation, o.session
               UNION ALL
               SELECT l.relation, NULL, p.gid::text, pg_catalog.array_agg(DISTINCT l.mode)
                 FROM locks AS l
                 JOIN locks AS x ON x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction
                 JOIN pg_catalog.pg_prepared_xacts AS p ON p.transaction = x.transactionid
                WHERE l.locktype = 'relation' AND l.pid IS NULL
                GROUP BY l.relation, p.gid::text)"""

# As GetCurrentVirtualXIDs of PostgreSQL chooses them. Autovacuum's workers have no user. A VACUUM that has not got its
# table yet is in no progress view, and known by what it asks for.
_SNAPSHOTS_13: LiteralString = """,
             snapshots AS (
               SELECT DISTINCT o.session
                 FROM others AS o
                WHERE o.datname = pg_catalog.current_database() AND o.backend_xmin IS NOT NULL
                  AND o.usesysid IS NOT NULL
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS v WHERE v.pid = o.session)
                  AND NOT (o.wait_event_type = 'Lock' AND o.query ~* '^[[:space:]]*vacuum([^a-z0-9_]|$)'
                           AND EXISTS (SELECT FROM pg_catalog.pg_locks AS l
                                        WHERE l.pid = o.pid AND NOT l.granted
                                          AND l.mode = 'ShareUpdateExclusiveLock'))"""
# Whoever builds has a row in pg_index that others see as soon as it does more than preparing.
_SAFE: LiteralString = """
                  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS b
                                    JOIN pg_catalog.pg_index AS i ON i.indexrelid = b.index_relid
                                   WHERE b.pid = o.session AND b.command LIKE '%% CONCURRENTLY'
                                     AND i.indexprs IS NULL AND i.indpred IS NULL)"""
_SNAPSHOTS_14: LiteralString = _SNAPSHOTS_13 + _SAFE

_OF_HOLDERS: LiteralString = """,
               h.relation::int8 AS relation_oid, h.modes
          FROM holders AS h
          LEFT JOIN others AS a ON a.pid = h.session
          LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.gid = h.gid"""
_OF_SNAPSHOTS: LiteralString = """,
               NULL::int8 AS relation_oid, NULL::text[] AS modes
          FROM snapshots AS s
          JOIN others AS a ON a.pid = s.session
          LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON false"""

_FORECAST: LiteralString = """
        /* dbopt: who has locks on these relations, and who has snapshots in this database */"""
_OIDS: LiteralString = """,
             wanted AS (SELECT pg_catalog.unnest(%(oids)s::oid[]) AS oid)"""
_AND: LiteralString = """
        UNION ALL"""
_IN_ORDER: LiteralString = """
         ORDER BY relation_oid NULLS LAST, pid, gid"""
_LOCKS: LiteralString = _FORECAST + _OTHERS + _OIDS + _HOLDERS
_BOTH: LiteralString = SEEN + _OF_HOLDERS + _AND + SEEN + _OF_SNAPSHOTS + _IN_ORDER
FORECAST = Query(
    "lock-and-snapshot-holders",
    _Row,
    {(13,): _LOCKS + _SNAPSHOTS_13 + ")" + _BOTH, (14,): _LOCKS + _SNAPSHOTS_14 + ")" + _BOTH},
    {"oids": [1259], "ours": []},
)


@dataclass(frozen=True, slots=True)
class Waits:
    """What would be waited for. Each session and prepared transaction once a statement."""

    by_relation: Mapping[int, Sequence[_Row]]
    snapshots: Sequence[_Row]

    def of_build(self, table_oid: int) -> tuple[Blocker, ...]:
        """CREATE INDEX CONCURRENTLY."""
        writers = list(self._of([table_oid], WRITERS, _PASSED_BY_BUILDS))
        return merged([writers, [row.blocker(SNAPSHOTS) for row in self.snapshots]])

    def of_catalog_change(self, table_oid: int) -> tuple[Blocker, ...]:
        """CREATE INDEX ON ONLY a partitioned table."""
        return merged([self._of([table_oid], WRITERS, _PASSED_BY_CATALOG_CHANGES)])

    def of_drop(self, oids: Iterable[int]) -> tuple[Blocker, ...]:
        """DROP INDEX: of the table's oid and the index's, or of all the tables that it locks."""
        return merged([self._of(oids, READERS, set())])

    def _of(self, oids: Iterable[int], phase: str, passed: set[str]) -> Iterator[Blocker]:
        for oid in oids:
            for row in self.by_relation.get(oid, ()):
                if not passed.issuperset(row.modes or ()):
                    yield row.blocker(phase)


def merged(groups: Iterable[Iterable[Blocker]]) -> tuple[Blocker, ...]:
    """Each of them once, for the first phase in which it stands in the way."""
    found: dict[tuple[int | None, str | None], Blocker] = {}
    for group in groups:
        for who in group:
            found.setdefault((who.pid, who.gid), who)
    return tuple(found.values())


def foresee(conn: Connection, server: Server, oids: Iterable[int]) -> Waits:
    """Who stands in the way now, on these tables and indexes. One statement, no lock."""
    by_relation: dict[int, list[_Row]] = defaultdict(list)
    snapshots_ = []
    for row in FORECAST.rows(conn, server.version, {"oids": sorted(oids), "ours": []}):
        if row.relation_oid is None:
            snapshots_.append(row)
        else:
            by_relation[row.relation_oid].append(row)
    return Waits(by_relation, snapshots_)


_STAYS: LiteralString = """ (p.gid IS NOT NULL
                OR pg_catalog.clock_timestamp() - a.xact_start >= pg_catalog.make_interval(secs => %(old_seconds)s)
                OR a.state LIKE 'idle in transaction%%'
                   AND pg_catalog.clock_timestamp() - a.state_change
                       >= pg_catalog.make_interval(secs => %(idle_seconds)s))"""
_STANDING: LiteralString = """
        /* dbopt: whose lock on this table stays, so that a statement had better not be sent */"""
_NAMES: LiteralString = """,
             wanted AS (SELECT c.oid
                          FROM pg_catalog.pg_class AS c
                          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                         WHERE n.nspname = %(schema)s AND c.relname = ANY (%(names)s::text[]))"""
# Autovacuum steps aside for a build after deadlock_timeout, unless it must not.
_STANDS: LiteralString = """
         WHERE NOT h.modes <@ %(passed)s::text[]
           AND (a.pid IS NULL OR a.usesysid IS NOT NULL OR a.query LIKE '%%(to prevent wraparound)')
           AND"""
STANDING = Query(
    "standing-in-the-way",
    _Row,
    {(13,): _STANDING + _OTHERS + _NAMES + _HOLDERS + SEEN + _OF_HOLDERS + _STANDS + _STAYS + _IN_ORDER},
    {
        "ours": [],
        "schema": "pg_catalog",
        "names": ["pg_class"],
        "passed": sorted(_PASSED_BY_BUILDS),
        "old_seconds": 1.0,
        "idle_seconds": IDLE_SECONDS,
    },
)

_OLD: LiteralString = """
        /* dbopt: whose snapshot in this database stays */"""
_WHERE: LiteralString = """
         WHERE"""
_STAYING: LiteralString = SEEN + _OF_SNAPSHOTS + _WHERE + _STAYS + _IN_ORDER
OLD_SNAPSHOTS = Query(
    "old-snapshots",
    _Row,
    {
        (13,): _OLD + _OTHERS + _SNAPSHOTS_13 + ")" + _STAYING,
        (14,): _OLD + _OTHERS + _SNAPSHOTS_14 + ")" + _STAYING,
    },
    {"ours": [], "old_seconds": 1.0, "idle_seconds": IDLE_SECONDS},
)


def standing(
    conn: Connection,
    server: Server,
    schema: str,
    table: str,
    *,
    drop: bool,
    old_seconds: float,
    ours: Collection[int] = (),
    index: str | None = None,
) -> tuple[Blocker, ...]:
    """Who stands in the way of a build on this table, or of a drop (of `index`), and is likely to stay: transactions of
    that age, those that are idle, and prepared ones. The age of a session that this role may not see is not known: it
    is left out. One statement, no lock.
    """
    parameters = {
        "ours": list(ours),
        "schema": schema,
        "names": [table] if index is None else [table, index],
        "passed": [] if drop else sorted(_PASSED_BY_BUILDS),
        "old_seconds": old_seconds,
        "idle_seconds": IDLE_SECONDS,
    }
    phase = READERS if drop else WRITERS
    return merged([row.blocker(phase)] for row in STANDING.rows(conn, server.version, parameters))


def snapshots(
    conn: Connection, server: Server, *, old_seconds: float, ours: Collection[int] = ()
) -> tuple[Blocker, ...]:
    """Who holds a snapshot that the end of any build waits for, and is likely to stay: as in `standing`."""
    parameters = {"ours": list(ours), "old_seconds": old_seconds, "idle_seconds": IDLE_SECONDS}
    return tuple(row.blocker(SNAPSHOTS) for row in OLD_SNAPSHOTS.rows(conn, server.version, parameters))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder(Seen):
    running_seconds: float | None  # of the statement: it has many transactions, one after another


_BUILDERS: LiteralString = """
        /* dbopt: who builds an index on this table right now */"""
# The view hides the table of another role's build; its lock is there for everybody to see.
_OF_BUILDERS: LiteralString = """,
               EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.query_start)::float8 AS running_seconds
          FROM pg_catalog.pg_stat_progress_create_index AS b
          LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = b.pid
          LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON false
         WHERE b.pid <> ALL (%(ours)s::int4[] || pg_catalog.pg_backend_pid())
           AND EXISTS (SELECT FROM pg_catalog.pg_locks AS l
                         JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
                         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                        WHERE l.pid = b.pid AND l.locktype = 'relation' AND l.granted
                          AND l.mode = 'ShareUpdateExclusiveLock'
                          AND n.nspname = %(schema)s AND c.relname = %(table)s
                          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                                             WHERE d.datname = pg_catalog.current_database()))
         ORDER BY b.pid
        """
OTHER_BUILDS = Query(
    "other-builds-on-a-table",
    _Builder,
    {(13,): _BUILDERS + SEEN + _OF_BUILDERS},
    {"ours": [], "schema": "pg_catalog", "table": "pg_class"},
)


def other_builds(
    conn: Connection, server: Server, schema: str, table: str, *, ours: Collection[int] = ()
) -> tuple[Blocker, ...]:
    """Builds under way on the table, while none of ours is: CREATE INDEX or REINDEX, both CONCURRENTLY."""
    parameters = {"ours": list(ours), "schema": schema, "table": table}
    return tuple(
        replace(row.blocker(OTHER_BUILD), xact_age_seconds=row.running_seconds)
        for row in OTHER_BUILDS.rows(conn, server.version, parameters)
    )
