"""Names: their length in bytes, what they look like, and whether two things want the same one."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from dbopt.spec.finding import Finding, Severity, about
from dbopt.spec.model import NAME_MAX_BYTES, IndexSpec, State
from dbopt.spec.words import quoted

# What REINDEX CONCURRENTLY names its halves; a rest of a failed one is dropped by this pattern.
_LEFTOVER = re.compile(r"_cc(?:new|old)\d*\Z")
_QUALIFIED = re.compile(r"\w+\.\w+")
_SQL_IN_COLUMN = re.compile(r"[\w.]+\(.*\)|.*\s(?:asc|desc|nulls\s+(?:first|last))|.*(?:::|->).*", re.I | re.S)


def check(entry: IndexSpec) -> Iterator[Finding]:
    for path, name in _names(entry):
        if "\0" in name:
            message = f"`{path}` holds a NUL character"
            yield about(entry, path, Severity.ERROR, "nul-character", message)
        size = len(name.encode(errors="surrogatepass"))
        if size > NAME_MAX_BYTES:
            message = f"the name {quoted(name)} has {size} bytes, {size - NAME_MAX_BYTES} too many"
            hint = f"PostgreSQL cuts names to {NAME_MAX_BYTES} bytes; choose a shorter one."
            yield about(entry, path, Severity.ERROR, "name-too-long", message, hint=hint)
    yield from _looks(entry)
    if entry.name in entry.was:
        message = "`was` contains the index's own name"
        yield about(entry, "was", Severity.WARNING, "was-own-name", message)


def check_all(entries: Sequence[IndexSpec]) -> Iterator[Finding]:
    """Names across entries. An index shares its schema's names with tables and all other indexes."""
    yield from _same_name(entries)
    yield from _former_names(entries)
    tables = {(entry.schema_name, entry.table.name): entry for entry in entries}
    for entry in entries:
        other = tables.get((entry.schema_name, entry.name))
        if other is not None:
            message = f"{quoted(entry.name)} is the name of a table in this schema ({_where(other, 'table')})"
            yield about(entry, "name", Severity.ERROR, "name-is-table", message)


def _names(entry: IndexSpec) -> Iterator[tuple[str, str]]:
    yield "name", entry.name
    yield "table", entry.table.name
    yield "table.schema", entry.schema_name
    for n, key in enumerate(entry.keys):
        if key.column is not None:
            yield f"keys.{n}.column", key.column
    for n, column in enumerate(entry.include):
        yield f"include.{n}", column
    for n, name in enumerate(entry.was):
        yield f"was.{n}", name
    if entry.tablespace is not None:
        yield "tablespace", entry.tablespace


def _looks(entry: IndexSpec) -> Iterator[Finding]:
    """Legal names that are probably something else."""
    if _LEFTOVER.search(entry.name):
        message = f"{quoted(entry.name)} is named like the rest of a failed REINDEX CONCURRENTLY"
        yield about(entry, "name", Severity.WARNING, "leftover-name", message, hint="Choose another name.")
    if _QUALIFIED.fullmatch(entry.table.name):
        schema, _, table = entry.table.name.partition(".")
        message = f"{quoted(entry.table.name)} is the name of one table, dot included"
        hint = f"Write table: {{schema: {schema}, name: {table}}} if a schema is meant."
        yield about(entry, "table", Severity.INFO, "name-looks-qualified", message, hint=hint)
    columns = [(f"keys.{n}", key.column) for n, key in enumerate(entry.keys)]
    columns += [(f"include.{n}", column) for n, column in enumerate(entry.include)]
    for path, column in columns:
        if column is not None and _SQL_IN_COLUMN.fullmatch(column):
            message = f"{quoted(column)} is taken as the name of a column"
            hint = "Write {expr: ...} for an expression, {column: ..., order: desc} for an order."
            yield about(entry, path, Severity.INFO, "column-looks-like-expression", message, hint=hint)


def _same_name(entries: Sequence[IndexSpec]) -> Iterator[Finding]:
    seen: dict[bytes, list[IndexSpec]] = defaultdict(list)
    for entry in entries:
        cut = _cut(entry.name)
        other = next((other for other in seen[cut] if _schemas_meet(other, entry)), None)
        seen[cut].append(entry)
        if other is None:
            continue
        if other.name == entry.name:
            message = f"the index {quoted(entry.name)} is in the specs twice ({_where(other, 'name')})"
            yield about(entry, "name", Severity.ERROR, "duplicate-name", message)
        else:
            message = f"{quoted(entry.name)} and {quoted(other.name)} ({_where(other, 'name')}) are one name when cut"
            yield about(entry, "name", Severity.ERROR, "names-meet", message)


def _former_names(entries: Sequence[IndexSpec]) -> Iterator[Finding]:
    wanted = {(entry.schema_name, entry.name): entry for entry in entries if entry.state is State.PRESENT}
    claimed: dict[tuple[str, str], IndexSpec] = {}
    for entry in entries:
        for n, name in enumerate(entry.was):
            place = entry.schema_name, name
            other = wanted.get(place, entry)
            if other is entry:
                other = claimed.setdefault(place, entry)
            if other is not entry:
                message = f"the former name {quoted(name)} is wanted by {quoted(other.name)} ({_where(other, 'name')})"
                yield about(entry, f"was.{n}", Severity.ERROR, "was-conflict", message)


def _cut(name: str) -> bytes:
    """A name as the server keeps it: at most 63 bytes, no character cut in two."""
    content = name.encode(errors="surrogatepass")[:NAME_MAX_BYTES]
    return content.decode(errors="ignore").encode() if len(content) == NAME_MAX_BYTES else content


def _schemas_meet(one: IndexSpec, other: IndexSpec) -> bool:
    """Whether two entries may mean the same schema. Two different patterns are not compared."""
    if one.schema_name == other.schema_name:
        return True
    if one.table.schema_is_pattern == other.table.schema_is_pattern:
        return False
    pattern, plain = (one, other) if one.table.schema_is_pattern else (other, one)
    return plain.schema_name not in pattern.table.except_ and fnmatch.fnmatchcase(
        plain.schema_name, pattern.schema_name.replace("[", "[[]")
    )


def _where(entry: IndexSpec, path: str) -> str:
    return f"{entry.source.file}:{entry.source.line_of(path)}" if entry.source.file else entry.name
