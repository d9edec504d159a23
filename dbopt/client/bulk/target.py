"""The table that rows are written to, by its catalog: types of its columns, and what an upsert may go by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.errors import NoUniqueKey
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa

    from dbopt.client.shape import Entity

# Row types of domains are those below them; a domain over a domain hands its typmod down (lsyscache.c,
# getBaseTypeAndTypmod). format_type with -1 is the one spelling that stands for a type without limits: `character`
# would be one of a single character. What is new in 15 is asked of the row as JSON, which all servers can make.
_TARGET = """
    /* dbopt: the table of an upsert */
    SELECT c.relkind::text AS kind,
           pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY') AS may_stage,
           ARRAY(SELECT t.relname::text FROM pg_catalog.pg_class AS t
                  WHERE t.relnamespace = pg_catalog.pg_my_temp_schema() AND t.relkind = 'r') AS temporary,
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                       'name', a.attname,
                       'type_oid', base.oid::bigint,
                       'type_name', pg_catalog.format_type(base.oid, base.typmod),
                       'plain_type_name', pg_catalog.format_type(base.oid, -1),
                       'category', y.typcategory,
                       'is_composite', y.typtype = 'c',
                       'is_nullable', NOT a.attnotnull,
                       'is_generated', a.attgenerated <> '',
                       'is_counted', a.attidentity <> '' OR COALESCE(
                           pg_catalog.pg_get_expr(f.adbin, f.adrelid) LIKE 'nextval(%%', false)))::text
              FROM pg_catalog.pg_attribute AS a
             CROSS JOIN LATERAL (
                   WITH RECURSIVE below AS (
                       SELECT a.atttypid AS oid, a.atttypmod AS typmod
                        UNION ALL
                       SELECT d.typbasetype, d.typtypmod FROM below AS b
                         JOIN pg_catalog.pg_type AS d ON d.oid = b.oid AND d.typtype = 'd')
                   SELECT b.oid, b.typmod FROM below AS b
                     JOIN pg_catalog.pg_type AS d ON d.oid = b.oid AND d.typtype <> 'd') AS base
              JOIN pg_catalog.pg_type AS y ON y.oid = base.oid
              LEFT JOIN pg_catalog.pg_attrdef AS f
                   ON f.adrelid = a.attrelid AND f.adnum = a.attnum AND a.attgenerated = ''
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                       'name', i.indexrelid::regclass::text,
                       'columns', (SELECT pg_catalog.json_agg(a.attname ORDER BY k.position)
                                     FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
                                     LEFT JOIN pg_catalog.pg_attribute AS a
                                          ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
                                    WHERE k.position <= i.indnkeyatts),
                       'collations', (SELECT pg_catalog.json_agg(
                                          CASE WHEN o.oid IS NULL THEN NULL WHEN o.collisdeterministic THEN '' ELSE
                                               pg_catalog.quote_ident(n.nspname) || '.'
                                               || pg_catalog.quote_ident(o.collname) END ORDER BY k.position)
                                        FROM pg_catalog.unnest(i.indcollation::oid[])
                                             WITH ORDINALITY AS k(oid, position)
                                        LEFT JOIN pg_catalog.pg_collation AS o ON o.oid = k.oid
                                        LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = o.collnamespace),
                       'is_partial', i.indpred IS NOT NULL,
                       'is_deferrable', NOT i.indimmediate,
                       'is_invalid', NOT i.indisvalid,
                       'is_exclusion', i.indisexclusion,
                       'nulls_not_distinct', COALESCE(
                           (pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false))
                   ORDER BY NOT i.indisprimary, i.indexrelid::regclass::text)::text
              FROM pg_catalog.pg_index AS i
             WHERE i.indrelid = c.oid AND i.indisunique) AS keys
      FROM pg_catalog.pg_class AS c
     WHERE c.oid = %(relation)s::pg_catalog.regclass
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetColumn:
    """One column. Of a domain, the type below it."""

    name: str
    type_oid: int
    type_name: str  # with its limits: numeric(10,2), character varying(3)
    plain_type_name: str  # without
    category: str  # pg_type.typcategory
    is_composite: bool
    is_nullable: bool
    is_generated: bool
    is_counted: bool  # its default is a new number each time: an identity, a sequence

    @property
    def is_limited(self) -> bool:
        return self.type_name != self.plain_type_name


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueKey:
    """One unique index. `columns`: None for an expression. `collations`, by column: None where the type has none, ""
    where equal means the same bytes, else the name of the collation.
    """

    name: str
    columns: Sequence[str | None]
    collations: Sequence[str | None]
    is_partial: bool
    is_deferrable: bool
    is_invalid: bool
    is_exclusion: bool
    nulls_not_distinct: bool

    @property
    def why_not(self) -> str | None:
        """Why ON CONFLICT cannot go by it. None: it can."""
        reasons = {
            "of an expression": None in self.columns,
            "partial": self.is_partial,
            "deferrable": self.is_deferrable,
            "invalid": self.is_invalid,
            "without overlaps": self.is_exclusion,
        }
        return next((reason for reason, applies in reasons.items() if applies), None)

    def __str__(self) -> str:
        columns = ", ".join("(expression)" if column is None else column for column in self.columns)
        return f"({columns})" + (f" is {self.why_not}" if self.why_not else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    is_partitioned: bool
    may_stage: bool  # the role may make temporary tables
    temporary: frozenset[str]  # names of the session's temporary tables
    columns: Mapping[str, TargetColumn]  # by their names in the database
    keys: tuple[UniqueKey, ...]

    @classmethod
    def read(cls, connection: sa.Connection, table: sa.Table) -> Target:
        """Where a statement of this connection would find it. Raises SQLAlchemy's ProgrammingError when it does not."""
        schema = connection.schema_for_object(table)
        name = Identifier(schema, table.name) if schema else Identifier(table.name)
        row = connection.exec_driver_sql(_TARGET, {"relation": name.as_string()}).one()
        columns = [TargetColumn(**found) for found in json.loads(row.columns or "[]")]
        return cls(
            is_partitioned=row.kind == "p",
            may_stage=row.may_stage,
            temporary=frozenset(row.temporary),
            columns={column.name: column for column in columns},
            keys=tuple(UniqueKey(**found) for found in json.loads(row.keys or "[]")),
        )

    def key(self, own: Entity, names: Sequence[str]) -> Key:
        """What the server takes these columns of the model for. Raises NoUniqueKey."""
        wanted = [own.columns[name].name for name in names]
        fitting = [key for key in self.keys if key.why_not is None and set(key.columns) == set(wanted)]
        if not fitting:
            raise NoUniqueKey(
                f"no unique key of {own.name} is made of just these columns: {', '.join(wanted)}",
                detail=f"it has {'; '.join(map(str, self.keys)) or 'none'}",
                hint="Name the columns of a unique constraint or index that is neither partial nor deferrable.",
            )
        # Of several with the same columns ON CONFLICT goes by all: rows are equal when they are so for one of them.
        collations: dict[str, str | None] = {}
        for key in fitting:
            for column, collation in zip(key.columns, key.collations, strict=False):
                assert column is not None
                collations[column] = collation or collations.get(column, collation)
        has_nulls = any(self.columns[column].is_nullable for column in wanted)
        return Key(
            names=tuple(names),
            collations=tuple(collations[column] for column in wanted),
            nulls_are_distinct=has_nulls and not any(key.nulls_not_distinct for key in fitting),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Columns that an upsert goes by, by their names in the model. `nulls_are_distinct`: there may be NULLs, and a row
    with one is equal to no other.
    """

    names: tuple[str, ...]
    collations: tuple[str | None, ...]  # see UniqueKey
    nulls_are_distinct: bool

    def __hash__(self) -> int:
        return hash(self.names)
