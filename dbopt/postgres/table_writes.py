"""What was written to tables, partition by partition, since the server has counted. No lock is taken for it."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class TableWrites:
    """A table, or one of the leaves of a partitioned one (`root_*`: the topmost table). Rows, as counted since
    `seconds` ago (None: nobody knows since when). `reltuples`: -1 where it was never analyzed (0 on 13).
    """

    root_schema: str
    root_name: str
    schema: str
    name: str
    relkind: str
    reltuples: float
    relpages: int
    n_tup_ins: int
    n_tup_upd: int
    n_tup_hot_upd: int
    n_tup_del: int
    n_live_tup: int
    seconds: float | None
    tracks_counts: bool


TABLE_WRITES = Query(
    "table-writes",
    TableWrites,
    {
        (13,): """
        /* dbopt: what was written to some tables, of partitioned ones to each leaf */
          WITH RECURSIVE named(oid) AS MATERIALIZED (
            SELECT COALESCE(pg_catalog.pg_partition_root(c.oid)::oid, c.oid)
              FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
                   AS w(schema, name)
              JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
              JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name
             WHERE c.relkind IN ('r', 'p', 'm')
        ), tree(root, oid) AS (
            SELECT DISTINCT named.oid, named.oid FROM named
             UNION ALL
            SELECT tree.root, h.inhrelid
              FROM tree
              JOIN pg_catalog.pg_class AS r ON r.oid = tree.root AND r.relkind = 'p'
              JOIN pg_catalog.pg_inherits AS h ON h.inhparent = tree.oid
        )
        SELECT rn.nspname::text AS root_schema, r.relname::text AS root_name, n.nspname::text AS schema,
               c.relname::text AS name, c.relkind::text AS relkind, c.reltuples::float8 AS reltuples, c.relpages,
               pg_catalog.pg_stat_get_tuples_inserted(c.oid) AS n_tup_ins,
               pg_catalog.pg_stat_get_tuples_updated(c.oid) AS n_tup_upd,
               pg_catalog.pg_stat_get_tuples_hot_updated(c.oid) AS n_tup_hot_upd,
               pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS n_tup_del,
               pg_catalog.pg_stat_get_live_tuples(c.oid) AS n_live_tup,
               (SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp()
                         - GREATEST(d.stats_reset, pg_catalog.pg_stat_get_bgwriter_stat_reset_time()))::float8
                  FROM pg_catalog.pg_stat_database AS d
                 WHERE d.datname = pg_catalog.current_database()) AS seconds,
               pg_catalog.current_setting('track_counts') = 'on' AS tracks_counts
          FROM tree
          JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid AND c.relkind <> 'p'
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_class AS r ON r.oid = tree.root
          JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
         ORDER BY rn.nspname, r.relname, n.nspname, c.relname
        """
    },
    {"schemas": ["pg_catalog"], "names": ["pg_class"]},
)
