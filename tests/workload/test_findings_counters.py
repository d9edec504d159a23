"""Findings that need no server: what counters and texts say, and the limits of those on plans."""

from __future__ import annotations

from typing import Any

import pytest

from dbopt.workload.finding import Column, Index, Key, Relation, Scene
from dbopt.workload.findings import load, look
from dbopt.workload.findings.n_plus_one import CALLS_MIN, CALLS_PER_SECOND_MIN, MEAN_MAX_MS, SHARE_MIN
from dbopt.workload.findings.row_estimate_off import ROWS_MIN
from dbopt.workload.findings.temporary_files import BLOCK_BYTES, CALL_BYTES_MIN
from dbopt.workload.model import Advice, Counters, Kind, Statement
from dbopt.workload.ordering import By, sorted_by
from dbopt.workload.plan import root
from dbopt.workload.work_mem import SETTING_MAX_BYTES, hint, hint_of_more, setting_bytes

MB = 1024 * 1024
ORDERS = ("public", "orders")


def statement(query: str | None = "SELECT 1", *, kind: Kind = Kind.SELECT, **of: Any) -> Statement:
    counters = Counters(**of.pop("counters", {}))
    return Statement(**{"fingerprint": "f", "query": query, "kind": kind, "counters": counters, "share": 0.5, **of})


def told(code: str, about: Statement) -> list[Advice]:
    return list(load(code).look(Scene(statement=about, plan=None, relations={})))


def planned(code: str, plan: dict[str, Any], about: Statement | None = None, **of: Any) -> list[Advice]:
    tree = root({"Plan": plan})
    keys = tuple(Key(column=name, expression=None, opclass="int4_ops") for name in of.pop("index", ()))
    relation = Relation(
        oid=1,
        schema="public",
        name="orders",
        relkind="r",
        rows=of.pop("rows", 100_000.0),
        size_bytes=100 * MB,
        columns=tuple(
            Column(name=name, attnum=at, type_name="integer", has_statistics=True)
            for at, name in enumerate(("id", "customer_id", "total"), 1)
        ),
        indexes=(Index(name="i", method="btree", keys=keys),) if keys else (),
    )
    scene = Scene(statement=about or statement(), plan=tree, relations={ORDERS: relation}, **of)
    return list(load(code).look(scene))


def node(node_type: str, *children: dict[str, Any], rows: float = 1, cost: float = 1000, **of: Any) -> dict[str, Any]:
    sides = ("Outer", "Inner") if len(children) > 1 else ("Outer",)
    below = [{"Parent Relationship": side, **child} for side, child in zip(sides, children, strict=False)]
    return {"Node Type": node_type, "Plan Rows": rows, "Plan Width": 8, "Total Cost": cost, "Plans": below, **of}


def scan(rows: float, **of: Any) -> dict[str, Any]:
    table = {"Schema": "public", "Relation Name": "orders", "Alias": "orders"}
    return node("Seq Scan", rows=rows, **{"cost": 500, **table, **of})


# Rows fetched one by one.

LOOKUPS = {"calls": CALLS_MIN, "total_exec_time_ms": CALLS_MIN * MEAN_MAX_MS, "rows": CALLS_MIN}
LOOKUP = "SELECT name FROM customers WHERE id = $1"


def lookups(query: str = LOOKUP, **of: Any) -> Statement:
    counters = {**LOOKUPS, **of.pop("counters", {})}
    return statement(
        query, **{"share": SHARE_MIN, "seconds": CALLS_MIN / CALLS_PER_SECOND_MIN, **of, "counters": counters}
    )


def test_rows_fetched_one_by_one() -> None:
    [advice] = told("n-plus-one", lookups())
    assert advice.message == "fetches rows of customers one by one, by id: 1,000 calls of 1.0 ms, 0.1 each second"
    assert "1.0% of the time of all statements" in advice.why
    assert advice.hint is not None
    assert advice.hint.endswith(": SELECT name, id FROM customers WHERE id = ANY($1);")
    assert told("n-plus-one", lookups(seconds=None))  # a source that does not know


@pytest.mark.parametrize(
    "of",
    [
        {"counters": {"calls": CALLS_MIN - 1}},
        {"counters": {"total_exec_time_ms": CALLS_MIN * MEAN_MAX_MS * 1.01}},
        {"counters": {"rows": CALLS_MIN + 1}},
        {"counters": {"rows": None}},
        {"share": SHARE_MIN * 0.99},
        {"share": None},
        {"seconds": CALLS_MIN / CALLS_PER_SECOND_MIN * 1.01},
        {"kind": Kind.UPDATE},
        {"query": None},
    ],
)
def test_lookups_that_are_few_or_slow_or_a_trifle(of: dict[str, Any]) -> None:
    assert told("n-plus-one", lookups(**of)) == []


@pytest.mark.parametrize(
    ("query", "together"),
    [
        (
            "SELECT * FROM orders WHERE tenant_id = $2 AND $1 = id",
            "SELECT * FROM orders WHERE tenant_id = $2 AND id = ANY($1);",
        ),
        (
            'SELECT "User".* FROM "User" WHERE "User"."id" = $1 LIMIT $2',
            'SELECT "User".* FROM "User" WHERE "User".id = ANY($1);',
        ),
        (
            "SELECT id FROM orders WHERE (id = $1::int AND $4 = $5) OFFSET $3",
            "SELECT id FROM orders WHERE id = ANY($1) AND $4 = $5;",
        ),
        (
            "SELECT count(*) FROM comments c WHERE c.post_id = $1 AND c.gone_at IS NULL AND NOT c.spam",
            "SELECT count(*), c.post_id FROM comments c WHERE c.post_id = ANY($1) AND c.gone_at IS NULL AND NOT c.spam"
            " GROUP BY c.post_id;",
        ),
    ],
)
def test_the_statement_for_many_keys(query: str, together: str) -> None:
    [advice] = told("n-plus-one", lookups(query))
    assert advice.hint is not None
    assert advice.hint.endswith(f": {together}")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM orders WHERE total > $1",
        "SELECT * FROM orders WHERE id = $1 OR total = $2",
        "SELECT * FROM orders WHERE id = $1 ORDER BY total LIMIT $2",
        "SELECT * FROM orders WHERE id = $1 FOR UPDATE",
        "SELECT $2 FROM ONLY public.orders x WHERE id OPERATOR(pg_catalog.=) $1 FOR KEY SHARE OF x",  # a foreign key's
        "SELECT * FROM orders AS o JOIN items AS i ON i.order_id = o.id WHERE o.id = $1",
        "SELECT id = $1 FROM orders",
        "SELECT now()",
        "SELECT a FROM orders WHERE id = $1 UNION SELECT b FROM items WHERE id = $2",
        "SELECT * FROM orders WHERE id = $1 AND lower(",  # cut off
    ],
)
def test_statements_that_are_no_lookup_by_key(query: str) -> None:
    assert told("n-plus-one", lookups(query)) == []


# IN lists.


@pytest.mark.parametrize(
    ("query", "instead"),
    [
        ("SELECT * FROM orders AS o WHERE o.id IN ($1, $2, $3)", "o.id = ANY ($1)"),
        ("DELETE FROM orders WHERE total < $1 AND id NOT IN ($2)", "id <> ALL ($1)"),
        ("SELECT * FROM (SELECT 1 FROM orders WHERE lower(a) IN ($1, $2)) AS x", "lower(a) = ANY ($1)"),
    ],
)
def test_lists_of_changing_length(query: str, instead: str) -> None:
    kind = Kind(query.split()[0].lower())
    [advice] = told("changing-in-lists", statement(query, kind=kind, queryids=(1, 2, 3, 4, 5)))
    assert advice.message.startswith("counted as 5 statements")
    assert advice.hint == f"Give the values as one array: {instead}."


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("SELECT * FROM orders WHERE id IN ($1, $2)", 4),
        ("SELECT * FROM orders WHERE id = ANY ($1)", 5),  # several schemas
        ("SELECT * FROM orders WHERE id IN (SELECT order_id FROM items)", 5),
        ("SELECT * FROM orders WHERE id = $1", 5),
        (None, 5),
    ],
)
def test_one_statement_under_several_ids_for_another_reason(query: str | None, ids: int) -> None:
    assert told("changing-in-lists", statement(query, queryids=tuple(range(ids)))) == []


def test_rows_of_an_insert_are_no_list() -> None:
    query = "INSERT INTO orders SELECT * FROM items WHERE id IN ($1)"
    assert told("changing-in-lists", statement(query, kind=Kind.INSERT, queryids=(1, 2, 3, 4, 5))) == []


# Temporary files.


def test_temporary_files_of_each_call() -> None:
    blocks = CALL_BYTES_MIN // BLOCK_BYTES
    written = statement(counters={"calls": 4, "temp_blks_written": 4 * blocks}, users=("reports",))
    [advice] = told("temporary-files", written)
    assert advice.message == "writes 1MB of temporary files on each call, 4MB in 4 calls"
    assert advice.hint is not None
    assert advice.hint.startswith("SET LOCAL work_mem = '...'; ")
    assert "about 4MB more than SHOW work_mem; says" in advice.hint
    assert 'ALTER ROLE "reports" SET work_mem' in advice.hint
    for counters in (
        {"calls": 4, "temp_blks_written": 4 * blocks - 1},
        {"calls": 4, "temp_blks_written": 0},
        {"calls": 4},
        {"calls": 0, "temp_blks_written": 4 * blocks},
    ):
        assert told("temporary-files", statement(counters=counters)) == []


def test_temporary_files_of_a_sort_that_spills_are_said_once() -> None:
    scene = Scene(statement=statement(counters={"calls": 1, "temp_blks_written": 10_000}), plan=None, relations={})
    spills = Advice(code="sort-spills", message="", why="")
    assert [advice.code for advice in look(scene, on_plan=False)] == ["temporary-files"]
    assert look(scene, on_plan=False, found=[spills]) == ()


def test_temporary_files_of_an_index_build_go_by_another_setting() -> None:
    build = {"calls": 1, "temp_blks_written": 10_000}
    [advice] = told("temporary-files", statement("CREATE INDEX ON t (a)", kind=Kind.UTILITY, counters=build))
    assert advice.hint is not None
    assert "maintenance_work_mem" in advice.hint


def test_memory_that_can_be_typed() -> None:
    assert [setting_bytes(size) for size in (1, MB, MB + 1, 5 * MB)] == [MB, MB, 2 * MB, 8 * MB]
    assert "SET LOCAL work_mem = '1GB'" in hint(SETTING_MAX_BYTES, (), now_bytes=MB)
    assert "SET LOCAL work_mem = '16MB'" in hint(MB, (), now_bytes=8 * MB)
    assert "SET LOCAL" not in hint(SETTING_MAX_BYTES + 1, (), now_bytes=MB)
    assert "SET LOCAL" not in hint_of_more(SETTING_MAX_BYTES + 1, ())
    assert "ALTER ROLE" not in hint(MB, ("a", "b"), now_bytes=MB)
    assert "ALTER ROLE" not in hint(MB, ("role 16384",), now_bytes=MB)  # its name is not known


# Limits of those on plans.


def top_n(rows: float, limit: float, *, cost: float = 1000, key: str = "orders.total") -> dict[str, Any]:
    sort = node("Sort", scan(rows, cost=0.5 * cost), rows=rows, cost=cost, **{"Sort Key": [key]})
    return node("Limit", sort, rows=limit)


def test_how_many_sorted_rows_are_worth_an_index() -> None:
    assert planned("avoidable-sort", top_n(1_000, 200))
    assert not planned("avoidable-sort", top_n(999, 10))
    assert not planned("avoidable-sort", top_n(1_000, 201))
    assert planned("avoidable-sort", top_n(1_000, 10, cost=200))
    assert not planned("avoidable-sort", top_n(1_000, 10, cost=199))  # of 1,000


@pytest.mark.parametrize(
    ("key", "index", "is_said"),
    [
        ("orders.total", ("total",), False),
        ("orders.total DESC", ("total",), False),  # backward
        ("orders.total", ("customer_id", "total"), True),
        ("orders.total DESC NULLS LAST", ("total",), True),
        ("orders.total", ("total", "id"), False),
        ('orders.total COLLATE "C"', (), False),
        ("(orders.total + 1)", (), False),
    ],
)
def test_which_indexes_have_an_order(key: str, index: tuple[str, ...], is_said: bool) -> None:
    assert bool(planned("avoidable-sort", top_n(10_000, 10, key=key), index=index)) is is_said


def test_orders_are_read_as_the_server_writes_them() -> None:
    assert sorted_by(['o."isPaid"', "o.total DESC", "id DESC NULLS LAST"]) == (
        By("isPaid", False, False),
        By("total", True, True),
        By("id", True, False),
    )
    assert sorted_by(["o.total USING ~<~"]) == ()


def test_when_a_sort_is_larger_than_its_memory() -> None:
    rows = 4 * MB // (8 + 24)
    sort = {"Sort Key": ["orders.total"]}
    assert not planned("sort-spills", node("Sort", scan(rows), rows=rows, **sort))
    assert planned("sort-spills", node("Sort", scan(rows + 1), rows=rows + 1, **sort))
    small_part = scan(rows + 1, cost=801)  # of 1,000
    assert not planned("sort-spills", node("Sort", small_part, rows=rows + 1, **sort))


def test_a_worker_that_spilled_alone() -> None:
    said = {"Actual Rows": 10, "Actual Loops": 2, "Sort Space Type": "Memory", "Sort Space Used": 30}
    workers = [{"Worker Number": 0, "Sort Space Type": "Disk", "Sort Space Used": 2048}]
    sort = {**said, "Workers": workers, "Sort Key": ["orders.total"]}
    [advice] = planned("sort-spills", node("Sort", scan(10, **{"Actual Rows": 10, "Actual Loops": 2}), rows=10, **sort))
    assert "went to disk, some 2MB" in advice.message
    assert not planned("sort-spills", node("Sort", scan(10), rows=10, **{**sort, "Workers": []}))


def test_rows_read_again_from_a_million_on() -> None:
    def product(outer: float, inner: float, cost: float = 900) -> dict[str, Any]:
        kept = node("Materialize", scan(inner, cost=10), rows=inner, cost=10)
        return node("Nested Loop", scan(outer, cost=10), kept, rows=outer * inner, cost=cost)

    code = "nested-loop-over-many-rows"
    assert planned(code, product(1_000, 1_000))
    assert not planned(code, product(1_000, 999))
    assert not planned(code, product(100_000, 99))  # what nested loops are for
    assert not planned(code, product(9, 1_000_000))
    assert not planned(code, {**product(1_000, 1_000, cost=219), "Total Cost": 1000, "Plans": [product(1, 1)]})
    quick = statement(counters={"calls": 1, "total_exec_time_ms": 4.9})
    slow = statement(counters={"calls": 1, "total_exec_time_ms": 5})
    assert not planned(code, product(1_000, 1_000), quick)
    assert planned(code, product(1_000, 1_000), slow)


def test_rows_that_were_read_again_in_no_time() -> None:
    def ran(milliseconds: float) -> dict[str, Any]:
        actual = {"Actual Loops": 1, "Actual Rows": 1_000}
        kept = node("Materialize", scan(1), rows=1, **{"Actual Loops": 1_000, "Actual Rows": 1_000})
        loop = node("Nested Loop", scan(1, **actual), kept, **{**actual, "Actual Total Time": milliseconds})
        return node("Sort", loop, **{**actual, "Actual Total Time": 1000})

    assert planned("nested-loop-over-many-rows", ran(200))  # whatever was expected
    assert not planned("nested-loop-over-many-rows", ran(199))


def test_how_far_an_estimate_has_to_be_off() -> None:
    def ran(expected: float, found: float, loops: float = 1) -> dict[str, Any]:
        return scan(expected, **{"Actual Rows": found, "Actual Loops": loops})

    code = "row-estimate-off"
    assert planned(code, ran(10, ROWS_MIN))
    assert not planned(code, ran(11, ROWS_MIN))
    assert not planned(code, ran(1, ROWS_MIN - 1))
    assert planned(code, ran(1, 10, loops=10))
    assert planned(code, ran(ROWS_MIN, 10))
    assert not planned(code, ran(ROWS_MIN, 0, loops=0))  # never run
    assert not planned(code, node("Limit", ran(ROWS_MIN, 10)))
    assert planned(code, node("Limit", ran(10, ROWS_MIN), **{"Actual Rows": 5, "Actual Loops": 1}))


def test_a_side_that_an_empty_hash_table_spared() -> None:
    ran = {"Actual Rows": 0, "Actual Loops": 1}
    outer, inner = scan(10_000, **{**ran, "Actual Rows": 1}), node("Hash", scan(1, **ran), **ran)
    assert planned("row-estimate-off", node("Hash Join", outer, inner, **ran)) == []


def test_no_average_where_a_table_was_never_analyzed() -> None:
    about = statement("SELECT * FROM orders", counters={"calls": 1, "rows": 5_000})
    assert planned("row-estimate-off", scan(10), about)
    assert planned("row-estimate-off", scan(10), about, rows=None) == []


def test_how_many_lossy_pages_matter() -> None:
    def bitmap(exact: int, lossy: int) -> dict[str, Any]:
        said = {"Exact Heap Blocks": exact, "Lossy Heap Blocks": lossy, "Actual Rows": 1, "Actual Loops": 1}
        return {**scan(1, **said), "Node Type": "Bitmap Heap Scan"}

    assert planned("lossy-bitmap", bitmap(900, 100))
    assert not planned("lossy-bitmap", bitmap(0, 99))
    assert not planned("lossy-bitmap", bitmap(901, 100))
    twice = {**bitmap(0, 198), "Actual Loops": 2}
    assert not planned("lossy-bitmap", twice)
    assert planned("lossy-bitmap", {**twice, "Parallel Aware": True})
