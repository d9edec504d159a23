"""Foreign keys whose columns no index of the referencing table leads with.

PostgreSQL indexes the referenced columns, never the referencing ones. Without an index there, each DELETE of a
referenced row, and each UPDATE of its key, reads the whole referencing table to see whether somebody still refers to
it, with the row locked meanwhile; joins along the key do the same. A usable index is a valid btree or GiST index that
begins with the key's columns in any order, or a hash index on a single one. A partial index counts where it leaves out
nothing but NULLs. A partitioned table is looked at as a whole: all of its partitions have to have one.
Not every such key is worth an index: if nothing is ever deleted from the referenced table, and nobody joins along the
key, ignore the finding with that reason.
https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-FK
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg.sql import SQL, Identifier

from dbopt.health.check import Check, Group, Unit, above
from dbopt.health.fragments import present
from dbopt.postgres.identifiers import NAME_MAX_BYTES, clip
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import LiteralString

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key without a full index. Of a partitioned table: `rows` are those of the partitions without."""

    constraint: str
    relation: str
    schema: str
    table: str
    relkind: str
    referenced: str
    columns: list[str]
    attnums: list[int]
    on_delete: str  # pg_constraint.confdeltype
    rows: float
    predicates: list[str]  # node trees of partial indexes that begin with its columns
    index_names: list[str]  # of the referencing table


_START: LiteralString = """
        /* dbopt: foreign keys that no full index of the referencing table begins with */
          WITH RECURSIVE top AS MATERIALIZED (
            SELECT con.oid, con.conname, con.conrelid, con.confrelid, con.conkey, con.confdeltype, t.relkind, t.relname,
                   t.relnamespace
              FROM pg_catalog.pg_constraint AS con
              JOIN pg_catalog.pg_class AS t ON t.oid = con.conrelid
             WHERE con.contype = 'f' AND con.conparentid = 0 AND con.conrelid >= 16384 AND t.relpersistence <> 't'
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d
                                WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
                                  AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = con.conrelid)
        ), part(root, oid, conrelid, conkey) AS (
            SELECT t.oid, t.oid, t.conrelid, t.conkey FROM top AS t
             UNION ALL
            -- Each partition has a copy of the key, with its own column numbers.
            SELECT p.root, con.oid, con.conrelid, con.conkey
              FROM part AS p
              JOIN pg_catalog.pg_constraint AS con ON con.conparentid = p.oid
        ), usable AS MATERIALIZED (
            SELECT i.indrelid, i.indkey::int2[] AS keys, i.indnkeyatts
              FROM pg_catalog.pg_index AS i
              JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
              JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
             WHERE i.indexrelid >= 16384 AND i.indisvalid AND i.indisready AND i.indislive AND i.indpred IS NULL
               AND am.amname IN ('btree', 'gist', 'hash')
        ), bare AS MATERIALIZED (
            SELECT p.root, p.conrelid, p.conkey,
                   GREATEST(c.reltuples, pg_catalog.pg_stat_get_live_tuples(c.oid)::float4, 0) AS rows
              FROM (SELECT DISTINCT p.root, p.conrelid, p.conkey FROM part AS p) AS p
              JOIN pg_catalog.pg_class AS c ON c.oid = p.conrelid
             WHERE c.relkind = 'r'
               AND NOT EXISTS (SELECT 1 FROM usable AS u
                                WHERE u.indrelid = p.conrelid
                                  AND u.indnkeyatts >= pg_catalog.cardinality(p.conkey)
                                  AND u.keys[0:pg_catalog.cardinality(p.conkey) - 1] @> p.conkey)
        ), summed AS MATERIALIZED (
            SELECT b.root, pg_catalog.sum(b.rows)::float8 AS rows
              FROM bare AS b
             GROUP BY b.root
            HAVING pg_catalog.sum(b.rows) > 0
             ORDER BY rows DESC, b.root
             LIMIT 1000
        )
        SELECT t.conname::text AS constraint, t.conrelid::regclass::text AS relation, n.nspname::text AS schema,
               t.relname::text AS table, t.relkind::text AS relkind, t.confrelid::regclass::text AS referenced,
               k.columns, t.conkey::int4[] AS attnums, t.confdeltype::text AS on_delete, s.rows,
               COALESCE(x.predicates, '{}') AS predicates, COALESCE(x.index_names, '{}') AS index_names
          FROM summed AS s
          JOIN top AS t ON t.oid = s.root
          JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg(a.attname::text ORDER BY k.n) AS columns
                 FROM pg_catalog.unnest(t.conkey) WITH ORDINALITY AS k(attnum, n)
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.conrelid AND a.attnum = k.attnum) AS k
         CROSS JOIN LATERAL (
               SELECT pg_catalog.array_agg(c.relname::text ORDER BY c.relname) AS index_names,
                      pg_catalog.array_agg(i.indpred::text ORDER BY c.relname) FILTER (
                          WHERE i.indpred IS NOT NULL AND i.indisvalid AND i.indisready AND i.indislive
                            AND am.amname IN ('btree', 'gist', 'hash')
                            AND i.indnkeyatts >= pg_catalog.cardinality(t.conkey)
                            AND (i.indkey::int2[])[0:pg_catalog.cardinality(t.conkey) - 1] @> t.conkey) AS predicates
                 FROM pg_catalog.pg_index AS i
                 JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
                 JOIN pg_catalog.pg_am AS am ON am.oid = c.relam
                WHERE i.indrelid = t.conrelid) AS x
         ORDER BY s.rows DESC, t.oid
        """

FOREIGN_KEYS = Query("foreign-keys-without-index", ForeignKey, {(13,): _START})

# `column IS NOT NULL`, as a node tree: a search for a value of the column implies it.
_NOT_NULL = re.compile(
    r"\{NULLTEST :arg \{VAR :varno 1 :varattno (\d+) [^{}]*\} :nulltesttype 1 :argisrow false :location -?\d+\}"
)
_ALL_OF = re.compile(r"\{BOOLEXPR :boolop and :args \((.*)\) :location -?\d+\}", re.DOTALL)
_DELETES = {
    "a": "is checked by reading",
    "r": "is checked by reading",
    "c": "deletes what refers to it, found by reading",
    "n": "sets NULL what refers to it, found by reading",
    "d": "resets what refers to it, found by reading",
}


def leaves_out_nulls_only(predicate: str, attnums: Sequence[int]) -> bool:
    """Whether a partial index holds every row in which none of these columns is NULL."""
    arms = _ALL_OF.fullmatch(predicate)
    rest = arms[1] if arms else predicate
    return not _NOT_NULL.sub("", rest).strip() and {int(number) for number in _NOT_NULL.findall(rest)} <= set(attnums)


def _uncovered(rows: Sequence[ForeignKey], _scene: Scene) -> Iterator[ForeignKey]:
    for row in rows:
        if not any(leaves_out_nulls_only(predicate, row.attnums) for predicate in row.predicates):
            yield row


def _detail(row: ForeignKey) -> str:
    key = f"foreign key {row.constraint} ({', '.join(row.columns)}) has no index"
    return f"{key}: each DELETE on {row.referenced} {_DELETES.get(row.on_delete, 'reads')} {row.rows:,.0f} rows here"


def _remedy(row: ForeignKey) -> str:
    columns = SQL(", ").join(map(Identifier, row.columns)).as_string()
    if row.relkind == "p":
        return (
            f"CREATE INDEX ON {row.relation} ({columns});"
            "  -- blocks writes to all partitions; dbopt optimize builds one by one without, see --fix-spec"
        )
    return f"CREATE INDEX CONCURRENTLY ON {row.relation} ({columns});"


def _fragment(row: ForeignKey) -> Mapping[str, object] | None:
    why = f"foreign key {row.constraint}: each DELETE on {row.referenced} looks for rows that refer to it"
    return present(row.schema, row.table, _name(row), {"keys": list(row.columns), "why": why})


def _name(row: ForeignKey) -> str:
    """As the server would name it, and not as an index of the table is named already."""
    stem = "_".join((row.table, *row.columns))
    for number in range(len(row.index_names) + 1):
        suffix = f"_idx{number or ''}"
        name = clip(stem, NAME_MAX_BYTES - len(suffix)) + suffix
        if name not in row.index_names:
            break
    return name


CHECK: Check[ForeignKey] = Check(
    id="foreign-key-without-index",
    title="Foreign keys without index",
    group=Group.INDEXES,
    query=FOREIGN_KEYS,
    unit=Unit.COUNT,
    thresholds=above(
        warning=10_000, critical=None, source="rows; our own reasoning: fewer are read in a millisecond or two"
    ),
    subject=lambda row: f"{row.relation}.{row.constraint}",
    measure=lambda row: row.rows,
    detail=_detail,
    remedy=_remedy,
    fragment=_fragment,
    rows=_uncovered,
)
