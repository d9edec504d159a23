-- What both sample applications send in an hour, as their drivers prepare it. Constants are those of the programs.

-- 01: who is this session of
-- calls: 20000
SELECT s."id", s."expires", u."id", u."email", u."role"
  FROM "Session" s JOIN "User" u ON u."id" = s."userId"
 WHERE s."sessionToken" = $1;

-- 02: unread notifications, counted on every page
-- calls: 15000
SELECT count(*) FROM "Notification" WHERE "userId" = $1 AND "read" = false;

-- 03: unread notifications, newest first
-- calls: 4000
SELECT "id", "message", "type", "createdAt" FROM "Notification"
 WHERE "userId" = $1 AND "read" = false ORDER BY "createdAt" DESC LIMIT 20;

-- 04: subscriber by address, however it was typed
-- calls: 5000
SELECT * FROM "Contact" WHERE lower("email") = $1;

-- 05: lead by address
-- calls: 3000
SELECT "id", "email", "status", "score" FROM "leads" WHERE lower("email") = lower($1);

-- 06: campaign list of an organisation
-- calls: 3000
SELECT * FROM "Campaign" WHERE "organizationId" = $1 AND "status" = $2 ORDER BY "createdAt" DESC LIMIT 20;

-- 07: campaigns that are due
-- calls: 1200
SELECT "id", "name", "clientId", "nextScheduled" FROM "Campaign"
 WHERE "status" = 'active' AND "nextScheduled" <= $1 ORDER BY "nextScheduled" LIMIT 100;

-- 08: content board
-- calls: 2000
SELECT "id", "title", "contentType", "status", "createdAt", "authorId" FROM "ContentPiece"
 WHERE "organizationId" = $1 AND "status" = $2 ORDER BY "createdAt" DESC LIMIT 50;

-- 09: content of a kind and state, newest first
-- calls: 400
SELECT "id", "title", "createdAt" FROM "ContentPiece"
 WHERE "contentType" = $1 AND "status" = $2 AND "scheduledFor" IS NULL ORDER BY "createdAt" DESC LIMIT 20;

-- 10: activity of a kind, newest first
-- calls: 500
SELECT * FROM "Activity" WHERE "entityType" = $1 AND "action" = $2 ORDER BY "createdAt" DESC LIMIT 20;

-- 11: timeline of a user, next page
-- calls: 1500
SELECT "id", "action", "entityType", "entityId", "createdAt" FROM "Activity"
 WHERE "userId" = $1 AND ("createdAt", "id") < ($2, $3) ORDER BY "createdAt" DESC, "id" DESC LIMIT 50;

-- 12: best days of a client
-- calls: 600
SELECT "id", "campaignId", "revenue", "createdAt" FROM "Analytics"
 WHERE "clientId" = $1 AND "revenue" > $2 ORDER BY "createdAt" DESC LIMIT 10;

-- 13: a campaign over a month
-- calls: 1500
SELECT sum("impressions"), sum("clicks"), sum("conversions"), sum("revenue") FROM "Analytics"
 WHERE "campaignId" = $1 AND "createdAt" >= $2 AND "createdAt" < $3;

-- 14: notifications of a kind to people of a role
-- calls: 150
SELECT n."id", n."message", n."createdAt", u."email"
  FROM "Notification" n JOIN "User" u ON u."id" = n."userId"
 WHERE u."role" = $1 AND n."type" = $2
 ORDER BY n."createdAt" DESC LIMIT 20;

-- 15: events of a device
-- calls: 200
SELECT "id", "audienceId", "createdAt" FROM "BehavioralTracking"
 WHERE "event" = $1 AND "properties" ->> 'device' = $2 ORDER BY "createdAt" DESC LIMIT 20;

-- 16: published in a day
-- calls: 300
SELECT "id", "title", "authorId", "publishedAt" FROM "ContentPiece"
 WHERE "publishedAt" >= $1 AND "publishedAt" < $2 AND "status" = 'PUBLISHED' ORDER BY "publishedAt";

-- 17: content of a campaign
-- calls: 2000
SELECT "id", "title", "status" FROM "ContentPiece" WHERE "campaignId" = $1;

-- 18: versions of an asset
-- calls: 1500
SELECT * FROM "AssetVersion" WHERE "assetId" = $1 ORDER BY "version" DESC;

-- 19: engagement of a page of content
-- calls: 2500
SELECT "contentPieceId", sum("opens"), sum("clicks") FROM "Engagement"
 WHERE "contentPieceId" IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) GROUP BY "contentPieceId";

-- 20: posts of accounts
-- calls: 800
SELECT "id", "contentPieceId", "status", "publishedAt" FROM "SocialPost"
 WHERE "contentPieceId" = ANY ($1::text[]);

-- 21: find a subscriber as it is typed
-- calls: 900
SELECT "id", "firstName", "lastName", "email" FROM "Contact"
 WHERE lower("lastName") LIKE $1 ORDER BY lower("lastName") LIMIT 10;

-- 22: find a campaign by a part of its name
-- calls: 250
SELECT "id", "name", "status" FROM "Campaign" WHERE "name" ILIKE $1 ORDER BY "createdAt" DESC LIMIT 20;

-- 23: subscribers of a plan
-- calls: 60
SELECT "id", "email" FROM "Contact" WHERE "customFields" @> $1::jsonb;

-- 24: leads with any of these interests
-- calls: 120
SELECT "id", "email", "score" FROM "leads" WHERE "tags" && $1::text[] ORDER BY "score" DESC NULLS LAST LIMIT 50;

-- 25: subscribers with all of these interests, counted
-- calls: 100
SELECT count(*) FROM "Contact" WHERE "tags" @> $1::text[] AND "status" = $2;

-- 26: search in content
-- calls: 60
SELECT "id", "title", "slug" FROM "Content"
 WHERE to_tsvector('english', "title" || ' ' || "content") @@ plainto_tsquery('english', $1)
 ORDER BY "createdAt" DESC LIMIT 20;

-- 27: a list by state
-- calls: 800
SELECT "status", count(*) FROM "Contact" WHERE "contactListId" = $1 GROUP BY "status";

-- 28: run queue
-- calls: 6000
SELECT "id", "agentId", "task", "payload" FROM "agent_executions"
 WHERE "status" = 'PENDING' ORDER BY "startedAt" LIMIT 50;

-- 29: posts that are not out yet
-- calls: 1800
SELECT "id", "socialAccountId", "contentPieceId", "scheduledAt" FROM "SocialPost"
 WHERE "publishedAt" IS NULL AND "status" = 'SCHEDULED' AND "scheduledAt" <= $1 ORDER BY "scheduledAt" LIMIT 25;

-- 30: last content of an organisation with its campaign and author
-- calls: 150
SELECT p."id", p."title", p."publishedAt", c."name", u."firstName", u."lastName"
  FROM "ContentPiece" p
  JOIN "Campaign" c ON c."id" = p."campaignId"
  JOIN "User" u ON u."id" = p."authorId"
 WHERE c."organizationId" = $1 AND p."publishedAt" IS NOT NULL
 ORDER BY p."publishedAt" DESC LIMIT 20;

-- 31: bounced subscribers of an organisation
-- calls: 80
SELECT k."id", k."email", k."updatedAt", l."name"
  FROM "Contact" k
  JOIN "ContactList" l ON l."id" = k."contactListId"
  JOIN "Audience" a ON a."id" = l."audienceId"
  JOIN "Organization" o ON o."id" = a."organizationId"
 WHERE o."slug" = $1 AND k."status" = 'BOUNCED'
 ORDER BY k."updatedAt" DESC LIMIT 50;

-- 32: campaigns that wait for a review
-- calls: 250
SELECT c."id", c."name" FROM "Campaign" c
 WHERE c."organizationId" = $1
   AND EXISTS (SELECT 1 FROM "ContentPiece" p WHERE p."campaignId" = c."id" AND p."status" = 'IN_REVIEW');

-- 33: active campaigns without content
-- calls: 150
SELECT c."id", c."name" FROM "Campaign" c
 WHERE c."organizationId" = $1 AND c."status" = 'active'
   AND NOT EXISTS (SELECT 1 FROM "ContentPiece" p WHERE p."campaignId" = c."id")
 ORDER BY c."createdAt" LIMIT 50;

-- 34: last three deeds of each member
-- calls: 60
SELECT m."userId", a."action", a."entityType", a."createdAt"
  FROM "OrganizationMember" m
 CROSS JOIN LATERAL (
           SELECT "action", "entityType", "createdAt" FROM "Activity"
            WHERE "userId" = m."userId" ORDER BY "createdAt" DESC LIMIT 3
       ) a
 WHERE m."organizationId" = $1;

-- 35: last figures of a campaign
-- calls: 1500
SELECT max("date") FROM "analytics" WHERE "campaignId" = $1;

-- 36: what an author has, but for what is put away
-- calls: 600
SELECT "id", "title", "status", "updatedAt" FROM "Content"
 WHERE "authorId" = $1 AND "status" <> 'ARCHIVED' ORDER BY "updatedAt" DESC LIMIT 20;

-- 37: interactions by hour
-- calls: 200
SELECT date_trunc('hour', "createdAt") AS hour, "type", count(*) FROM "AudienceInteraction"
 WHERE "createdAt" >= $1 AND "createdAt" < $2 GROUP BY 1, 2 ORDER BY 1, 2;

-- 38: figures of a campaign by kind
-- calls: 900
SELECT "id", "type", "date", "data" FROM neonhub."analytics"
 WHERE "campaignId" = $1 AND "type" = $2 ORDER BY "date" DESC LIMIT 100;

-- 39: trending keywords of a platform
-- calls: 700
SELECT "keyword", "score", "growth" FROM neonhub."trends"
 WHERE "platform" = $1 AND "score" >= $2 ORDER BY "score" DESC, "detectedAt" DESC LIMIT 20;

-- 40: leads to call
-- calls: 350
SELECT * FROM "leads" WHERE "status" = $1 AND "score" >= 7 ORDER BY "score" DESC LIMIT 50;

-- 41: lead by phone or exact address
-- calls: 450
SELECT "id", "name", "status" FROM "leads" WHERE "phone" = $1 OR "email" = $2;

-- 42: week of an organisation
-- calls: 1000
SELECT "id", "title", "type", "status", "startTime", "endTime" FROM "CalendarEvent"
 WHERE "organizationId" = $1 AND "startTime" >= $2 AND "startTime" < $3 ORDER BY "startTime";

-- 43: how an agent did in a month
-- calls: 120
SELECT count(*), avg("performance") FROM "agent_executions"
 WHERE "agentId" = $1 AND "status" = 'COMPLETED' AND "startedAt" >= $2;

-- 44: last run of each campaign of a user
-- calls: 200
SELECT DISTINCT ON ("campaignId") "campaignId", "status", "startedAt" FROM "agent_executions"
 WHERE "userId" = $1 AND "campaignId" IS NOT NULL ORDER BY "campaignId", "startedAt" DESC;

-- 45: inbox of an approver
-- calls: 900
SELECT a."id", a."currentStep", c."title", a."createdAt"
  FROM "ContentApproval" a JOIN "Content" c ON c."id" = a."contentId"
 WHERE a."assignedTo" = $1 AND a."status" = $2 ORDER BY a."createdAt" DESC LIMIT 20;

-- 46: what an audience did
-- calls: 300
SELECT "type", count(*), max("createdAt") FROM "AudienceInteraction" WHERE "audienceId" = $1 GROUP BY "type";

-- 47: all read
-- calls: 400
UPDATE "Notification" SET "read" = true WHERE "userId" = $1 AND "read" = false;

-- 48: counters of the hour
-- calls: 9000
UPDATE "Analytics" SET "clicks" = "clicks" + 1, "lastActivity" = $2, "updatedAt" = $2 WHERE "id" = $1;

-- 49: a run ends
-- calls: 3000
UPDATE "agent_executions" SET "status" = 'COMPLETED', "completedAt" = $2, "performance" = $3 WHERE "id" = $1;

-- 50: a mailing went out
-- calls: 60
UPDATE "Contact" SET "lastContacted" = $2, "updatedAt" = $2 WHERE "contactListId" = $1 AND "status" = 'ACTIVE';

-- 51: sessions that are over
-- calls: 12
DELETE FROM "Session" WHERE "expires" < $1;

-- 52: old trends
-- calls: 6
DELETE FROM neonhub."trends" WHERE "detectedAt" < $1;

-- 53: an event
-- calls: 10500
INSERT INTO "AudienceInteraction" ("id", "audienceId", "type", "data", "createdAt") VALUES ($1, $2, $3, $4, $5);

-- 54: something done
-- calls: 8000
INSERT INTO "Activity" ("id", "action", "entityType", "entityId", "metadata", "createdAt", "userId")
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- 55: somebody told
-- calls: 6000
INSERT INTO "Notification" ("id", "message", "read", "userId", "createdAt", "type")
VALUES ($1, $2, false, $3, $4, $5);

-- 56: a figure
-- calls: 5000
INSERT INTO "analytics" ("id", "campaignId", "userId", "type", "data", "period", "date")
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- 57: a run begins
-- calls: 3000
INSERT INTO "agent_executions" ("id", "agentId", "campaignId", "userId", "task", "payload", "status", "startedAt")
VALUES ($1, $2, $3, $4, $5, $6, 'PENDING', $7);

-- 58: a page seen
-- calls: 8000
INSERT INTO "BehavioralTracking" ("id", "audienceId", "event", "properties", "createdAt") VALUES ($1, $2, $3, $4, $5);
