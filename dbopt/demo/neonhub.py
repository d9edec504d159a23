"""NeonHub: AI agents that run marketing campaigns. What its tables hold, and what its users wait for."""

from __future__ import annotations

from datetime import timedelta

from dbopt.demo.app import NOW
from dbopt.demo.paths import AccessPath, Typical
from dbopt.demo.recipe import (
    Parent,
    Recipe,
    amount,
    around,
    fixed,
    label,
    later,
    maybe,
    past,
    pick,
    prose,
    same,
    since,
    when,
)

TITLE = "NeonHub"

# Against the largest tables. Large: what agents write by themselves.
SHARES: dict[str, float] = {
    "users": 0.1,
    "accounts": 0.1,
    "sessions": 0.1,
    "verification_tokens": 0.001,
    "agents": 0.0003,
    "campaigns": 0.4,
    "agent_executions": 1,
    "analytics": 1,
    "ab_tests": 0.05,
    "contents": 0.6,
    "leads": 0.6,
    "trends": 0.6,
    "design_templates": 0.001,
}

_PLATFORM = pick(
    INSTAGRAM=22,
    FACEBOOK=20,
    EMAIL=14,
    TIKTOK=12,
    LINKEDIN=9,
    TWITTER=8,
    YOUTUBE=6,
    WEBSITE=4,
    GOOGLE_ADS=2,
    META_ADS=2,
    SHOPIFY=1,
)
_USER = Parent("users")

RECIPES: dict[str, dict[str, Recipe]] = {
    "users": {
        "email": label("someone@example.com+"),
        "role": pick(USER=80, VIEWER=15, MANAGER=4, ADMIN=1),
        "emailVerified": maybe(0.9, later("createdAt", 48)),
    },
    "accounts": {"userId": same("users"), "provider": fixed("oidc")},
    "sessions": {"expires": around(30, 30), "userId": _USER},
    "campaigns": {
        "name": label("Campaign "),
        "description": maybe(0.7, prose(200)),
        "type": pick(SOCIAL_MEDIA=45, EMAIL=25, ADS=12, CONTENT=10, INFLUENCER=5, EVENT=2, PRODUCT_LAUNCH=1),
        "status": pick(COMPLETED=60, ACTIVE=16, DRAFT=14, PAUSED=6, CANCELLED=4),
        "budget": maybe(0.7, amount(50_000, 3)),
        "startDate": later("createdAt", 24 * 14),
        "endDate": maybe(0.8, later("startDate", 24 * 90)),
        "userId": _USER,
        "userId2": maybe(0.05, Parent("users")),
    },
    "agents": {"status": pick(ACTIVE=80, INACTIVE=12, MAINTENANCE=5, DEPRECATED=3)},
    "agent_executions": {
        "agentId": Parent("agents"),
        "campaignId": maybe(0.8, Parent("campaigns")),
        "userId": maybe(0.5, _USER),
        "task": pick(generate=50, publish=20, analyse=15, outreach=10, redesign=5),
        "status": pick(COMPLETED=88, FAILED=8, CANCELLED=3, PENDING=0.7, RUNNING=0.3),
        "performance": when("status", "COMPLETED", amount(100, 0.5, digits=1), fixed(None)),
        "startedAt": past(400, growth=1),
        "completedAt": when("status", "COMPLETED", later("startedAt", 1), fixed(None)),
    },
    "analytics": {
        "campaignId": maybe(0.95, Parent("campaigns", among=0.05)),
        "userId": maybe(0.5, _USER),
        "type": pick(
            IMPRESSIONS=30, CLICKS=25, ENGAGEMENT=20, REACH=12, CONVERSION=8, REVENUE=3, SENTIMENT=1, PERFORMANCE=1
        ),
        "data": fixed('{"value": 1}'),
        "period": pick(hour=80, day=17, month=3),
        "date": past(400, growth=1),
    },
    "ab_tests": {"campaignId": Parent("campaigns")},
    "contents": {
        "title": label("Piece "),
        "type": pick(POST=45, STORY=20, REEL=12, EMAIL=10, VIDEO=6, AD=4, BLOG=2, PRODUCT=1),
        "platform": _PLATFORM,
        "content": fixed('{"body": "..."}'),
        "status": pick(PUBLISHED=75, DRAFT=13, ARCHIVED=9, SCHEDULED=3),
        "updatedAt": since("createdAt"),
    },
    "leads": {
        "email": label("lead@example.com+"),
        "source": maybe(0.9, pick(organic=40, ads=30, referral=20, event=7, partner=3)),
        "status": pick(NEW=60, CONTACTED=20, LOST=12, QUALIFIED=6, CONVERTED=2),
        "score": maybe(0.9, amount(10, 4, digits=2)),
    },
    "trends": {
        "keyword": label("keyword "),
        "platform": _PLATFORM,
        "category": maybe(0.9, pick(fashion=30, technology=25, food=20, sport=15, travel=10)),
        "score": amount(10, 3, digits=2),
        "volume": maybe(0.9, amount(1_000_000, 5)),
        "growth": maybe(0.8, amount(300, 4, digits=1)),
        "detectedAt": past(120, growth=1),
    },
}

# Prisma names every column of the model where `*` stands here.
PATHS = (
    AccessPath(
        "Users of a role, newest first",
        'SELECT * FROM "users" WHERE "role" = %(role)s ORDER BY "createdAt" DESC LIMIT 50',
        constants={"role": "ADMIN"},
    ),
    AccessPath(
        "User by email",
        'SELECT * FROM "users" WHERE "email" = %(email)s LIMIT 1',
        Typical("users", {"email": "email"}),
    ),
    AccessPath(
        "Campaigns of a user by status",
        'SELECT * FROM "campaigns" WHERE "userId" = %(user)s AND "status" = %(status)s'
        ' ORDER BY "createdAt" DESC LIMIT 50',
        Typical("campaigns", {"user": "userId"}),
        {"status": "ACTIVE"},
    ),
    AccessPath(
        "Performance of an agent over a month",
        'SELECT count(*), avg("performance"), max("completedAt" - "startedAt") FROM "agent_executions"'
        ' WHERE "agentId" = %(agent)s AND "status" = %(status)s AND "startedAt" >= %(start)s',
        Typical("agent_executions", {"agent": "agentId"}),
        {"status": "COMPLETED", "start": NOW - timedelta(days=30)},
    ),
    AccessPath(
        "Last runs of an agent",
        'SELECT * FROM "agent_executions" WHERE "agentId" = %(agent)s AND "status" = %(status)s'
        ' ORDER BY "startedAt" DESC LIMIT 50',
        Typical("agent_executions", {"agent": "agentId"}),
        {"status": "COMPLETED"},
    ),
    AccessPath(
        "Runs of a campaign",
        'SELECT * FROM "agent_executions" WHERE "campaignId" = %(campaign)s AND "status" = %(status)s',
        Typical("agent_executions", {"campaign": "campaignId"}),
        {"status": "COMPLETED"},
    ),
    AccessPath(
        "Run queue, oldest first",
        'SELECT * FROM "agent_executions" WHERE "status" = %(status)s ORDER BY "startedAt" LIMIT 50',
        constants={"status": "PENDING"},
    ),
    AccessPath(
        "Analytics of a campaign, newest first",
        'SELECT * FROM "analytics" WHERE "campaignId" = %(campaign)s ORDER BY "date" DESC LIMIT 100',
        Typical("analytics", {"campaign": "campaignId"}),
    ),
    AccessPath(
        "Analytics of a campaign by type",
        'SELECT * FROM "analytics" WHERE "campaignId" = %(campaign)s AND "type" = %(kind)s'
        ' ORDER BY "date" DESC LIMIT 100',
        Typical("analytics", {"campaign": "campaignId"}),
        {"kind": "CLICKS"},
    ),
    AccessPath(
        "Revenue by month, over a quarter",
        'SELECT * FROM "analytics" WHERE "type" = %(kind)s AND "period" = %(period)s AND "date" >= %(start)s'
        ' ORDER BY "date"',
        constants={"kind": "REVENUE", "period": "month", "start": NOW - timedelta(days=90)},
    ),
    AccessPath(
        "High value leads",
        'SELECT * FROM "leads" WHERE "score" >= 7 ORDER BY "score" DESC, "createdAt" DESC LIMIT 50',
    ),
    AccessPath(
        "Lead by email",
        'SELECT * FROM "leads" WHERE "email" = %(email)s LIMIT 1',
        Typical("leads", {"email": "email"}),
    ),
    AccessPath(
        "Leads of a status by score",
        'SELECT * FROM "leads" WHERE "status" = %(status)s AND "score" >= 7 ORDER BY "score" DESC LIMIT 50',
        constants={"status": "QUALIFIED"},
    ),
    AccessPath(
        "Trending keywords",
        'SELECT * FROM "trends" WHERE "score" >= 5 ORDER BY "score" DESC, "detectedAt" DESC LIMIT 20',
    ),
    AccessPath(
        "Trending keywords of a platform",
        'SELECT * FROM "trends" WHERE "platform" = %(platform)s AND "score" >= 5'
        ' ORDER BY "score" DESC, "detectedAt" DESC LIMIT 20',
        constants={"platform": "TIKTOK"},
    ),
    AccessPath(
        "A keyword on a platform",
        'SELECT * FROM "trends" WHERE "keyword" = %(keyword)s AND "platform" = %(platform)s',
        Typical("trends", {"keyword": "keyword", "platform": "platform"}),
    ),
    AccessPath(
        "Content of a platform by status",
        'SELECT * FROM "contents" WHERE "platform" = %(platform)s AND "status" = %(status)s'
        ' ORDER BY "createdAt" DESC LIMIT 50',
        constants={"platform": "LINKEDIN", "status": "SCHEDULED"},
    ),
    AccessPath(
        "Sessions of a user",
        'SELECT * FROM "sessions" WHERE "userId" = %(user)s',
        Typical("sessions", {"user": "userId"}),
    ),
    AccessPath(
        "Tests of a campaign",
        'SELECT * FROM "ab_tests" WHERE "campaignId" = %(campaign)s',
        Typical("ab_tests", {"campaign": "campaignId"}),
    ),
)
