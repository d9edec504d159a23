"""How big a store is, what is in it, and how it is made as small as what it holds."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from dbopt.store import plain, sqlite
from dbopt.store.faults import faults
from dbopt.values import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.store.location import Location
    from dbopt.store.plain import Session

_COUNTS = """
              SELECT 1 AS place, 'targets' AS name, count(*) AS found FROM targets
    UNION ALL SELECT 2 AS place, 'runs' AS name, count(*) AS found FROM runs
    UNION ALL SELECT 3 AS place, 'steps' AS name, count(*) AS found FROM steps
    UNION ALL SELECT 4 AS place, 'health_runs' AS name, count(*) AS found FROM health_runs
    UNION ALL SELECT 5 AS place, 'health_checks' AS name, count(*) AS found FROM health_checks
    UNION ALL SELECT 6 AS place, 'health_findings' AS name, count(*) AS found FROM health_findings
    UNION ALL SELECT 7 AS place, 'health_samples' AS name, count(*) AS found FROM health_samples
    UNION ALL SELECT 8 AS place, 'snapshot_heads' AS name, count(*) AS found FROM snapshot_heads
    UNION ALL SELECT 9 AS place, 'intervals' AS name, count(*) AS found FROM intervals
    UNION ALL SELECT 10 AS place, 'marks' AS name, count(*) AS found FROM marks
    UNION ALL SELECT 11 AS place, 'mark_parts' AS name, count(*) AS found FROM mark_parts
    UNION ALL SELECT 12 AS place, 'statement_texts' AS name, count(*) AS found FROM statement_texts
    UNION ALL SELECT 13 AS place, 'statements' AS name, count(*) AS found FROM statements
    UNION ALL SELECT 14 AS place, 'statement_traits' AS name, count(*) AS found FROM statement_traits
    UNION ALL SELECT 15 AS place, 'statement_plans' AS name, count(*) AS found FROM statement_plans
    UNION ALL SELECT 16 AS place, 'plan_shapes' AS name, count(*) AS found FROM plan_shapes
    UNION ALL SELECT 17 AS place, 'suggestions' AS name, count(*) AS found FROM suggestions
    ORDER BY place
"""
_REACH = """
    SELECT (SELECT min(from_at) FROM intervals), (SELECT min(taken_at) FROM snapshot_heads),
           (SELECT max(taken_at) FROM snapshot_heads), (SELECT min(started_at) FROM runs),
           (SELECT max(started_at) FROM runs), (SELECT min(first_at) FROM health_checks),
           (SELECT max(last_at) FROM health_checks), (SELECT min(first_at) FROM plan_shapes),
           (SELECT max(last_at) FROM plan_shapes), (SELECT min(promised_at) FROM suggestions),
           (SELECT max(promised_at) FROM suggestions)
"""

_FILE_PAGES = (
    "SELECT (p.page_count - f.freelist_count) * s.page_size, p.page_count * s.page_size"
    " FROM pragma_page_count() AS p, pragma_freelist_count() AS f, pragma_page_size() AS s"
)
_SERVER_SIZE = """
    SELECT COALESCE(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname = pg_catalog.current_schema()
"""
# Deleted rows stay in PostgreSQL's files until they are written over: of the tables that grow, what counts is what is
# in them. Sizes are told without reading the values; a row costs its header, its other columns and its index entries
# besides, a table the first pages of its files.
_SERVER_USED = """
    SELECT sum(s.size) FROM (
        SELECT 40000 + COALESCE(sum(pg_catalog.pg_column_size(packed) + 150), 0) AS size FROM intervals
         UNION ALL
        SELECT 40000 + COALESCE(sum(pg_catalog.pg_column_size(packed) + 150), 0) FROM snapshot_heads
         UNION ALL
        SELECT 40000 + COALESCE(sum(pg_catalog.pg_column_size(packed) + 150), 0) FROM mark_parts
         UNION ALL
        SELECT 40000 + COALESCE(sum(pg_catalog.pg_column_size(counters) + 150), 0) FROM health_samples
         UNION ALL
        SELECT 40000 + COALESCE(sum(pg_catalog.pg_column_size(query) + 150), 0) FROM statement_texts
         UNION ALL
        SELECT COALESCE(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)
          FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND n.nspname = pg_catalog.current_schema()
           AND c.relname NOT IN ('intervals', 'snapshot_heads', 'mark_parts', 'health_samples', 'statement_texts')
    ) AS s
"""
# What leaves holes worth the wait.
_REWRITTEN = (
    *("intervals", "mark_parts", "snapshot_heads", "health_samples", "steps", "statement_texts", "statement_traits"),
    *("statement_plans", "plan_shapes"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """`oldest`, `newest`: of anything that has a time; None: there is nothing yet."""

    rows: dict[str, int]  # by table
    used_bytes: int
    oldest: datetime | None
    newest: datetime | None


def contents(session: Session) -> Contents:
    moments = [plain.as_moment(value) for value in session.rows(_REACH, {})[0] if value is not None]
    return Contents(
        rows={str(name): int(count) for _, name, count in session.rows(_COUNTS, {})},
        used_bytes=used_bytes(session),
        oldest=min(moments, default=None),
        newest=max(moments, default=None),
    )


def used_bytes(session: Session, *, no_more_than: float = 0) -> int:
    """What the rows take up. Exact only from `no_more_than` on: below that, what is cheaper to know."""
    if session.is_file:
        return int(session.rows(_FILE_PAGES, {})[0][0])
    size = int(session.rows(_SERVER_SIZE, {})[0][0])
    return size if size <= no_more_than else min(size, int(session.rows(_SERVER_USED, {})[0][0] or 0))


def size_bytes(location: Location) -> int:
    """On disk. Raises StoreUnusable."""
    if location.path is None:
        with plain.transaction(location, reading=True, wait_seconds=sqlite.LOCK_WAIT_SECONDS) as session:
            return int(session.rows(_SERVER_SIZE, {})[0][0])
    with faults(location, "read"):
        beside = location.path.with_name(f"{location.path.name}-wal")
        return location.path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)


def shrink(location: Location, wait_seconds: float) -> None:
    """Give back what dropped rows have left. Raises StoreUnusable, and the rows are gone all the same."""
    if location.path is None:
        _shrink_server(location, wait_seconds)
        return
    with faults(location, "shrink"), contextlib.closing(sqlite3.connect(location.path, timeout=wait_seconds)) as file:
        sqlite.prepare(file)
        file.execute("VACUUM")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _shrink_server(location: Location, wait_seconds: float) -> None:
    import sqlalchemy as sa

    from dbopt.store.engine import make_engine
    from dbopt.store.tables import SCHEMA

    engine = make_engine(location)
    try:
        with faults(location, "shrink"), engine.connect() as opened:
            connection = opened.execution_options(isolation_level="AUTOCOMMIT")
            quote = connection.dialect.identifier_preparer.quote
            # Each table is written anew, in milliseconds to seconds; whoever uses it meanwhile waits.
            connection.execute(sa.select(sa.func.set_config("lock_timeout", f"{wait_seconds:.0f}s", False)))
            for name in _REWRITTEN:
                connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {quote(SCHEMA)}.{quote(name)}")
            connection.execute(sa.select(sa.func.set_config("lock_timeout", "0", False)))
    finally:
        engine.dispose()
