"""Indexes of every shape that PostgreSQL has, made by hand in SQL: for what reads a database and writes it down.

`make(database)` makes those that the server and its extensions know; `SHAPES` are the statements, each with the name of
its index. Tables have no rows, and nothing is analyzed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server import Database

# Contrib of all majors. `bloom` and `btree_gist` bring methods and operator classes that PostgreSQL has not.
EXTENSIONS = ("pg_trgm", "btree_gin", "btree_gist", "hstore", "ltree", "citext", "intarray", "bloom", "cube")

SCHEMA = r'''
CREATE SCHEMA app;
CREATE SCHEMA crm;
CREATE SCHEMA "Ünï Code";
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'it''s', 'a,b');
CREATE TYPE public.status AS ENUM ('open', 'closed');
CREATE TYPE app.pair AS (a int, b text);
CREATE DOMAIN app.email AS text CHECK (VALUE ~ '@');
DO $$ BEGIN
  CREATE COLLATION app.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  CREATE COLLATION app."Odd.coll" (provider = icu, locale = 'de');
EXCEPTION WHEN feature_not_supported THEN  -- a server without ICU
  CREATE COLLATION app.blind FROM "POSIX";
  CREATE COLLATION app."Odd.coll" FROM "POSIX";
END $$;
CREATE FUNCTION app.norm(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE FUNCTION public.norm(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lower($1); END';
CREATE FUNCTION app."Odd Fn"(int, VARIADIC int[]) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE OPERATOR CLASS app.down_ops FOR TYPE int USING btree AS
  OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(int, int);
CREATE OPERATOR CLASS app."Odd ""ops""" FOR TYPE int USING btree AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE TABLE app.things (
  gone int, id bigint PRIMARY KEY, n int, small smallint, t text, u text UNIQUE, v varchar(40), c char(5), b bool,
  p numeric(12, 2), f float8, d date, ts timestamp, tz timestamptz, iv interval, j jsonb, a int[], ta text[],
  va varchar[], m app.mood, ma app.mood[], s public.status, e app.email, w app.pair, r int4range, ra int4range[],
  doc tsvector, q tsquery, uid uuid, ip inet, net cidr, mac macaddr, bt bytea, bits varbit(8), nm name, o oid,
  pt point, bx box, pg polygon, ci circle, tc text COLLATE "C", tb text COLLATE app.blind, tm time, lsn pg_lsn,
  EXCLUDE USING gist (r WITH &&)
);
ALTER TABLE app.things DROP COLUMN gone;
CREATE TABLE public.things (id int, t text);
CREATE TABLE crm.things (id int, t text, n int);
CREATE TABLE "Ünï Code"."Tablé 😀" ("Spalte ä" int, "日本" text);
CREATE TABLE public."Odd.Table ""x"" %s $1" (
  "no" int, "1e3" int, "2026-01-31" int, "null" int, "~" int, "*star" int, "&amp" int, "{brace}" int, "[list]" int,
  "key: value" int, "a # b" int, "- dash" int, "'single'" text, "dou""ble" text, "back\slash" text, "UPPER" int,
  "select" int, "%s" int, "$1" int, " lead" int, "trail " int, "a,b" int, "?" int, "!" int, "|" int, ">" int, "@" int,
  "`" int, "#" int, ":" int, "yes" int, "Null" int, "0x10" int, "12:30" int, "=" int, "<<" int, "true" bool,
  "line
break" text, "tab	stop" int, "жук😀" text, "nbsp " int
);
CREATE TABLE public."no" (id int);
CREATE TABLE public."2026-01-31" (id int);
CREATE UNLOGGED TABLE app.scratch (n int, v varchar);
CREATE TABLE app.child (extra int) INHERITS (crm.things);
CREATE TABLE app.computed (a int, v varchar(10), twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE MATERIALIZED VIEW app.summary AS SELECT n, t, v, p FROM app.things;
CREATE TABLE app.referenced (a int NOT NULL, b int NOT NULL);

CREATE TABLE app.events (id int, at int, region text, note text, body jsonb) PARTITION BY RANGE (at);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM (0) TO (10);
CREATE TABLE app.events_2 PARTITION OF app.events FOR VALUES FROM (10) TO (20) PARTITION BY LIST (region);
CREATE TABLE app.events_2_eu PARTITION OF app.events_2 FOR VALUES IN ('eu') PARTITION BY HASH (note);
CREATE TABLE app."Events 2 eu 0" PARTITION OF app.events_2_eu FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app."Events 2 eu 1" PARTITION OF app.events_2_eu FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE crm.events_2_rest PARTITION OF app.events_2 DEFAULT;
CREATE TABLE app.events_rest (region text, id int, dropped int, at int, note text, body jsonb);
ALTER TABLE app.events_rest DROP COLUMN dropped;
ALTER TABLE app.events ATTACH PARTITION app.events_rest DEFAULT;
CREATE TABLE app.lonely (id int, at int) PARTITION BY RANGE (at);
'''
LONG = "long_" + "n" * 58  # 63 bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement that makes one index, or `setup` around it; `{}` in it is the name. `schema` is the table's."""

    sql: str
    name: str
    schema: str
    since: int = 13
    extension: str | None = None


SHAPES: list[Shape] = []


def _shape(
    on: str, *, name: str | None = None, since: int = 13, extension: str | None = None, unique: bool = False
) -> None:
    """`on`: what stands behind ON; the table is app.things where it begins with a parenthesis or USING."""
    name = name or f"zoo_{len(SHAPES):03}"
    on = f"app.things {on}" if on.startswith(("(", "USING")) else on
    quoted = '"' + name.replace('"', '""') + '"'
    text = f"CREATE {'UNIQUE ' if unique else ''}INDEX {quoted} ON {on}"
    schema = re.match(r'(?:ONLY )?("(?:[^"])+"|\w+)\.', on)
    assert schema is not None, on
    SHAPES.append(Shape(text, name, schema[1].strip('"'), since, extension))


# btree: columns, order, operator classes, collations
_MANY = " OR ".join(f"t = 'value number {number}'" for number in range(20))
for _on in r'''
(n)
(n DESC)
(n NULLS FIRST)
(n DESC NULLS LAST)
(n DESC NULLS FIRST, t ASC NULLS LAST)
(t, n, v DESC)
(t text_pattern_ops)
(v)
(v varchar_pattern_ops)
(v varchar_ops)
(c)
(c bpchar_pattern_ops)
(a)
(va)
(m)
(ma)
(w)
(r)
(ra)
(e)
(e text_pattern_ops)
(uid)
(ip)
(net)
(mac)
(bt)
(bits)
(nm)
(o)
(iv)
(tm)
(lsn)
(j)
(doc)
(q)
(b)
(small, p, f, d, ts, tz)
(t COLLATE "C")
(t COLLATE "C" text_pattern_ops DESC)
(tc)
(tc COLLATE "default")
(tb)
(t COLLATE app.blind)
(t COLLATE app."Odd.coll" DESC NULLS LAST)
(t COLLATE "POSIX", n)
(n app.down_ops)
(n app."Odd ""ops""" DESC)
(n int4_ops, n app.down_ops)
(t COLLATE pg_catalog."C", t)
# INCLUDE, storage parameters, predicates
(n) INCLUDE (t)
(n) INCLUDE (t, v, n) WHERE b
(n) WITH (fillfactor = 70)
(n) WITH (fillfactor = 90)
(n) WITH (deduplicate_items = off, fillfactor = '55')
(n) WITH (deduplicate_items = TRUE)
(n) WHERE n > 0
(n) WHERE NOT b
(n) WHERE b IS TRUE
(n) WHERE t IN ('a', 'b')
(n) WHERE v IN ('a', 'b')
(n) WHERE v = 'x' AND (c = 'y' OR c IS NULL)
(n) WHERE m = 'it''s'
(n) WHERE m IN ('a,b', 'ok')
(n) WHERE s = 'open'
(n) WHERE s <> ALL ('{open,closed}')
(n) WHERE t = 'a: b # c'
(n) WHERE t = E'\\back'
(n) WHERE t = E'two\nlines' OR t = E'\ttab'
(n) WHERE t LIKE '100\%' ESCAPE '\'
(n) WHERE t ~ '^(a|b)\)$'
(n) WHERE t = '(' OR t = ')'
(n) WHERE (n > 0) IS NOT FALSE
(n) WHERE tz > '2024-01-01 00:00:00+00'
(n) WHERE d > DATE '2024-01-01'
(n) WHERE j @> '{"a": [1, 2]}'
(n) WHERE j ->> 'k' = 'v'
(n) WHERE a[1] = 1
(n) WHERE (w).a = 1
(n) WHERE things IS NOT NULL
(n) WHERE n BETWEEN 1 AND 10 AND n NOT IN (3, 4)
(n) WHERE t IS DISTINCT FROM u
(n) WHERE app.norm(t) = 'x'
(n) WHERE norm(t) = 'x'
(n) WHERE f > '-Infinity'
(n) WHERE f = 0.1 AND p = 10.50
(n) WHERE iv > '1 day'
(n) WHERE n = -1
(n) WHERE e = 'a@b'
(n) WHERE t = ANY (ta)
(n) WHERE ip << '10.0.0.0/8'
(n) WHERE NULLIF(n, 0) IS NULL
(n) WHERE t = 'жук😀'
(n) WHERE CASE WHEN b THEN n > 1 ELSE n < 0 END
# expressions
(lower(t))
(lower(v))
(lower(t) text_pattern_ops)
(lower(t) COLLATE "C")
(lower(tc))
(lower(tc) COLLATE "default")
(lower(t) DESC NULLS LAST)
((n + 1))
((n + 1), t, (lower(u)) DESC)
((j ->> 'k'))
(((j ->> 'k')::int))
((j -> 'a' -> 'b'))
((j #>> '{a,b}'))
(coalesce(t, u, ''))
((CASE WHEN b THEN 1 ELSE 2 END))
((t || ' ' || u))
(app.norm(t))
(public.norm(t))
(app."Odd Fn"(n, 1, 2))
(app."Odd Fn"(n, VARIADIC a))
((v::text))
((n::text))
((ts::date))
(date_trunc('day', ts))
((tz AT TIME ZONE 'UTC'))
(extract(year FROM d))
(((w).b))
((a[1]))
((t IS NULL))
((n = 1 AND b))
(substring(t FROM 1 FOR 3))
(md5(t || E'\\'))
((ROW(n, t)::app.pair))
((ARRAY[n, 1]))
((e::text))
(upper(e))
((e::app.email))
((n % 10))
((- n))
(trim(both 'x' from t))
(greatest(n, 1), least(n, 2))
(((t COLLATE "C") || 'x'))
((t ~~ 'a%'))
(position('a' in t))
((m > 'ok'))
(replace(replace(replace(replace(t, 'one thing', 'another'), 'a second', 'a third'), 'a fourth thing', 'x'), 'y', 'z'))
# other methods
USING hash (t)
USING hash (n) WITH (fillfactor = 50)
USING hash (lower(t))
USING hash (v)
USING hash (m)
USING gin (a)
USING gin (ta)
USING gin (va)
USING gin (ma)
USING gin (j)
USING gin (j jsonb_path_ops)
USING gin (doc) WITH (fastupdate = off)
USING gin (doc) WITH (gin_pending_list_limit = 512)
USING gin (j, doc)
USING gin (to_tsvector('english', t))
USING gin ((j -> 'tags') jsonb_path_ops)
USING gin ((ARRAY[n]))
USING gin (to_tsvector('english'::regconfig, coalesce(t, '') || ' ' || coalesce(u, ''))) WHERE b
USING gist (r)
USING gist (pt)
USING gist (bx)
USING gist (pg)
USING gist (ci)
USING gist (doc)
USING gist (doc tsvector_ops (siglen = 100))
USING gist (q)
USING gist (ip inet_ops)
USING gist (net inet_ops)
USING gist (r) INCLUDE (n)
USING gist (r) WITH (fillfactor = 80, buffering = on)
USING gist (box(pt, pt))
USING gist ((r * r)) WHERE NOT isempty(r)
USING spgist (t)
USING spgist (pt)
USING spgist (pt kd_point_ops)
USING spgist (ip)
USING spgist (r)
USING spgist (bx)
USING spgist (t) WITH (fillfactor = 60)
USING brin (ts)
USING brin (n, t) WITH (pages_per_range = 32, autosummarize = on)
USING brin (ip inet_inclusion_ops)
USING brin (ip)
USING brin (r)
USING brin (bx)
USING brin (uid)
USING brin (n) WITH (pages_per_range = 128)
'''.splitlines():
    if _on and not _on.startswith("#"):
        _shape(_on)
_shape(f"(n) WHERE {_MANY}")

# since
_shape("(n, t) NULLS NOT DISTINCT", unique=True, since=15)
_shape("(t) INCLUDE (v) NULLS NOT DISTINCT WITH (fillfactor = 60) WHERE b", unique=True, since=15)
_shape("USING spgist (t) INCLUDE (n)", since=14)
_shape("USING brin (ts timestamp_minmax_multi_ops (values_per_range = 16))", since=14)
_shape(
    "USING brin (t text_bloom_ops (n_distinct_per_range = 100, false_positive_rate = 0.05), n int4_bloom_ops)", since=14
)

# uniqueness
_shape("(n)", unique=True)
_shape("(lower(t), n)", unique=True)
_shape("(t) WHERE n IS NULL", unique=True)
_shape("app.referenced (a, b)", unique=True, name="referenced_by_a_foreign_key")

# extensions'
for _on, _extension in (
    ("USING gin (t gin_trgm_ops)", "pg_trgm"),
    ("USING gin (lower(t) gin_trgm_ops)", "pg_trgm"),
    ("USING gist (t gist_trgm_ops)", "pg_trgm"),
    ("USING gist (t gist_trgm_ops (siglen = 32), u gist_trgm_ops)", "pg_trgm"),
    ('USING gist (t COLLATE "C" gist_trgm_ops (siglen = 64))', "pg_trgm"),
    ("(n) WHERE word_similarity(t, 'word') > 0.5", "pg_trgm"),
    ("(n) WHERE a @@ '1&(2|3)'", "intarray"),
    ("USING gin (n, j)", "btree_gin"),
    ("USING gin (m)", "btree_gin"),
    ("USING gist (n, r)", "btree_gist"),
    ("USING gist (net)", "btree_gist"),
    ("USING gist (t) INCLUDE (n)", "btree_gist"),
    ("USING gin (a gin__int_ops)", "intarray"),
    ("USING gist (a gist__int_ops (numranges = 50))", "intarray"),
    ("USING gist (a gist__intbig_ops (siglen = 100))", "intarray"),
    ("USING bloom (n, t) WITH (length = 100, col1 = 4)", "bloom"),
    ("USING bloom (n)", "bloom"),
    ("((t::citext))", "citext"),
    ("(n) WHERE t::citext = 'x'", "citext"),
    ("USING gist ((t::ltree) gist_ltree_ops (siglen = 100))", "ltree"),
    ("USING gist ((t::ltree))", "ltree"),
    ("USING gin (hstore(t, u))", "hstore"),
    ("USING gist (hstore(t, u) gist_hstore_ops (siglen = 32))", "hstore"),
    ("USING gist (cube(f))", "cube"),
):
    _shape(_on, extension=_extension)

# Tables of one name, of other kinds, with other names
for _on in r"""
public.things (t)
crm.things (t)
crm.things (app.norm(t), n) WHERE t IN ('a', 'b')
app.scratch (n, v DESC)
app.child (extra, lower(t))
app.computed (twice) WHERE twice > 4
app.summary (n)
app.summary (v) WHERE v IN ('x', 'y')
public."no" (id)
public."2026-01-31" (id DESC)
"Ünï Code"."Tablé 😀" ("Spalte ä", lower("日本")) WHERE "日本" <> 'ä😀'
""".splitlines():
    if _on:
        _shape(_on)
ODD = 'public."Odd.Table ""x"" %s $1"'
_shape(f'{ODD} ("no", "1e3", "2026-01-31", "null", "~", "*star", "&amp", "{{brace}}", "[list]")')
_shape(f"""{ODD} ("key: value" DESC, "a # b", "- dash", "'single'", "dou""ble", "back\\slash", "UPPER", "select")""")
_shape(f'{ODD} ("%s", "$1", " lead", "trail ", "a,b", "?", "!", "|", ">", "@", "`", "#", ":")')
_shape(f'{ODD} ("yes", "Null", "0x10", "12:30") INCLUDE ("=", "<<", "true", "no")')
_shape(f'{ODD} ("line\nbreak", "tab\tstop", "жук😀", "nbsp ")')
_shape(f'{ODD} (lower("dou""ble"), (("key: value" + 1))) WHERE "null" > 1 AND "true" AND "back\\slash" = \'# no\'')
for _name in (
    "no",
    "1e3",
    "2026-01-31x",
    "null",
    "~",
    "*star",
    "&anchor",
    "{brace}",
    "[list]",
    "!tag",
    "|",
    ">",
    "%percent",
    "@at",
    "`tick`",
    "#hash",
    "- dash",
    "key: value",
    "it's",
    'dou"ble',
    "back\\slash",
    "UPPER_idx",
    "two words",
    "dotted.name",
    "$1",
    "%s",
    " lead",
    "trail ",
    "жук😀",
    "日本語_idx",
    "line\nbreak",
    "tab\tstop",
    "select",
    "true",
    "0x1F",
    "12:30:45",
    ".5",
    "+1",
    "=",
    "<<",
    "---",
    "...",
    "a,b",
    "x ",
    "bell\x07",
    "rtl\u202e",
    "=1+1",
    LONG,
    "é" * 31,
):
    _shape("(n)" if len(SHAPES) % 2 else '"Ünï Code"."Tablé 😀" ("Spalte ä")', name=_name)

# Partition trees: named by the server, by a template, and by hand
_shape("app.events (id)", name="events_by_id")
_shape("app.events (at, region, note, id)", name="events_key", unique=True)
_shape("app.events (lower(note), id DESC) WHERE region IN ('eu', 'us')", name="events_note")
_shape("app.events USING gin (body jsonb_path_ops) WITH (fastupdate = off)", name="events_body")
_shape("app.events_2 (note)", name="half_a_tree")
_shape("app.events_1 (note)", name="of_a_leaf")
_shape('app."Events 2 eu 0" (id, at)', name="of_a_deep leaf")
_shape("app.lonely (id)", name="of_no_partition")

# Names of a tree's parts, and what has to be there with the indexes.
AFTER = """
ALTER INDEX app.events_1_lower_id_idx RENAME TO "by hand";
ALTER TABLE app.referenced ADD CONSTRAINT refers FOREIGN KEY (a, b) REFERENCES app.referenced (a, b);
COMMENT ON INDEX app.zoo_000 IS 'Somebody''s text: "with" # all
and two lines';
COMMENT ON INDEX app.zoo_001 IS E'  blanks around \\n\\n and a trailing line\\n';
ALTER TABLE app.things CLUSTER ON zoo_000;
"""


def make(database: Database, *, after: str = AFTER) -> list[Shape]:
    """Every shape that this server can have, in one database; those that were made."""
    known = {name for (name,) in database.sql("SELECT name FROM pg_available_extensions")}
    extensions = [name for name in EXTENSIONS if name in known]
    made = [
        shape
        for shape in SHAPES
        if database.server_version >= (shape.since,) and (shape.extension is None or shape.extension in extensions)
    ]
    # One of two default operator classes for a type: before 18 it was btree_gist's.
    database.sql("; ".join(f"CREATE EXTENSION {name}" for name in extensions))
    database.sql(SCHEMA)
    database.sql(";\n".join(shape.sql for shape in made))
    database.sql(after)
    return made
