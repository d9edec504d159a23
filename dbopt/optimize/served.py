"""After a run: whether the indexes that it made serve what they were made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import partition_tree, serves, tenants
from dbopt.optimize.collect import collect
from dbopt.spec.model import State

if TYPE_CHECKING:
    from collections.abc import Collection

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.finding import Finding
    from dbopt.spec.model import SpecSet


def findings(conn: Connection, server: Server, specs: SpecSet, made: Collection[tuple[str, str]]) -> list[Finding]:
    """Expectations of `serves` that do not hold. `made`: schema and name of each index. Raises psycopg errors."""
    entries, _ = tenants.expand(conn, server, specs.indexes)
    asked = [
        entry
        for entry in entries
        if entry.state is State.PRESENT and entry.serves and (entry.schema_name, entry.name) in made
    ]
    if not asked:
        return []
    actual = collect(conn, server, asked)
    found: list[Finding] = []
    for entry in asked:
        table = actual.tables.get((entry.schema_name, entry.table.name))
        index = actual.find(table, entry.name) if table is not None else None
        if index is not None and index.indisvalid:
            names = frozenset(one.index for one in (index, *partition_tree.below(index, actual)))
            found += serves.disappointed(conn, server, entry, names)
    return found
