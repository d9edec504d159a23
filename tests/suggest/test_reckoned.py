"""Costs reckoned without the indexes, against the planner's once they are there."""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from dbopt import grammar
from dbopt.postgres.connect import connect_by
from dbopt.postgres.server import inspect
from dbopt.suggest.cost.reckoned import Reckoned
from dbopt.suggest.model import (
    GENERIC,
    Access,
    Candidate,
    Item,
    Key,
    Probe,
    Size,
    SortKey,
    Subject,
    Table,
    Writes,
)
from dbopt.suggest.sizes import ExpressionValues
from dbopt.values import dataclass
from dbopt.workload import scene as scenes
from dbopt.workload.model import Planned
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

    from dbopt.suggest.model import Costed, Name

# What is not yet flushed, VACUUM does not mark as visible to all.
SCHEMA = """
SET synchronous_commit = on;
CREATE EXTENSION pg_trgm;
CREATE TABLE customers (id int PRIMARY KEY, email text, city text, name text);
INSERT INTO customers SELECT i, 'Person' || i || '@example.com', 'city ' || i % 40, md5(i::text)
  FROM generate_series(1, 20000) i;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status text, total numeric, created_at timestamptz,
                     deleted_at timestamptz, note text);
INSERT INTO orders SELECT i, (i * 7919) % 20000 + 1, CASE WHEN i % 200 = 0 THEN 'open' ELSE 'done' END, i % 977,
       timestamptz '2026-01-01' + i * interval '1 minute', CASE WHEN i % 50 = 0 THEN now() END, repeat('x', 60)
  FROM generate_series(1, 60000) i;
CREATE TABLE documents (id int PRIMARY KEY, data jsonb, words tsvector, body text, tags text[]);
INSERT INTO documents SELECT i, jsonb_build_object('kind', 'k' || i % 500, 'n', i),
       to_tsvector('simple', 'word' || i % 700 || ' other' || i % 3), md5(i::text) || ' ' || md5((i * 3)::text),
       ARRAY['t' || i % 300, 'u' || i % 5]
  FROM generate_series(1, 20000) i;
CREATE TABLE events (id int, at timestamptz, kind int) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO events SELECT i, timestamptz '2026-01-01' + i * interval '2 minutes', i % 900
  FROM generate_series(1, 30000) i;
"""
TABLES = ("customers", "orders", "documents", "events")
NAME = (("public", "customers"), "substr(city, 1, 4)")
DAY = "'2026-01-20 00:00:00+00'"
VACUUM = "VACUUM (ANALYZE) " + ", ".join(TABLES)


class Shop:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.conn = connect_by(database.conninfo, command="tests", deadline_seconds=60.0)
        self.server = inspect(self.conn)

    def tables(self) -> dict[Name, Table]:
        documents = [
            self.conn.execute(f"EXPLAIN (FORMAT JSON, VERBOSE) SELECT * FROM {name}").fetchone() for name in TABLES
        ]
        plans = [plan for (document,) in filter(None, documents) if (plan := root(document[0])) is not None]
        relations = scenes.scenes_facts(self.conn, self.server, plans).relations
        found = {}
        for key, relation in relations.items():
            if not key[0] or relation.parent is not None:
                continue
            leaves = tuple(sorted(name for name, item in relations.items() if name[0] and item.parent == key))
            found[key] = Table(relation=relation, writes=Writes(), leaves=leaves)
        return found

    @contextmanager
    def reckoned(self, **how: object) -> Iterator[Reckoned]:
        with Reckoned(self.conn, self.server, self.tables(), **how) as costing:  # type: ignore[arg-type]
            yield costing


def of(
    table: str, *names: str | Key, where: str = "", method: str = "btree", include: tuple[str, ...] = ()
) -> Candidate:
    keys = tuple(Key(column=name) if isinstance(name, str) else name for name in names)
    return Candidate(("public", table), keys, include, where, method)


def access(
    table: str, *order: SortKey, alias: str = "", output: str | None = None, extreme: tuple[str, ...] = ()
) -> Access:
    wanted = None if output is None else frozenset(output.split())
    return Access(relation=("public", table), alias=alias or table, order=order, output=wanted, extreme=extreme)


def subject(query: str, *accesses: Access) -> Subject:
    tree = grammar.parse_one(query)
    planned = Planned(
        query=query,
        documents=(),
        planned_at=datetime.now(UTC),
        parameter_types=("",) * 0 if not grammar.parameter_count(tree) else (),
    )
    return Subject(item=Item(number=1, query=query, shown=query, calls=1), planned=planned, accesses=accesses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`sql`: the index as it is made. `values`: of the parameters."""

    query: str
    made: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    accesses: tuple[Access, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def probe(self) -> Probe:
        if not self.values:
            return GENERIC
        return Probe(name="typical", values=dict(enumerate(self.values, 1)))

    @property
    def subject(self) -> Subject:
        return subject(self.query, *self.accesses)


def case(query: str, made: str, *candidates: Candidate, accesses: tuple[Access, ...] = (), **more: object) -> Case:
    return Case(query=query, made=tuple(made.split("; ")), candidates=candidates, accesses=accesses, **more)  # type: ignore[arg-type]


NEWEST = SortKey("created_at", None, descending=True, nulls_first=True)
CASES = {
    "equality": case(
        "SELECT * FROM orders WHERE customer_id = $1", "orders (customer_id)", of("orders", "customer_id")
    ),
    "list": case(
        "SELECT * FROM orders WHERE customer_id = ANY ($1::int[])", "orders (customer_id)", of("orders", "customer_id")
    ),
    "literal list": case(
        "SELECT * FROM orders WHERE customer_id IN (1, 2, 3)", "orders (customer_id)", of("orders", "customer_id")
    ),
    "two columns": case(
        "SELECT * FROM orders WHERE customer_id = $1 AND status = $2",
        "orders (customer_id, status)",
        of("orders", "customer_id", "status"),
    ),
    "one of two columns": case(
        "SELECT * FROM orders WHERE customer_id = $1 AND status = $2",
        "orders (customer_id)",
        of("orders", "customer_id"),
    ),
    "rare value": case(
        "SELECT * FROM orders WHERE status = $1", "orders (status)", of("orders", "status"), values=("'open'",)
    ),
    "sorted range": case(
        "SELECT * FROM orders WHERE created_at >= $1 AND created_at < $2",
        "orders (created_at)",
        of("orders", "created_at"),
        values=(DAY, "'2026-01-21 00:00:00+00'"),
    ),
    "unsorted range": case(
        "SELECT * FROM orders WHERE total > $1", "orders (total)", of("orders", "total"), values=("970",)
    ),
    "brin": case(
        "SELECT * FROM orders WHERE created_at >= $1 AND created_at < $2",
        "orders USING brin (created_at)",
        of("orders", "created_at", method="brin"),
        values=(DAY, "'2026-01-21 00:00:00+00'"),
    ),
    "hash": case(
        "SELECT * FROM customers WHERE email = $1",
        "customers USING hash (email)",
        of("customers", "email", method="hash"),
    ),
    "newest": case(
        "SELECT * FROM orders ORDER BY created_at DESC LIMIT 20",
        "orders (created_at)",
        of("orders", "created_at"),
        accesses=(access("orders", NEWEST),),
    ),
    "newest of one": case(
        "SELECT * FROM orders WHERE status = 'open' ORDER BY total DESC LIMIT 5",
        "orders (status, total)",
        of("orders", "status", "total"),
        accesses=(access("orders", SortKey("total", None, descending=True, nulls_first=True)),),
    ),
    "sorted, no limit": case(
        "SELECT * FROM orders WHERE customer_id = $1 ORDER BY created_at",
        "orders (customer_id, created_at)",
        of("orders", "customer_id", "created_at"),
        accesses=(access("orders", SortKey("created_at", None)),),
    ),
    "index only": case(
        "SELECT status, sum(total) FROM orders WHERE created_at >= $1 GROUP BY status",
        "orders (created_at) INCLUDE (status, total)",
        of("orders", "created_at", include=("status", "total")),
        accesses=(access("orders", output="created_at status total"),),
        values=("'2026-02-08 00:00:00+00'",),
    ),
    "index only, whole": case(
        "SELECT count(*) FROM orders",
        "orders (status)",
        of("orders", "status"),
        accesses=(access("orders", output=""),),
    ),
    "prefix": case(
        "SELECT * FROM customers WHERE name LIKE $1",
        "customers (name text_pattern_ops)",
        of("customers", Key(column="name", opclass="text_pattern_ops")),
        values=("'abc%'",),
    ),
    "partial": case(
        "SELECT * FROM orders WHERE deleted_at IS NOT NULL AND total < 20",
        "orders (total) WHERE deleted_at IS NOT NULL",
        of("orders", "total", where="deleted_at IS NOT NULL"),
    ),
    "partial by a value": case(
        "SELECT * FROM orders WHERE status = 'open' AND customer_id = $1",
        "orders (customer_id) WHERE status = 'open'",
        of("orders", "customer_id", where="status = 'open'"),
    ),
    "is null": case(
        "SELECT * FROM orders WHERE deleted_at IS NULL AND customer_id = $1",
        "orders (customer_id, deleted_at)",
        of("orders", "customer_id", "deleted_at"),
    ),
    "expression": case(
        "SELECT * FROM customers WHERE lower(email) = $1",
        "customers (lower(email))",
        of("customers", Key(expression="lower(email)")),
    ),
    "join, inner side": case(
        "SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = $1",
        "orders (customer_id)",
        of("orders", "customer_id"),
    ),
    "join, both sides": case(
        "SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.email = $1",
        "orders (customer_id); customers (email)",
        of("orders", "customer_id"),
        of("customers", "email"),
    ),
    "join and newest": case(
        "SELECT * FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.created_at DESC LIMIT 10",
        "orders (created_at)",
        of("orders", "created_at"),
        accesses=(access("orders", NEWEST, alias="o"), access("customers", alias="c")),
    ),
    "semijoin": case(
        "SELECT * FROM customers c WHERE c.id < 50 AND EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id)",
        "orders (customer_id)",
        of("orders", "customer_id"),
        accesses=(access("customers", alias="c"), access("orders", alias="o", output="customer_id")),
    ),
    "subplan": case(
        "SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) FROM customers c WHERE c.id < 20",
        "orders (customer_id)",
        of("orders", "customer_id"),
        accesses=(access("orders", alias="o", output="customer_id"), access("customers", alias="c")),
    ),
    "either": case(
        "SELECT * FROM orders WHERE customer_id = 5 OR total = 970",
        "orders (customer_id); orders (total)",
        of("orders", "customer_id"),
        of("orders", "total"),
    ),
    "greatest": case(
        "SELECT max(total) FROM orders",
        "orders (total)",
        of("orders", "total"),
        accesses=(access("orders", output="total", extreme=("total",)),),
    ),
    "distinct": case(
        "SELECT DISTINCT customer_id FROM orders ORDER BY customer_id LIMIT 5",
        "orders (customer_id)",
        of("orders", "customer_id"),
        accesses=(access("orders", SortKey("customer_id", None), output="customer_id"),),
    ),
    "group": case(
        "SELECT customer_id, count(*) FROM orders GROUP BY customer_id LIMIT 5",
        "orders (customer_id)",
        of("orders", "customer_id"),
        accesses=(access("orders", output="customer_id"),),
    ),
    "partitions": case(
        "SELECT * FROM events WHERE kind = $1", "events (kind)", of("events", "kind"), accesses=(access("events"),)
    ),
    "newest of partitions": case(
        "SELECT * FROM events ORDER BY id DESC LIMIT 10",
        "events (id)",
        of("events", "id"),
        accesses=(access("events", SortKey("id", None, descending=True, nulls_first=True)),),
    ),
    "jsonb": case(
        "SELECT * FROM documents WHERE data @> $1",
        "documents USING gin (data jsonb_path_ops)",
        of("documents", Key(column="data", opclass="jsonb_path_ops"), method="gin"),
        values=("""'{"kind": "k7"}'""",),
    ),
    "array": case(
        "SELECT * FROM documents WHERE tags @> $1",
        "documents USING gin (tags)",
        of("documents", "tags", method="gin"),
        values=("'{t5}'",),
    ),
    "text search": case(
        "SELECT * FROM documents WHERE words @@ $1::tsquery",
        "documents USING gin (words)",
        of("documents", "words", method="gin"),
        values=("'word7'",),
    ),
    "text search expression": case(
        "SELECT * FROM documents WHERE to_tsvector('simple'::regconfig, body) @@ $1::tsquery",
        "documents USING gin (to_tsvector('simple'::regconfig, body))",
        of("documents", Key(expression="to_tsvector('simple'::regconfig, body)"), method="gin"),
        values=("'word7'",),
    ),
    "trigrams": case(
        "SELECT * FROM documents WHERE body LIKE $1",
        "documents USING gin (body gin_trgm_ops)",
        of("documents", Key(column="body", opclass="gin_trgm_ops"), method="gin"),
        values=("'%abcde%'",),
    ),
}


@pytest.fixture(scope="module")
def shop(pg: Server) -> Iterator[Shop]:
    with pg.database() as fresh:
        fresh.sql(SCHEMA)
        fresh.sql(VACUUM)
        fresh.sql(f"ALTER DATABASE {fresh.name} SET jit = off")
        made = Shop(fresh)
        yield made
        made.conn.close()


@pytest.fixture(scope="module")
def costs(shop: Shop) -> dict[str, tuple[Costed, Costed, Costed]]:
    """Of each case: as it is, as it is reckoned to be, as the planner has it with the index."""
    names = list(CASES)
    with shop.reckoned() as costing:
        subjects = {name: (CASES[name].subject, CASES[name].probe) for name in names}
        before = costing.ask([(one, (), probe) for one, probe in subjects.values()])
        guessed = costing.ask([(subjects[name][0], CASES[name].candidates, subjects[name][1]) for name in names])
    after = []
    for name in names:
        with shop.conn.transaction(force_rollback=True):
            for made in CASES[name].made:
                shop.conn.execute(f"CREATE INDEX ON {made}")
            if "(lower" in CASES[name].made[0]:
                shop.conn.execute("ANALYZE customers")
            with shop.reckoned() as costing:
                after += costing.ask([(subjects[name][0], (), subjects[name][1])])
    return dict(zip(names, zip(before, guessed, after, strict=True), strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_is_as_the_planner_has_it(name: str, costs: dict[str, tuple[Costed, Costed, Costed]]) -> None:
    before, guessed, after = costs[name]
    assert guessed.used == frozenset(CASES[name].candidates)
    assert guessed.plan is None
    assert after.cost < before.cost
    assert 1 / 3 < guessed.cost / after.cost < 3


def test_ranks_as_the_planner_does(costs: dict[str, tuple[Costed, Costed, Costed]]) -> None:
    """The more an index saves, the more it is said to save: of two that differ by a factor of two, always."""
    saved = [(guessed.cost / before.cost, after.cost / before.cost) for before, guessed, after in costs.values()]
    for guessed, real in saved:
        assert all(guessed < other for other, much in saved if real * 2.5 < much)


def test_nothing_changes_without_candidates_of_use(shop: Shop) -> None:
    one = CASES["equality"].subject
    useless = (of("orders", "note"), of("customers", "city"), of("orders", "status", where="status = 'open'"))
    with shop.reckoned() as costing:
        [before, after] = costing.ask([(one, (), GENERIC), (one, useless, GENERIC)])
        assert before is not None
        assert before.plan is not None
        assert after == before
        assert costing.explains == 1
        assert not costing.is_proved(useless[0])
        assert costing.makes(useless[0])
        assert not costing.makes(of("orders", "note", method="rum"))


UNFIT = {
    "a value that only a call knows": (
        "SELECT * FROM orders WHERE status = $1 AND customer_id = $2",
        of("orders", "customer_id", where="status = 'open'"),
    ),
    "another value": (
        "SELECT * FROM orders WHERE status = 'done' AND customer_id = $1",
        of("orders", "customer_id", where="status = 'open'"),
    ),
    "a pattern that only a call knows": (
        "SELECT * FROM customers WHERE name LIKE $1",
        of("customers", Key(column="name", opclass="text_pattern_ops")),
    ),
    "a pattern without a beginning": (
        "SELECT * FROM customers WHERE name LIKE '%x'",
        of("customers", Key(column="name", opclass="text_pattern_ops")),
    ),
    "an order of bytes": (
        "SELECT * FROM customers WHERE name > 'zzz'",
        of("customers", Key(column="name", opclass="text_pattern_ops")),
    ),
    "too few letters for a trigram": (
        "SELECT * FROM documents WHERE body LIKE '%ab%'",
        of("documents", Key(column="body", opclass="gin_trgm_ops"), method="gin"),
    ),
    "an operator of another class": (
        "SELECT * FROM documents WHERE data ? $1",
        of("documents", Key(column="data", opclass="jsonb_path_ops"), method="gin"),
    ),
    "another expression": (
        "SELECT * FROM customers WHERE upper(email) = $1",
        of("customers", Key(expression="lower(email)")),
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_index_that_cannot_answer_is_not_used(name: str, shop: Shop) -> None:
    query, candidate = UNFIT[name]
    with shop.reckoned() as costing:
        [found] = costing.ask([(subject(query), (candidate,), GENERIC)])
    assert found is not None
    assert found.used == frozenset()


def test_no_early_stop_where_rows_are_dropped(shop: Shop) -> None:
    """The planner would be lured by the order; in the worst case it reads everything."""
    order = (SortKey("created_at", None, descending=True, nulls_first=True),)
    one = subject(
        "SELECT * FROM orders WHERE status = 'open' ORDER BY created_at DESC LIMIT 20", access("orders", *order)
    )
    lure, fit = of("orders", "created_at"), of("orders", "status", "created_at")
    with shop.reckoned() as costing:
        before, lured, fine, both = costing.ask(
            [(one, chosen, GENERIC) for chosen in ((), (lure,), (fit,), (lure, fit))]
        )
    assert before is not None
    assert lured is not None
    assert fine is not None
    assert lured.used == {lure}
    assert lured.planner_cost < before.cost < lured.cost
    assert fine.cost == fine.planner_cost < before.cost / 10
    assert both == fine


def test_more_candidates_never_cost_the_planner_more(shop: Shop) -> None:
    """Whatever the statement, and in whatever order they are asked about."""
    all_of = sorted({item for case in CASES.values() for item in case.candidates} | {of("orders", "total", "status")})
    draws = random.Random(8)
    asked = []
    for one in CASES.values():
        own = [item for item in all_of if item.relation[1] in one.query]
        for _ in range(8):
            larger = draws.sample(own, draws.randint(1, len(own)))
            asked.append((one.subject, one.probe, larger[: draws.randint(0, len(larger) - 1)], larger))
    with shop.reckoned() as costing:
        small = costing.ask([(about, smaller, probe) for about, probe, smaller, _ in asked])
        large = costing.ask([(about, larger, probe) for about, probe, _, larger in asked])
        # What is not used makes no difference: the search counts on it.
        kept = costing.ask(
            [(about, found.used, probe) for (about, probe, _, _), found in zip(asked, large, strict=True) if found]
        )
    with shop.reckoned() as costing:
        turned = costing.ask([(about, larger[::-1], probe) for about, probe, _, larger in asked])
    for less, more in zip(small, large, strict=True):
        assert less is not None
        assert more is not None
        assert more.planner_cost <= less.planner_cost * 1.000001
    assert turned == large
    assert kept == large


def test_what_is_known_of_an_expression_counts(shop: Shop) -> None:
    one = subject("SELECT * FROM customers WHERE substr(city, 1, 4) = $1")
    candidate = of("customers", Key(expression="substr(city, 1, 4)"))
    found = {}
    for distinct in (None, 1.0, 20_000.0):
        values = {} if distinct is None else {NAME: ExpressionValues(distinct, 0.0, ())}
        with shop.reckoned(expressions=lambda values=values: values) as costing:
            [found[distinct]] = costing.ask([(one, (candidate,), GENERIC)])
    assert found[1.0].used == frozenset()
    assert found[20_000.0].cost < 10 < found[None].cost


def test_a_known_size_counts(shop: Shop) -> None:
    one = CASES["index only, whole"].subject
    candidate = of("orders", "status")
    with shop.reckoned(size=lambda _: Size(size_bytes=2_000 * 8192, rows=60_000)) as costing:
        [large] = costing.ask([(one, (candidate,), GENERIC)])
    assert large is not None
    assert large.used == frozenset()


def test_processes_are_added_up(shop: Shop) -> None:
    """What several processes do now, one does by the index."""
    case = CASES["join, both sides"]
    with shop.conn.transaction(force_rollback=True):
        shop.conn.execute("SET LOCAL min_parallel_table_scan_size = 0")
        shop.conn.execute("SET LOCAL parallel_setup_cost = 1")
        shop.conn.execute("SET LOCAL parallel_tuple_cost = 0.0001")
        with shop.reckoned() as costing:
            before, after = costing.ask([(case.subject, (), GENERIC), (case.subject, case.candidates, GENERIC)])
    assert before is not None
    assert before.plan is not None
    assert any(node.raw.get("Workers Planned") for node in before.plan.walk())
    assert after is not None
    assert after.cost < 50
