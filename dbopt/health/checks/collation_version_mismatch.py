"""Collations whose rules of sorting have changed since the indexes on them were built.

Text is sorted as the operating system's C library or ICU says. When an upgrade of these changes the rules, an index
built before is sorted wrongly: it misses rows, and a unique one lets duplicates in; range partitions may hold rows that
belong elsewhere. PostgreSQL notes down the version it has seen, warns when it differs, and does not repair anything.
Rebuild the indexes first, then refresh the version: that only ends the warning.

Looked at are collations that columns or indexes use, or that somebody has created here, and (15+) the default collation
of every database of the server. A standby on another operating system has its own rules, and is looked at as well.
https://www.postgresql.org/docs/current/sql-altercollation.html#SQL-ALTERCOLLATION-NOTES
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.postgres.databases import DATABASES
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_NAMED = 20  # indexes in a remedy


@dataclass(frozen=True, slots=True)
class CollationVersion:
    """A collation whose version differs from what the library has now."""

    collation: str  # quoted, with its schema
    collversion: str
    actual_version: str
    indexes: list[str]  # that are sorted by it, quoted
    columns: int


COLLATION_VERSIONS = Query(
    "collation-versions",
    CollationVersion,
    {
        (13,): """
        /* dbopt: collations in use whose version differs from what the library has now */
        WITH used AS MATERIALIZED (
            SELECT a.attcollation AS oid, a.attrelid
              FROM pg_catalog.pg_attribute AS a
              -- Without a version: none, the database's default, C and POSIX.
             WHERE a.attcollation NOT IN (0, 100, 950, 951) AND a.attrelid >= 16384 AND NOT a.attisdropped
        ), changed AS MATERIALIZED (
            SELECT c.oid, c.collname, c.collnamespace, c.collversion,
                   pg_catalog.pg_collation_actual_version(c.oid) AS actual_version
              FROM pg_catalog.pg_collation AS c
             WHERE c.collversion IS NOT NULL
               AND c.collencoding IN (-1, (SELECT d.encoding FROM pg_catalog.pg_database AS d
                                            WHERE d.datname = pg_catalog.current_database()))
               AND (c.oid >= 16384 OR c.oid IN (SELECT u.oid FROM used AS u))
        )
        SELECT n.nspname::text || '.' || pg_catalog.quote_ident(c.collname) AS collation,
               c.collversion, c.actual_version,
               ARRAY(SELECT DISTINCT u.attrelid::regclass::text
                       FROM used AS u
                       JOIN pg_catalog.pg_class AS i ON i.oid = u.attrelid
                      WHERE u.oid = c.oid AND i.relkind = 'i' ORDER BY 1) AS indexes,
               (SELECT pg_catalog.count(*)
                  FROM used AS u
                  JOIN pg_catalog.pg_class AS t ON t.oid = u.attrelid
                 WHERE u.oid = c.oid AND t.relkind IN ('r', 'p', 'm')) AS columns
          FROM changed AS c
         CROSS JOIN LATERAL (SELECT pg_catalog.quote_ident(x.nspname) AS nspname
                               FROM pg_catalog.pg_namespace AS x WHERE x.oid = c.collnamespace) AS n
         WHERE c.collversion <> c.actual_version
         ORDER BY 1
        """
    },
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Of a collation, or of the default of a database."""

    subject: str
    recorded: str
    actual: str
    concerned: str
    repair: tuple[str, ...]


def _rows(rows: Sequence[CollationVersion], scene: Scene) -> Iterator[Mismatch]:
    for row in rows:
        indexes = len(row.indexes)
        yield Mismatch(
            row.collation,
            row.collversion,
            row.actual_version,
            f"{indexes} {'index' if indexes == 1 else 'indexes'}, {row.columns} columns",
            (
                *(f"REINDEX INDEX CONCURRENTLY {index};" for index in row.indexes[:_NAMED]),
                *([f"-- and {indexes - _NAMED} more indexes"] if indexes > _NAMED else []),
                f"ALTER COLLATION {row.collation} REFRESH VERSION;",
            ),
        )
    for database in scene.rows(DATABASES):
        recorded, actual = database.collation_version, database.collation_actual_version
        if database.datname is not None and recorded is not None and actual is not None and recorded != actual:
            name = Identifier(database.datname).as_string()
            yield Mismatch(
                database.datname,
                recorded,
                actual,
                "the default collation of the database",
                (
                    *([] if database.is_current else [f"-- connected to database {name}:"]),
                    f"REINDEX DATABASE CONCURRENTLY {name};",
                    f"ALTER DATABASE {name} REFRESH COLLATION VERSION;",
                ),
            )


CHECK: Check[Mismatch] = Check(
    id="collation-version-mismatch",
    title="Collation version mismatch",
    group=Group.STORAGE,
    query=COLLATION_VERSIONS,
    also=(DATABASES,),
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING,
        source="https://www.postgresql.org/docs/current/sql-altercollation.html#SQL-ALTERCOLLATION-NOTES",
    ),
    rows=_rows,
    subject=lambda row: row.subject,
    measure=lambda _row: 1,
    detail=lambda row: f"built with version {row.recorded}, the library has {row.actual}: {row.concerned}",
    remedy=lambda row: "\n".join(row.repair),
)
