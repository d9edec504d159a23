"""aggregate: what is computed, what it is called, and what is refused."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import func

from dbopt.client import AsyncDatabase, Database
from dbopt.errors import UsageError

from .blog import statements
from .models import Base, Customer, Order, Status, order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

DATA = """
    INSERT INTO customer (id, name, city) VALUES (1, 'a', 'Ulm'), (2, 'b', 'Ulm'), (3, 'c', NULL);
    INSERT INTO "order" (id, customer_id, status, total) VALUES
        (1, 1, 'OPEN', 10.50), (2, 1, 'PAID', 20), (3, 2, 'PAID', 30.25), (4, 3, 'OPEN', 0.05), (5, NULL, 'OPEN', 1);
"""


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[str]:
    with pg.database() as own:
        engine = sa.create_engine("postgresql+psycopg://", creator=own.connect)
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
        engine.dispose()
        own.sql(DATA)
        yield own.conninfo


@pytest.fixture(scope="module")
def db(shop: str) -> Iterator[Database]:
    with Database(shop, min_connections=0) as made:
        yield made


def test_all_rows(db: Database) -> None:
    with statements(db) as sent:
        got = db.aggregate(
            Order,
            {
                "orders": "count",
                "customers": "count_distinct:customer_id",
                "with_customer": "count:customer_id",
                "total": func.sum(Order.total),
                "average": "avg:total",
                "least": "min:total",
                "most": "max:total",
                "paid": func.sum(Order.total).filter(Order.status == Status.PAID),
                "median": func.percentile_cont(0.5).within_group(Order.total),
                "each": func.round(func.sum(Order.total) / func.count(), 2).label("whatever"),
            },
        )
    assert got == {
        "orders": 5,
        "customers": 3,
        "with_customer": 4,
        "total": Decimal("61.80"),
        "average": Decimal("12.36"),
        "least": Decimal("0.05"),
        "most": Decimal("30.25"),
        "paid": Decimal("50.25"),
        "median": 10.5,
        "each": Decimal("12.36"),
    }
    assert isinstance(got["total"], Decimal)
    assert len(sent) == 1


def test_no_rows(db: Database) -> None:
    values = {"orders": "count", "total": "sum:total", "average": "avg:total", "most": "max:total"}
    assert db.aggregate(order, values, where=order.c.total < 0) == {
        "orders": 0,
        "total": None,
        "average": None,
        "most": None,
    }
    assert db.aggregate(order, values, where=order.c.total < 0, group_by="status") == []


def test_groups(db: Database) -> None:
    assert db.aggregate(Order, {"orders": "count"}, group_by="status") == [
        {"status": Status.OPEN, "orders": 3},
        {"status": Status.PAID, "orders": 2},
    ]
    assert db.aggregate(Order, {"id": "max:id"}, group_by=[Order.customer_id], order_by="-id", limit=2) == [
        {"customer_id": None, "id": 5},
        {"customer_id": 3, "id": 4},
    ]
    rich = db.aggregate(
        Order,
        {"total": "sum:total"},
        where=[Order.customer_id.is_not(None), Order.total > 0],
        group_by={"whose": Order.customer_id, "is_paid": Order.status == Status.PAID},
        having=func.sum(Order.total) > 1,
        order_by=["-whose", "is_paid"],
    )
    assert rich == [
        {"whose": 2, "is_paid": True, "total": Decimal("30.25")},
        {"whose": 1, "is_paid": False, "total": Decimal("10.50")},
        {"whose": 1, "is_paid": True, "total": Decimal(20)},
    ]
    by_size = db.aggregate(Order, {"orders": "count"}, group_by=func.ceil(Order.total / 20).label("size"))
    assert by_size == [{"size": Decimal(1), "orders": 4}, {"size": Decimal(2), "orders": 1}]


def test_equals_have_an_order(db: Database) -> None:
    rows = db.aggregate(Order, {"orders": func.count() * 0}, group_by="customer_id", order_by="-orders")
    assert [each["customer_id"] for each in rows] == [1, 2, 3, None]


def test_joins_and_subqueries(db: Database) -> None:
    joined = sa.select(Order).join(Order.customer).where(Customer.city == "Ulm").order_by(Order.id)
    assert db.aggregate(joined, {"orders": "count", "total": "sum:total"}) == {"orders": 3, "total": Decimal("60.75")}
    assert db.aggregate(joined, {"total": "sum:total"}, group_by=Customer.name) == [
        {"name": "a", "total": Decimal("30.50")},
        {"name": "b", "total": Decimal("30.25")},
    ]
    two = sa.select(Customer.city, Order.total).join(Order.customer)
    assert db.aggregate(two, {"total": "sum:total"}, group_by="city")[0] == {"city": "Ulm", "total": Decimal("60.75")}
    largest = sa.select(Order.total).order_by(Order.total.desc()).limit(2).subquery()
    assert db.aggregate(largest, {"least": "min:total"}, where=largest.c.total > 1) == {"least": Decimal(20)}


def test_cached_until_a_table_is_written(pg: Server) -> None:
    with pg.database() as own, Database(own.conninfo, min_connections=0) as db:
        Base.metadata.create_all(db.engine)
        own.sql(DATA)

        def total(least: int) -> Any:
            return db.aggregate(Order, {"total": "sum:total"}, where=Order.total > least, group_by="status", cache=60)

        first = total(5)
        first[0]["total"] = None
        with statements(db) as sent:
            assert [each["total"] for each in total(5)] == [Decimal("10.50"), Decimal("50.25")]
            assert isinstance(total(5)[0]["status"], Status)
        assert sent == []
        assert [each["total"] for each in total(15)] == [Decimal("50.25")]
        with db.begin() as session:
            session.add(Order(id=9, total=Decimal(100)))
        assert [each["total"] for each in total(5)] == [Decimal("110.50"), Decimal("50.25")]


def test_async(shop: str) -> None:
    async def read() -> Any:
        async with AsyncDatabase(shop, min_connections=0) as adb:
            return [await adb.aggregate(Order, {"orders": "count"}, cache=60) for _ in range(2)]

    assert asyncio.run(read()) == [{"orders": 5}] * 2


@pytest.mark.parametrize(
    ("values", "options", "words", "hint"),
    [
        ({}, {}, "there is nothing to compute", "dict of names"),
        (["count"], {}, "there is nothing to compute", "dict of names"),
        ({"x": "median:total"}, {}, "x cannot be computed by 'median:total'", "count_distinct"),
        ({"x": "sum"}, {}, "x cannot be computed by 'sum'", '"sum:total"'),
        ({"x": "sum:totl"}, {}, "Order has no column 'totl'", "total"),
        ({"x": 3}, {}, "x is a int", "expressions"),
        ({"x": "count"}, {"group_by": "stat"}, "Order has no column 'stat'", "status"),
        ({"x": "count"}, {"group_by": func.lower("A")}, "a group has no name", "label"),
        ({"x": "count"}, {"group_by": ["id", "id"]}, "two groups are called 'id'", "label"),
        ({"id": "count"}, {"group_by": "id"}, "'id' is the name of a group and of a value", "another name"),
        ({"x": "count"}, {"group_by": "id", "order_by": "-y"}, "no value or group is called 'y'", "id, x"),
        ({"x": "count"}, {"limit": 3}, "only groups can be chosen from, ordered and limited", "group_by"),
        ({"x": "count"}, {"having": func.count() > 1}, "only groups can be chosen from", "group_by"),
        ({"x": "count"}, {"group_by": "id", "limit": 0}, "groups cannot be limited so", "None"),
        ({"x": "count"}, {"where": "total > 3"}, "rows cannot be narrowed down by a str", "text()"),
    ],
)
def test_refused(db: Database, values: Any, options: dict[str, Any], words: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        db.aggregate(Order, values, **options)
    assert words in caught.value.message
    assert hint in str(caught.value.hint)


def test_what_cannot_be_aggregated(db: Database) -> None:
    for what in (sa.select(Order).limit(3), sa.select(Order.status).distinct(), sa.select(Order.id).group_by(Order.id)):
        with pytest.raises(UsageError, match="more than rows of tables"):
            db.aggregate(what, {"x": "count"})
    with pytest.raises(UsageError, match="neither a mapped class nor a table"):
        db.aggregate("order", {"x": "count"})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no column 'y'"):
        db.aggregate(sa.select(Order.id, Order.total).subquery(), {"x": "sum:y"})
