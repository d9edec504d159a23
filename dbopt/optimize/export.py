"""The indexes that a database has, as entries of specs.

Left out is what no spec is about: what a primary key, unique or exclusion constraint brought, the parts of partition
trees (their tree has one entry), catalogs, temporary tables, what belongs to extensions. What cannot be written down is
named with the reason, so that nothing is missing silently.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg

from dbopt.errors import UsageError
from dbopt.optimize import export_form
from dbopt.optimize.canonical import definition
from dbopt.optimize.collect import NEW, OLD
from dbopt.optimize.export_form import NoForm, Said
from dbopt.optimize.refusals import did_you_mean
from dbopt.postgres import index_catalog, index_export
from dbopt.postgres.identifiers import derived, display
from dbopt.spec.model import SCHEMA_WILDCARDS
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.index_catalog import Expressions, Index
    from dbopt.postgres.index_export import IndexedTable, KeyWords
    from dbopt.postgres.server import Server

# Tables read at a time, so that a database of any size needs the memory of these; a partition tree stays together.
TABLES_AT_A_TIME = 5_000
# The first try has waited for as long as the session's lock_timeout lets it, on behalf of all tables.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '100ms'"


@dataclass(frozen=True, slots=True)
class Choice:
    """Patterns, in which `*` and `?` stand for any characters; none: everything."""

    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    def takes(self, schema: str, table: str) -> bool:
        """A table by its name, with its schema or without."""
        if self.schemas and not _matches([schema], self.schemas):
            return False
        return not self.tables or _matches([table, display(schema, table)], self.tables)


@dataclass(frozen=True, slots=True)
class Exported:
    """One index. `domain`: whose mark it carries, None without one; `fields`: its entry but for name and table."""

    schema: str
    table: str
    name: str
    domain: str | None
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An index that is not exported though it might be missed. `is_lost`: a spec should have it."""

    schema: str
    table: str
    name: str
    reason: str
    is_lost: bool


def read(
    conn: Connection, server: Server, choice: Choice, *, may_be_none: bool = False
) -> Iterator[Exported | LeftOut]:
    """Every index of the tables that are meant, in no order. Raises UsageError when the patterns mean no table."""
    tables = {table.oid: table for table in index_export.TABLES.rows(conn, server.version)}
    chosen = {table.oid for table in tables.values() if choice.takes(table.schema, table.table)}
    if choice != Choice() and not chosen and not may_be_none:
        raise _nothing_meant(choice, list(tables.values()))
    for batch in _batches(tables, chosen):
        yield from _Batch(conn, server, tables, batch).indexes(chosen)


def _nothing_meant(choice: Choice, tables: Sequence[IndexedTable]) -> UsageError:
    patterns = choice.tables or choice.schemas
    known = [table.table for table in tables] if choice.tables else [table.schema for table in tables]
    known += [display(table.schema, table.table) for table in tables] if choice.tables else []
    near = (did_you_mean(pattern, known) for pattern in patterns)
    words = [f"--schema {pattern}" for pattern in choice.schemas] + [f"--table {pattern}" for pattern in choice.tables]
    return UsageError(f"no table with indexes is meant by {' '.join(words)}", hint=next(filter(None, near), None))


def _batches(tables: Mapping[int, IndexedTable], chosen: set[int]) -> Iterator[list[int]]:
    """Oids of tables to be read together: those chosen, with the whole of the partition trees that they belong to."""
    trees: dict[int, list[int]] = defaultdict(list)
    for table in tables.values():
        top = table
        while top.parent_oid is not None and top.parent_oid in tables:
            top = tables[top.parent_oid]
        trees[top.oid].append(table.oid)
    batch: list[int] = []
    for members in trees.values():
        if chosen.isdisjoint(members):
            continue
        if batch and len(batch) + len(members) > TABLES_AT_A_TIME:
            yield batch
            batch = []
        batch += members
    if batch:
        yield batch


class _Batch:
    """The indexes of some tables."""

    def __init__(
        self, conn: Connection, server: Server, tables: Mapping[int, IndexedTable], oids: Sequence[int]
    ) -> None:
        self.conn, self.server, self.tables = conn, server, tables
        self.rows = index_catalog.INDEXES.rows(conn, server.version, {"oids": list(oids)})
        self.parts: dict[int, list[Index]] = defaultdict(list)  # by the oid of the index above
        for index in self.rows:
            if index.parent_oid is not None:
                self.parts[index.parent_oid].append(index)

    def indexes(self, chosen: set[int]) -> Iterator[Exported | LeftOut]:
        wanted = [
            index
            for index in self.rows
            if index.table_oid in chosen and index.constraint is None and not index.is_partition
        ]
        usable = []
        working = {(index.table_oid, derived(index.index, suffix)) for index in wanted for suffix in (NEW, OLD)}
        for index in wanted:
            if (reason := self._unfit(index, working)) is not None:
                yield self._left_out(index, reason)
            else:
                usable.append(index)
        worded = [index for index in usable if index.has_expressions or index.has_predicate]
        expressions, texts, locked = self._texts(worded)
        words = self._words(usable)
        for index in usable:
            table = self.tables[index.table_oid]
            if any(character in table.schema for character in SCHEMA_WILDCARDS):
                reason = f"a spec would take the name of schema {table.schema} for a pattern"
                yield self._left_out(index, reason, is_lost=True)
            elif index.oid in locked:
                reason = "the table is locked exclusively, so that expressions and predicates cannot be read"
                yield self._left_out(index, reason, is_lost=True)
            elif not (index.has_expressions or index.has_predicate) or index.oid in expressions:
                yield self._entry(index, expressions.get(index.oid), words.get(index.oid, {}), texts.get(index.oid))

    def _unfit(self, index: Index, working: set[tuple[int, str]]) -> str | None:
        """Why an index is none that a spec should ask for."""
        if index.build_pid is not None:
            return f"it is being built right now by pid {index.build_pid}"
        if index.relkind == "I" and not index.indisvalid:
            return "it is INVALID, since some partitions lack their part of it"
        if not (index.indisvalid and index.indisready and index.indislive):
            return "it is INVALID, the rest of a build that failed; it slows writes and serves no query"
        if (index.table_oid, index.index) in working:
            return "it is left over from an interrupted change of another index"
        return None

    def _left_out(self, index: Index, reason: str, *, is_lost: bool = False) -> LeftOut:
        table = self.tables[index.table_oid]
        return LeftOut(table.schema, table.table, index.index, reason, is_lost)

    def _entry(
        self, index: Index, expressions: Expressions | None, words: Mapping[int, KeyWords], text: str | None
    ) -> Exported | LeftOut:
        said = Said(words=words, text=text, leaves=list(self._leaves(index)))
        try:
            fields = export_form.fields(index, definition(index, expressions), said)
        except NoForm as exc:
            return self._left_out(index, f"its SQL cannot be read back: {exc}", is_lost=True)
        table = self.tables[index.table_oid]
        return Exported(table.schema, table.table, index.index, export_form.domain_of(index), fields)

    def _leaves(self, top: Index) -> Iterator[tuple[str, str]]:
        """Leaf tables of a partition tree with their part of its index."""
        for part in self.parts.get(top.oid, ()):
            if part.relkind == "I":
                yield from self._leaves(part)
            elif part.table_oid in self.tables:
                yield self.tables[part.table_oid].table, part.index

    def _words(self, indexes: Sequence[Index]) -> Mapping[int, Mapping[int, KeyWords]]:
        found: dict[int, dict[int, KeyWords]] = defaultdict(dict)
        oids = [index.oid for index in indexes]
        with self.conn.transaction():
            self.conn.execute(_PATH)
            rows = index_export.WORDS.rows(self.conn, self.server.version, {"oids": oids})
        for row in rows:
            found[row.oid][row.number] = row
        return found

    def _texts(
        self, indexes: Sequence[Index]
    ) -> tuple[Mapping[int, Expressions], Mapping[int, str | None], frozenset[int]]:
        """Expressions and predicates, whole statements, and the oids of indexes whose tables are locked. They wait for
        locks: one locked table must not cost the rest.
        """
        expressions: dict[int, Expressions] = {}
        texts: dict[int, str | None] = {}
        locked: set[int] = set()

        def ask(oids: Sequence[int], *settings: str) -> None:
            with self.conn.transaction():
                for setting in (*settings, _PATH):
                    self.conn.execute(setting)
                parameters = {"oids": list(oids)}
                found = index_catalog.EXPRESSIONS.rows(self.conn, self.server.version, parameters)
                written = index_export.TEXTS.rows(self.conn, self.server.version, parameters)
            texts.update((row.oid, row.definition) for row in written)
            # One that is gone by now has no text any more.
            expressions.update((row.oid, row) for row in found if texts.get(row.oid) is not None)

        if not indexes:
            return expressions, texts, frozenset()
        try:
            ask([index.oid for index in indexes])
        except psycopg.errors.LockNotAvailable:
            by_table: dict[int, list[int]] = defaultdict(list)
            for index in indexes:
                by_table[index.table_oid].append(index.oid)
            for oids in by_table.values():
                try:
                    ask(oids, _LOCK_TIMEOUT)
                except psycopg.errors.LockNotAvailable:
                    locked.update(oids)
        return expressions, texts, frozenset(locked)


# A file outlives the session that wrote it, and what `norm(x)` means depends on who reads it: so names are qualified,
# as in a dump. With the usual path, names of `public` are not: `public.` in each cast would help nobody.
_PATH = """
        /* dbopt: the search path by which names are printed */
        SELECT pg_catalog.set_config('search_path', CASE WHEN pg_catalog.current_schemas(false) = '{public}'::name[]
                                                         THEN 'public' ELSE '' END, true)
        """


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether any is meant: `[` is a plain character here, as in the patterns of specs."""
    return any(
        name == pattern or fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
        for name in names
        for pattern in patterns
    )
