"""NeonHub's own queries: campaigns, agents, analytics, leads, trends and content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dbopt.demo import schema
from dbopt.demo.applications.base import Application, Row, span
from dbopt.demo.applications.tables import metadata
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import orm

TABLES = metadata(schema.load("neonhub")).tables
CAMPAIGNS, EXECUTIONS, ANALYTICS = TABLES["campaigns"], TABLES["agent_executions"], TABLES["analytics"]
LEADS, TRENDS, CONTENTS = TABLES["leads"], TABLES["trends"], TABLES["contents"]

# Of the application's report, method by method: how many rows, and how long an answer holds.
CAMPAIGNS_LIMIT, CAMPAIGNS_TTL_SECONDS = 50, 300
AGENT_TTL_SECONDS = 600
ANALYTICS_LIMIT, ANALYTICS_TTL_SECONDS = 100, 300
LEADS_SCORE, LEADS_LIMIT, LEADS_TTL_SECONDS = 7, 50, 900
TRENDS_SCORE, TRENDS_LIMIT, TRENDS_TTL_SECONDS = 5, 20, 180
CONTENTS_LIMIT, CONTENTS_TTL_SECONDS = 50, 300


@dataclass(frozen=True, slots=True)
class CreatedCampaign:
    """As they are in the database, defaults included."""

    campaign: Row
    analytics: list[Row]


# Made once, with names for what is left open: nothing of a statement is put together while somebody waits.
_CAMPAIGNS = (
    sa.select(CAMPAIGNS)
    .where(CAMPAIGNS.c.userId == sa.bindparam("user"), CAMPAIGNS.c.status == sa.bindparam("status"))
    .order_by(CAMPAIGNS.c.createdAt.desc())
    .limit(CAMPAIGNS_LIMIT)
)
_LEADS = (
    sa.select(LEADS)
    .where(LEADS.c.score >= sa.bindparam("score"))
    .order_by(LEADS.c.score.desc(), LEADS.c.createdAt.desc())
    .limit(LEADS_LIMIT)
)
_TRENDS = (
    sa.select(TRENDS)
    .where(TRENDS.c.score >= sa.bindparam("score"))
    .order_by(TRENDS.c.score.desc(), TRENDS.c.detectedAt.desc())
    .limit(TRENDS_LIMIT)
)
_TRENDS_OF_PLATFORM = _TRENDS.where(TRENDS.c.platform == sa.bindparam("platform"))
_CONTENTS = (
    sa.select(CONTENTS)
    .where(CONTENTS.c.platform == sa.bindparam("platform"), CONTENTS.c.status == sa.bindparam("status"))
    .order_by(CONTENTS.c.createdAt.desc())
    .limit(CONTENTS_LIMIT)
)


class NeonHub(Application):
    def campaigns_by_user_and_status(self, user_id: str, status: str) -> list[Row]:
        """The newest first."""
        values = {"user": user_id, "status": status}
        return self.db.rows(_CAMPAIGNS, values, cache=self.keep(CAMPAIGNS_TTL_SECONDS))

    def agent_performance_metrics(
        self, agent_id: str, start: datetime | None = None, end: datetime | None = None
    ) -> Row:
        """Of the runs that an agent has completed and that began in the span: `runs`, `performance` (mean of those that
        have one), `mean_duration` and `longest_duration`.
        """
        duration = EXECUTIONS.c.completedAt - EXECUTIONS.c.startedAt
        found: Row = self.db.aggregate(
            EXECUTIONS,
            {
                "runs": "count",
                "performance": "avg:performance",
                "mean_duration": sa.func.avg(duration),
                "longest_duration": sa.func.max(duration),
            },
            where=[
                EXECUTIONS.c.agentId == agent_id,
                EXECUTIONS.c.status == "COMPLETED",
                *span(EXECUTIONS.c.startedAt, start, end),
            ],
            cache=self.keep(AGENT_TTL_SECONDS),
        )
        return found

    def campaign_analytics(
        self, campaign_id: str, *, kind: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> list[Row]:
        """The newest first; `kind`: of one type only."""
        statement = sa.select(ANALYTICS).where(
            ANALYTICS.c.campaignId == campaign_id, *span(ANALYTICS.c.date, start, end)
        )
        if kind is not None:
            statement = statement.where(ANALYTICS.c.type == kind)
        statement = statement.order_by(ANALYTICS.c.date.desc()).limit(ANALYTICS_LIMIT)
        return self.db.rows(statement, cache=self.keep(ANALYTICS_TTL_SECONDS))

    def high_value_leads(self, score: float = LEADS_SCORE) -> list[Row]:
        """With this score or more, the best first. A lead without a score is not among them."""
        return self.db.rows(_LEADS, {"score": score}, cache=self.keep(LEADS_TTL_SECONDS))

    def trending_keywords(self, platform: str | None = None, score: float = TRENDS_SCORE) -> list[Row]:
        """With this score or more, the best first; everywhere, or on one platform."""
        cache = self.keep(TRENDS_TTL_SECONDS)
        if platform is None:
            return self.db.rows(_TRENDS, {"score": score}, cache=cache)
        return self.db.rows(_TRENDS_OF_PLATFORM, {"score": score, "platform": platform}, cache=cache)

    def content_by_platform_and_status(self, platform: str, status: str) -> list[Row]:
        """The newest first."""
        values = {"platform": platform, "status": status}
        return self.db.rows(_CONTENTS, values, cache=self.keep(CONTENTS_TTL_SECONDS))

    def create_campaign_with_analytics(
        self, campaign: Mapping[str, Any], analytics: Sequence[Mapping[str, Any]] = ()
    ) -> CreatedCampaign:
        """Both or neither: one transaction, tried again where the server says that nobody was at fault. `analytics`
        belong to the campaign, and to its user where they do not name one.
        """

        def write(session: orm.Session) -> CreatedCampaign:
            made = _insert(session, CAMPAIGNS, campaign)
            of_it = {"userId": made["userId"]}
            rows = [_insert(session, ANALYTICS, {**of_it, **row, "campaignId": made["id"]}) for row in analytics]
            return CreatedCampaign(made, rows)

        return self.db.transaction(write)

    def record(self, campaign_id: str, kind: str, data: Mapping[str, Any]) -> Any:
        """What has just been counted for a campaign."""
        return self.db.execute(sa.insert(ANALYTICS).values(campaignId=campaign_id, type=kind, data=dict(data)))


def _insert(session: orm.Session, table: sa.Table, values: Mapping[str, Any]) -> Row:
    """The row as it is now, defaults included."""
    return dict(session.execute(sa.insert(table).values(**values).returning(table)).mappings().one())
