"""How often the users of each application ask what. A page that shows several things asks several queries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from dbopt.demo.app import NOW
from dbopt.demo.applications.neonhub import NeonHub
from dbopt.demo.applications.thrive_send import ThriveSend
from dbopt.demo.proof.requests import Request
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.demo.applications.base import Application

# What dashboards show: the last month of the data.
_SPAN = (NOW - timedelta(days=30), NOW)
# Those that recipes of the data follow closely: of the others there is nothing to show.
_TRACKED_NEONHUB = 0.05


@dataclass(frozen=True, slots=True)
class Mix:
    """`write` is what else a user does."""

    application: type[Application]
    reads: tuple[Request, ...]
    write: Request


_THRIVE_SEND = Mix(
    ThriveSend,
    (
        Request("organisation lookup", 30, lambda app, draw: app.organization(f"org_{draw.number('Organization')}")),
        Request(
            "campaign list",
            20,
            lambda app, draw: app.campaigns(draw.id("Organization"), draw.pick(active=60, completed=30, draft=10)),
        ),
        Request("campaign dashboard: counts", 5, lambda app, draw: app.campaign_counts(draw.id("Organization"))),
        Request(
            "campaign dashboard: list",
            5,
            lambda app, draw: app.campaigns_of_goal(
                draw.id("Organization"), "active", draw.pick(ENGAGEMENT=35, CONVERSION=30, AWARENESS=15)
            ),
        ),
        Request("content workflow: counts", 5, lambda app, draw: app.content_counts(draw.id("Organization"))),
        Request(
            "content workflow: board",
            5,
            lambda app, draw: app.content(draw.id("Organization"), draw.pick(DRAFT=50, IN_REVIEW=30, PUBLISHED=20)),
        ),
        Request("content workflow: inbox", 5, lambda app, draw: app.waiting(draw.id("User", among=0.2))),
        Request("analytics dashboard: totals", 5, lambda app, draw: app.totals(draw.id("Client"), *_SPAN)),
        Request("analytics dashboard: days", 5, lambda app, draw: app.by_day(draw.id("Client"), *_SPAN)),
        Request("user activity", 15, lambda app, draw: app.user_activity(draw.id("User"))),
    ),
    Request(
        "record an activity",
        1,
        lambda app, draw: app.record(draw.id("User"), "UPDATED", "CAMPAIGN", draw.id("Campaign")),
    ),
)
_NEONHUB = Mix(
    NeonHub,
    (
        Request(
            "campaigns of a user",
            30,
            lambda app, draw: app.campaigns_by_user_and_status(
                draw.id("users"), draw.pick(ACTIVE=70, COMPLETED=20, DRAFT=10)
            ),
        ),
        Request("agent performance", 10, lambda app, draw: app.agent_performance_metrics(draw.id("agents"), *_SPAN)),
        Request(
            "campaign analytics",
            25,
            lambda app, draw: app.campaign_analytics(draw.id("campaigns", among=_TRACKED_NEONHUB)),
        ),
        Request("high value leads", 10, lambda app, _: app.high_value_leads()),
        Request(
            "trending keywords",
            10,
            lambda app, draw: app.trending_keywords(draw.pick(INSTAGRAM=22, FACEBOOK=20, TIKTOK=12, LINKEDIN=9)),
        ),
        Request(
            "content of a platform",
            15,
            lambda app, draw: app.content_by_platform_and_status(
                draw.pick(INSTAGRAM=22, FACEBOOK=20, EMAIL=14, TIKTOK=12, LINKEDIN=9),
                draw.pick(SCHEDULED=50, DRAFT=30, PUBLISHED=20),
            ),
        ),
    ),
    Request(
        "record a click",
        1,
        lambda app, draw: app.record(draw.id("campaigns", among=_TRACKED_NEONHUB), "CLICKS", {"value": 1}),
    ),
)

MIXES = {"thrive_send": _THRIVE_SEND, "neonhub": _NEONHUB}
