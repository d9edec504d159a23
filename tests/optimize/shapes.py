"""A table with columns of many kinds and indexes of many shapes on it, to hold estimated sizes against real ones."""

from __future__ import annotations

ROWS = 50_000

TABLE = f"""
CREATE EXTENSION pg_trgm;
SELECT setseed(0.42);
CREATE TABLE shapes (
    id bigint, customer_id int, account_id bigint, status text, kind smallint, active boolean, email text,
    title varchar(80), sku char(10), amount numeric(10, 2), price float8, uid uuid, created_at timestamptz, due date,
    deleted_at timestamptz, note text, wide text, skewed int, pair int, triple int, region text, addr inet, name name,
    hash bytea, tags int[], labels text[], words text, doc jsonb, span int4range, place point, area box
);
INSERT INTO shapes
SELECT g, random() * 9999, random() * 99999,
       (ARRAY['open', 'paid', 'shipped', 'cancelled', 'returned'])[1 + floor(5 * power(random(), 2))::int],
       random() * 19, random() < 0.9,
       'user' || g || '@' || (ARRAY['example.com', 'mail.example.org', 'x.test'])[1 + g % 3],
       substr(md5(random()::text), 1, (5 + random() * 30)::int), lpad((g % 25000)::text, 10, '0'),
       random() * 10000, random() * 1000, md5(g::text)::uuid,
       timestamptz '2024-01-01' + random() * interval '700 days', date '2024-01-01' + (random() * 700)::int,
       CASE WHEN random() < 0.2 THEN timestamptz '2024-01-01' + g * interval '1 minute' END,
       CASE WHEN random() < 0.4 THEN repeat('note ', (random() * 10)::int) || g END,
       (SELECT string_agg(md5(random()::text || g || x), '') FROM generate_series(1, 5 + g % 6) AS x),
       10000 * power(random(), 4), g / 2, g / 3,
       (ARRAY['eu-west', 'eu-north', 'us-east', 'us-west', 'ap-south', 'sa-east'])[1 + (random() * 5)::int],
       ('10.' || g % 256 || '.' || g / 256 % 256 || '.' || (random() * 255)::int)::inet, ('n' || g)::name,
       decode(md5(g::text), 'hex'), ARRAY[(random() * 100)::int, (random() * 1000)::int, (random() * 50)::int],
       ARRAY['tag' || (random() * 200)::int, 'tag' || (random() * 20)::int],
       (SELECT string_agg('word' || floor(3000 * power(random(), 3)) || left((g + x)::text, 0), ' ')
          FROM generate_series(1, 8) AS x),
       jsonb_build_object('id', g, 'kind', g % 20, 'email', 'user' || g || '@example.com', 'n', g % 100),
       int4range((random() * 100000)::int, 100001 + (random() * 1000)::int), point(random() * 1000, random() * 1000),
       NULL
  FROM generate_series(1, {ROWS}) AS g;
ALTER TABLE shapes ADD COLUMN body tsvector;
UPDATE shapes SET body = to_tsvector('simple', words), area = box(place, place + point(5, 5));
CREATE STATISTICS shapes_region_kind (ndistinct) ON region, kind FROM shapes;
CREATE INDEX shapes_analyzed ON shapes ((customer_id / 100));
"""

# As CREATE INDEX has it behind the table's name; UNIQUE goes in front.
BTREE = (
    "(id)",
    "UNIQUE (id)",
    "(customer_id)",
    "(account_id)",
    "(status)",
    "(kind)",
    "(active)",
    "(email)",
    "(email text_pattern_ops)",
    "(title)",
    "(sku)",
    "(amount)",
    "(price)",
    "(uid)",
    "(created_at)",
    "(due)",
    "(deleted_at)",
    "(note)",
    "(wide)",
    "(skewed)",
    "(pair)",
    "(triple)",
    "(region)",
    "(addr)",
    "(name)",
    "(hash)",
    "(status, created_at)",
    "(customer_id, created_at DESC)",
    "(customer_id, status)",
    "(region, kind)",
    "(customer_id, deleted_at)",
    "(account_id, email)",
    "(note, status)",
    "(kind, region, active)",
    "(id, status)",
    "(customer_id) INCLUDE (amount, title)",
    "(status) INCLUDE (id)",
    "(uid) WITH (fillfactor = 70)",
    "(status) WITH (deduplicate_items = off)",
    "(skewed) WITH (fillfactor = 100)",
    "(created_at) WHERE status = 'open'",
    "(status) WHERE status = 'open'",
    "(customer_id) WHERE deleted_at IS NULL",
    "(deleted_at) WHERE deleted_at IS NOT NULL",
    "(deleted_at, id) WHERE deleted_at IS NULL",
    "(note) WHERE note IS NOT NULL",
    "(id) WHERE NOT active",
    "(status, id) WHERE status IN ('open', 'paid')",
    "(created_at) WHERE created_at > '2025-06-01 00:00:00+00'",
)
# Without statistics of their own, but for the last.
EXPRESSIONS = (
    "(lower(email))",
    "(upper(title))",
    "(date_trunc('day', created_at AT TIME ZONE 'UTC'))",
    "(((created_at AT TIME ZONE 'UTC')::date))",
    "((doc ->> 'email'))",
    "((doc ->> 'kind'))",
    "(coalesce(note, ''))",
    "((customer_id % 10))",
    "((amount * 2))",
    "(substr(title, 1, 2))",
    "(md5(email))",
    "(lower(email)) WHERE status = 'open'",
    "((customer_id / 100), status)",
)
OTHERS = (
    "USING hash (id)",
    "USING hash (email)",
    "USING hash (customer_id)",
    "USING hash (status)",
    "USING hash (note)",
    "USING hash (skewed)",
    "USING hash (uid) WITH (fillfactor = 50)",
    "USING hash (email) WHERE status = 'open'",
    "USING brin (created_at)",
    "USING brin (id) WITH (pages_per_range = 4)",
    "USING brin (email, id) WITH (pages_per_range = 1)",
    "USING gin (tags)",
    "USING gin (tags) WHERE status = 'open'",
    "USING gin (labels)",
    "USING gin (body)",
    "USING gin (title gin_trgm_ops)",
    "USING gin (email gin_trgm_ops)",
    "USING gin (words gin_trgm_ops)",
    "USING gin (doc)",
    "USING gin (doc jsonb_path_ops)",
    "USING gist (span)",
    "USING gist (place)",
    "USING gist (area)",
    "USING gist (addr inet_ops)",
    "USING gist (body)",
    "USING gist (title gist_trgm_ops)",
    "USING spgist (place)",
    "USING spgist (place kd_point_ops)",
    "USING spgist (email)",
    "USING spgist (span)",
    "USING spgist (addr)",
    "USING spgist (area)",
)
