"""Definitions of indexes in the server's own form, and when two of them mean the same.

Text is never compared with text that somebody wrote. A definition asked for is made on an empty temporary twin of its
table (twin.py), read back from the catalogs like any other index, and the two catalog forms are compared: method,
columns, operator classes, collations, sort options, storage parameters as a set.

Expressions and predicates are compared as PostgreSQL prints them, and where that differs its planner is asked
(equivalence.py): `status IN ('a', 'b')` typed by a person and the same predicate restored from a dump print differently
for ever, but mean the same.

Where the server keeps things apart that serve the same queries, so does this: `varchar_ops` is not `text_ops`, and the
order of INCLUDE columns decides how wide padding makes the tuples. Only a storage parameter's default written out is
no difference.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbopt.postgres.index_catalog import Expressions, Index

    # Column, expression, operator class, its options, collation, bits of pg_index.indoption.
    _Key = tuple[str | None, str | None, str, str | None, str | None, int]

# Definitions made from the catalogs: tables of one kind have indexes of one kind, and of 50,000 most are alike.
_REMEMBERED = 10_000
_DESC, _NULLS_FIRST = 1, 2  # bits of pg_index.indoption
# What the server takes for a boolean: these words, and the beginnings of those in `_SHORTENED` (parse_bool in bool.c).
_TRUTH = {"on": "on", "1": "on", "off": "off", "of": "off", "0": "off"}
_SHORTENED = {"true": "on", "yes": "on", "false": "off", "no": "off"}
# What a storage parameter is when it is not set (reloptions.c); written out, it means the same. A boolean default
# tells that the parameter is one.
_DEFAULTS = {
    ("btree", "fillfactor"): "90",
    ("btree", "deduplicate_items"): "on",
    ("hash", "fillfactor"): "75",
    ("gist", "fillfactor"): "90",
    ("gist", "buffering"): "auto",
    ("spgist", "fillfactor"): "80",
    ("gin", "fastupdate"): "on",
    ("brin", "pages_per_range"): "128",
    ("brin", "autosummarize"): "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyForm:
    """One key column. `expression` is the server's text; names of opclass and collation carry their schema."""

    column: str | None
    expression: str | None
    opclass: str
    opclass_options: str | None
    collation: str | None
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """All that makes an index what it is, except its name, its table and its comment."""

    method: str
    unique: bool
    nulls_not_distinct: bool
    keys: tuple[KeyForm, ...]
    include: tuple[str, ...]
    predicate: str | None
    parameters: tuple[tuple[str, str], ...]
    tablespace: str | None  # None: the database's own

    @property
    def has_expressions(self) -> bool:
        return any(key.expression is not None for key in self.keys)


def definition(index: Index, expressions: Expressions | None) -> Definition:
    """An index of the catalogs as a Definition. `expressions` may be None for an index that has none."""
    count = index.indnkeyatts
    texts = expressions.keys if expressions is not None else None
    return _definition(
        index.method,
        index.indisunique,
        index.indnullsnotdistinct,
        tuple(
            zip(
                index.columns[:count],
                texts or [None] * count,
                index.opclasses,
                index.opclass_options,
                index.collations,
                index.indoption,
                strict=True,
            )
        ),
        tuple(index.columns[count:]),
        expressions.predicate if expressions is not None else None,
        tuple(index.reloptions),
        index.tablespace,
    )


@functools.lru_cache(maxsize=_REMEMBERED)
def _definition(
    method: str,
    unique: bool,
    nulls_not_distinct: bool,
    keys: tuple[_Key, ...],
    include: tuple[str | None, ...],
    predicate: str | None,
    reloptions: tuple[str, ...],
    tablespace: str | None,
) -> Definition:
    return Definition(
        method=method,
        unique=unique,
        nulls_not_distinct=nulls_not_distinct,
        keys=tuple(itertools.starmap(_key_form, keys)),
        include=tuple(column or "" for column in include),
        predicate=predicate,
        parameters=_parameters(method, reloptions),
        tablespace=tablespace,
    )


def _key_form(
    column: str | None, expression: str | None, opclass: str, options: str | None, collation: str | None, order: int
) -> KeyForm:
    return KeyForm(
        column=column,
        expression=expression if column is None else None,
        opclass=opclass,
        opclass_options=_options(options),
        collation=collation,
        descending=bool(order & _DESC),
        nulls_first=bool(order & _NULLS_FIRST),
    )


def same(wanted: Definition, actual: Definition, *, tablespace: bool) -> bool:
    """Whether two definitions are one. `tablespace`: the spec asks for one; where it is silent, any will do."""
    if wanted == actual or tablespace or wanted.tablespace == actual.tablespace:
        return wanted == actual
    return wanted == replace(actual, tablespace=wanted.tablespace)


def same_but_wording(wanted: Definition, actual: Definition, *, tablespace: bool) -> bool:
    """Whether only expressions and predicate may tell them apart: what these mean, the planner decides."""
    return (
        wanted.method == actual.method
        and len(wanted.keys) == len(actual.keys)
        and same(_without_wording(wanted), _without_wording(actual), tablespace=tablespace)
    )


@functools.lru_cache(maxsize=_REMEMBERED)
def _without_wording(form: Definition) -> Definition:
    return replace(
        form,
        keys=tuple(replace(key, expression="" if key.expression is not None else None) for key in form.keys),
        predicate=None,
    )


def difference(wanted: Definition, actual: Definition) -> str:
    """What differs, for people: `keys a, b -> a, b DESC; where (x > 1) -> none`. The actual comes first."""
    # Operator classes are said only where nothing else tells the two apart.
    by_opclass = [_key_text(key) for key in wanted.keys] == [_key_text(key) for key in actual.keys]
    pairs = zip(_aspects(wanted, by_opclass), _aspects(actual, by_opclass), strict=True)
    parts = [
        f"{label} {before or 'none'} -> {after or 'none'}"
        for (label, after), (_, before) in pairs
        if before != after and not (label == "tablespace" and wanted.tablespace is None)
    ]
    return "; ".join(parts)


def _aspects(form: Definition, opclasses: bool) -> list[tuple[str, str]]:
    nulls = " nulls not distinct" if form.nulls_not_distinct else ""
    return [
        ("method", form.method),
        ("uniqueness", f"unique{nulls}" if form.unique else ""),
        ("keys", ", ".join(_key_text(key, opclass=opclasses) for key in form.keys)),
        ("include", ", ".join(form.include)),
        ("where", form.predicate or ""),
        ("with", ", ".join(f"{name}={value}" for name, value in form.parameters)),
        ("tablespace", form.tablespace or ""),
    ]


def _key_text(key: KeyForm, *, opclass: bool = False) -> str:
    words = [key.column if key.column is not None else f"({key.expression})"]
    if key.collation not in (None, "pg_catalog.default"):
        words.append(f"COLLATE {key.collation}")
    if opclass:
        words.append(key.opclass.removeprefix("pg_catalog."))
    if key.opclass_options:
        words.append(f"({key.opclass_options})")
    words += ["DESC"] * key.descending
    if key.nulls_first != key.descending:
        words.append("NULLS FIRST" if key.nulls_first else "NULLS LAST")
    return " ".join(words)


def _parameters(method: str, options: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Storage parameters (`fastupdate=no` in pg_class.reloptions) as a set, each value in one spelling."""
    pairs = (option.split("=", 1) for option in options)
    spelled = {name: _spelled(value, _DEFAULTS.get((method, name))) for name, value in pairs}
    return tuple(sorted(pair for pair in spelled.items() if _DEFAULTS.get((method, pair[0])) != pair[1]))


def _options(options: str | None) -> str | None:
    """An operator class's options, likewise."""
    pairs = (option.split("=", 1) for option in (options or "").split(", ") if option)
    return ", ".join(sorted(f"{name}={_spelled(value, None)}" for name, value in pairs)) or None


def _spelled(value: str, default: str | None) -> str:
    low = value.lower()
    if default in ("on", "off"):
        whole = next((word for word in _SHORTENED if low and word.startswith(low)), None)
        return _TRUTH.get(low) or (_SHORTENED[whole] if whole else low)
    try:
        number = Decimal(low)
    except InvalidOperation:
        return low
    return f"{number.normalize():f}" if number.is_finite() else low
