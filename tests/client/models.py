"""A small shop, mapped and as Core tables, for the tests of the client."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import orm


class Base(orm.DeclarativeBase):
    pass


class Status(StrEnum):
    OPEN = "open"
    PAID = "paid"


class Customer(Base):
    __tablename__ = "customer"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    city: orm.Mapped[str | None]
    orders: orm.Mapped[list[Order]] = orm.relationship(back_populates="customer", order_by="Order.id")


class Order(Base):
    __tablename__ = "order"  # a reserved word, quoted by whoever does it right

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    customer_id: orm.Mapped[int | None] = orm.mapped_column(sa.ForeignKey("customer.id", ondelete="CASCADE"))
    status: orm.Mapped[Status] = orm.mapped_column(sa.Enum(Status, name="order_status"), default=Status.OPEN)
    total: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(12, 2))
    placed_at: orm.Mapped[dt.datetime] = orm.mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    customer: orm.Mapped[Customer | None] = orm.relationship(back_populates="orders")


customer = Customer.__table__
order = Order.__table__
