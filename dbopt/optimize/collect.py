"""What the database has, of all that the specs concern: read once, in six statements, or two more for each further
thousand of tables.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg
from psycopg.sql import Identifier

from dbopt.errors import NotPermitted, ServerUnfit
from dbopt.optimize.canonical import Definition, definition
from dbopt.postgres import catalog, index_catalog
from dbopt.postgres.identifiers import derived
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.postgres.catalog import Column, Relation, Table, TreeMember
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Expressions, Index, Marked
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec

# Working names of a replacement under way: built beside the old index, which steps aside under the other.
NEW, OLD = "_dbopt_new", "_dbopt_old"

# Tables whose columns and indexes are read in one statement. Its answer is kept whole beside the rows made of it.
TABLES_AT_A_TIME = 1_000

TableName = tuple[str, str]  # schema, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """The catalogs' side of the comparison. Keys of `tables` and `relations` are (schema, name)."""

    tables: Mapping[TableName, Table]
    columns: Mapping[int, Sequence[Column]]
    indexes: Mapping[int, Sequence[Index]]  # by the table's oid
    definitions: Mapping[int, Definition]  # by the index's oid
    locked: frozenset[int]  # oids of tables whose expressions could not be read for a lock on them
    relations: Mapping[TableName, Relation]
    trees: Mapping[int, list[TreeMember]]  # by the partitioned table's oid
    marked: Sequence[Marked]
    extensions: frozenset[str]

    def definition(self, index: Index) -> Definition:
        return self.definitions[index.oid]

    def find(self, table: Table, name: str) -> Index | None:
        return next((index for index in self.indexes.get(table.oid, ()) if index.index == name), None)

    def digest(self) -> str:
        """One word for the state of everything that a plan is made from; sizes and counters aside."""
        texts: dict[int, str] = {}  # of many indexes the definition is one and the same object
        rows = []
        for table in self.tables.values():
            for index in self.indexes.get(table.oid, ()):
                form = self.definition(index)
                text = texts.get(id(form)) or texts.setdefault(id(form), repr(form))
                rows.append(repr((table.schema, table.table, index.index, index.indisvalid, index.comment)) + text)
        rows += [repr((mark.schema, mark.index, mark.comment)) for mark in self.marked]
        rows += [repr((table.schema, table.table, table.oid)) for table in self.tables.values()]
        return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def require_primary(conn: Connection, server: Server) -> None:
    """A plan needs a session that can make temporary tables. Raises ServerUnfit, NotPermitted."""
    if server.in_recovery:
        primary = _primary_of(conn)
        raise ServerUnfit(
            f"{server.dbname} is on a standby, which cannot plan or change indexes",
            detail="SQLSTATE 25006: the server is in recovery" + (f"; its primary is {primary}" if primary else ""),
            hint=f"Connect to the primary: -h {primary}" if primary else "Connect to the primary with -h.",
        )
    if not server.may_create_temp:
        raise NotPermitted(
            f"role {server.usename} may not create temporary tables in {server.dbname}",
            detail="definitions are compared on empty temporary twins of the tables, which are rolled back",
            hint=server.grant(f"TEMPORARY ON DATABASE {Identifier(server.dbname).as_string()}"),
        )


def collect(conn: Connection, server: Server, entries: Iterable[IndexSpec]) -> Actual:
    """Read what the entries concern."""
    entries = list(entries)
    return _read(
        conn,
        server,
        tables=sorted({(entry.schema_name, entry.table.name) for entry in entries}),
        names=sorted({(entry.schema_name, name) for entry in entries for name in working_names(entry.name)}),
    )


def read_tables(conn: Connection, server: Server, tables: Sequence[TableName]) -> Actual:
    """These tables as they are now, with the trees below them."""
    return _read(conn, server, tables=tables, names=())


def digest_of(conn: Connection, server: Server, tables: Sequence[TableName]) -> str:
    """The state of these tables' indexes now, in the same word as `Actual.digest`."""
    return read_tables(conn, server, tables).digest()


def _read(conn: Connection, server: Server, *, tables: Sequence[TableName], names: Sequence[TableName]) -> Actual:
    version = server.version
    wanted = {"schemas": [schema for schema, _ in tables], "tables": [table for _, table in tables]}
    found = {(row.schema, row.table): row for row in catalog.TABLES.rows(conn, version, wanted)}
    roots = [table.oid for table in found.values() if table.relkind == "p"]
    trees: dict[int, list[TreeMember]] = defaultdict(list)
    for member in catalog.TREES.rows(conn, version, {"oids": roots}) if roots else ():
        trees[member.root_oid].append(member)
    below = {(member.schema, member.table) for tree in trees.values() for member in tree} - found.keys()
    if below:
        wanted = {"schemas": [schema for schema, _ in below], "tables": [table for _, table in below]}
        found |= {(row.schema, row.table): row for row in catalog.TABLES.rows(conn, version, wanted)}
    oids = [table.oid for table in found.values()]
    columns: dict[int, list[Column]] = defaultdict(list)
    indexes: dict[int, list[Index]] = defaultdict(list)
    for first in range(0, len(oids), TABLES_AT_A_TIME):
        some = {"oids": oids[first : first + TABLES_AT_A_TIME]}
        for column in catalog.COLUMNS.rows(conn, version, some):
            columns[column.table_oid].append(column)
        for index in index_catalog.INDEXES.rows(conn, version, some):
            indexes[index.table_oid].append(index)
    every = [index for group in indexes.values() for index in group]
    expressions, locked = _expressions(conn, server, every)
    holders = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
    return Actual(
        tables=found,
        columns=columns,
        indexes=indexes,
        definitions={index.oid: definition(index, expressions.get(index.oid)) for index in every},
        locked=locked,
        relations={(row.schema, row.name): row for row in catalog.RELATIONS.rows(conn, version, holders)},
        trees=trees,
        marked=index_catalog.MARKED.rows(conn, version),
        extensions=frozenset(row.extension for row in catalog.EXTENSIONS.rows(conn, version)),
    )


def working_names(name: str) -> tuple[str, str, str]:
    """The names that changing an index may use: its own and those of a replacement under way."""
    return name, derived(name, NEW), derived(name, OLD)


def _expressions(
    conn: Connection, server: Server, indexes: Sequence[Index]
) -> tuple[dict[int, Expressions], frozenset[int]]:
    """Texts of expressions and predicates. They wait for locks: one locked table must not cost the rest."""
    by_table: dict[int, list[int]] = defaultdict(list)
    for index in indexes:
        if index.has_expressions or index.has_predicate:
            by_table[index.table_oid].append(index.oid)
    everything = [oid for oids in by_table.values() for oid in oids]
    try:
        rows = index_catalog.EXPRESSIONS.rows(conn, server.version, {"oids": everything})
        return {row.oid: row for row in rows}, frozenset()
    except psycopg.errors.LockNotAvailable:
        pass
    found: dict[int, Expressions] = {}
    locked = set()
    for table_oid, oids in by_table.items():
        try:
            with conn.transaction():
                conn.execute("SET LOCAL lock_timeout = '100ms'")  # the first try has waited long enough for all of them
                found |= {row.oid: row for row in index_catalog.EXPRESSIONS.rows(conn, server.version, {"oids": oids})}
        except psycopg.errors.LockNotAvailable:
            locked.add(table_oid)
    return found, frozenset(locked)


def _primary_of(conn: Connection) -> str | None:
    """Where a standby receives from, when the role may know."""
    row = conn.execute(
        "/* dbopt: the primary of this standby */ SELECT sender_host, sender_port FROM pg_catalog.pg_stat_wal_receiver"
    ).fetchone()
    return f"{row[0]} -p {row[1]}" if row and row[0] else None
