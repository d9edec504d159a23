"""What a database says about a spec besides the steps: redundant indexes, extra ones, INVALID ones of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import redundancy
from dbopt.optimize.refusals import finding
from dbopt.spec.finding import Finding, Severity
from dbopt.spec.model import Extras

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbopt.optimize.canonical import Definition
    from dbopt.optimize.collect import Actual
    from dbopt.postgres.catalog import Column, Table
    from dbopt.postgres.index_catalog import Index
    from dbopt.spec.model import IndexSpec, SpecFile


def redundant(
    entry: IndexSpec, wanted: Definition, others: Sequence[tuple[Index, Definition]], leaving: frozenset[str]
) -> Iterator[Finding]:
    """How an entry overlaps with the indexes that are there. `leaving` are names that the plan drops or renames."""
    for index, actual in others:
        if index.index == entry.name or index.index in leaving or not index.indisvalid:
            continue
        if redundancy.equal(wanted, actual) and (actual.unique or not wanted.unique):
            code = "duplicate-of-unique" if actual.unique and not wanted.unique else "duplicate-of-existing"
            yield finding(
                entry,
                Severity.WARNING,
                code,
                f"{entry.name} has the same keys as {_name(index)}",
                hint=f"Leave it out of the spec: {index.index} serves every lookup that it would.",
            )
        elif redundancy.prefix(wanted, actual) and not wanted.unique:
            yield finding(
                entry,
                Severity.WARNING,
                "prefix-of-existing",
                f"the keys of {entry.name} lead those of {_name(index)}",
                hint=f"Leave it out of the spec, unless {index.index} is much larger than this one would be.",
            )
        elif redundancy.led_by_unique(wanted, actual):
            yield finding(
                entry,
                Severity.WARNING,
                "led-by-unique",
                f"the first keys of {entry.name} are those of {_name(index)}: further keys cannot narrow a lookup",
                hint=f"Leave it out of the spec: {index.index} finds the one row already.",
            )
        elif redundancy.prefix(actual, wanted) and not _needed(index):
            yield finding(
                entry,
                Severity.INFO,
                "makes-redundant",
                f"{index.index} becomes redundant: its keys lead those of {entry.name}",
                hint=f"To drop it later, add: {{name: {index.index}, table: {entry.table.name}, state: absent}}",
            )


def extra(files: Sequence[SpecFile], actual: Actual, known: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    """`extras: report`: indexes on the spec's tables that no spec names. `known`: those named, renamed or dropped."""
    for file in files:
        if file.defaults.extras is not Extras.REPORT:
            continue
        tables = {(entry.schema_name, entry.table.name): entry for entry in file.indexes}
        for key, entry in sorted(tables.items()):
            table = actual.tables.get(key)
            for index in actual.indexes.get(table.oid, ()) if table else ():
                if (index.schema, index.index) not in known and not _needed(index):
                    yield Finding(
                        severity=Severity.INFO,
                        code="extra-index",
                        index=index.index,
                        message=f"{index.schema}.{index.index} on {key[0]}.{key[1]} is in no spec",
                        hint="Add it to the spec (present or absent), or set `extras: ignore`.",
                        file=entry.source.file,
                        line=entry.source.line,
                    )


def invalid(
    tables: Mapping[tuple[str, str], Table], actual: Actual, cleaned: frozenset[tuple[str, str]]
) -> Iterator[Finding]:
    """INVALID indexes on the spec's tables that are not the spec's to clean: somebody should look."""
    for table in tables.values():
        for index in actual.indexes.get(table.oid, ()):
            if index.indisvalid or (index.schema, index.index) in cleaned or index.build_pid is not None:
                continue
            if index.relkind == "I" or index.is_partition:
                continue  # a partitioned index waits for its leaves
            yield Finding(
                severity=Severity.WARNING,
                code="invalid-index",
                index=index.index,
                message=f"{index.schema}.{index.index} on {table.schema}.{table.table} is INVALID and in no spec",
                hint=f'It slows writes and serves no query: DROP INDEX CONCURRENTLY "{index.schema}"."{index.index}";',
            )


def why_needed(index: Index) -> str | None:
    """Who needs an index for more than speed; such an index is never dropped or replaced."""
    if index.constraint is not None:
        return f"it backs constraint {index.constraint}"
    if index.referenced_by is not None:
        return f"foreign key {index.referenced_by} refers to it"
    if index.indisreplident:
        return "it is the table's replica identity"
    if index.is_partition:
        return "it is part of an index of the partitioned table"
    return None


def can_be_identity(columns: Iterable[Column], form: Definition) -> bool:
    """https://www.postgresql.org/docs/current/sql-altertable.html: unique, not partial, only columns marked NOT NULL
    (and no expressions).
    """
    never_null = {column.column for column in columns if column.attnotnull}
    return form.unique and form.predicate is None and all(key.column in never_null for key in form.keys)


def is_only_identity(index: Index) -> bool:
    """The replica identity and nothing more: that can be another index as well."""
    return index.indisreplident and index.constraint is None and index.referenced_by is None and not index.is_partition


def _needed(index: Index) -> bool:
    return why_needed(index) is not None or index.indisunique or index.indisclustered


def _name(index: Index) -> str:
    kind = "primary key" if index.indisprimary else "unique index" if index.indisunique else "index"
    return f"{kind} {index.index}"
