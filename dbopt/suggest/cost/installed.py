"""Whether HypoPG can be used here, and if not, why and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.postgres.hypopg import INSTALLED, RESET
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server

URL = "https://hypopg.readthedocs.io/en/rel1_stable/installation.html"


@dataclass(frozen=True, slots=True)
class HypoPG:
    """Where it lies, which version it is: "1.3.1"."""

    schema: str
    version: str


@dataclass(frozen=True, slots=True)
class Missing:
    reason: str
    hint: str | None


def installed(conn: Connection, server: Server) -> HypoPG | Missing:
    """Two statements, the second of which makes the server load it. Raises psycopg errors if the connection is lost."""
    found = INSTALLED.rows(conn, server.version)[0]
    if found.schema is None or found.version is None:
        if found.offered is None:
            return Missing(
                "HypoPG is not installed on the server's machine",
                f"Install it ({URL}), then: CREATE EXTENSION hypopg;",
            )
        return Missing(f"HypoPG is not created in the database {server.dbname}", "CREATE EXTENSION hypopg;")
    schema = sql.Identifier(found.schema).as_string(conn)
    if not found.may_use:
        return Missing(
            f"the role {server.usename} may not use the schema of HypoPG", server.grant(f"USAGE ON SCHEMA {schema}")
        )
    if found.may_execute is None:
        return Missing(f"HypoPG {found.version} lacks functions that are needed", "ALTER EXTENSION hypopg UPDATE;")
    if not found.may_execute:
        return Missing(
            f"the role {server.usename} may not execute the functions of HypoPG",
            server.grant(
                f"EXECUTE ON FUNCTION {schema}.hypopg(), {schema}.hypopg_create_index(text),"
                f" {schema}.hypopg_drop_index(oid), {schema}.hypopg_reset()"
            ),
        )
    try:
        with conn.transaction():
            conn.execute(sql.SQL(RESET).format(schema=sql.Identifier(found.schema)))
    except psycopg.Error as exc:
        if conn.closed:
            raise
        return Missing(f"HypoPG {found.version} does not work: {exc.diag.message_primary}", f"Install it anew: {URL}")
    return HypoPG(found.schema, found.version)
