"""Thrive-Send's own queries: organisations, campaigns, content, analytics and activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dbopt.client.reading.relation import Relation
from dbopt.demo import schema
from dbopt.demo.applications.base import Application, Row, span
from dbopt.demo.applications.tables import metadata
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dbopt.client.paging.pages import Page

TABLES = metadata(schema.load("thrive_send")).tables
ORGANIZATION, USER = TABLES["Organization"], TABLES["User"]
CAMPAIGN, ANALYTICS, ACTIVITY = TABLES["Campaign"], TABLES["Analytics"], TABLES["Activity"]
CONTENT_PIECE, CONTENT_APPROVAL = TABLES["ContentPiece"], TABLES["ContentApproval"]

# The guide's cache: 300 s, whatever is asked.
TTL_SECONDS = 300
LIST_SIZE = 20
BOARD_SIZE = 50
TIMELINE_SIZE = 50
WAITING = "PENDING_REVIEW"

# Made once, with names for what is left open: nothing of a statement is put together while somebody waits.
_ORGANIZATION = sa.select(ORGANIZATION).where(ORGANIZATION.c.clerkOrganizationId == sa.bindparam("clerk"))
_CAMPAIGNS_OF_GOAL = (
    sa.select(CAMPAIGN)
    .where(
        CAMPAIGN.c.organizationId == sa.bindparam("organization"),
        CAMPAIGN.c.status == sa.bindparam("status"),
        CAMPAIGN.c.goalType == sa.bindparam("goal"),
    )
    .order_by(CAMPAIGN.c.createdAt.desc())
    .limit(LIST_SIZE)
)
_CONTENT = (
    sa.select(CONTENT_PIECE)
    .where(
        CONTENT_PIECE.c.organizationId == sa.bindparam("organization"), CONTENT_PIECE.c.status == sa.bindparam("status")
    )
    .order_by(CONTENT_PIECE.c.createdAt.desc())
    .limit(BOARD_SIZE)
)
_WAITING = (
    sa.select(CONTENT_APPROVAL)
    .where(CONTENT_APPROVAL.c.assignedTo == sa.bindparam("user"), CONTENT_APPROVAL.c.status == WAITING)
    .order_by(CONTENT_APPROVAL.c.createdAt.desc())
    .limit(LIST_SIZE)
)
_LAST_ACTIVITY = (
    sa.select(ANALYTICS.c.lastActivity)
    .where(ANALYTICS.c.clientId == sa.bindparam("client"))
    .order_by(ANALYTICS.c.lastActivity.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class CampaignDashboard:
    """`by_status`: how many campaigns the organisation has. `results`: of those shown, in the time span."""

    by_status: dict[str, int]
    campaigns: list[Row]
    results: Row


@dataclass(frozen=True, slots=True)
class ContentWorkflow:
    """`pieces` have their author in `author`; `waiting` is what the user has to review, the newest first."""

    by_status: dict[str, int]
    pieces: list[Row]
    waiting: list[Row]


@dataclass(frozen=True, slots=True)
class AnalyticsDashboard:
    """Sums over the time span; `by_day`: of each day on which there was something to count."""

    totals: Row
    by_day: list[Row]
    last_activity: datetime | None


class ThriveSend(Application):
    # Queries

    def organization(self, clerk_id: str) -> Any:
        """The organisation that the identity provider calls so, or None: what every request begins with."""
        return self.db.one(_ORGANIZATION, {"clerk": clerk_id}, cache=self.keep(TTL_SECONDS))

    def campaigns(
        self, organization_id: str, status: str, *, after: str | None = None, size: int = LIST_SIZE
    ) -> Page[Row]:
        """A page of an organisation's campaigns, the newest first."""
        statement = sa.select(CAMPAIGN).where(CAMPAIGN.c.organizationId == organization_id, CAMPAIGN.c.status == status)
        newest = [CAMPAIGN.c.createdAt.desc()]
        return self.db.paginate(statement, order_by=newest, size=size, after=after, cache=self.keep(TTL_SECONDS))

    def campaign_counts(self, organization_id: str) -> list[Row]:
        """`status` and `campaigns` of each status that occurs."""
        found: list[Row] = self.db.aggregate(
            CAMPAIGN,
            {"campaigns": "count"},
            where=[CAMPAIGN.c.organizationId == organization_id],
            group_by="status",
            cache=self.keep(TTL_SECONDS),
        )
        return found

    def campaigns_of_goal(self, organization_id: str, status: str, goal: str) -> list[Row]:
        """The newest first."""
        values = {"organization": organization_id, "status": status, "goal": goal}
        return self.db.rows(_CAMPAIGNS_OF_GOAL, values, cache=self.keep(TTL_SECONDS))

    def results(self, campaign_ids: Sequence[str], start: datetime | None, end: datetime | None) -> Row:
        """What some campaigns have brought together in a time span."""
        return self._sums([ANALYTICS.c.campaignId.in_(campaign_ids), *span(ANALYTICS.c.createdAt, start, end)])

    def content_counts(self, organization_id: str) -> list[Row]:
        """`status` and `pieces` of each status that occurs."""
        found: list[Row] = self.db.aggregate(
            CONTENT_PIECE,
            {"pieces": "count"},
            where=[CONTENT_PIECE.c.organizationId == organization_id],
            group_by="status",
            cache=self.keep(TTL_SECONDS),
        )
        return found

    def content(self, organization_id: str, status: str) -> list[Row]:
        """A column of the workflow's board, the newest first."""
        values = {"organization": organization_id, "status": status}
        return self.db.rows(_CONTENT, values, cache=self.keep(TTL_SECONDS))

    def waiting(self, user_id: str) -> list[Row]:
        """What waits for a user's review, the newest first."""
        return self.db.rows(_WAITING, {"user": user_id}, cache=self.keep(TTL_SECONDS))

    def totals(self, client_id: str, start: datetime | None, end: datetime | None) -> Row:
        """What a client's campaigns have brought together in a time span."""
        return self._sums([ANALYTICS.c.clientId == client_id, *span(ANALYTICS.c.createdAt, start, end)])

    def by_day(self, client_id: str, start: datetime | None, end: datetime | None) -> list[Row]:
        """`day` and sums of each day of the time span on which something was counted."""
        found: list[Row] = self.db.aggregate(
            ANALYTICS,
            {name: f"sum:{name}" for name in ("impressions", "clicks", "revenue")},
            where=[ANALYTICS.c.clientId == client_id, *span(ANALYTICS.c.createdAt, start, end)],
            group_by={"day": sa.func.date_trunc("day", ANALYTICS.c.createdAt)},
            cache=self.keep(TTL_SECONDS),
        )
        return found

    def last_activity(self, client_id: str) -> Any:
        """When a client's numbers last moved; None: never."""
        return self.db.scalar(_LAST_ACTIVITY, {"client": client_id}, cache=self.keep(TTL_SECONDS))

    def user_activity(self, user_id: str, *, after: str | None = None, size: int = TIMELINE_SIZE) -> Page[Row]:
        """A page of what a user has done, the last first."""
        statement = sa.select(ACTIVITY).where(ACTIVITY.c.userId == user_id)
        last = [ACTIVITY.c.createdAt.desc()]
        return self.db.paginate(statement, order_by=last, size=size, after=after, cache=self.keep(TTL_SECONDS))

    def record(self, user_id: str, action: str, entity_type: str, entity_id: str) -> Any:
        """What a user has just done."""
        values = {"userId": user_id, "action": action, "entityType": entity_type, "entityId": entity_id}
        return self.db.execute(sa.insert(ACTIVITY).values(**values))

    # Pages of several queries

    def campaign_dashboard(
        self, organization_id: str, status: str, goal: str, start: datetime | None = None, end: datetime | None = None
    ) -> CampaignDashboard:
        campaigns = self.campaigns_of_goal(organization_id, status, goal)
        return CampaignDashboard(
            by_status={row["status"]: row["campaigns"] for row in self.campaign_counts(organization_id)},
            campaigns=campaigns,
            results=self.results([campaign["id"] for campaign in campaigns], start, end),
        )

    def content_workflow(self, organization_id: str, status: str, user_id: str) -> ContentWorkflow:
        pieces = self.content(organization_id, status)
        self.db.load_relations(pieces, {"author": Relation.one(USER, local="authorId", remote="id")})
        return ContentWorkflow(
            by_status={row["status"]: row["pieces"] for row in self.content_counts(organization_id)},
            pieces=pieces,
            waiting=self.waiting(user_id),
        )

    def analytics_dashboard(
        self, client_id: str, start: datetime | None = None, end: datetime | None = None
    ) -> AnalyticsDashboard:
        return AnalyticsDashboard(
            totals=self.totals(client_id, start, end),
            by_day=self.by_day(client_id, start, end),
            last_activity=self.last_activity(client_id),
        )

    def _sums(self, where: list[sa.ColumnElement[bool]]) -> Row:
        found: Row = self.db.aggregate(
            ANALYTICS,
            {name: f"sum:{name}" for name in ("impressions", "clicks", "conversions", "revenue")},
            where=where,
            cache=self.keep(TTL_SECONDS),
        )
        return found
