"""Indexes as statements that make them anew: what it takes to go back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.connect import set_in_transaction
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """One index. `definition` is CREATE INDEX with every name qualified, but without the tablespace."""

    schema: str
    index: str
    relkind: str
    table_schema: str
    table: str
    definition: str
    tablespace: str | None  # None: the database's own
    comment: str | None
    is_usable: bool  # valid, ready and live
    indisclustered: bool
    indisreplident: bool
    constraint: str | None  # a primary key, unique or exclusion constraint that it backs
    parent_schema: str | None  # the index of the partitioned table above that it is attached to
    parent: str | None
    statistics_targets: list[int | None]  # by column of the index; None: the default


DEFINITIONS = Query(
    "index-definitions",
    IndexDefinition,
    {
        (13,): """
        /* dbopt: the indexes of some tables and of their partitions, as statements */
        WITH RECURSIVE asked AS (
            SELECT t.oid
              FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(tables)s::text[]))
                   AS w(schema, name)
              JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema
              JOIN pg_catalog.pg_class AS t ON t.relnamespace = n.oid AND t.relname = w.name
             UNION
            SELECT h.inhrelid FROM asked JOIN pg_catalog.pg_inherits AS h ON h.inhparent = asked.oid
        )
        SELECT n.nspname::text AS schema, c.relname::text AS index, c.relkind::text AS relkind,
               tn.nspname::text AS table_schema, t.relname::text AS table,
               pg_catalog.pg_get_indexdef(c.oid) AS definition, ts.spcname::text AS tablespace,
               pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
               i.indisvalid AND i.indisready AND i.indislive AS is_usable, i.indisclustered, i.indisreplident,
               (SELECT con.conname::text FROM pg_catalog.pg_constraint AS con
                 WHERE con.conrelid = i.indrelid AND con.conindid = i.indexrelid AND con.contype IN ('p', 'u', 'x')
                 ORDER BY con.conname LIMIT 1) AS constraint,
               pn.nspname::text AS parent_schema, p.relname::text AS parent,
               (SELECT pg_catalog.array_agg(NULLIF(a.attstattarget, -1)::int4 ORDER BY a.attnum)
                  FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid) AS statistics_targets
          FROM asked
          JOIN pg_catalog.pg_index AS i ON i.indrelid = asked.oid
          JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
          JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
          LEFT JOIN pg_catalog.pg_tablespace AS ts ON ts.oid = c.reltablespace
          LEFT JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = c.oid
          LEFT JOIN pg_catalog.pg_class AS p ON p.oid = h.inhparent
          LEFT JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
         ORDER BY n.nspname, c.relname
        """
    },
    {"schemas": ["pg_catalog"], "tables": ["pg_class"]},
)


def definitions(conn: Connection, server: Server, tables: Sequence[tuple[str, str]]) -> list[IndexDefinition]:
    """The indexes of tables (schema, name) and of all their partitions."""
    parameters = {"schemas": [schema for schema, _ in tables], "tables": [table for _, table in tables]}
    with conn.transaction():
        # Names outside the search path are printed with their schema: the statements mean the same for everybody.
        set_in_transaction(conn, {"search_path": "pg_catalog"})
        return DEFINITIONS.rows(conn, server.version, parameters)
