"""Which operator classes indexes have whose definitions name none, as DefineIndex() finds them. No lock is taken."""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column, as it would be a key. `collation`: schema.name."""

    table_oid: int
    column: str
    type_oid: int
    collation: str | None


KEY_COLUMNS = Query(
    "key-columns",
    KeyColumn,
    {
        (13,): """
        /* dbopt: types and collations of the columns of some tables */
        SELECT a.attrelid::int8 AS table_oid, a.attname::text AS column, a.atttypid::int8 AS type_oid,
               (SELECT n.nspname || '.' || l.collname
                  FROM pg_catalog.pg_collation AS l
                  JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
                 WHERE l.oid = a.attcollation) AS collation
          FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY a.attrelid, a.attnum
        """
    },
    {"oids": [1259]},
    alike=True,
)


@dataclass(frozen=True, slots=True)
class DefaultClass:
    type_oid: int
    method: str
    opclass: str  # schema.name, as Index.opclasses has it


# The type's own class comes first, then one of a type that it is binary-coercible to, of these the preferred one
# (GetDefaultOpClass in src/backend/commands/indexcmds.c), then those for all arrays, enums and ranges.
DEFAULT_CLASSES = Query(
    "default-operator-classes",
    DefaultClass,
    {
        (13,): """
        /* dbopt: the operator classes that some types have by default */
        SELECT DISTINCT ON (w.oid, am.amname)
               w.oid::int8 AS type_oid, am.amname::text AS method, n.nspname || '.' || op.opcname AS opclass
          FROM pg_catalog.unnest(%(types)s::oid[]) AS w(oid)
          JOIN pg_catalog.pg_type AS t ON t.oid = w.oid
          JOIN pg_catalog.pg_type AS base ON base.oid = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
          JOIN pg_catalog.pg_opclass AS op ON op.opcdefault
          JOIN pg_catalog.pg_type AS kind ON kind.oid = op.opcintype
          JOIN pg_catalog.pg_am AS am ON am.oid = op.opcmethod
          JOIN pg_catalog.pg_namespace AS n ON n.oid = op.opcnamespace
          LEFT JOIN pg_catalog.pg_cast AS k
            ON k.castsource = base.oid AND k.casttarget = op.opcintype AND k.castmethod = 'b' AND k.castcontext = 'i'
         WHERE op.opcintype = base.oid OR k.oid IS NOT NULL
            OR kind.typname = CASE WHEN base.typcategory = 'A' THEN 'anyarray'
                                   WHEN base.typtype = 'e' THEN 'anyenum'
                                   WHEN base.typtype = 'r' THEN 'anyrange'
                                   WHEN base.typtype = 'm' THEN 'anymultirange' END
         ORDER BY w.oid, am.amname, op.opcintype = base.oid DESC, k.oid IS NOT NULL DESC, kind.typispreferred DESC,
                  n.nspname, op.opcname
        """
    },
    {"types": [23, 1043]},
)


@dataclass(frozen=True, slots=True)
class NamedClass:
    """`is_visible`: by its name alone."""

    method: str
    schema: str
    name: str
    is_visible: bool


NAMED_CLASSES = Query(
    "named-operator-classes",
    NamedClass,
    {
        (13,): """
        /* dbopt: the operator classes of these names, those that a session like this one finds first */
        SELECT am.amname::text AS method, n.nspname::text AS schema, op.opcname::text AS name,
               pg_catalog.pg_opclass_is_visible(op.oid) AS is_visible
          FROM pg_catalog.pg_opclass AS op
          JOIN pg_catalog.pg_am AS am ON am.oid = op.opcmethod
          JOIN pg_catalog.pg_namespace AS n ON n.oid = op.opcnamespace
         WHERE op.opcname = ANY (%(names)s::name[])
         ORDER BY am.amname, op.opcname, is_visible DESC, n.nspname
        """
    },
    {"names": ["text_pattern_ops"]},
)
