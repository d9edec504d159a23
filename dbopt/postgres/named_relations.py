"""The tables, columns and functions that a statement names: types, and what this role may do with them."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Rights:
    """Of the table that a name means; a name that means none has no row."""

    number: int  # of the name, among those asked about, from 1
    nspname: str
    relname: str
    may_use_schema: bool
    may_select: bool
    may_insert: bool
    may_update: bool
    may_delete: bool


# Names without a schema are searched for along the path; those of schemas that the role may not use, too: it is what
# the role lacks that is asked for.
RIGHTS = Query(
    "rights-on-tables",
    Rights,
    {
        (13,): """
        /* dbopt: what this role may do with the tables of a statement */
        SELECT f.number, f.nspname, f.relname,
               pg_catalog.has_schema_privilege(f.relnamespace, 'USAGE') AS may_use_schema,
               pg_catalog.has_table_privilege(f.oid, 'SELECT')
               OR pg_catalog.has_any_column_privilege(f.oid, 'SELECT') AS may_select,
               pg_catalog.has_table_privilege(f.oid, 'INSERT')
               OR pg_catalog.has_any_column_privilege(f.oid, 'INSERT') AS may_insert,
               pg_catalog.has_table_privilege(f.oid, 'UPDATE')
               OR pg_catalog.has_any_column_privilege(f.oid, 'UPDATE') AS may_update,
               pg_catalog.has_table_privilege(f.oid, 'DELETE') AS may_delete
          FROM (SELECT DISTINCT ON (w.number) w.number, c.oid, c.relnamespace, n.nspname::text AS nspname,
                       c.relname::text AS relname
                  FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
                       WITH ORDINALITY AS w(nspname, relname, number)
                  JOIN pg_catalog.pg_class AS c ON c.relname = w.relname
                  JOIN pg_catalog.pg_namespace AS n
                    ON n.oid = c.relnamespace
                   AND (n.nspname = w.nspname OR (w.nspname IS NULL AND n.nspname = ANY (%(path)s::text[])))
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                 ORDER BY w.number, pg_catalog.array_position(%(path)s::text[], n.nspname::text)) AS f
         ORDER BY f.number
        """
    },
    example={"schemas": [None], "names": ["pg_class"], "path": ["pg_catalog"]},
)


@dataclass(frozen=True, slots=True)
class ColumnType:
    number: int  # of the table, among those asked about, from 1
    attname: str
    type_name: str  # as format_type writes it, without modifiers


COLUMN_TYPES = Query(
    "column-types",
    ColumnType,
    {
        (13,): """
        /* dbopt: types of the columns of a statement's tables */
        SELECT f.number, a.attname::text AS attname, pg_catalog.format_type(a.atttypid, NULL) AS type_name
          FROM (SELECT DISTINCT ON (w.number) w.number, c.oid
                  FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]))
                       WITH ORDINALITY AS w(nspname, relname, number)
                  JOIN pg_catalog.pg_class AS c ON c.relname = w.relname
                  JOIN pg_catalog.pg_namespace AS n
                    ON n.oid = c.relnamespace
                   AND (n.nspname = w.nspname OR (w.nspname IS NULL AND n.nspname = ANY (%(path)s::text[])))
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                 ORDER BY w.number, pg_catalog.array_position(%(path)s::text[], n.nspname::text)) AS f
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.oid
         WHERE a.attnum > 0 AND NOT a.attisdropped
         ORDER BY f.number, a.attnum
        """
    },
    example={"schemas": [None], "names": ["pg_class"], "path": ["pg_catalog"]},
)


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of a function's arguments, `any` and its kin as they are."""

    types: list[str]


SIGNATURES = Query(
    "signatures",
    Signature,
    {
        (13,): """
        /* dbopt: what functions of a name take */
        SELECT DISTINCT ARRAY(SELECT pg_catalog.format_type(t.typoid, NULL)
                                FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS t(typoid, number)
                               WHERE t.number <= %(arguments)s
                               ORDER BY t.number) AS types
          FROM pg_catalog.pg_proc AS p
         WHERE p.proname = %(name)s AND p.pronargs >= %(arguments)s
           AND p.pronargs - p.pronargdefaults <= %(arguments)s
         ORDER BY types
        """
    },
    example={"name": "sum", "arguments": 1},
)


@dataclass(frozen=True, slots=True)
class ExtensionSchema:
    nspname: str


EXTENSION_SCHEMAS = Query(
    "extension-schemas",
    ExtensionSchema,
    {
        (13,): """
        /* dbopt: where extensions have their functions and types */
        SELECT DISTINCT n.nspname::text AS nspname
          FROM pg_catalog.pg_extension AS e
          JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
         WHERE n.nspname <> 'pg_catalog'
         ORDER BY nspname
        """
    },
)


@dataclass(frozen=True, slots=True)
class TakenName:
    nspname: str
    relname: str


TAKEN_NAMES = Query(
    "taken-names",
    TakenName,
    {
        (13,): """
        /* dbopt: the names that relations of some schemas have */
        SELECT n.nspname::text AS nspname, c.relname::text AS relname
          FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY (%(schemas)s::name[])
         ORDER BY n.nspname, c.relname
        """
    },
    example={"schemas": ["pg_catalog"]},
)
