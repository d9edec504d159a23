"""What is true on the server after a statement: proofs of success, and leftovers of failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import canonical
from dbopt.optimize.canonical import definition
from dbopt.postgres import catalog, index_catalog
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.steps import Proof
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Index
    from dbopt.postgres.server import Server


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problem` None: the proof holds."""

    problem: str | None
    size_bytes: int | None


def find_index(conn: Connection, server: Server, schema: str, table: str, name: str) -> Index | None:
    """An index by its name, on this table."""
    tables = catalog.TABLES.rows(conn, server.version, {"schemas": [schema], "tables": [table]})
    oids = [row.oid for row in tables]
    rows = index_catalog.INDEXES.rows(conn, server.version, {"oids": oids}) if oids else []
    return next((row for row in rows if row.index == name), None)


def table_exists(conn: Connection, server: Server, schema: str, table: str) -> bool:
    return bool(catalog.TABLES.rows(conn, server.version, {"schemas": [schema], "tables": [table]}))


def verify(conn: Connection, server: Server, proof: Proof) -> Verdict:
    """Whether the index is there, valid, ready, live and of the definition that the plan promised.

    That a CREATE INDEX came back without an error proves none of it. Raises psycopg errors.
    """
    index = find_index(conn, server, proof.schema, proof.table, proof.index)
    if index is None:
        return Verdict(f"{proof.index} does not exist after its build", None)
    flags = {"valid": index.indisvalid, "ready": index.indisready, "live": index.indislive}
    missing = [name for name, holds in flags.items() if not holds]
    if missing and index.relkind == "I":
        return Verdict(
            f"{proof.index} is not valid yet: a partition came meanwhile, or the index of one is missing", None
        )
    if missing:
        return Verdict(f"{proof.index} is not {', not '.join(missing)} after its build", index.size_bytes)
    has_text = index.has_expressions or index.has_predicate
    texts = index_catalog.EXPRESSIONS.rows(conn, server.version, {"oids": [index.oid]}) if has_text else [None]
    actual = definition(index, texts[0])
    asks = proof.definition.tablespace is not None
    if not canonical.same(proof.definition, actual, tablespace=asks):
        what = canonical.difference(proof.definition, actual)
        return Verdict(f"{proof.index} is not what was asked for: {what}", index.size_bytes)
    return Verdict(None, index.size_bytes)
