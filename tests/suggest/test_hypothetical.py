"""Costs with indexes that are not there, by HypoPG."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from helpers import open_transaction
from pooler import pooled
from psycopg.conninfo import make_conninfo

from dbopt.suggest.cost.hypothetical import Hypothetical
from dbopt.suggest.cost.installed import HypoPG, Missing, installed
from dbopt.suggest.cost.shelf import LEAVES_MAX
from dbopt.suggest.model import GENERIC, Access, Basis, Candidate, Key
from suggest.asking import World, candidate, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

    from dbopt.suggest.model import Costed, Name, Probe, Subject

SCHEMA = """
    CREATE EXTENSION hypopg;
    CREATE TABLE orders (id int PRIMARY KEY, customer int, status text, created_at int, email text, total int)
      WITH (autovacuum_enabled = off);
    INSERT INTO orders SELECT g, g % 1000, CASE WHEN g % 500 = 0 THEN 'open' ELSE 'done' END, g,
      'Somebody' || g || '@example.com', g % 7 FROM generate_series(1, 30000) g;
    CREATE TABLE lines (order_id int, product int, n int) WITH (autovacuum_enabled = off);
    INSERT INTO lines SELECT g / 2, g % 3000, 1 FROM generate_series(1, 60000) g;
    CREATE TABLE events (id int, at date, kind int) PARTITION BY RANGE (at);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')
      PARTITION BY RANGE (at);
    CREATE TABLE "Events 2b" PARTITION OF events_2 FOR VALUES FROM ('2026-02-10') TO ('2026-03-01');
    CREATE TABLE events_2a PARTITION OF events_2 FOR VALUES FROM ('2026-02-01') TO ('2026-02-10');
    INSERT INTO events SELECT g, date '2026-01-01' + g % 59, g % 3000 FROM generate_series(1, 60000) g;
    VACUUM ANALYZE;
"""
LEAVES = ["Events 2b", "events_1", "events_2a"]
BY_CUSTOMER = candidate("orders", "customer")
NEWEST = candidate("orders", "customer", Key("created_at", descending=True, nulls_first=True))
BY_TIME = candidate("orders", "created_at")
OPEN = candidate("orders", "created_at", where="status = 'open'")
BY_ORDER = candidate("lines", "order_id", include="product n")
BY_PRODUCT = candidate("lines", "product", method="hash")
LOWER = candidate("orders", Key(expression="lower(email)"))
EVERYTHING = (BY_CUSTOMER, NEWEST, BY_TIME, OPEN, BY_ORDER, BY_PRODUCT, LOWER)


@pytest.fixture(scope="module")
def world(hypo_server: Server) -> Iterator[World]:
    with hypo_server.database() as fresh:
        for statement in SCHEMA.split(";")[:-1]:  # VACUUM wants to be alone
            fresh.sql(statement)
        made = World(fresh)
        yield made
        made.conn.close()


@contextlib.contextmanager
def asking(world: World, **how: int) -> Iterator[Hypothetical]:
    where = installed(world.conn, world.server)
    assert isinstance(where, HypoPG)
    with Hypothetical(world.conn, world.server, world.tables("orders", "lines", "events"), where, **how) as made:
        yield made


def one(costing: Hypothetical, subject: Subject, *candidates: Candidate, probe: Probe = GENERIC) -> Costed:
    [answer] = costing.ask([(subject, candidates, probe)])
    assert answer is not None
    return answer


def said(answers: list[Costed | None]) -> list[tuple[float, float, frozenset[Candidate], frozenset[Name]]]:
    """All but the plans, in which hypothetical indexes have other names each time."""
    return [(item.cost, item.planner_cost, item.used, item.indexes) for item in answers if item is not None]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("SELECT * FROM orders WHERE customer = $1 ORDER BY created_at DESC LIMIT 5", NEWEST),
        ("SELECT * FROM orders WHERE status = 'open' ORDER BY created_at", OPEN),
        ("SELECT * FROM orders WHERE lower(email) = lower($1)", LOWER),
        ("SELECT * FROM lines WHERE product = $1", BY_PRODUCT),
        ("SELECT product FROM lines WHERE order_id = $1", BY_ORDER),
    ],
)
def test_the_planner_believes_in_candidates(world: World, query: str, best: Candidate) -> None:
    subject = world.subject(query)
    with asking(world) as costing:
        assert costing.basis is Basis.HYPOPG
        before, after, *others = costing.ask(
            [(subject, (), GENERIC), (subject, EVERYTHING, GENERIC), (subject, (best,), GENERIC)]
        )
        assert before is not None
        assert after is not None
        assert not before.used | before.indexes
        assert after.used == {best}
        assert after.cost < before.cost / 3
        assert others[0] is not None
        assert others[0].cost == after.cost
        assert costing.explains == 3


def test_every_set_costs_the_same_in_whatever_order_it_is_asked_for(world: World) -> None:
    queries = [
        "SELECT * FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.customer = $1",
        "SELECT * FROM lines WHERE product = $1",
        "SELECT count(*) FROM orders WHERE created_at > $1",
        "SELECT 1",
    ]
    subjects = [world.subject(query) for query in queries]
    sets = [set(items) for size in (0, 1, 2) for items in itertools.combinations(EVERYTHING, size)]
    probes = [GENERIC, values("500")]
    questions = [(subject, items, probe) for subject in subjects for items in sets for probe in probes]
    with asking(world) as costing:
        together = costing.ask(questions)
        # No candidate plays a part in SELECT 1, and one on orders none in a statement on lines: planned once.
        assert costing.explains < 0.8 * len(questions)
        backwards = costing.ask(questions[::-1])[::-1]
    assert None not in together
    assert said(backwards) == said(together)
    for at in range(0, len(questions), 7):
        with asking(world) as costing:
            assert said(costing.ask([questions[at]])) == said([together[at]])


def test_names_of_hypothetical_indexes_come_again_for_others(world: World) -> None:
    """HypoPG has some 2,800 numbers, and goes round."""
    subject = world.subject("SELECT created_at FROM orders WHERE customer = $1 AND created_at < $2")
    kinds = [Key("created_at", descending=one, nulls_first=other) for one in (False, True) for other in (False, True)]
    includes = ("", "id", "total", "status", "id total")
    made = [candidate("orders", "customer", key, include=include) for key in kinds for include in includes]
    with asking(world) as costing:
        for _ in range(150):
            for answer, expected in zip(costing.ask([(subject, {item}, GENERIC) for item in made]), made, strict=True):
                assert answer is not None
                assert answer.used == {expected}


def test_what_hypopg_cannot_make_is_not_there(world: World) -> None:
    subject = world.subject("SELECT * FROM orders WHERE customer = $1")
    gin = candidate("orders", "customer", method="gin")
    nowhere = candidate("orders", "customer", "gone")
    opclass = candidate("orders", Key("customer", opclass="no_ops"))
    words = candidate("orders", Key(expression="customer) --"))
    with asking(world) as costing:
        assert not costing.makes(gin)
        assert costing.makes(nowhere)
        good = one(costing, subject, BY_CUSTOMER)
        sets = [{BY_CUSTOMER, bad} for bad in (gin, nowhere, opclass, words)] + [{gin, nowhere}, set(), {NEWEST}]
        *answers, worst, base, newest = costing.ask([(subject, items, GENERIC) for items in sets])
        assert said(answers) == said([good]) * 4
        assert worst == base
        assert newest is not None
        assert newest.used == {NEWEST}
        assert sorted(costing.refused) == sorted({nowhere, opclass, words})
        assert 'column "gone" does not exist' in costing.refused[nowhere]
        assert not any(map(costing.makes, (nowhere, opclass, words)))


def test_a_candidate_of_a_partitioned_table_is_on_each_partition(world: World) -> None:
    by_kind = candidate("events", "kind", "at")
    subject = world.subject("SELECT * FROM events WHERE kind = $1")
    pruned = world.subject("SELECT * FROM events WHERE kind = $1 AND at > $2")
    access = (Access(relation=("public", "events"), alias="events"),)
    # What the workload's planner saw of it names no partition.
    subject, pruned = replace(subject, accesses=access), replace(pruned, accesses=access)
    with asking(world) as costing:
        for statement in (subject, pruned):
            answer = one(costing, statement, by_kind)
            assert answer.used == {by_kind}
            assert not answer.indexes
            assert answer.plan is not None
            assert sorted(node.relation[1] for node in answer.plan.walk() if node.relation) == sorted(LEAVES)
            assert answer.cost < one(costing, statement).cost / 5
        january = one(costing, pruned, by_kind, probe=values("5", "'2026-02-20'"))
        assert january.used == {by_kind}
        missing = candidate("events", "kind", "gone")
        assert one(costing, subject, missing) == one(costing, subject)
        assert world.conn.execute("SELECT count(*) FROM hypopg()").fetchone() == (0,)


def test_too_many_partitions_are_left_alone(world: World) -> None:
    tables = world.tables("events")
    where = installed(world.conn, world.server)
    assert isinstance(where, HypoPG)
    many = replace(tables["public", "events"], leaves=tuple(("public", f"p{n}") for n in range(LEAVES_MAX + 1)))
    with Hypothetical(world.conn, world.server, {("public", "events"): many}, where) as costing:
        assert not costing.makes(candidate("events", "kind"))


def test_an_index_that_only_hopes_to_stop_early_is_no_gain(world: World) -> None:
    subject = world.subject("SELECT * FROM orders WHERE status = $1 ORDER BY created_at LIMIT 10")
    good = candidate("orders", "status", "created_at")
    within = candidate("orders", "created_at", "status")
    open_ones = values("'open'")
    with asking(world) as costing:
        base = one(costing, subject, probe=open_ones)
        trap = one(costing, subject, BY_TIME, probe=open_ones)
        assert trap.used == {BY_TIME}
        assert trap.planner_cost < base.cost < trap.cost
        hidden = one(costing, subject, within, probe=open_ones)
        assert hidden.used == {within}
        assert hidden.cost > 5 * hidden.planner_cost
        best = one(costing, subject, BY_TIME, within, good, probe=open_ones)
        assert best.used == {good}
        assert best.cost == best.planner_cost < base.cost / 5


def test_nothing_is_left_in_the_session(world: World) -> None:
    subject = world.subject("SELECT * FROM orders WHERE customer = $1")
    world.conn.execute("SELECT * FROM hypopg_create_index('CREATE INDEX ON orders (customer)')")  # by somebody before

    def stopped() -> None:
        with asking(world) as costing:
            assert one(costing, subject).cost > one(costing, subject, BY_CUSTOMER).cost
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert world.conn.execute("SELECT count(*) FROM hypopg()").fetchone() == (0,)
    assert world.conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
    assert world.conn.info.transaction_status.name == "IDLE"


def test_behind_a_pooler_nothing_is_left_for_the_next_client(hypo_server: Server, world: World) -> None:
    """It gives each transaction whatever session of the server's is free, and here there is one."""
    with pooled(hypo_server, world.database) as conninfo:
        behind = World(world.database, conninfo)
        subject = behind.subject("SELECT * FROM orders WHERE customer = $1")
        behind.conn.execute("PREPARE dbopt_suggest_1 AS SELECT 1")
        with asking(behind) as costing:
            assert one(costing, subject, BY_CUSTOMER).used == {BY_CUSTOMER}
            assert one(costing, subject, probe=values("7")).used == set()
        assert behind.conn.execute("SELECT count(*) FROM hypopg()").fetchone() == (0,)
        assert behind.conn.execute("SELECT name FROM pg_prepared_statements").fetchall() == [("dbopt_suggest_1",)]
        behind.conn.close()


def test_a_locked_table_costs_its_statements_alone(world: World) -> None:
    subjects = [world.subject("SELECT * FROM lines WHERE product = $1"), world.subject("SELECT * FROM orders")]
    with asking(world, lock_timeout_ms=20) as costing:
        with open_transaction(world.database, "LOCK TABLE lines"):
            answers = costing.ask([(subject, {BY_PRODUCT, BY_CUSTOMER}, GENERIC) for subject in subjects])
        assert answers[0] is None
        assert answers[1] is not None


def test_the_right_to_read_is_enough(world: World) -> None:
    db = world.database
    db.sql("CREATE ROLE suggest_reader LOGIN; GRANT pg_monitor, pg_read_all_data TO suggest_reader")
    try:
        reader = World(db, make_conninfo(db.conninfo, user="suggest_reader"))
        subject = reader.subject("SELECT * FROM orders WHERE customer = $1")
        with asking(reader) as costing:
            assert one(costing, subject, BY_CUSTOMER).used == {BY_CUSTOMER}
        db.sql("REVOKE EXECUTE ON FUNCTION hypopg_create_index FROM PUBLIC")
        found = installed(reader.conn, reader.server)
        assert isinstance(found, Missing)
        assert found.reason == "the role suggest_reader may not execute the functions of HypoPG"
        assert found.hint is not None
        db.sql(found.hint)
        assert isinstance(installed(reader.conn, reader.server), HypoPG)
        reader.conn.close()
    finally:
        db.sql("GRANT EXECUTE ON FUNCTION hypopg_create_index TO PUBLIC")
        db.sql("DROP OWNED BY suggest_reader; DROP ROLE suggest_reader")


def test_where_it_is_and_what_to_type_where_it_is_not(hypo_server: Server, pg: Server) -> None:
    with hypo_server.database() as fresh:
        fresh.sql("CREATE TABLE orders (customer int); INSERT INTO orders SELECT generate_series(1, 5000); ANALYZE")
        world = World(fresh)
        found = installed(world.conn, world.server)
        assert found == Missing(f"HypoPG is not created in the database {fresh.name}", "CREATE EXTENSION hypopg;")
        fresh.sql('CREATE SCHEMA "Odd one"; CREATE EXTENSION hypopg SCHEMA "Odd one"')
        where = installed(world.conn, world.server)
        assert isinstance(where, HypoPG)
        assert where.schema == "Odd one"
        subject = world.subject("SELECT * FROM orders WHERE customer = $1")
        with Hypothetical(world.conn, world.server, {}, where) as costing:
            assert one(costing, subject, BY_CUSTOMER).used == {BY_CUSTOMER}
        world.conn.close()
    with pg.database() as fresh:
        [(offered,)] = fresh.sql("SELECT count(*) FROM pg_available_extensions WHERE name = 'hypopg'")
        if not offered:
            world = World(fresh)
            missing = installed(world.conn, world.server)
            assert isinstance(missing, Missing)
            assert missing.reason == "HypoPG is not installed on the server's machine"
            assert missing.hint is not None
            assert missing.hint.endswith("CREATE EXTENSION hypopg;")
            world.conn.close()
