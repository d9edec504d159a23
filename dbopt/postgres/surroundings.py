"""What a reading session may see, since when the server has counted, and which extensions it can use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dbopt.postgres.query import Query, Version
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A row of SURROUNDINGS. Times are the server's own."""

    now: datetime
    is_superuser: bool
    reads_all_stats: bool  # pg_read_all_stats, which pg_monitor has: others' sessions and statements
    reads_all_settings: bool
    reads_all_data: bool  # pg_read_all_data (14+) or superuser: last values of sequences, pg_stats
    postmaster_started: datetime
    stats_since: datetime | None  # from when on this database's counters count
    tracks_counts: bool
    statements_schema: str | None  # of pg_stat_statements, where it was created in this database
    statements_extversion: str | None
    statements_loaded: bool  # in shared_preload_libraries
    reads_statements: bool  # may use the schema
    pgstattuple_schema: str | None
    pgstattuple_extversion: str | None

    @property
    def stats_seconds(self) -> float | None:
        """How long the counters of this database have counted."""
        return None if self.stats_since is None else (self.now - self.stats_since).total_seconds()

    def extension(self, name: str) -> tuple[str, Version]:
        """The schema and version of an extension. Raises LookupError where this database does not have it."""
        schema, version = {
            "pg_stat_statements": (self.statements_schema, self.statements_extversion),
            "pgstattuple": (self.pgstattuple_schema, self.pgstattuple_extversion),
        }[name]
        if schema is None or version is None:
            raise LookupError(f"{name} was not created in this database")
        return schema, tuple(int(part) for part in version.split("."))

    def can_answer(self, query: Query[Any]) -> bool:
        """Whether the extension that a query reads is there, young enough and within reach."""
        if query.extension is None:
            return True
        try:
            _, version = self.extension(query.extension)
        except LookupError:
            return False
        of_statements = query.extension == "pg_stat_statements"
        return version >= min(query.since) and (not of_statements or (self.statements_loaded and self.reads_statements))


SURROUNDINGS = Query(
    "surroundings",
    Surroundings,
    {
        (13,): """
        /* dbopt: what this session may see, and since when the server has counted */
        SELECT pg_catalog.clock_timestamp() AS now,
               pg_catalog.current_setting('is_superuser') = 'on' AS is_superuser,
               pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS reads_all_stats,
               pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE') AS reads_all_settings,
               pg_catalog.current_setting('is_superuser') = 'on'
                 OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles AS r
                             WHERE r.rolname = 'pg_read_all_data'
                               AND pg_catalog.pg_has_role(r.oid, 'USAGE')) AS reads_all_data,
               pg_catalog.pg_postmaster_start_time() AS postmaster_started,
               -- A crash resets all counters; the background writer's tell when, from 15 on the database's do not.
               GREATEST(d.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) AS stats_since,
               pg_catalog.current_setting('track_counts') = 'on' AS tracks_counts,
               statements.schema AS statements_schema, statements.extversion AS statements_extversion,
               -- What a configuration file sets exists without the library too; hardly any file sets this one.
               pg_catalog.current_setting('pg_stat_statements.save', true) IS NOT NULL AS statements_loaded,
               COALESCE(statements.usable, false) AS reads_statements,
               pgstattuple.schema AS pgstattuple_schema, pgstattuple.extversion AS pgstattuple_extversion
          FROM pg_catalog.pg_stat_database AS d
          LEFT JOIN (SELECT n.nspname::text AS schema, e.extversion,
                            pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usable
                       FROM pg_catalog.pg_extension AS e
                       JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
                      WHERE e.extname = 'pg_stat_statements') AS statements ON true
          LEFT JOIN (SELECT n.nspname::text AS schema, e.extversion
                       FROM pg_catalog.pg_extension AS e
                       JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
                      WHERE e.extname = 'pgstattuple') AS pgstattuple ON true
         WHERE d.datname = pg_catalog.current_database()
        """
    },
)
