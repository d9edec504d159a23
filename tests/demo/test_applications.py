"""The applications' own queries: what they give is what the rows say, with the limits, times and ends as promised."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from dbopt.client import AsyncDatabase, Database
from dbopt.demo import schema
from dbopt.demo.app import NOW
from dbopt.demo.applications import neonhub, thrive_send
from dbopt.demo.applications.neonhub import NeonHub
from dbopt.demo.applications.tables import metadata
from dbopt.demo.applications.thrive_send import ThriveSend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database as Own
    from server import Server

    from .conftest import Sample

MONTH = (NOW - timedelta(days=30), NOW)


def only(sample: Sample, app: str) -> None:
    if sample.app.name != app:
        pytest.skip(f"about {app}")


@pytest.fixture
def copy(sample: Sample, pg: Server) -> Iterator[Own]:
    """The sample, for tests that write."""
    with pg.database(sample.database.name) as own:
        yield own


@pytest.fixture
def hub(sample: Sample) -> Iterator[NeonHub]:
    only(sample, "neonhub")
    with Database(sample.database.conninfo, min_connections=0) as db:
        yield NeonHub(db)


@pytest.fixture
def thrive(sample: Sample) -> Iterator[ThriveSend]:
    only(sample, "thrive_send")
    with Database(sample.database.conninfo, min_connections=0) as db:
        yield ThriveSend(db)


def everything(sample: Sample, table: sa.Table) -> list[dict[str, Any]]:
    """All rows of a table, asked without the client's operations."""
    engine = sa.create_engine("postgresql+psycopg://", creator=sample.database.connect)
    try:
        with engine.connect() as conn:
            return [dict(row) for row in conn.execute(sa.select(table)).mappings()]
    finally:
        engine.dispose()


def newest(rows: list[dict[str, Any]], column: str, limit: int) -> list[datetime]:
    return sorted((row[column] for row in rows), reverse=True)[:limit]


# Tables


@pytest.mark.parametrize("app", schema.APPS)
def test_tables_are_what_the_schema_says(app: str) -> None:
    described = schema.load(app).tables
    made = metadata(schema.load(app)).tables
    assert made.keys() == described.keys()
    for name, table in described.items():
        assert tuple(column.name for column in made[name].primary_key) == table.key
        assert {tuple(index.columns.keys()) for index in made[name].indexes if index.unique} == set(table.unique)
        for column in table.columns.values():
            own = made[name].columns[column.name]
            assert own.nullable is column.nullable
            assert (own.server_default is None) is (column.default is None)
            assert {key.column.table.name for key in own.foreign_keys} == {
                reference.table for reference in table.references.values() if reference.column == column.name
            }


def test_tables_are_what_the_server_has(sample: Sample) -> None:
    """Types as the server spells them, for every column of every table."""
    engine = sa.create_engine("postgresql+psycopg://", creator=sample.database.connect)
    made = metadata(sample.app.schema)
    spelled = {
        (table.name, column.name): column.type.compile(engine.dialect).lower().replace('"', "").split(" without")[0]
        for table in made.tables.values()
        for column in table.columns
    }
    engine.dispose()
    found = sample.database.sql(
        "SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)"
        "  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0"
    )
    names = {"character varying": "varchar", '"': "", " without time zone": ""}
    for table, column, own in found:
        short = own
        for long, spelling in names.items():
            short = short.replace(long, spelling)
        assert spelled[table, column] == short.lower(), (table, column)


# NeonHub


def test_campaigns_of_a_user(sample: Sample, hub: NeonHub) -> None:
    rows = [row for row in everything(sample, neonhub.CAMPAIGNS) if row["status"] == "COMPLETED"]
    user = max({row["userId"] for row in rows}, key=lambda one: sum(row["userId"] == one for row in rows))
    own = [row for row in rows if row["userId"] == user]
    found = hub.campaigns_by_user_and_status(user, "COMPLETED")
    assert [row["createdAt"] for row in found] == newest(own, "createdAt", 50)
    assert {row["userId"] for row in found} == {user}


def test_agents_are_judged_by_completed_runs_of_the_span_both_ends_included(sample: Sample, hub: NeonHub) -> None:
    rows = [row for row in everything(sample, neonhub.EXECUTIONS) if row["status"] == "COMPLETED"]
    agent = rows[0]["agentId"]
    starts = sorted(row["startedAt"] for row in rows if row["agentId"] == agent)
    start, end = starts[1], starts[-2]
    within = [row for row in rows if row["agentId"] == agent and start <= row["startedAt"] <= end]
    found = hub.agent_performance_metrics(agent, start, end)
    assert found["runs"] == len(within) == len(starts) - 2
    assert found["performance"] == pytest.approx(sum(row["performance"] for row in within) / len(within))
    assert found["longest_duration"] == max(row["completedAt"] - row["startedAt"] for row in within)
    assert hub.agent_performance_metrics(agent)["runs"] == len(starts)
    assert hub.agent_performance_metrics(agent, end=start)["runs"] == 2
    assert list(hub.agent_performance_metrics("nobody").values()) == [0, None, None, None]


def test_analytics_of_a_campaign(sample: Sample, hub: NeonHub) -> None:
    rows = everything(sample, neonhub.ANALYTICS)
    campaign = max(
        {row["campaignId"] for row in rows} - {None}, key=lambda one: sum(r["campaignId"] == one for r in rows)
    )
    own = [row for row in rows if row["campaignId"] == campaign]
    dates = sorted(row["date"] for row in own)
    assert len(own) > 100
    assert [row["date"] for row in hub.campaign_analytics(campaign)] == newest(own, "date", 100)
    clicks = hub.campaign_analytics(campaign, kind="CLICKS", start=dates[3], end=dates[-4])
    assert [row["id"] for row in clicks] == [
        row["id"]
        for row in sorted(own, key=lambda row: row["date"], reverse=True)
        if row["type"] == "CLICKS" and dates[3] <= row["date"] <= dates[-4]
    ][:100]


def test_leads_from_a_score_of_seven_on_the_best_first(sample: Sample, hub: NeonHub) -> None:
    scores = sorted(
        (row["score"] for row in everything(sample, neonhub.LEADS) if row["score"] is not None), reverse=True
    )
    assert [row["score"] for row in hub.high_value_leads()] == [score for score in scores if score >= 7][:50]
    limit = scores[9]
    assert limit in [row["score"] for row in hub.high_value_leads(limit)], "the score itself belongs to it"


def test_trends_from_a_score_of_five_on_at_most_twenty(sample: Sample, hub: NeonHub) -> None:
    rows = [row for row in everything(sample, neonhub.TRENDS) if row["score"] >= 5]
    found = hub.trending_keywords()
    assert len(found) == 20
    assert [row["score"] for row in found] == sorted((row["score"] for row in rows), reverse=True)[:20]
    there = [row["score"] for row in rows if row["platform"] == "TIKTOK"]
    assert [row["score"] for row in hub.trending_keywords("TIKTOK")] == sorted(there, reverse=True)[:20]


def test_content_of_a_platform(sample: Sample, hub: NeonHub) -> None:
    rows = everything(sample, neonhub.CONTENTS)
    own = [row for row in rows if (row["platform"], row["status"]) == ("INSTAGRAM", "PUBLISHED")]
    found = hub.content_by_platform_and_status("INSTAGRAM", "PUBLISHED")
    assert [row["createdAt"] for row in found] == newest(own, "createdAt", 50)


def test_answers_hold_as_long_as_the_report_says() -> None:
    times = {
        "campaigns": neonhub.CAMPAIGNS_TTL_SECONDS,
        "agents": neonhub.AGENT_TTL_SECONDS,
        "analytics": neonhub.ANALYTICS_TTL_SECONDS,
        "leads": neonhub.LEADS_TTL_SECONDS,
        "trends": neonhub.TRENDS_TTL_SECONDS,
        "contents": neonhub.CONTENTS_TTL_SECONDS,
    }
    assert times == {"campaigns": 300, "agents": 600, "analytics": 300, "leads": 900, "trends": 180, "contents": 300}
    assert thrive_send.TTL_SECONDS == 300


def test_a_campaign_is_made_with_its_analytics_or_not_at_all(sample: Sample, copy: Own) -> None:
    only(sample, "neonhub")
    user = everything(sample, neonhub.CAMPAIGNS)[0]["userId"]
    with Database(copy.conninfo, min_connections=0) as db:
        hub = NeonHub(db)
        before = hub.campaigns_by_user_and_status(user, "DRAFT")
        campaign = {"name": "Spring", "type": "EMAIL", "userId": user}
        made = hub.create_campaign_with_analytics(
            campaign, [{"type": "CLICKS", "data": {"value": 0}}, {"type": "REACH", "data": {}, "period": "day"}]
        )
        assert (made.campaign["status"], made.campaign["name"]) == ("DRAFT", "Spring")
        assert {row["campaignId"] for row in made.analytics} == {made.campaign["id"]}
        assert {row["userId"] for row in made.analytics} == {user}
        after = hub.campaigns_by_user_and_status(user, "DRAFT")
        assert len(after) == min(len(before) + 1, 50), "a cached answer does not outlive the write"
        with pytest.raises(IntegrityError):
            hub.create_campaign_with_analytics({**campaign, "name": "Autumn"}, [{"type": "CLICKS"}])
    assert copy.sql("SELECT name FROM campaigns WHERE name IN ('Spring', 'Autumn')") == [("Spring",)]


# Thrive-Send


def test_an_organisation_by_its_identity_provider(sample: Sample, thrive: ThriveSend) -> None:
    own = everything(sample, thrive_send.ORGANIZATION)[0]
    assert thrive.organization(own["clerkOrganizationId"]) == own
    assert thrive.organization("org_of_nobody") is None


def test_all_pages_of_the_campaign_list_are_the_list(sample: Sample, thrive: ThriveSend) -> None:
    rows = everything(sample, thrive_send.CAMPAIGN)
    organization = rows[0]["organizationId"]
    own = {row["id"] for row in rows if (row["organizationId"], row["status"]) == (organization, "completed")}
    seen: list[dict[str, Any]] = []
    page = thrive.campaigns(organization, "completed")
    seen += page.items
    while page.next_cursor is not None:
        page = thrive.campaigns(organization, "completed", after=page.next_cursor)
        seen += page.items
    assert len(own) > thrive_send.LIST_SIZE
    assert len(seen) == len(own)
    assert {row["id"] for row in seen} == own
    assert [row["createdAt"] for row in seen] == sorted((row["createdAt"] for row in seen), reverse=True)


def test_the_dashboard_counts_lists_and_sums(sample: Sample, thrive: ThriveSend) -> None:
    numbers = everything(sample, thrive_send.ANALYTICS)
    tracked = {row["campaignId"] for row in numbers}
    campaigns = everything(sample, thrive_send.CAMPAIGN)
    one = next(row for row in campaigns if row["id"] in tracked)
    dashboard = thrive.campaign_dashboard(one["organizationId"], one["status"], one["goalType"], *MONTH)
    own = [row for row in campaigns if row["organizationId"] == one["organizationId"]]
    assert sum(dashboard.by_status.values()) == len(own)
    listed = [row for row in own if (row["status"], row["goalType"]) == (one["status"], one["goalType"])]
    assert [row["createdAt"] for row in dashboard.campaigns] == newest(listed, "createdAt", 20)
    shown = {row["id"] for row in dashboard.campaigns}
    clicks = [
        row["clicks"] for row in numbers if row["campaignId"] in shown and MONTH[0] <= row["createdAt"] <= MONTH[1]
    ]
    assert (dashboard.results["clicks"] or 0) == sum(clicks)


def test_a_dashboard_of_nobody_is_empty(thrive: ThriveSend) -> None:
    dashboard = thrive.campaign_dashboard("nobody", "active", "CUSTOM")
    assert (dashboard.by_status, dashboard.campaigns, dashboard.results["clicks"]) == ({}, [], None)


def test_the_workflow_has_authors_and_what_waits(sample: Sample, thrive: ThriveSend) -> None:
    pieces = everything(sample, thrive_send.CONTENT_PIECE)
    organization = pieces[0]["organizationId"]
    approvals = everything(sample, thrive_send.CONTENT_APPROVAL)
    user = next(row["assignedTo"] for row in approvals if row["status"] == "PENDING_REVIEW" and row["assignedTo"])
    workflow = thrive.content_workflow(organization, "PUBLISHED", user)
    assert all(piece["author"]["id"] == piece["authorId"] for piece in workflow.pieces)
    own = [row for row in pieces if row["organizationId"] == organization]
    assert sum(workflow.by_status.values()) == len(own)
    published = [row for row in own if row["status"] == "PUBLISHED"]
    assert [piece["createdAt"] for piece in workflow.pieces] == newest(published, "createdAt", 50)
    assert {row["id"] for row in workflow.waiting} == {
        row["id"] for row in approvals if (row["assignedTo"], row["status"]) == (user, "PENDING_REVIEW")
    }


def test_analytics_add_up_over_the_span_both_ends_included(sample: Sample, thrive: ThriveSend) -> None:
    rows = everything(sample, thrive_send.ANALYTICS)
    client = rows[0]["clientId"]
    own = sorted((row for row in rows if row["clientId"] == client), key=lambda row: row["createdAt"])
    start, end = own[1]["createdAt"], own[-2]["createdAt"]
    dashboard = thrive.analytics_dashboard(client, start, end)
    assert dashboard.totals["impressions"] == sum(row["impressions"] for row in own[1:-1])
    assert dashboard.totals["revenue"] == pytest.approx(sum(row["revenue"] for row in own[1:-1]))
    days = {row["createdAt"].replace(hour=0, minute=0, second=0, microsecond=0) for row in own[1:-1]}
    assert [row["day"] for row in dashboard.by_day] == sorted(days)
    assert sum(row["clicks"] for row in dashboard.by_day) == dashboard.totals["clicks"]
    assert dashboard.last_activity == max(row["lastActivity"] for row in own)
    assert thrive.analytics_dashboard(client).totals["impressions"] == sum(row["impressions"] for row in own)


def test_what_a_user_does_is_in_the_timeline_at_once(sample: Sample, copy: Own) -> None:
    only(sample, "thrive_send")
    user = everything(sample, thrive_send.ACTIVITY)[0]["userId"]
    with Database(copy.conninfo, min_connections=0) as db:
        thrive = ThriveSend(db)
        first = thrive.user_activity(user)
        assert [row["createdAt"] for row in first.items] == sorted((r["createdAt"] for r in first.items), reverse=True)
        thrive.record(user, "CREATED", "CAMPAIGN", "c1")
        assert thrive.user_activity(user).items[0]["entityId"] == "c1"


def test_queries_are_awaited_with_an_async_database(sample: Sample) -> None:
    async def ask() -> Any:
        async with AsyncDatabase(sample.database.conninfo, min_connections=0) as db:
            if sample.app.name == "neonhub":
                hub = NeonHub(db)  # type: ignore[arg-type]
                return [await hub.high_value_leads(3), await hub.high_value_leads(3)], db.metrics().cache
            thrive = ThriveSend(db)  # type: ignore[arg-type]
            return [await thrive.organization("org_1"), await thrive.organization("org_1")], db.metrics().cache

    (first, second), cache = asyncio.run(ask())
    assert first
    assert first == second
    assert (cache.hits, cache.misses) == (1, 1)


def test_without_the_cache_every_answer_is_of_the_database(sample: Sample) -> None:
    only(sample, "neonhub")
    with Database(sample.database.conninfo, min_connections=0) as db:
        hub = NeonHub(db, cached=False)
        hub.high_value_leads()
        hub.high_value_leads()
        assert (db.cache.figures().hits, db.cache.figures().misses) == (0, 0)
