"""What a table would be without if an index went, whether anybody scanned it or not. Pure.

Stricter than redundancy.py, which is advice before a build: here an index is dropped, so in doubt it is the last of its
kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbopt.optimize.canonical import Definition, KeyForm
    from dbopt.postgres.foreign_keys import Referencing

_ANY_COLUMN = frozenset({"gin", "brin"})  # a search by any of its columns is as good as one by the first
_FINDS_ROWS = frozenset({"btree", "hash", "gist"})  # that the check of a foreign key can use


def last_unique(form: Definition, others: Iterable[Definition]) -> str | None:
    """Why uniqueness would be lost. `others`: the usable indexes that the table keeps."""
    if not form.unique or any(_keeps_unique(other, form) for other in others):
        return None
    return f"it is unique, and no other index keeps {_columns(form.keys)} unique"


def last_for_foreign_key(
    form: Definition, others: Sequence[Definition], referencing: Iterable[Referencing]
) -> str | None:
    """Why a delete of a referenced row would have to read the whole table."""
    for key in referencing:
        if _leads(form, key.columns) and not any(_leads(other, key.columns) for other in others):
            return f"no other index begins with the columns of foreign key {key.constraint}"
    return None


def last_lookup(form: Definition, others: Iterable[Definition]) -> str | None:
    """Why a search by its first key would have no index any more."""
    first = _what(form.keys[0])
    for other in others:
        if other.method != form.method or other.predicate not in (None, form.predicate):
            continue
        if first in map(_what, other.keys if other.method in _ANY_COLUMN else other.keys[:1]):
            return None
    return f"no other index serves a search by {_columns(form.keys[:1])}"


def _keeps_unique(other: Definition, form: Definition) -> bool:
    """Whether what `other` refuses is all that `form` refuses."""
    return (
        other.unique
        and other.predicate in (None, form.predicate)
        and (other.nulls_not_distinct or not form.nulls_not_distinct)
        and {_what(key) for key in other.keys} <= {_what(key) for key in form.keys}
    )


def _leads(form: Definition, columns: Sequence[str]) -> bool:
    return (
        form.method in _FINDS_ROWS
        and form.predicate is None
        and {key.column for key in form.keys[: len(columns)]} == set(columns)
    )


def _what(key: KeyForm) -> tuple[str | None, ...]:
    """A key but for its order, which a scan can turn round."""
    return key.column, key.expression, key.opclass, key.opclass_options, key.collation


def _columns(keys: Sequence[KeyForm]) -> str:
    return ", ".join(key.column if key.column is not None else f"({key.expression})" for key in keys)
