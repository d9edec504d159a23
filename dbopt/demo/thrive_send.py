"""Thrive-Send: email campaigns of agencies for their clients. What its tables hold, and what its users wait for."""

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
    through,
    when,
)

TITLE = "Thrive-Send"

# Against the largest tables. Large: what grows by the hour.
SHARES: dict[str, float] = {
    "Organization": 0.004,
    "User": 0.015,
    "OrganizationMember": 0.015,
    "Account": 0.015,
    "Session": 0.03,
    "Client": 0.008,
    "Project": 0.015,
    "CampaignTemplate": 0.002,
    "Template": 0.2,
    "Audience": 0.2,
    "AudienceSegment": 0.1,
    "TargetingRule": 0.1,
    "ContactList": 0.1,
    "Campaign": 0.6,
    "Content": 0.4,
    "ContentApproval": 0.4,
    "ContentPiece": 0.8,
    "ContentItem": 0.03,
    "CalendarEvent": 0.4,
    "SocialAccount": 0.005,
    "SocialPost": 0.1,
    "Engagement": 0.1,
    "Asset": 0.2,
    "AssetVersion": 0.2,
    "MarketplaceListing": 0.1,
    "Notification": 0.8,
    "Activity": 1,
    "Analytics": 1,
    "CrossCampaignAnalytics": 0.005,
}

_AUDIENCE_STATUS = pick(ACTIVE=70, INACTIVE=15, ARCHIVED=12, DRAFT=3)
_USER = Parent("User")
_ORGANIZATION = Parent("Organization")
# Numbers come in about hourly for the few campaigns that are followed closely.
_TRACKED_CAMPAIGN = Parent("Campaign", among=0.0003)

RECIPES: dict[str, dict[str, Recipe]] = {
    "Organization": {
        "name": label("Organization "),
        "slug": label("organization-"),
        "clerkOrganizationId": label("org_"),
    },
    "User": {
        "clerkId": label("user_"),
        "email": label("someone@example.com+"),
        "role": pick(CONTENT_CREATOR=70, REVIEWER=12, APPROVER=8, PUBLISHER=6, ADMIN=4),
    },
    "OrganizationMember": {"userId": same("User"), "organizationId": _ORGANIZATION},
    "Account": {"userId": same("User"), "provider": fixed("oidc")},
    "Client": {"organizationId": _ORGANIZATION},
    "Project": {"clientId": Parent("Client"), "organizationId": through("clientId", "organizationId")},
    "Template": {
        "name": label("Template "),
        "category": pick(newsletter=40, promotion=25, welcome=15, event=10, survey=6, reactivation=4),
        "status": pick(PUBLISHED=60, DRAFT=30, ARCHIVED=10),
        "authorId": _USER,
        "organizationId": through("authorId", "organizationId", of="OrganizationMember"),
    },
    "Audience": {
        "status": _AUDIENCE_STATUS,
        "createdById": _USER,
        "organizationId": through("createdById", "organizationId", of="OrganizationMember"),
        "size": amount(50_000, 4),
    },
    "AudienceSegment": {
        "status": _AUDIENCE_STATUS,
        "audienceId": Parent("Audience"),
        "createdById": through("audienceId", "createdById"),
        "organizationId": through("audienceId", "organizationId"),
    },
    "TargetingRule": {
        "isActive": pick(true=85, false=15),
        "segmentId": Parent("AudienceSegment"),
        "audienceId": through("segmentId", "audienceId"),
        "createdById": through("segmentId", "createdById"),
        "organizationId": through("segmentId", "organizationId"),
    },
    "ContactList": {
        "status": _AUDIENCE_STATUS,
        "createdById": _USER,
        "organizationId": through("createdById", "organizationId", of="OrganizationMember"),
        "audienceId": maybe(0.6, Parent("Audience")),
    },
    "Campaign": {
        "name": label("Campaign "),
        "description": maybe(0.7, prose(200)),
        "startDate": later("createdAt", 24 * 14),
        "endDate": maybe(0.8, later("createdAt", 24 * 90)),
        "budget": maybe(0.6, amount(20_000, 3)),
        "status": pick(completed=62, draft=14, active=12, cancelled=7, paused=5),
        "goalType": pick(ENGAGEMENT=35, CONVERSION=30, AWARENESS=15, REVENUE=10, RETENTION=8, CUSTOM=2),
        "scheduleFrequency": pick(ONCE=60, WEEKLY=20, MONTHLY=14, DAILY=5, CUSTOM=1),
        "clientId": Parent("Client"),
        "organizationId": through("clientId", "organizationId"),
        "audienceId": maybe(0.7, Parent("Audience")),
        "templateId": maybe(0.3, Parent("CampaignTemplate")),
        # Active ones are due soon; the others keep the time that they had when they ended.
        "nextScheduled": maybe(0.7, when("status", "active", around(0.05, 30), around(400, -1))),
    },
    "Content": {
        "content": prose(500),
        "slug": label("content-"),
        "status": pick(PUBLISHED=70, DRAFT=12, ARCHIVED=8, APPROVED=5, PENDING_REVIEW=3, IN_REVIEW=2),
    },
    "ContentApproval": {
        "contentId": same("Content"),
        "status": pick(PUBLISHED=60, APPROVED=22, REJECTED=10, CHANGES_REQUESTED=4, PENDING_REVIEW=2, IN_REVIEW=2),
        "createdBy": _USER,
        "assignedTo": maybe(0.9, Parent("User", among=0.2)),
    },
    "ContentPiece": {
        "content": prose(400),
        "contentType": pick(SOCIAL_POST=60, BLOG_POST=18, EMAIL=12, ARTICLE=6, VIDEO=4),
        "status": pick(PUBLISHED=72, DRAFT=14, SCHEDULED=6, ARCHIVED=4, APPROVED=2, IN_REVIEW=2),
        "publishedAt": when("status", "PUBLISHED", later("createdAt", 72), fixed(None)),
        "authorId": _USER,
        "organizationId": through("authorId", "organizationId", of="OrganizationMember"),
        "campaignId": maybe(0.6, Parent("Campaign")),
    },
    "CalendarEvent": {
        "type": pick(content=45, social=30, meeting=12, email=10, deadline=3),
        "status": pick(completed=70, scheduled=25, cancelled=4, draft=1),
        "startTime": around(700, 60),
        "endTime": later("startTime", 3),
        "createdBy": _USER,
        "organizationId": through("createdBy", "organizationId", of="OrganizationMember"),
    },
    "SocialAccount": {"platform": pick(linkedin=40, instagram=35, facebook=25), "clientId": Parent("Client")},
    "Engagement": {"contentPieceId": Parent("ContentPiece")},
    "Asset": {
        "type": pick(image=70, video=12, document=12, audio=4, font=2),
        "status": pick(ACTIVE=90, ARCHIVED=9, PROCESSING=1),
        "createdById": _USER,
        "organizationId": through("createdById", "organizationId", of="OrganizationMember"),
    },
    "AssetVersion": {"version": amount(9)},
    "MarketplaceListing": {
        "description": prose(400),
        "type": pick(template=60, service=25, asset=10, campaign=5),
        "status": pick(ACTIVE=55, SOLD=35, DRAFT=10),
        "price": amount(5000, 2),
    },
    "Notification": {
        "message": prose(90),
        "read": pick(true=93, false=7),
        "type": pick(STATUS_CHANGED=40, REVIEW_ASSIGNED=20, CONTENT_PUBLISHED=20, INFO=15, WARNING=4, ERROR=1),
        "userId": _USER,
    },
    "Activity": {
        "action": pick(VIEWED=50, UPDATED=30, CREATED=15, DELETED=5),
        "entityType": pick(CONTENT=55, CAMPAIGN=30, AUDIENCE=12, BILLING=2, ORGANIZATION=1),
        "userId": _USER,
    },
    "Analytics": {
        "createdAt": past(400, growth=1),
        "campaignId": _TRACKED_CAMPAIGN,
        "clientId": through("campaignId", "clientId"),
        "impressions": amount(20_000, 3),
        "clicks": amount(900, 3),
        "conversions": amount(60, 3),
        "revenue": amount(3000, 3),
        "lastActivity": since("createdAt"),
    },
}

# Prisma names every column of the model where `*` stands here.
PATHS = (
    AccessPath(
        "Organisation by its identity-provider id",
        'SELECT * FROM "Organization" WHERE "clerkOrganizationId" = %(clerk)s LIMIT 1',
        Typical("Organization", {"clerk": "clerkOrganizationId"}),
    ),
    AccessPath(
        "Campaign list of an organisation: active",
        'SELECT * FROM "Campaign" WHERE "organizationId" = %(organization)s AND "status" = %(status)s'
        ' ORDER BY "createdAt" DESC LIMIT 20',
        Typical("Campaign", {"organization": "organizationId"}),
        {"status": "active"},
    ),
    AccessPath(
        "Campaign list of an organisation: completed",
        'SELECT * FROM "Campaign" WHERE "organizationId" = %(organization)s AND "status" = %(status)s'
        ' ORDER BY "createdAt" DESC LIMIT 20',
        Typical("Campaign", {"organization": "organizationId"}),
        {"status": "completed"},
    ),
    AccessPath(
        "Campaign dashboard",
        'SELECT * FROM "Campaign" WHERE "organizationId" = %(organization)s AND "status" = %(status)s'
        ' AND "goalType" = %(goal)s ORDER BY "createdAt" DESC LIMIT 20',
        Typical("Campaign", {"organization": "organizationId"}),
        {"status": "completed", "goal": "CONVERSION"},
    ),
    AccessPath(
        "Campaigns that are due",
        """SELECT * FROM "Campaign" WHERE "status" = 'active' AND "nextScheduled" <= %(now)s"""
        ' ORDER BY "nextScheduled" LIMIT 100',
        constants={"now": NOW},
    ),
    AccessPath(
        "Campaigns of a goal and status, counted",
        'SELECT count(*) FROM "Campaign" WHERE "goalType" = %(goal)s AND "status" = %(status)s',
        constants={"goal": "CUSTOM", "status": "active"},
    ),
    AccessPath(
        "Campaigns of an audience",
        'SELECT * FROM "Campaign" WHERE "audienceId" = %(audience)s',
        Typical("Campaign", {"audience": "audienceId"}),
    ),
    AccessPath(
        "Content workflow board: published",
        'SELECT * FROM "ContentPiece" WHERE "organizationId" = %(organization)s AND "status" = %(status)s'
        ' ORDER BY "createdAt" DESC LIMIT 50',
        Typical("ContentPiece", {"organization": "organizationId"}),
        {"status": "PUBLISHED"},
    ),
    AccessPath(
        "Content workflow board: one author, one kind",
        'SELECT * FROM "ContentPiece" WHERE "organizationId" = %(organization)s AND "status" = %(status)s'
        ' AND "contentType" = %(kind)s AND "authorId" = %(author)s ORDER BY "createdAt" DESC LIMIT 50',
        Typical("ContentPiece", {"organization": "organizationId", "author": "authorId"}),
        {"status": "PUBLISHED", "kind": "BLOG_POST"},
    ),
    AccessPath(
        "Content of a kind in review, newest first",
        'SELECT * FROM "ContentPiece" WHERE "contentType" = %(kind)s AND "status" = %(status)s'
        ' ORDER BY "createdAt" DESC LIMIT 50',
        constants={"kind": "VIDEO", "status": "IN_REVIEW"},
    ),
    AccessPath(
        "Content published in a day",
        'SELECT * FROM "ContentPiece" WHERE "publishedAt" >= %(start)s AND "publishedAt" < %(end)s'
        """ AND "status" = 'PUBLISHED' ORDER BY "publishedAt" """,
        constants={"start": NOW - timedelta(days=90), "end": NOW - timedelta(days=89)},
    ),
    AccessPath(
        "Content of a campaign",
        'SELECT * FROM "ContentPiece" WHERE "campaignId" = %(campaign)s',
        Typical("ContentPiece", {"campaign": "campaignId"}),
    ),
    AccessPath(
        "Approval inbox of a user",
        'SELECT * FROM "ContentApproval" WHERE "assignedTo" = %(user)s AND "status" = %(status)s'
        ' ORDER BY "createdAt" DESC LIMIT 20',
        Typical("ContentApproval", {"user": "assignedTo"}),
        {"status": "PENDING_REVIEW"},
    ),
    AccessPath(
        "Approvals that wait, oldest first",
        """SELECT * FROM "ContentApproval" WHERE "status" = 'PENDING_REVIEW' ORDER BY "createdAt" LIMIT 50""",
    ),
    AccessPath(
        "Analytics of a campaign over a month",
        'SELECT sum("impressions"), sum("clicks"), sum("conversions"), sum("revenue")'
        ' FROM "Analytics" WHERE "campaignId" = %(campaign)s AND "createdAt" >= %(start)s AND "createdAt" < %(end)s',
        Typical("Analytics", {"campaign": "campaignId"}),
        {"start": NOW - timedelta(days=30), "end": NOW},
    ),
    AccessPath(
        "Analytics of a client by day, over a month",
        'SELECT date_trunc(\'day\', "createdAt"), sum("impressions"), sum("clicks"), sum("revenue")'
        ' FROM "Analytics" WHERE "clientId" = %(client)s AND "createdAt" >= %(start)s GROUP BY 1 ORDER BY 1',
        Typical("Analytics", {"client": "clientId"}),
        {"start": NOW - timedelta(days=30)},
    ),
    AccessPath(
        "Last activity of a client",
        'SELECT * FROM "Analytics" WHERE "clientId" = %(client)s ORDER BY "lastActivity" DESC LIMIT 1',
        Typical("Analytics", {"client": "clientId"}),
    ),
    AccessPath(
        "Activity timeline of a user",
        'SELECT * FROM "Activity" WHERE "userId" = %(user)s ORDER BY "createdAt" DESC LIMIT 50',
        Typical("Activity", {"user": "userId"}),
    ),
    AccessPath(
        "Activity feed of a kind",
        'SELECT * FROM "Activity" WHERE "entityType" = %(kind)s ORDER BY "createdAt" DESC LIMIT 50',
        constants={"kind": "BILLING"},
    ),
    AccessPath(
        "Unread notifications of a user",
        'SELECT * FROM "Notification" WHERE "userId" = %(user)s AND "read" = false ORDER BY "createdAt" DESC LIMIT 20',
        Typical("Notification", {"user": "userId"}),
    ),
    AccessPath(
        "Errors notified, newest first",
        'SELECT * FROM "Notification" WHERE "type" = %(kind)s ORDER BY "createdAt" DESC LIMIT 50',
        constants={"kind": "ERROR"},
    ),
    AccessPath(
        "Calendar week of an organisation",
        'SELECT * FROM "CalendarEvent" WHERE "organizationId" = %(organization)s AND "startTime" >= %(start)s'
        ' AND "startTime" < %(end)s ORDER BY "startTime"',
        Typical("CalendarEvent", {"organization": "organizationId"}),
        {"start": NOW, "end": NOW + timedelta(days=7)},
    ),
    AccessPath(
        "Next deadlines",
        'SELECT * FROM "CalendarEvent" WHERE "type" = %(kind)s AND "status" = %(status)s AND "startTime" >= %(now)s'
        ' ORDER BY "startTime" LIMIT 20',
        constants={"kind": "deadline", "status": "scheduled", "now": NOW},
    ),
    AccessPath(
        "Audiences of an organisation in draft",
        'SELECT * FROM "Audience" WHERE "organizationId" = %(organization)s AND "status" = %(status)s',
        Typical("Audience", {"organization": "organizationId"}),
        {"status": "DRAFT"},
    ),
    AccessPath(
        "Templates of an organisation by category",
        'SELECT * FROM "Template" WHERE "organizationId" = %(organization)s AND "category" = %(category)s',
        Typical("Template", {"organization": "organizationId"}),
        {"category": "reactivation"},
    ),
    AccessPath(
        "Assets of an organisation by type",
        'SELECT * FROM "Asset" WHERE "organizationId" = %(organization)s AND "type" = %(kind)s',
        Typical("Asset", {"organization": "organizationId"}),
        {"kind": "font"},
    ),
    AccessPath(
        "Versions of an asset, newest first",
        'SELECT * FROM "AssetVersion" WHERE "assetId" = %(asset)s ORDER BY "version" DESC',
        Typical("AssetVersion", {"asset": "assetId"}),
    ),
    AccessPath(
        "Cheapest active listings",
        'SELECT * FROM "MarketplaceListing" WHERE "status" = %(status)s AND "price" >= %(low)s'
        ' ORDER BY "price" LIMIT 24',
        constants={"status": "ACTIVE", "low": 1},
    ),
)
