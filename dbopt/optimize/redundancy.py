"""Which of a table's indexes say what another says already. Pure; works on canonical definitions.

Only btree: with other methods a shorter key is no cheaper way to the same rows. Partial indexes are compared with
those of the same predicate, as the server prints it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbopt.optimize.canonical import Definition, KeyForm


def equal(one: Definition, other: Definition) -> bool:
    """The same in all that a reader sees: uniqueness, storage parameters and tablespace aside."""
    return (
        one.method == other.method
        and one.keys == other.keys
        and one.include == other.include
        and one.predicate == other.predicate
    )


def prefix(short: Definition, long: Definition) -> bool:
    """Whether every lookup by `short` can be one by `long`: its keys lead there, in the same or the inverse order."""
    return (
        short.method == long.method == "btree"
        and short.predicate == long.predicate
        and len(short.keys) < len(long.keys)
        and _same_order(short.keys, long.keys[: len(short.keys)])
        and set(short.include) <= {*long.include, *(key.column for key in long.keys)}
    )


def led_by_unique(wanted: Definition, unique: Definition) -> bool:
    """Whether the first columns of `wanted` are unique already: then its further columns cannot narrow a lookup."""
    count = len(unique.keys)
    return (
        unique.unique
        and wanted.method == unique.method == "btree"
        and not wanted.unique
        and unique.predicate is None
        and count < len(wanted.keys)
        and {_what(key) for key in unique.keys} == {_what(key) for key in wanted.keys[:count]}
    )


def _same_order(some: tuple[KeyForm, ...], others: tuple[KeyForm, ...]) -> bool:
    return some == others or (
        all(_what(one) == _what(other) for one, other in zip(some, others, strict=True))
        and some
        == tuple(replace(key, descending=not key.descending, nulls_first=not key.nulls_first) for key in others)
    )


def _what(key: KeyForm) -> tuple[str | None, str | None, str | None]:
    return key.column, key.expression, key.collation
