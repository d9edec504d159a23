"""Entries that define the same index twice, or one that another covers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

from dbopt import grammar
from dbopt.spec.finding import Finding, Severity, about
from dbopt.spec.methods import METHODS
from dbopt.spec.model import IndexSpec, Key, State
from dbopt.spec.words import quoted

# A key as a value that is equal when the keys are. Text against text: the server's own form needs a server, so two
# spellings of one expression are told apart here, and found by plan.
_Key = tuple[object, ...]


def check_all(entries: Sequence[IndexSpec]) -> Iterator[Finding]:
    comparable = [entry for entry in entries if entry.state is State.PRESENT and entry.keys and entry.sql is None]
    keys = {id(entry): tuple(_key(key, entry) for key in entry.keys) for entry in comparable}
    duplicates: dict[_Key, IndexSpec] = {}
    leading: dict[_Key, list[IndexSpec]] = defaultdict(list)
    repeated: set[int] = set()
    for entry in comparable:
        rows = entry.schema_name, entry.table.name, canonical(entry.where)
        for length in range(1, len(entry.keys) + 1) if entry.method == "btree" else ():
            leading[*rows, keys[id(entry)][:length]].append(entry)
        uniqueness = entry.is_unique, entry.nulls_not_distinct
        whole = (*rows, entry.method, keys[id(entry)], frozenset(entry.include), *uniqueness)
        other = duplicates.setdefault(whole, entry)
        if other is not entry and other.name != entry.name:
            repeated.add(id(entry))
            message = f"the same definition as {quoted(other.name)} ({_where(other)})"
            yield about(entry, "keys", Severity.WARNING, "duplicate-definition", message, hint="Keep one of the two.")
    for entry in comparable:
        if entry.method != "btree" or entry.is_unique or id(entry) in repeated:
            continue
        rows = entry.schema_name, entry.table.name, canonical(entry.where)
        for other in leading[*rows, keys[id(entry)]]:
            if id(other) not in repeated and _covers(other, entry):
                message = f"its keys are the first of {quoted(other.name)} ({_where(other)})"
                hint = "Leave it out, unless it is kept for being smaller; say so in `why`."
                yield about(entry, "keys", Severity.WARNING, "redundant-prefix", message, hint=hint)
                break


@lru_cache(maxsize=4096)
def canonical(text: str | None) -> str | None:
    """An expression as libpg_query writes it: blanks, comments and letter case of keywords make no difference."""
    if text is None:
        return None
    try:
        return grammar.expression_text(grammar.parse_expression(text))
    except grammar.GrammarError:
        return text.strip()


def _key(key: Key, entry: IndexSpec) -> _Key:
    method = METHODS.get(entry.method)
    order = key.order or "asc"
    nulls = key.nulls or ("first" if order == "desc" else "last")
    direction = (order, nulls) if method is None or method.order else ()
    what = ("column", key.column) if key.expr is None else ("expr", canonical(key.expr))
    return (*what, *direction, key.collation, key.opclass, frozenset(key.opclass_options.items()))


def _covers(other: IndexSpec, entry: IndexSpec) -> bool:
    """Whether `other`, whose keys begin with those of `entry`, can do all that `entry` does."""
    if other is entry or other.name == entry.name:
        return False
    columns = {key.column for key in other.keys} | set(other.include)
    return set(entry.include) <= columns


def _where(entry: IndexSpec) -> str:
    return f"{entry.source.file}:{entry.source.line_of('keys')}" if entry.source.file else entry.name
