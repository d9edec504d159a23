"""What the planner reckons with: its cost settings, and the pages of tables."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class PlannerCosts:
    """As a new session of this role has them. https://www.postgresql.org/docs/current/runtime-config-query.html"""

    seq_page_cost: float
    random_page_cost: float
    cpu_tuple_cost: float
    cpu_index_tuple_cost: float
    cpu_operator_cost: float
    effective_cache_pages: float
    page_bytes: int


PLANNER_COSTS = Query(
    "planner-costs",
    PlannerCosts,
    {
        (13,): """
        /* dbopt: what the planner takes pages and rows to cost */
        SELECT pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'seq_page_cost')::float8 AS seq_page_cost,
               pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'random_page_cost')::float8 AS random_page_cost,
               pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'cpu_tuple_cost')::float8 AS cpu_tuple_cost,
               pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'cpu_index_tuple_cost')::float8
                 AS cpu_index_tuple_cost,
               pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'cpu_operator_cost')::float8 AS cpu_operator_cost,
               pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'effective_cache_size')::float8
                 AS effective_cache_pages,
               pg_catalog.max(s.reset_val) FILTER (WHERE s.name = 'block_size')::int4 AS page_bytes
          FROM pg_catalog.pg_settings AS s
         WHERE s.name IN ('seq_page_cost', 'random_page_cost', 'cpu_tuple_cost', 'cpu_index_tuple_cost',
                          'cpu_operator_cost', 'effective_cache_size', 'block_size')
        """
    },
)


@dataclass(frozen=True, slots=True)
class RelationPages:
    """Of a table that holds rows itself. `visible_pages`: those of which an index alone tells the rows."""

    schema: str
    name: str
    rows: float
    pages: float
    visible_pages: float


RELATION_PAGES = Query(
    "relation-pages",
    RelationPages,
    {
        (13,): """
        /* dbopt: how large some tables are, and how much of them index-only scans need not read */
        SELECT w.schema, w.name, GREATEST(c.reltuples, 0)::float8 AS rows, GREATEST(c.relpages, 0)::float8 AS pages,
               GREATEST(c.relallvisible, 0)::float8 AS visible_pages
          FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
               AS w(schema, name)
          JOIN pg_catalog.pg_namespace AS n ON n.nspname = w.schema::name
          JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name::name
         ORDER BY w.schema, w.name
        """
    },
    {"schemas": ["pg_catalog", "pg_catalog"], "names": ["pg_class", "pg_index"]},
)
