"""Entries whose schema is a pattern, on a real server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from helpers import index_names

from dbopt.optimize.steps import Action

if TYPE_CHECKING:
    from server import Database

    from tests.optimize.runs import Project

SCHEMAS = ["tenant_a", "tenant_b", "tenant_demo", "tenantxc", "Tenant_d", "tenant", "tenant_%", "tenant_$q"]


@pytest.fixture
def tenants(database: Database) -> Database:
    for schema in SCHEMAS:
        database.sql(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}".orders (id int, status text, at int)')
    database.sql("CREATE SCHEMA tenant_empty; CREATE VIEW tenant_empty.orders AS SELECT 1 AS id")
    return database


def of(pattern: str, *, name: str = "orders_status", more: str = "keys: [status, at]", out: str = "[]") -> str:
    return f"name: {name}, table: {{schema: '{pattern}', except: {out}, name: orders}}, {more}"


def test_patterns(project: Project, tenants: Database) -> None:
    """`*` and `?` are the wildcards, and nothing else is."""
    for pattern, out, meant in [
        ("tenant_*", "[]", ["tenant_$q", "tenant_%", "tenant_a", "tenant_b", "tenant_demo"]),
        ("tenant_*", "[tenant_demo, 'tenant_[%]', 'tenant_$*']", ["tenant_%", "tenant_a", "tenant_b"]),
        ("tenant_?", "[tenant_b]", ["tenant_%", "tenant_a"]),
        ("tenant?c", "[]", ["tenantxc"]),
        ("*_d", "[]", ["Tenant_d"]),
    ]:
        plan = project.wants(of(pattern, out=out)).plan()
        assert sorted(step.schema for step in plan.steps if step.action is Action.CREATE) == meant, pattern
        assert plan.findings == ()


@pytest.mark.parametrize(("pattern", "out"), [("tenant_*", "'*'"), ("tenant__*", "[]"), ("tenant_e*", "[]")])
def test_no_tenant(project: Project, tenants: Database, pattern: str, out: str) -> None:
    plan = project.wants(of(pattern, out=out)).plan()
    assert plan.steps == ()
    [finding] = plan.findings
    assert (finding.severity, finding.code) == ("warning", "no-tenant")
    assert finding.message == f"no schema like {pattern} has a table orders"


def test_one_name_in_every_schema(project: Project, tenants: Database) -> None:
    project.wants(of("tenant_*"), of("Tenant_d", name="by_at", more="keys: [at]"))
    run = project.run()
    run.assert_applied()
    assert sorted((item.schema, item.index) for item in run.result.items) == [
        ("Tenant_d", "by_at"),
        *[(schema, "orders_status") for schema in ("tenant_$q", "tenant_%", "tenant_a", "tenant_b", "tenant_demo")],
    ]
    for schema in ("tenant_a", "tenant_%"):
        assert index_names(tenants, f'"{schema}".orders') == ["orders_status"]
    project.assert_settled()
    assert len(project.plan().unchanged) == 6


def test_one_tenant_refused(project: Project, tenants: Database) -> None:
    """The others go on, and each text says whose it is."""
    tenants.sql("ALTER TABLE tenant_b.orders DROP COLUMN at; CREATE TABLE tenant_a.orders_status ()")
    tenants.sql("CREATE INDEX gone ON tenant_a.orders (id); CREATE INDEX gone ON tenant_demo.orders (id)")
    plan = project.wants(of("tenant_*"), of("tenant_*", name="gone", more="state: absent")).plan()
    assert sorted((item.schema, item.index) for item in plan.refused) == [
        ("tenant_a", "gone"),
        ("tenant_a", "orders_status"),
        ("tenant_b", "orders_status"),
        ("tenant_demo", "gone"),
    ]
    texts = sorted(finding.message for finding in plan.findings)
    assert texts == [
        "column at of tenant_b.orders does not exist",
        "tenant_a: gone is not marked as an index of dbopt's domain shop",
        "tenant_a: the name orders_status belongs to another relation in schema tenant_a",
        "tenant_demo: gone is not marked as an index of dbopt's domain shop",
    ]
    run = project.run(plan)
    run.assert_applied()
    assert run.result.refused == 4
    assert index_names(tenants, "tenant_demo.orders") == ["gone", "orders_status"]


def test_the_tables_of_another_role(project: Project, tenants: Database) -> None:
    tenants.sql(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dbopt_tenant') THEN"
        " CREATE ROLE dbopt_tenant LOGIN; END IF; END $$;"
        "GRANT ALL ON SCHEMA tenant_a, tenant_b TO dbopt_tenant; ALTER TABLE tenant_a.orders OWNER TO dbopt_tenant"
    )
    project.conninfo += " user=dbopt_tenant"
    plan = project.wants(of("tenant_?", out="tenant_%")).plan()
    tenants.sql("REASSIGN OWNED BY dbopt_tenant TO CURRENT_USER; DROP OWNED BY dbopt_tenant; DROP ROLE dbopt_tenant")
    assert [step.schema for step in plan.steps if step.action is Action.CREATE] == ["tenant_a"]
    assert "role dbopt_tenant does not own tenant_b.orders" in {f.message.partition(",")[0] for f in plan.findings}


def test_types_of_each_schema(project: Project, database: Database) -> None:
    """One text, two meanings: each tenant has a type of its own."""
    for schema, label in (("tenant_a", "open"), ("tenant_b", "closed")):
        database.sql(
            f"CREATE SCHEMA {schema}; CREATE TYPE {schema}.state AS ENUM ('{label}');"
            f"CREATE TABLE {schema}.orders (id int, status {schema}.state)"
        )
    plan = project.wants(of("tenant_*", more="keys: [id], where: status = 'open'")).plan()
    assert [step.schema for step in plan.steps if step.action is Action.CREATE] == ["tenant_a"]
    assert [(item.schema, finding.code) for item, finding in zip(plan.refused, plan.findings, strict=True)] == [
        ("tenant_b", "wrong-value")
    ]
    assert plan.findings[0].message.startswith("invalid input value for enum tenant_b.state:")


def test_the_number_of_statements_does_not_grow(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither when there is all to do nor when there is nothing."""
    caplog.set_level(logging.DEBUG, "dbopt.sql")
    project.wants(
        of("tenant_*"),
        of("tenant_*", name="orders_low", more="keys: [{expr: lower(status)}], where: at > 0"),
        of("tenant_*", name="old", more="state: absent, guard: {unused_for: 1d}"),
    )

    def counted(schemas: range) -> int:
        database.sql(
            f"DO $$ BEGIN FOR n IN {schemas.start}..{schemas.stop - 1} LOOP EXECUTE format('"
            "CREATE SCHEMA tenant_%1$s; CREATE TABLE tenant_%1$s.orders (id int, status text, at int);"
            "CREATE INDEX old ON tenant_%1$s.orders (id);', n); END LOOP; END $$"
        )
        caplog.clear()
        plan = project.plan(prune_foreign=True)
        assert len([step for step in plan.steps if step.action is Action.CREATE]) == 2 * schemas.stop
        assert len(plan.refused) == schemas.stop
        return len(caplog.records)

    few = counted(range(3))
    assert counted(range(3, 200)) == few
    assert few < 60


def test_statistics_cost_no_statement_a_tenant(
    project: Project, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The planner is asked about the predicates of many tables at once; where one is locked, about each."""
    caplog.set_level(logging.DEBUG, "dbopt.sql")
    for schema in [f"tenant_{n}" for n in range(12)]:
        database.sql(
            f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.orders AS SELECT n AS id, n AS at"
            f" FROM generate_series(1, 100) AS n; ANALYZE {schema}.orders"
        )

    def counted(out: str) -> tuple[int, list[str]]:
        project.wants(of("tenant_*", out=out, more="keys: [at], where: id > 10"))
        caplog.clear()
        steps = [step for step in project.plan().steps if step.action is Action.CREATE]
        return len(caplog.records), [step.schema for step in steps if not step.estimate]

    assert counted("[]") == counted("'tenant_1?'")
    with database.connect() as other:
        other.execute("LOCK TABLE tenant_3.orders")
        assert counted("[]")[1] == ["tenant_3"]
