"""Which tables are meant, and in which order. Pure."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dbopt.stats.choice import Filter, Sort, nearest, ordered

KEYS = {Sort.SIZE: lambda item: item.size, Sort.NAME: lambda item: item.name}
ITEMS = [SimpleNamespace(name=name, size=size) for name, size in (("b", 1), ("a", None), ("d", 3), ("c", 3))]


@pytest.mark.parametrize(
    ("sort", "reverse", "order"),
    [
        (Sort.SIZE, False, "cdba"),
        (Sort.SIZE, True, "bcda"),
        (Sort.NAME, False, "abcd"),
        (Sort.NAME, True, "dcba"),
    ],
)
def test_order(sort, reverse, order):
    """What is not known is last, either way."""
    assert "".join(item.name for item in ordered(ITEMS, KEYS, sort, reverse=reverse)) == order


@pytest.mark.parametrize(
    ("only", "is_meant"),
    [
        (Filter(), True),
        (Filter(tables=("Odd.name",)), True),
        (Filter(tables=("Some schema.Odd.name",)), True),
        (Filter(tables=('"Some schema"."Odd.name"',)), True),
        (Filter(tables=("odd.name",)), False),
        (Filter(tables=("Odd?name",)), True),
        (Filter(tables=("x", "Odd*")), True),
        (Filter(tables=("Odd",)), False),
        (Filter(schemas=("Some*",)), True),
        (Filter(schemas=("some schema",)), False),
        (Filter(schemas=("other",), tables=("*",)), False),
    ],
)
def test_what_is_meant(only, is_meant):
    assert only.table("Some schema", "Odd.name", '"Some schema"."Odd.name"') is is_meant


def test_the_nearest_name():
    assert nearest(["ordres"], ["shop.orders", "shop.customers"]) == "shop.orders"
    assert nearest(["shop.ordres"], ["shop.orders"]) == "shop.orders"
    assert nearest(["zzz"], ["shop.orders"]) is None
