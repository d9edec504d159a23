"""--exact: relations read instead of estimated, with the extension pgstattuple, for so long and no longer.

Reading a table or an index takes as long as it is large, so the relations go first that seem to waste most, and what
the budget does not reach stays estimated. Each is read in a transaction of its own, not to hold back VACUUM for longer
than that, and never one that somebody has locked, or waits to.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.rows import tuple_row

from dbopt.health.bloat import EXACT_SECONDS, Bloat, Measured, Part, Storage
from dbopt.health.check import NotJudged
from dbopt.health.collect import begin
from dbopt.health.judge import scene_of, unmet
from dbopt.postgres import advisory
from dbopt.sizes.btree import PAGE_BYTES
from dbopt.sizes.heap import packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dbopt.health.check import Check
    from dbopt.health.scene import Facts
    from dbopt.postgres.connect import Connection

CHECKS = ("table-bloat", "index-bloat")
_EXTENSION = "pgstattuple"
_LEAST_VERSION = (1, 5)  # whose functions a role without more rights than pg_stat_scan_tables may call
_UNKNOWN_WASTE = 0.5  # of what could not be estimated: to have its turn somewhere in between

_HEAP: LiteralString = """
    /* dbopt: a table read for its waste */
    SELECT m.table_len, m.approx_tuple_count, m.approx_tuple_len, m.dead_tuple_len, m.approx_free_space
      FROM pg_catalog.pg_class AS c
     CROSS JOIN LATERAL {schema}.pgstattuple_approx(c.oid) AS m
     WHERE c.oid = %(oid)s::oid AND {unlocked}
"""
# pgstattuple_approx() refuses TOAST tables before 16.
_TOAST: LiteralString = """
    /* dbopt: a TOAST table read for its waste */
    SELECT m.table_len, m.tuple_count, m.tuple_len, m.dead_tuple_len, m.free_space
      FROM pg_catalog.pg_class AS c
     CROSS JOIN LATERAL {schema}.pgstattuple(c.oid::regclass) AS m
     WHERE c.oid = %(oid)s::oid AND {unlocked}
"""
_BTREE: LiteralString = """
    /* dbopt: an index read for its waste */
    SELECT m.index_size, m.leaf_pages, m.avg_leaf_density, m.internal_pages
      FROM pg_catalog.pg_class AS c
     CROSS JOIN LATERAL {schema}.pgstatindex(c.oid::regclass) AS m
     WHERE c.oid = %(oid)s::oid AND {unlocked}
"""
_QUERIES = {Storage.HEAP: _HEAP, Storage.TOAST: _TOAST, Storage.BTREE: _BTREE}
# It depends on nothing else, so that it is looked at before the function is called.
_UNLOCKED: LiteralString = """(
           SELECT pg_catalog.count(*) = 0 FROM pg_catalog.pg_locks AS l
            WHERE l.locktype = 'relation' AND l.relation = %(oid)s::oid AND l.mode = 'AccessExclusiveLock'
              AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                                 WHERE d.datname = pg_catalog.current_database()))"""


def measure(
    conn: Connection,
    facts: Facts,
    checks: Sequence[Check[Any]],
) -> tuple[Facts, tuple[str, ...]]:
    """The facts with what was measured, and notes on what could not be. `conn` is as collect() left it."""
    asked = [check for check in checks if check.id in CHECKS]
    if not asked:
        return facts, ("--exact says nothing to these checks: it is for table-bloat and index-bloat",)
    exact: dict[int, Measured] = {}
    notes: dict[str, None] = {}
    for check in asked:
        scene = scene_of(check, facts)
        if unmet(check, scene) is not None:
            continue
        try:
            found = list(check.rows(scene.rows(check.query), scene))
        except NotJudged:
            continue
        parts = list(_in_turn(found))
        if not parts:
            continue
        missing = _unusable(facts)
        if missing is not None:
            return facts, (missing,)
        reader = _Reader(conn, facts, scene.limits[EXACT_SECONDS.name])
        for relation, part in parts:
            try:
                result = reader.read(part)
            except errors.InsufficientPrivilege as exc:
                return facts, (
                    f"--exact may not read, so all is estimated ({exc.diag.message_primary}):"
                    f" {facts.server.grant('pg_stat_scan_tables')}",
                )
            if isinstance(result, Measured):
                exact[part.oid] = result
            else:
                notes[f"{relation} is not measured but estimated: {result}"] = None
    return replace(facts, exact=exact), tuple(notes)


def _in_turn(found: Iterable[Bloat]) -> Iterator[tuple[str, Part]]:
    """Those that can be measured, the greatest waste first."""
    measurable = [bloat for bloat in found if all(part.storage is not Storage.OTHER for part in bloat.parts)]

    def waste(bloat: Bloat) -> float:
        return bloat.wasted_bytes if bloat.gap is None else bloat.size_bytes * _UNKNOWN_WASTE

    for bloat in sorted(measurable, key=lambda bloat: (-waste(bloat), bloat.relation)):
        for part in bloat.parts:
            yield bloat.relation, part


def _unusable(facts: Facts) -> str | None:
    try:
        _, version = facts.surroundings.extension(_EXTENSION)
    except LookupError:
        return "--exact needs pgstattuple, so all is estimated: CREATE EXTENSION pgstattuple;"
    if version < _LEAST_VERSION:
        return "--exact needs a newer pgstattuple, so all is estimated: ALTER EXTENSION pgstattuple UPDATE;"
    return None


class _Overtaken(Exception):
    """Between two transactions of ours somebody else has become the one that may look."""


class _Reader:
    def __init__(self, conn: Connection, facts: Facts, seconds: float) -> None:
        self.conn = conn
        self.schema = sql.Identifier(facts.surroundings.extension(_EXTENSION)[0])
        self.deadline = time.monotonic() + seconds

    def read(self, part: Part) -> Measured | str:
        """What was found, or why nothing was. Raises InsufficientPrivilege."""
        left_ms = int((self.deadline - time.monotonic()) * 1000)
        if left_ms <= 0:
            return "exact_seconds are over"
        try:
            row = self._ask(_QUERIES[part.storage], part.oid, left_ms)
        except _Overtaken:
            return "another dbopt health has begun"
        except errors.QueryCanceled:
            return "exact_seconds are over"
        except errors.InsufficientPrivilege:
            raise
        except psycopg.Error as exc:
            if self.conn.closed:
                raise
            return exc.diag.message_primary or "it could not be read"
        if row is None:
            return "somebody has locked it, or waits to"
        return _of_btree(part, *row) if part.storage is Storage.BTREE else _of_heap(part, *row)

    def _ask(self, query: LiteralString, oid: int, timeout_ms: int) -> tuple[Any, ...] | None:
        conn = self.conn
        try:
            begin(conn, timeout_ms)
            lock = conn.cursor(row_factory=tuple_row)
            advisory.try_within_transaction(lock, advisory.Lock.HEALTH)
            if lock.fetchall() != [(True,)]:
                raise _Overtaken
            text = sql.SQL(query).format(schema=self.schema, unlocked=sql.SQL(_UNLOCKED))
            return lock.execute(text, {"oid": oid}).fetchone()
        finally:
            if not conn.closed:
                conn.execute("ROLLBACK")


def _of_heap(part: Part, size: int, tuples: float, live: int, dead: int, free: float) -> Measured:
    if not live:
        return Measured(size, 0.0)
    used = max(size - dead - free, 0.0)
    fresh = packed(tuples, live / tuples if tuples > 0 else 0.0, used, fillfactor=part.fillfactor)
    return Measured(size, min(fresh, size))


def _of_btree(part: Part, size: int, leaves: int, density: float | None, inner: int) -> Measured:
    """Leaves as full as the fillfactor has it, and the levels above them in proportion."""
    if not leaves or density is None or density != density:
        return Measured(size, PAGE_BYTES)
    full = leaves * min(density / part.fillfactor, 1.0)
    return Measured(size, PAGE_BYTES * (1 + full + inner * full / leaves))
