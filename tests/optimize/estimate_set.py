"""Tables as applications have them and indexes on them, for bench/estimates.py: how near estimated sizes come to real
ones, on data that the estimates were not made on.

The values come from hashes of the row's number: the same on every server, and spread as unevenly as real ones are.
"""

from __future__ import annotations

from dbopt.values import dataclass

BTREE_LIMIT, OTHERS_LIMIT = 0.10, 0.30
EXTENSIONS = ("pg_trgm", "btree_gin", "btree_gist")


@dataclass(frozen=True, slots=True)
class Shape:
    """`definition` as CREATE INDEX has it behind the table's name, UNIQUE in front of it. `since`: the first major."""

    table: str
    definition: str
    since: int = 13
    extension: str | None = None

    @property
    def limit(self) -> float:
        return OTHERS_LIMIT if self.definition.startswith("USING ") else BTREE_LIMIT

    def statement(self, name: str) -> str:
        unique = "UNIQUE " if self.definition.startswith("UNIQUE ") else ""
        return f"CREATE {unique}INDEX {name} ON {self.table} {self.definition.removeprefix('UNIQUE ')}"

    def __str__(self) -> str:
        return f"{self.table} {self.definition}"


# r(g, n): 0 <= r < 1, by chance, another for each n.
HELPERS = """
CREATE FUNCTION r(g bigint, n int) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT ((hashint8extended(g, n) >> 11) & 9007199254740991) / 9007199254740992.0 $$;
CREATE TYPE order_state AS ENUM ('cart', 'placed', 'paid', 'packed', 'sent', 'done', 'returned');
CREATE DOMAIN postcode AS varchar(8);
"""

TABLES = {
    "orders": """
CREATE TABLE orders (
    id bigint, customer_id int, shop_id smallint, state order_state, placed_at timestamptz, paid_at timestamptz,
    total numeric(12, 2), tax numeric, currency char(3), reference varchar(20), token uuid, note text, coupon text,
    is_gift boolean, weight real, postcode postcode, due date, opened time, waited interval, quantity int, meta jsonb,
    labels text[], line_ids bigint[]
);
INSERT INTO orders
SELECT g, floor(20000 * power(r(g, 1), 3)), 1 + floor(40 * power(r(g, 2), 2)),
       ((ARRAY['done', 'done', 'done', 'done', 'done', 'sent', 'paid', 'placed', 'returned', 'cart'])
        [1 + floor(10 * r(g, 3))])::order_state,
       timestamptz '2024-03-01 00:00:00+00' + g * interval '97 seconds' + r(g, 4) * interval '1 hour',
       CASE WHEN r(g, 5) < 0.85 THEN timestamptz '2024-03-01 00:00:00+00' + g * interval '97 seconds' END,
       round((5 + 400 * power(r(g, 6), 4))::numeric, 2), round((r(g, 7) * 1e6)::numeric, (6 * r(g, 8))::int),
       (ARRAY['EUR', 'EUR', 'EUR', 'USD', 'GBP', 'CHF'])[1 + floor(6 * r(g, 9))],
       'R-' || lpad((g * 7919 % 1000003)::text, 7, '0'), md5('t' || g)::uuid,
       CASE WHEN r(g, 10) < 0.07 THEN repeat('please ring twice ', 1 + floor(6 * r(g, 11))::int) || g END,
       CASE WHEN r(g, 12) < 0.2 THEN 'SAVE' || floor(60 * r(g, 13)) END,
       r(g, 14) < 0.03, r(g, 15) * 30, lpad(floor(99999 * power(r(g, 16), 2))::text, 5, '0'),
       date '2024-03-01' + (g / 900)::int, time '08:00' + floor(600 * r(g, 17)) * interval '1 minute',
       floor(3000 * power(r(g, 18), 2)) * interval '1 minute', 1 + floor(power(r(g, 19), 8) * 50),
       jsonb_build_object('source', (ARRAY['web', 'app', 'phone'])[1 + floor(3 * r(g, 20))], 'visit', g % 5000,
                          'utm', jsonb_build_object('campaign', 'c' || floor(90 * r(g, 21)), 'term', md5(g::text))),
       (SELECT array_agg('label-' || floor(400 * power(r(g, 30 + x), 2))) FROM generate_series(1, 1 + g % 4) AS x),
       ARRAY[g * 3, g * 3 + 1, g * 3 + 2]
  FROM generate_series(1, {rows}) AS g;
""",
    "events": """
CREATE TABLE events (
    id bigint, account_id bigint, kind text, at timestamptz, day date, ip inet, net cidr, url text, agent text,
    session text, parent_id bigint, score float8, is_bot boolean, code char(2), payload jsonb, digest bytea,
    mac macaddr, seen tstzrange, "Level" smallint
);
INSERT INTO events
SELECT g, (g / 5) * 7 % 60013, (ARRAY['page.view', 'page.view', 'click', 'form.submit', 'error.client', 'purchase'])
       [1 + floor(6 * power(r(g, 1), 2))],
       timestamptz '2026-01-01 00:00:00+00' + g / 3 * interval '2 seconds', date '2026-01-01' + (g / 5000)::int,
       ('10.' || floor(4 * r(g, 2)) || '.' || floor(256 * r(g, 3)) || '.' || floor(256 * r(g, 4)))::inet,
       network(set_masklen(('10.' || floor(4 * r(g, 2)) || '.' || floor(256 * r(g, 3)) || '.0')::inet, 24)),
       'https://shop.example/' || (ARRAY['p', 'category', 'search?q=', 'account/orders'])[1 + floor(4 * r(g, 5))] ||
       '/' || left(md5(floor(30000 * power(r(g, 6), 2))::text) || md5(g::text), 4 + floor(50 * r(g, 7))::int),
       'Mozilla/5.0 (X11; Linux x86_64) Engine/' || floor(40 * power(r(g, 8), 2)) || '.0 (KHTML) Safari/537.'
         || floor(8 * r(g, 9)),
       left(md5((g / 12)::text), 22), CASE WHEN r(g, 10) < 0.35 THEN g - floor(100 * r(g, 11))::int END,
       CASE WHEN r(g, 12) < 0.5 THEN 0 ELSE r(g, 13) END, r(g, 14) < 0.2,
       chr(65 + floor(26 * r(g, 15))::int) || chr(65 + floor(10 * r(g, 16))::int),
       jsonb_build_object('k', floor(20 * r(g, 17)), 'items', jsonb_build_array(g % 97, g % 89, 'x' || g % 53),
                          'ok', r(g, 18) < 0.5),
       decode(md5('d' || g), 'hex'), ('08:00:2b:' || substr(md5(g::text), 1, 2) || ':' || substr(md5(g::text), 3, 2)
         || ':' || substr(md5(g::text), 5, 2))::macaddr,
       tstzrange(timestamptz '2026-01-01 00:00:00+00' + g * interval '40 seconds',
                 timestamptz '2026-01-01 00:00:00+00' + g * interval '40 seconds' + r(g, 19) * interval '1 day'),
       floor(9 * power(r(g, 20), 3))
  FROM generate_series(1, {rows}) AS g;
""",
    "docs": """
CREATE TABLE docs (
    id int, slug text, title text, body text, lang text, search tsvector, author name, tags int[], published date,
    version text, summary varchar(300)
);
INSERT INTO docs
SELECT g, 'doc-' || left(md5(g::text), 6 + (g % 10)::int), initcap(t.words), b.words,
       (ARRAY['en', 'en', 'en', 'de', 'fr', 'nl'])[1 + floor(6 * r(g, 1))], to_tsvector('simple', b.words),
       'author_' || floor(300 * power(r(g, 2), 2)),
       (SELECT array_agg(floor(2000 * power(r(g, 50 + x), 3))::int) FROM generate_series(1, 6) AS x),
       CASE WHEN r(g, 3) < 0.7 THEN date '2020-01-01' + floor(2000 * r(g, 4))::int END,
       floor(4 * r(g, 5)) || '.' || floor(20 * r(g, 6)) || '.' || floor(30 * r(g, 7)), left(b.words, 300)
  FROM generate_series(1, {rows} / 4) AS g,
       LATERAL (SELECT string_agg(left(md5(floor(900 * power(r(g, 100 + x), 2))::text), 3 + x % 6), ' ') AS words
                  FROM generate_series(1, 4 + g % 5) AS x) AS t,
       LATERAL (SELECT string_agg(left(md5(floor(6000 * power(r(g, 200 + x), 3))::text), 2 + x % 8), ' ') AS words
                  FROM generate_series(1, 40 + g % 60) AS x) AS b;
""",
    "bookings": """
CREATE TABLE bookings (
    id int, room_id int, during tsrange, days daterange, price numrange, seats int4range, ids int8range, at point,
    area box, outline polygon, round circle, guest text, host inet
);
INSERT INTO bookings
SELECT g, floor(500 * r(g, 1)), tsrange(s.at, s.at + (1 + floor(40 * r(g, 2))) * interval '15 minutes'),
       daterange(s.at::date, s.at::date + 1 + floor(14 * r(g, 3))::int),
       numrange(round((100 * r(g, 4))::numeric, 2), round((100 + 200 * r(g, 5))::numeric, 2)),
       int4range(g, g + 10), int8range(floor(1e6 * r(g, 6))::bigint, floor(1e6 * r(g, 6))::bigint + 50),
       point(r(g, 7) * 180, r(g, 8) * 90), box(point(r(g, 7), r(g, 8)), point(r(g, 7) + 0.1, r(g, 8) + 0.1)),
       polygon(box(point(r(g, 7), r(g, 8)), point(r(g, 7) + 0.1, r(g, 8) + 0.1))), circle(point(r(g, 7), r(g, 8)), 0.5),
       'guest ' || left(md5(floor(8000 * power(r(g, 9), 2))::text), 12),
       ('192.168.' || floor(256 * r(g, 10)) || '.' || floor(256 * r(g, 11)))::inet
  FROM generate_series(1, {rows} / 2) AS g,
       LATERAL (SELECT timestamp '2026-01-01' + floor(35000 * r(g, 12)) * interval '15 minutes' AS at) AS s;
""",
    "small": """
CREATE TABLE small (id int, name text, kind int);
INSERT INTO small SELECT g, 'name ' || md5(g::text), g % 7 FROM generate_series(1, 2500) AS g;
""",
}


def _of(table: str, *definitions: str, since: int = 13, extension: str | None = None) -> tuple[Shape, ...]:
    return tuple(Shape(table, definition, since, extension) for definition in definitions)


SHAPES: tuple[Shape, ...] = (
    *_of(
        "orders",
        "UNIQUE (id)", "(customer_id)", "(shop_id)", "(state)", "(placed_at)", "(paid_at)", "(total)", "(tax)",
        "(currency)", "UNIQUE (reference)", "(token)", "(note)", "(coupon)", "(is_gift)", "(weight)", "(postcode)",
        "(due)", "(opened)", "(waited)", "(quantity)", "(customer_id, placed_at DESC)", "(shop_id, state)",
        "(state, placed_at)", "(shop_id, customer_id, id)", "(currency, coupon)", "(due, shop_id)",
        "(postcode, currency)", "(customer_id) INCLUDE (total, state)", "(token) INCLUDE (note)",
        "(placed_at) WITH (fillfactor = 60)", "(customer_id) WITH (fillfactor = 100)",
        "(shop_id) WITH (deduplicate_items = off)", "(customer_id) WHERE state = 'returned'",
        "(paid_at) WHERE paid_at IS NULL", "(placed_at) WHERE is_gift", "(coupon) WHERE coupon IS NOT NULL",
        "(reference) WHERE total > 200", "(id) WHERE state IN ('cart', 'placed')", "(upper(reference))",
        "(((total * 100)::int))", "((meta ->> 'source'))", "(((meta ->> 'visit')::int))", "((meta #>> '{utm,term}'))",
        "(date_trunc('month', placed_at AT TIME ZONE 'UTC'))", "(left(reference, 4))", "(meta)", "(labels)",
        "(line_ids)", "(abs(quantity), customer_id)", "(lower(note)) WHERE note IS NOT NULL",
        "USING hash (customer_id)", "USING hash (reference)", "USING hash (token)", "USING hash (shop_id)",
        "USING hash (note)", "USING gin (labels)", "USING gin (line_ids)", "USING gin (meta)",
        "USING gin (meta jsonb_path_ops)", "USING gin ((meta -> 'utm'))", "USING brin (placed_at)",
        "USING brin (id, placed_at)", "USING brin (id) WITH (pages_per_range = 8)", "USING spgist (reference)",
    ),
    *_of(
        "orders",
        "USING brin (token uuid_bloom_ops)", "USING brin (customer_id int4_minmax_multi_ops)",
        "USING brin (placed_at timestamptz_minmax_multi_ops) WITH (pages_per_range = 16)",
        since=14,
    ),
    *_of("orders", "USING gin (state, customer_id)", "USING gin (shop_id, labels)", extension="btree_gin"),
    *_of("orders", "USING gist (customer_id)", "USING gist (placed_at, shop_id)", extension="btree_gist"),
    *_of("orders", "USING gin (reference gin_trgm_ops)", "USING gist (note gist_trgm_ops)", extension="pg_trgm"),
    *_of(
        "events",
        "(id)", "(account_id)", "(kind)", "(at)", "(day)", "(ip)", "(net)", "(url)", "(agent)", "(session)",
        "(parent_id)", "(score)", "(is_bot)", "(code)", "(digest)", "(mac)", '("Level")', "(account_id, at)",
        "(kind, at DESC)", "(account_id, kind, day)", "(session, id)", "(agent, kind)", "(code, \"Level\", is_bot)",
        "(url text_pattern_ops)", "(account_id) INCLUDE (session)", "(at) WHERE kind = 'purchase'",
        "(account_id) WHERE NOT is_bot", "(parent_id) WHERE parent_id IS NOT NULL", "(md5(url))",
        "(split_part(url, '/', 4))", "(host(ip))", "(length(url))",
        "((payload ->> 'k'))", "(id) WHERE score > 0.9", "(lower(agent), at)", "(seen)",
        "USING hash (session)", "USING hash (kind)", "USING hash (url) WHERE is_bot", "USING gin (payload)",
        "USING gin (payload jsonb_path_ops)", "USING brin (at)", "USING brin (account_id, day)",
        "USING brin (ip inet_inclusion_ops)", "USING brin (seen)", "USING gist (seen)", "USING gist (ip inet_ops)",
        "USING spgist (url)", "USING spgist (ip)", "USING spgist (seen)",
    ),
    *_of("events", "USING gin (url gin_trgm_ops)", extension="pg_trgm"),
    *_of(
        "docs",
        "UNIQUE (slug)", "(title)", "(lang, published)", "(author)", "(version)", "(summary)", "(md5(body))",
        "(left(body, 40))", "(lower(title) text_pattern_ops)", "(title) INCLUDE (version)",
        "(published DESC NULLS LAST)", "USING gin (search)", "USING gin (tags)",
        "USING gin (to_tsvector('simple', title))",
        "USING gist (search)", "USING hash (title)", "USING spgist (title)",
        "USING gin (search) WHERE lang = 'de'", "USING gin (tags, search)",
    ),
    *_of(
        "docs", "USING gin (title gin_trgm_ops)", "USING gin (summary gin_trgm_ops)",
        "USING gist (title gist_trgm_ops)", "USING gin (lower(title) gin_trgm_ops)",
        "USING gin (title gin_trgm_ops, version gin_trgm_ops)",
        extension="pg_trgm",
    ),
    *_of(
        "bookings",
        "(room_id)", "(during)", "(days)", "(guest)", "(room_id, guest)", "USING gist (during)", "USING gist (days)",
        "USING gist (price)", "USING gist (seats)", "USING gist (ids)", "USING gist (at)", "USING gist (area)",
        "USING gist (outline)", "USING gist (round)", "USING gist (host inet_ops)", "USING spgist (during)",
        "USING spgist (at)", "USING spgist (at kd_point_ops)", "USING spgist (area)", "USING spgist (guest)",
        "USING gist (during) WHERE room_id < 100", "USING brin (id)", "USING brin (area box_inclusion_ops)",
    ),
    *_of("bookings", "USING gist (room_id, during)", "USING gist (guest, days)", extension="btree_gist"),
    *_of("small", "UNIQUE (id)", "(name)", "(kind)", "USING hash (id)", "(kind, id)"),
)  # fmt: skip
