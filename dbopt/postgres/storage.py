"""Where a server keeps what a build writes: indexes, temporary files, WAL."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Storage:
    """`data_directory` is None for a role that may not read it. Of a tablespace inside it, the location is ''."""

    backend_pid: int
    data_directory: str | None
    tablespaces: list[str]
    locations: list[str]  # of the tablespaces
    of_database: str  # the tablespace of what lies in no other
    of_indexes: str  # the tablespace of an index for which none is named
    of_sorts: str  # temp_tablespaces, or the database's own
    maintenance_work_mem_bytes: int
    max_wal_size_bytes: int


STORAGE = Query(
    "storage",
    Storage,
    {
        (13,): """
        /* dbopt: where a build writes, as the server knows it */
        SELECT pg_catalog.pg_backend_pid() AS backend_pid,
               CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
                    THEN pg_catalog.current_setting('data_directory') END AS data_directory,
               t.tablespaces, t.locations, own.spcname::text AS of_database,
               COALESCE(NULLIF(pg_catalog.current_setting('default_tablespace'), ''), own.spcname)::text AS of_indexes,
               COALESCE(NULLIF(pg_catalog.current_setting('temp_tablespaces'), ''), own.spcname)::text AS of_sorts,
               pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem'))
                 AS maintenance_work_mem_bytes,
               pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size')) AS max_wal_size_bytes
          FROM (SELECT pg_catalog.array_agg(s.spcname::text ORDER BY s.spcname) AS tablespaces,
                       pg_catalog.array_agg(pg_catalog.pg_tablespace_location(s.oid) ORDER BY s.spcname) AS locations
                  FROM pg_catalog.pg_tablespace AS s) AS t
         CROSS JOIN (SELECT s.spcname
                       FROM pg_catalog.pg_database AS d
                       JOIN pg_catalog.pg_tablespace AS s ON s.oid = d.dattablespace
                      WHERE d.datname = pg_catalog.current_database()) AS own
        """
    },
)
