-- The write batch: some minutes of both applications' writes, in one transaction that is rolled back. 18 MB of WAL
-- where there are no indexes but those of keys. Rows spread as those that are there already.
INSERT INTO "AudienceInteraction" ("id", "audienceId", "type", "data", "createdAt")
SELECT 'd' || lpad(to_hex(i), 24, '0'), (SELECT array_agg("id" ORDER BY "id") FROM "Audience")[1 + abs(hashint8(i)) % 22000],
       (ARRAY['open', 'click', 'visit'])[1 + i % 3], '{"device": "phone"}', timestamp '2026-01-15 12:00' + i * interval '50 ms'
  FROM generate_series(1, 10500) AS i;
INSERT INTO "Activity" ("id", "action", "entityType", "entityId", "metadata", "createdAt", "userId")
SELECT 'd' || lpad(to_hex(i), 24, '0'), (ARRAY['VIEWED', 'UPDATED'])[1 + i % 2], 'CONTENT', 'c' || i, '{"source": "web"}',
       timestamp '2026-01-15 12:00' + i * interval '75 ms', (SELECT array_agg("id" ORDER BY "id") FROM "User")[1 + abs(hashint8(i)) % 1650]
  FROM generate_series(1, 8000) AS i;
INSERT INTO "Notification" ("id", "message", "read", "userId", "createdAt", "type")
SELECT 'd' || lpad(to_hex(i), 24, '0'), repeat('told ', 15), false, (SELECT array_agg("id" ORDER BY "id") FROM "User")[1 + abs(hashint8(i)) % 1650],
       timestamp '2026-01-15 12:00' + i * interval '100 ms', 'STATUS_CHANGED'
  FROM generate_series(1, 6000) AS i;
INSERT INTO "BehavioralTracking" ("id", "audienceId", "event", "properties", "createdAt")
SELECT 'd' || lpad(to_hex(i), 24, '0'), (SELECT array_agg("id" ORDER BY "id") FROM "Audience")[1 + abs(hashint8(i)) % 22000],
       (ARRAY['page', 'search'])[1 + i % 2], '{"device": "phone"}', timestamp '2026-01-15 12:00' + i * interval '75 ms'
  FROM generate_series(1, 8000) AS i;
INSERT INTO "analytics" ("id", "campaignId", "type", "data", "period", "date")
SELECT 'd' || lpad(to_hex(i), 24, '0'), (SELECT array_agg("id" ORDER BY "id") FROM "campaigns")[1 + abs(hashint8(i)) % 2200], 'CLICKS',
       '{"value": 1, "channel": "web"}', 'hour', timestamp '2026-01-15 12:00' + i * interval '120 ms'
  FROM generate_series(1, 5000) AS i;
INSERT INTO "agent_executions" ("id", "agentId", "campaignId", "task", "payload", "status", "startedAt")
SELECT 'd' || lpad(to_hex(i), 24, '0'), (SELECT array_agg("id" ORDER BY "id") FROM "agents")[1 + i % 33],
       (SELECT array_agg("id" ORDER BY "id") FROM "campaigns")[1 + abs(hashint8(i)) % 44000], 'generate', '{"model": "small"}', 'PENDING',
       timestamp '2026-01-15 12:00' + i * interval '200 ms'
  FROM generate_series(1, 3000) AS i;
UPDATE "Analytics" SET "clicks" = "clicks" + 1, "lastActivity" = '2026-01-15 12:10', "updatedAt" = '2026-01-15 12:10'
 WHERE "id" IN (SELECT "id" FROM "Analytics" ORDER BY hashtext("id") LIMIT 9000);
UPDATE "agent_executions" SET "status" = 'COMPLETED', "completedAt" = '2026-01-15 12:10', "performance" = 77.5
 WHERE "id" IN (SELECT "id" FROM "agent_executions" ORDER BY hashtext("id") LIMIT 3000);
UPDATE "Contact" SET "lastContacted" = '2026-01-15 12:10', "updatedAt" = '2026-01-15 12:10'
 WHERE "id" IN (SELECT "id" FROM "Contact" ORDER BY hashtext("id") LIMIT 4000);
UPDATE "Notification" SET "read" = true
 WHERE "id" IN (SELECT "id" FROM "Notification" WHERE NOT "read" ORDER BY hashtext("id") LIMIT 2000);
DELETE FROM "Session" WHERE "id" IN (SELECT "id" FROM "Session" ORDER BY "expires" LIMIT 1500);
DELETE FROM neonhub."trends" WHERE "id" IN (SELECT "id" FROM neonhub."trends" ORDER BY "detectedAt" LIMIT 3000);
