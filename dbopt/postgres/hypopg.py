"""HypoPG: indexes that are not there, of which the planner believes that they are.

They live in the memory of one session, in no catalog, and nobody else sees them: a session that can only read may have
them, on a standby too. https://hypopg.readthedocs.io/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString


@dataclass(frozen=True, slots=True)
class Installed:
    """`offered`: the version that CREATE EXTENSION would give; None: its files are not on the server's machine.
    `version` and `schema`: as it was created in this database; None: it was not. `may_use`: the schema; `may_execute`:
    each of the functions that are needed, None where one of them is missing.
    """

    offered: str | None
    version: str | None
    schema: str | None
    may_use: bool | None
    may_execute: bool | None


INSTALLED = Query(
    "hypopg-installed",
    Installed,
    {
        (13,): """
        /* dbopt: whether HypoPG is there, and may be used */
        SELECT (SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a WHERE a.name = 'hypopg')
                   AS offered,
               e.extversion AS version, n.nspname::text AS schema,
               pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use,
               (SELECT CASE WHEN pg_catalog.count(DISTINCT p.proname) = 4
                            THEN pg_catalog.bool_and(pg_catalog.has_function_privilege(p.oid, 'EXECUTE')) END
                  FROM pg_catalog.pg_proc AS p
                  JOIN pg_catalog.pg_depend AS d
                    ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                 WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid
                   AND p.proname IN ('hypopg', 'hypopg_create_index', 'hypopg_drop_index', 'hypopg_reset')
               ) AS may_execute
          FROM (SELECT) AS one
          LEFT JOIN pg_catalog.pg_extension AS e ON e.extname = 'hypopg'
          LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
        """
    },
)

RESET: LiteralString = "/* dbopt: no hypothetical index */ SELECT {schema}.hypopg_reset()"
# By its place among all, in the order in which they were made: so it can be sent before the answer about its oid came.
DROP: LiteralString = (
    "/* dbopt: hypothetical index */"
    " SELECT h.indexrelid::int8 AS oid, {schema}.hypopg_drop_index(h.indexrelid) AS is_dropped"
    " FROM {schema}.hypopg() WITH ORDINALITY AS h WHERE h.ordinality = $1"
)
CREATE: LiteralString = (
    "/* dbopt: hypothetical index */"
    " SELECT h.indexrelid::int8 AS oid, h.indexname AS name FROM {schema}.hypopg_create_index($1) AS h"
)
