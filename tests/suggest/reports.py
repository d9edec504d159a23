"""Reports as values, made by hand, to be written down and shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dbopt.postgres.normalized import normalized
from dbopt.suggest.model import (
    Basis,
    Candidate,
    Costed,
    Drop,
    Evidence,
    Helped,
    Item,
    Key,
    Origin,
    Outcome,
    Report,
    Risk,
    Size,
    Statistics,
    Subject,
    Suggestion,
    Unread,
    WriteCost,
)
from dbopt.workload.model import Planned
from dbopt.workload.plan import Node, root

NOW = datetime(2026, 11, 22, 3, 5, 24, tzinfo=UTC)
ORDERS = ("public", "orders")


def item(number: int, query: str, **more: Any) -> Item:
    given = {"calls": 1200.0, "time_ms": 4800.0, "queryids": (number * 1111,), "shown": normalized(query), **more}
    return Item(number=number, query=query, **given)


LATEST = item(1, "SELECT id, status FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT $2")
COUNT = item(2, "SELECT count(*) FROM orders WHERE customer_id = $1", calls=90.0, queryids=(22, -23))
OPEN = item(
    3,
    "SELECT * FROM orders o WHERE o.status = 'open' AND o.region = 'north' AND o.shop_id = 7",
    origin=Origin.FILE,
    queryids=(),
    calls=3.0,
    time_ms=None,
)
LOGIN = item(4, "SELECT * FROM crm.users WHERE lower(email) = $1")
SEARCH = item(5, "SELECT id FROM docs WHERE body LIKE $1")
BROKEN = item(6, "SELECT * FROM gone WHERE id = $1", calls=7.0, time_ms=12.0)


def tree(*, index: str | None = None, condition: str = "(customer_id = $1)", cost: float = 13402.0) -> Node:
    """A plan that sorts what it reads, or one that finds it by the index."""
    scan: dict[str, Any] = {
        "Node Type": "Seq Scan" if index is None else "Index Scan",
        "Parent Relationship": "Outer",
        "Relation Name": "orders",
        "Schema": "public",
        "Alias": "orders",
        "Total Cost": cost - 1,
        "Plan Rows": 20,
        "Plan Width": 48,
        "Filter" if index is None else "Index Cond": condition,
    }
    if index is not None:
        scan["Index Name"] = index
        found = root({"Plan": {**scan, "Total Cost": cost}})
    else:
        sort = {
            "Node Type": "Sort",
            "Total Cost": cost,
            "Plan Rows": 20,
            "Plan Width": 48,
            "Sort Key": ["created_at DESC"],
            "Plans": [scan],
        }
        found = root({"Plan": sort})
    assert found is not None
    return found


def outcome(item: Item, before: float, after: float, weight: float, **more: Any) -> Outcome:
    planned = Planned(query=more.pop("explained", item.query), documents=(), planned_at=NOW)
    subject = Subject(item=item, planned=planned, accesses=(), weight=weight)
    plans = {"plan": more.get("before_plan")}, {"plan": more.get("after_plan"), "used": more.get("used", frozenset())}
    return Outcome(
        subject=subject,
        before=Costed(cost=before, planner_cost=before, **plans[0]),
        after=Costed(cost=after, planner_cost=after, **plans[1]),
    )


BY_CUSTOMER = Candidate(
    ORDERS, (Key("customer_id"), Key("created_at", descending=True, nulls_first=True)), include=("id", "status")
)
BY_SHOP = Candidate(ORDERS, (Key("shop_id"),), where="(status = 'open'::text)")
BY_EMAIL = Candidate(("crm", "users"), (Key(expression="lower((email)::text)"),))
BY_BODY = Candidate(("public", "docs"), (Key("body", opclass="gin_trgm_ops"),), method="gin")

LATEST_ORDERS = Suggestion(
    candidate=BY_CUSTOMER,
    name="orders_customer_id_created_at_idx",
    helped=(
        Helped(item=COUNT, before=13_001.0, after=12.25, uses=True),
        Helped(item=LATEST, before=13_402.0, after=8.44, uses=True, no_sort=True),
    ),
    benefit=0.613,
    size=Size(size_bytes=22_020_096, rows=500_000.0, build_seconds=3.2),
    writes=WriteCost(entries=12_300.0, wal_bytes=1_258_291.0, lost_hot=30.0, cost=120.0),
    risks=(Risk.LOST_HOT, Risk.LARGE),
    reason=(
        "Finds the rows of one customer_id; has them in the order of created_at, so that nothing is sorted; includes "
        "id and status, so that the table need not be read"
    ),
)
OPEN_ORDERS = Suggestion(
    candidate=BY_SHOP,
    name="orders_shop_id_idx",
    helped=(Helped(item=OPEN, before=5_200.0, after=40.0),),
    benefit=0.08,
    size=Size(size_bytes=180_224, rows=9_000.0),
    writes=WriteCost(),
    risks=(Risk.FEW_CALLS,),
    reason="Finds the rows of one shop_id; holds only the rows where (status = 'open'::text)",
)
LOGINS = Suggestion(
    candidate=BY_EMAIL,
    name="users_lower_email_idx",
    helped=(Helped(item=LOGIN, before=402.0, after=8.3),),
    benefit=0.2,
    size=Size(size_bytes=3_145_728, rows=90_000.0, build_seconds=0.4),
    writes=WriteCost(entries=14.0, wal_bytes=2_000.0),
    risks=(Risk.EXPRESSION,),
    reason="Finds the rows of one lower((email)::text)",
)
BODIES = Suggestion(
    candidate=BY_BODY,
    name="docs_body_trgm_idx",
    helped=(Helped(item=SEARCH, before=900.0, after=30.0, uses=False),),
    benefit=0.0004,
    size=None,
    writes=WriteCost(entries=1.0, wal_bytes=900.0),
    risks=(Risk.UNPROVED,),
    basis=Basis.STATISTICS,
    reason="Searches body: a GIN index knows what each value consists of, which no btree does.",
)
UNUSED = Drop(
    schema="public",
    table="orders",
    name="orders_note_idx",
    evidence=Evidence.UNUSED,
    detail="no scan in the 62 d 3 h since the statistics began",
    size_bytes=104_857_600,
    proved=True,
    how="HypoPG's hide function",
)
BEATEN = Drop(
    schema="public",
    table="orders",
    name="orders_customer_id_idx",
    evidence=Evidence.BEATEN,
    detail="orders_customer_id_created_at_idx begins with its columns",
    size_bytes=11_010_048,
    proved=False,
    how="",
)
MENDING = Statistics(
    relation=("public", "orders"),
    columns=("city", "zip"),
    kinds=("dependencies", "mcv"),
    why="city = $1 AND zip = $2 is estimated at 3 rows, and statistics of both together say 900",
)
FULL = Report(
    basis=Basis.HYPOPG,
    suggestions=(LATEST_ORDERS, LOGINS, OPEN_ORDERS, BODIES),
    drops=(UNUSED, BEATEN),
    outcomes=(
        outcome(
            LATEST,
            13_402.0,
            8.44,
            0.6,
            before_plan=tree(),
            after_plan=tree(index="<13543>btree_orders_customer_id_created_at", cost=8.44),
            used=frozenset({BY_CUSTOMER}),
        ),
        outcome(COUNT, 13_001.0, 12.25, 0.1),
        outcome(OPEN, 5_200.0, 40.0, 0.1, before_plan=tree(condition="((status = 'open'::text) AND (shop_id = 7))")),
        outcome(LOGIN, 402.0, 8.3, 0.15),
        outcome(SEARCH, 900.0, 30.0, 0.05),
    ),
    unread=(
        Unread(
            item=BROKEN,
            reason='relation "gone" does not exist',
            hint="Look at it with the search_path of its role.",
            share=0.01,
        ),
        Unread(item=item(7, "VACUUM orders"), reason="VACUUM has no plan"),
        Unread(item=item(8, "VACUUM docs"), reason="VACUUM has no plan"),
    ),
    statistics=(MENDING,),
    notes=("2 statements of catalogs were left aside",),
    lacks=(("sizes of public.docs: it was never analyzed", 'ANALYZE "public"."docs";'),),
    seconds=1.83,
    explains=412,
    budget_bytes=134_217_728,
    heap_bytes=268_435_456,
)
NOTHING = Report(
    basis=Basis.HYPOPG,
    suggestions=(),
    outcomes=(
        outcome(LATEST, 8.3, 8.3, 0.7, before_plan=tree(index="orders_customer", cost=8.3)),
        outcome(COUNT, 1300.0, 1300.0, 0.3, before_plan=tree()),
    ),
    seconds=0.2,
    explains=9,
)
RECKONED = Report(
    basis=Basis.STATISTICS,
    suggestions=(BODIES,),
    outcomes=(outcome(SEARCH, 900.0, 30.0, 1.0, before_plan=tree(condition="(body ~~ $1)")),),
    complete=False,
    lacks=(("HypoPG is not installed here, so no planner can be asked", "CREATE EXTENSION hypopg;"),),
    heap_bytes=1_000_000,
)
