"""Constraints that were added as NOT VALID and never validated.

New rows have to obey them, and old ones may not: the planner cannot use them, and a dump of the data may not be
restorable. VALIDATE CONSTRAINT reads the table once, while others read and write; it fails where a row breaks the rule,
and names one.

Meant are CHECK and foreign key constraints of tables, of domains, and NOT NULL constraints (18). Of a partitioned table
or one with children the topmost is named, which validates the others. NOT ENFORCED (18) is meant to be so.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-VALIDATE-CONSTRAINT
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.health.vacuum import ON_PRIMARY
from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class NotValid:
    owner: str  # a table or a domain, quoted and with its schema
    conname: str  # quoted
    contype: str  # c, f or n
    is_domain: bool
    referenced: str | None  # by a foreign key
    reltuples: float  # of the table


_START: LiteralString = """
        /* dbopt: constraints that old rows may break; of inherited ones the topmost */
        WITH invalid AS MATERIALIZED (
            SELECT k.oid, k.conname, k.contype, k.conrelid, k.contypid, k.confrelid, k.conparentid, k.coninhcount
              FROM pg_catalog.pg_constraint AS k
             WHERE NOT k.convalidated AND k.contype IN ('c', 'f', 'n')
"""
_ENFORCED: LiteralString = """
               AND k.conenforced
"""
_END: LiteralString = """
        )
        SELECT CASE WHEN k.conrelid <> 0 THEN k.conrelid::regclass::text ELSE k.contypid::regtype::text END AS owner,
               pg_catalog.quote_ident(k.conname) AS conname, k.contype::text AS contype,
               k.conrelid = 0 AS is_domain,
               CASE WHEN k.confrelid <> 0 THEN k.confrelid::regclass::text END AS referenced,
               COALESCE(c.reltuples, -1)::float8 AS reltuples
          FROM invalid AS k
          JOIN pg_catalog.pg_namespace AS n
            ON n.oid = COALESCE((SELECT r.relnamespace FROM pg_catalog.pg_class AS r WHERE r.oid = k.conrelid),
                                (SELECT t.typnamespace FROM pg_catalog.pg_type AS t WHERE t.oid = k.contypid))
          LEFT JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relpersistence IS DISTINCT FROM 't'
           AND k.conparentid NOT IN (SELECT p.oid FROM invalid AS p)
           AND NOT (k.coninhcount > 0 AND k.conrelid <> 0
                    AND EXISTS (SELECT 1
                                  FROM pg_catalog.pg_inherits AS i
                                  JOIN invalid AS p ON p.conrelid = i.inhparent
                                 WHERE i.inhrelid = k.conrelid AND p.conname = k.conname))
         ORDER BY owner, conname
"""
CONSTRAINTS_NOT_VALID = Query(
    "constraints-not-valid", NotValid, {(13,): _START + _END, (18,): _START + _ENFORCED + _END}
)

_KINDS = {"c": "CHECK", "f": "foreign key", "n": "NOT NULL"}


def _detail(row: NotValid) -> str:
    words = [f"{_KINDS[row.contype]} constraint not validated"]
    if row.referenced:
        words[0] = f"foreign key to {row.referenced} not validated"
    if row.reltuples >= 0:
        words.append(f"to look through: about {row.reltuples:,.0f} rows")
    return ", ".join(words)


CHECK: Check[NotValid] = Check(
    id="constraint-not-valid",
    title="Constraints not validated",
    group=Group.STORAGE,
    query=CONSTRAINTS_NOT_VALID,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING,
        source="https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-VALIDATE-CONSTRAINT",
    ),
    needs=(ON_PRIMARY,),
    subject=lambda row: f"{row.owner}.{row.conname}",
    measure=lambda row: max(row.reltuples, 0.0),
    detail=_detail,
    remedy=lambda row: f"ALTER {'DOMAIN' if row.is_domain else 'TABLE'} {row.owner} VALIDATE CONSTRAINT {row.conname};",
)
