"""Keys, uniqueness, INCLUDE, methods and storage parameters that mean the same, and such that look the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.optimize.zoo import Pair, Zoo, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

zoo = Zoo()
equal, different = zoo.equal, zoo.different


def expr(text: str) -> dict[str, object]:
    return {"keys": [{"expr": text}]}


# Expressions
equal("(lower(t))", **expr("LOWER(t)"))
equal("(lower(v))", **expr("lower(v::text)"))
equal("(lower((v)::text))", **expr("lower( v )"))
equal("((t))", keys=["t"])
equal("(t)", **expr("((t))"))
equal("(lower(people.t))", **expr("lower(t)"))
equal("(lower(t))", **expr("lower(people.t)"))
equal("(lower(t))", **expr("pg_catalog.lower(t)"))
equal("((j ->> 'k'))", **expr("(j->>'k')::text"))
equal("(((j ->> 'k')::int))", **expr("CAST(j ->> 'k' AS integer)"))
equal("((j #>> '{a,b}'))", **expr("j #>> ARRAY['a', 'b']"))
equal("((j -> 'a' -> 'b'))", **expr("((j -> 'a'::text) -> 'b')"))
equal("((n + 1))", **expr("n+1"))
equal("((n + 6))", **expr("n + 2 * 3"))
equal("((t || ' ' || u))", **expr("(t || ' ') || u"))
equal("(coalesce(t, u, ''))", **expr("COALESCE(t,u,'')"))
equal("((CASE WHEN b THEN 1 ELSE 2 END))", **expr("case when b then 1 else 2 end"))
equal("((v IN ('a', 'b')))", **expr("v::text = ANY (ARRAY[('a'::varchar)::text, ('b'::varchar)::text])"))
equal("(date_trunc('day', ts))", **expr("date_trunc('day'::text, ts)"))
equal("((ts::date))", **expr("CAST(ts AS date)"))
equal("((tz AT TIME ZONE 'UTC'))", **expr("timezone('UTC', tz)"))
equal("(extract(year FROM d))", **expr("EXTRACT(YEAR FROM d)"))
equal("((-n))", **expr("- n"))
equal("((a[1]))", **expr("a [ 1 ]"))
equal("(((w).b))", **expr("(people.w).b"))
equal("(app.norm(t))", **expr("app . norm ( t )"))
equal("(norm(t))", **expr("public.norm(t)"))
equal("(fiscal(d))", **expr("fiscal(d)"))
equal('((t COLLATE "C"))', keys=[{"column": "t", "collation": "C"}])
equal('(lower(t) COLLATE "C")', keys=[{"expr": "lower(t)", "collation": "C"}])
equal('(lower(t COLLATE "C"))', **expr('lower(t COLLATE "C")'))
equal("(to_tsvector('english', t))", **expr("to_tsvector('english'::regconfig, t)"))
equal("USING gin (to_tsvector('english', t))", method="gin", **expr("to_tsvector('english', (t))"))
equal('("Order", lower("a.b"))', keys=["Order", {"expr": 'lower("a.b")'}])
equal(
    '("with ""quote", "two words", "жук😀", people, "select")',
    keys=['with "quote', "two words", "жук😀", "people", "select"],
)
different("(lower(t))", **expr("upper(t)"))
different("(lower(t))", keys=["t"])
different("(lower(t))", **expr("lower(u)"))
different("(lower(t), lower(u))", keys=[{"expr": "lower(u)"}, {"expr": "lower(t)"}])
different("(lower(t), n)", keys=["n", {"expr": "lower(t)"}])
different("((t || ' ' || u))", **expr("u || ' ' || t"))
different("((t || ' ' || u))", **expr("t || '  ' || u"))
different("((j ->> 'k'))", **expr("j -> 'k'"))
different("((j ->> 'k'))", **expr("j ->> 'K'"))
different("((j ->> 'k'))", **expr("js ->> 'k'"))
different("(((j ->> 'k')::int))", **expr("(j ->> 'k')::bigint"))
different("((n + 1))", **expr("n + 2"))
different("((n + 1))", **expr("1 + n"))
different("((n / 2))", **expr("n / 2.0"))
different("((1), n)", keys=[{"expr": "2"}, "n"])
different("(app.norm(t))", **expr("crm.norm(t)"))
different("(app.norm(t))", **expr("lower(t)"))
different('(length(t COLLATE "C"))', **expr("length(t)"))
different('(lower(t COLLATE "C"))', **expr('lower(t COLLATE "POSIX")'))
different("((t COLLATE \"C\" < 'm'))", **expr("t COLLATE \"POSIX\" < 'm'"))
different('(lower(t) COLLATE "C")', **expr("lower(t)"))
different("(date_trunc('day', ts))", **expr("date_trunc('hour', ts)"))
different("((tz AT TIME ZONE 'UTC'))", **expr("tz AT TIME ZONE 'Europe/Berlin'"))
different("(to_tsvector('english', t))", **expr("to_tsvector('simple', t)"))
different("(coalesce(t, ''))", **expr("coalesce(t, ' ')"))
different("((substr(t, 1, 3)))", **expr("substr(t, 1, 4)"))

# Order, operator classes, collations
equal("(n ASC NULLS LAST)", keys=["n"])
equal("(n)", keys=[{"column": "n", "order": "asc", "nulls": "last"}])
equal("(n DESC)", keys=[{"column": "n", "order": "desc", "nulls": "first"}])
equal("(n DESC NULLS LAST, t)", keys=[{"column": "n", "order": "desc", "nulls": "last"}, "t"])
equal("(t text_ops)", keys=["t"])
equal("(v text_ops)", keys=["v"])
equal("(t pg_catalog.text_pattern_ops)", keys=[{"column": "t", "opclass": "text_pattern_ops"}])
equal("(n int4_ops)", keys=["n"])
equal('(t COLLATE "default")', keys=["t"])
equal('(tc COLLATE "C")', keys=["tc"])
equal("(tc)", keys=[{"column": "tc", "collation": "C"}])
equal('(t COLLATE pg_catalog."C")', keys=[{"column": "t", "collation": "C"}])
equal("USING gin (j jsonb_ops)", method="gin", keys=["j"])
equal("USING gin (a array_ops, ta)", method="gin", keys=["a", "ta"])
different("(n)", keys=[{"column": "n", "order": "desc"}])
different("(n DESC)", keys=[{"column": "n", "order": "desc", "nulls": "last"}])
different("(n NULLS FIRST)", keys=["n"])
different("(n, t)", keys=["t", "n"])
different("(n, t)", keys=["n"])
different("(n)", keys=["n", "t"])
different("(n DESC, t)", keys=["n", {"column": "t", "order": "desc"}])
different("(v varchar_ops)", keys=["v"])  # the server keeps the two operator classes apart
different("(v varchar_pattern_ops)", keys=["v"])
different("(t text_pattern_ops)", keys=["t"])
different("(t text_pattern_ops)", keys=[{"column": "t", "opclass": "varchar_pattern_ops"}])
different('(t COLLATE "C")', keys=["t"])
different('(t COLLATE "C")', keys=[{"column": "t", "collation": "POSIX"}])
different('(tc COLLATE "default")', keys=["tc"])
different("USING gin (j jsonb_path_ops)", method="gin", keys=["j"])
different("(t)", keys=["u"])
different("(t)", keys=["TEXT"])

# Uniqueness and INCLUDE
equal("CREATE UNIQUE INDEX {} ON app.people (n, t)", keys=["n", "t"], unique=True)
equal("CREATE UNIQUE INDEX {} ON app.people (n) NULLS DISTINCT", since=15, keys=["n"], unique={"nulls": "distinct"})
equal("CREATE UNIQUE INDEX {} ON app.people (n) NULLS NOT DISTINCT", 15, keys=["n"], unique={"nulls": "not_distinct"})
equal("CREATE UNIQUE INDEX {} ON app.people (lower(v)) WHERE b", keys=[{"expr": "lower(v)"}], unique=True, where="b")
equal("(n) INCLUDE (t, u)", keys=["n"], include=["t", "u"])
different("CREATE UNIQUE INDEX {} ON app.people (n)", keys=["n"])
different("(n)", keys=["n"], unique=True)
different("CREATE UNIQUE INDEX {} ON app.people (n)", 15, keys=["n"], unique={"nulls": "not_distinct"})
different("CREATE UNIQUE INDEX {} ON app.people (n) NULLS NOT DISTINCT", 15, keys=["n"], unique=True)
different("CREATE UNIQUE INDEX {} ON app.people (n, t)", keys=["n"], include=["t"], unique=True)
different("(n) INCLUDE (t)", keys=["n", "t"])
different("(n) INCLUDE (t)", keys=["n"])
different("(n) INCLUDE (t)", keys=["n"], include=["t", "u"])
different("(n) INCLUDE (t, u)", keys=["n"], include=["u", "t"])  # how the tuples are laid out, and padded

# Methods and storage parameters
equal("USING btree (n) WITH (fillfactor = 70)", keys=["n"], **{"with": {"fillfactor": "70"}})
equal(
    "(n) WITH (fillfactor = '70', deduplicate_items = 0)",
    keys=["n"],
    **{"with": {"deduplicate_items": "no", "fillfactor": "70"}},
)
equal("(n) WITH (deduplicate_items = F)", keys=["n"], **{"with": {"deduplicate_items": "off"}})
equal("(n) WITH (fillfactor = 90)", keys=["n"])
equal("(n)", keys=["n"], **{"with": {"deduplicate_items": "on"}})
equal("USING hash (n) WITH (FillFactor = 60)", method="hash", keys=["n"], **{"with": {"fillfactor": "60"}})
equal("USING gin (a) WITH (fastupdate)", method="gin", keys=["a"])
equal("USING gin (a) WITH (fastupdate = No)", method="gin", keys=["a"], **{"with": {"fastupdate": "false"}})
equal(
    "USING gin (a) WITH (gin_pending_list_limit = 4096, fastupdate = off)",
    method="gin",
    keys=["a"],
    **{"with": {"fastupdate": "off", "gin_pending_list_limit": "4096"}},
)
equal("USING gist (r) WITH (buffering = auto)", method="gist", keys=["r"])
equal("USING gist (r) WITH (buffering = ON)", method="gist", keys=["r"], **{"with": {"buffering": "on"}})
equal(
    "USING gist (doc tsvector_ops (siglen = 64))",
    method="gist",
    keys=[{"column": "doc", "opclass": "tsvector_ops", "opclass_options": {"siglen": "64"}}],
)
equal("USING spgist (t) WITH (fillfactor = 80)", method="spgist", keys=["t"])
equal("USING spgist (r)", method="spgist", keys=["r"])
equal(
    "USING brin (ts) WITH (pages_per_range = 32, autosummarize = yes)",
    method="brin",
    keys=["ts"],
    **{"with": {"autosummarize": "1", "pages_per_range": "32"}},
)
equal(
    "USING brin (ts timestamp_minmax_multi_ops (values_per_range = 16))",
    14,
    method="brin",
    keys=[{"column": "ts", "opclass": "timestamp_minmax_multi_ops", "opclass_options": {"values_per_range": "16"}}],
)
equal(
    "USING brin (n int4_bloom_ops (n_distinct_per_range = -0.10, false_positive_rate = 0.05))",
    14,
    method="brin",
    keys=[
        {
            "column": "n",
            "opclass": "int4_bloom_ops",
            "opclass_options": {"false_positive_rate": "0.050", "n_distinct_per_range": "-0.1"},
        }
    ],
)
different("(n) WITH (fillfactor = 70)", keys=["n"])
different("(n) WITH (fillfactor = 70)", keys=["n"], **{"with": {"fillfactor": "71"}})
different("(n) WITH (deduplicate_items = off)", keys=["n"])
different("(n)", method="hash", keys=["n"])
different("USING brin (n)", keys=["n"])
different("USING gin (a) WITH (fastupdate = off)", method="gin", keys=["a"])
different(
    "USING gin (a) WITH (gin_pending_list_limit = 1234567)",
    method="gin",
    keys=["a"],
    **{"with": {"gin_pending_list_limit": "1234568"}},
)
different("USING gist (r)", method="spgist", keys=["r"])
different("USING gist (ip inet_ops)", method="spgist", keys=["ip"])
different("USING gist (doc tsvector_ops (siglen = 64))", method="gist", keys=["doc"])
different(
    "USING gist (doc tsvector_ops (siglen = 64))",
    method="gist",
    keys=[{"column": "doc", "opclass": "tsvector_ops", "opclass_options": {"siglen": "65"}}],
)
different("USING brin (ts) WITH (pages_per_range = 32)", method="brin", keys=["ts"])
different("USING brin (n)", 14, method="brin", keys=[{"column": "n", "opclass": "int4_bloom_ops"}])
different("USING brin (n int4_minmax_multi_ops)", 14, method="brin", keys=["n"])


@pytest.fixture(scope="module")
def said(pg: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with pg.database() as database:
        yield verdicts(database, tmp_path_factory.mktemp("zoo"), zoo.pairs)


@pytest.mark.parametrize("pair", zoo.params())
def test_definition(said: dict[str, str], pair: Pair) -> None:
    expected = "unchanged" if pair.equal else "replace"
    assert said[pair.name].split(":")[0] == expected, (pair.made, pair.entry, said[pair.name])
