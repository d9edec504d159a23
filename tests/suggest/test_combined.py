"""What HypoPG cannot tell, on top of what it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbopt.suggest.cost.combined import Combined
from dbopt.suggest.cost.hypothetical import Hypothetical
from dbopt.suggest.cost.installed import HypoPG, installed
from dbopt.suggest.model import GENERIC, Basis, Key
from suggest.test_reckoned import SCHEMA, VACUUM, Shop, access, of, subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

TAGS = of("documents", "tags", method="gin")
EMAIL = of("customers", Key(expression="lower(email)"))
CUSTOMER = of("orders", "customer_id")


@pytest.fixture(scope="module")
def shop(hypo_server: Server) -> Iterator[Shop]:
    with hypo_server.database() as fresh:
        fresh.sql("CREATE EXTENSION hypopg")
        fresh.sql(SCHEMA)
        fresh.sql(VACUUM)
        made = Shop(fresh)
        yield made
        made.conn.close()


@pytest.fixture
def costing(shop: Shop) -> Iterator[Combined]:
    with Combined(shop.conn, shop.server, shop.tables(), _where(shop)) as made:
        yield made


def _where(shop: Shop) -> HypoPG:
    where = installed(shop.conn, shop.server)
    assert isinstance(where, HypoPG)
    return where


def test_who_is_asked_about_what(costing: Combined) -> None:
    assert costing.basis is Basis.HYPOPG
    assert [costing.is_proved(item) for item in (CUSTOMER, TAGS, EMAIL)] == [True, False, False]
    assert [costing.makes(item) for item in (CUSTOMER, TAGS, EMAIL)] == [True, True, True]
    assert not costing.makes(of("orders", "note", method="rum"))


def test_gin_on_top_of_what_is_planned(costing: Combined) -> None:
    """One side of the join by HypoPG, the other by a graft, in one statement."""
    one = subject(
        "SELECT * FROM documents d JOIN orders o ON o.customer_id = d.id WHERE d.tags @> '{t5}' AND o.total > 950",
        access("documents", alias="d"),
        access("orders", alias="o"),
    )
    total = of("orders", "total")
    before, planned, both = costing.ask([(one, chosen, GENERIC) for chosen in ((), (total,), (total, TAGS))])
    assert before is not None
    assert planned is not None
    assert both is not None
    assert planned.used == {total}
    assert planned.plan is not None
    assert both.used == {total, TAGS}
    assert both.plan is None
    assert both.cost < planned.cost < before.cost


def test_an_expression_that_keeps_values_apart_finds_one_row(shop: Shop, costing: Combined) -> None:
    one = subject("SELECT * FROM customers WHERE lower(email) = $1", access("customers"))
    with Hypothetical(shop.conn, shop.server, shop.tables(), _where(shop)) as alone:
        [guessed] = alone.ask([(one, (EMAIL,), GENERIC)])
    [found] = costing.ask([(one, (EMAIL,), GENERIC)])
    assert guessed is not None
    assert found is not None
    assert found.used == {EMAIL}
    assert found.cost < 10 < guessed.cost


def test_and_makes_others_worth_it(costing: Combined) -> None:
    """The planner thinks of a hundred customers, and so of no lookup of their orders."""
    one = subject("SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id WHERE lower(c.email) = $1")
    without, both = costing.ask([(one, (EMAIL,), GENERIC), (one, (EMAIL, CUSTOMER), GENERIC)])
    assert without is not None
    assert both is not None
    assert both.used == {EMAIL, CUSTOMER}
    assert both.cost < without.cost / 10


def test_answers_are_remembered_and_the_same(costing: Combined) -> None:
    one = subject("SELECT * FROM documents WHERE tags @> $1", access("documents"))
    questions = [(one, (TAGS,), GENERIC), (one, (), GENERIC), (one, (CUSTOMER, TAGS), GENERIC)]
    first = costing.ask(questions)
    assert costing.ask(questions[::-1]) == first[::-1]
    assert costing.ask([questions[0]] * 2) == [first[0]] * 2
    explains = costing.explains
    costing.ask(questions)
    assert costing.explains == explains


def test_what_cannot_be_planned(costing: Combined) -> None:
    lost = subject("SELECT * FROM nowhere WHERE tags @> $1")
    assert costing.ask([(lost, (TAGS,), GENERIC), (lost, (), GENERIC)]) == [None, None]
