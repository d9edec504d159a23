"""Which index says what another says already: a table of verdicts, no server."""

from __future__ import annotations

import pytest

from dbopt.optimize import redundancy
from dbopt.optimize.canonical import Definition, KeyForm


def index(
    keys: str, *, unique: bool = False, where: str | None = None, include: str = "", method: str = "btree"
) -> Definition:
    """`a, b desc, lower(c)`: columns, with `desc` or a function."""
    return Definition(
        method=method,
        unique=unique,
        nulls_not_distinct=False,
        keys=tuple(key(text.strip()) for text in keys.split(",")),
        include=tuple(name.strip() for name in include.split(",") if name),
        predicate=where,
        parameters=(),
        tablespace=None,
    )


def key(text: str) -> KeyForm:
    name, _, order = text.partition(" ")
    return KeyForm(
        column=None if "(" in name else name,
        expression=name if "(" in name else None,
        opclass="pg_catalog.int4_ops",
        opclass_options=None,
        collation="pg_catalog.C" if order == "C" else None,
        descending=order == "desc",
        nulls_first=order == "desc",
    )


@pytest.mark.parametrize(
    ("short", "long", "expected"),
    [
        (index("a"), index("a, b"), True),
        (index("a"), index("b, a"), False),
        (index("a"), index("a"), False),
        (index("a, b"), index("a"), False),
        (index("a desc"), index("a, b"), True),  # read backwards
        (index("a desc, b"), index("a, b desc, c"), True),
        (index("a desc, b"), index("a, b, c"), False),
        (index("a C"), index("a, b"), False),
        (index("lower(a)"), index("lower(a), b"), True),
        (index("lower(a)"), index("a, b"), False),
        (index("a", where="x"), index("a, b", where="x"), True),
        (index("a"), index("a, b", where="x"), False),
        (index("a", where="x"), index("a, b"), False),
        (index("a", include="b"), index("a, b"), True),
        (index("a", include="c"), index("a, b"), False),
        (index("a", include="c"), index("a, b", include="c"), True),
        (index("a", method="gin"), index("a, b", method="gin"), False),
        (index("a", method="hash"), index("a, b"), False),
    ],
)
def test_prefix(short: Definition, long: Definition, expected: bool) -> None:
    assert redundancy.prefix(short, long) is expected


@pytest.mark.parametrize(
    ("wanted", "unique", "expected"),
    [
        (index("id, a"), index("id", unique=True), True),
        (index("b, a, c"), index("a, b", unique=True), True),
        (index("a, id"), index("id", unique=True), False),
        (index("id"), index("id", unique=True), False),
        (index("id, a"), index("id"), False),
        (index("id, a", unique=True), index("id", unique=True), False),
        (index("id, a"), index("id", unique=True, where="x"), False),
        (index("id C, a"), index("id", unique=True), False),
    ],
)
def test_led_by_unique(wanted: Definition, unique: Definition, expected: bool) -> None:
    assert redundancy.led_by_unique(wanted, unique) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (index("a"), index("a", unique=True), True),
        (index("a"), index("a desc"), False),
        (index("a"), index("a", include="b"), False),
        (index("a"), index("a", where="x"), False),
        (index("a"), index("a", method="hash"), False),
    ],
)
def test_equal(one: Definition, other: Definition, expected: bool) -> None:
    assert redundancy.equal(one, other) is expected
