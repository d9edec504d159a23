"""Which statements are the same, of what kind they are, and which tables they name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbopt.postgres.normalized import normalized
from dbopt.workload import cut_off
from dbopt.workload.fingerprint import traits
from dbopt.workload.model import Kind

_MANY = ", ".join(f"(${n}, ${n + 1}::numeric(10,2))" for n in range(1, 80, 2))


def _fingerprint(text: str) -> str:
    return traits(normalized(text)).fingerprint


@pytest.mark.parametrize(
    "texts",
    [
        ("SELECT a FROM t WHERE b = 1", "select  a\nfrom T where b = 'x'", "SELECT a FROM t WHERE b = $7 -- c"),
        ("SELECT a FROM t WHERE b IN (1)", "SELECT a FROM t WHERE b IN ($1, $2, $3)"),
        ("SELECT a FROM t WHERE (b, c) IN ((1, 2))", "SELECT a FROM t WHERE (b, c) IN ((1, 2), ($1, $2))"),
        ("INSERT INTO t VALUES (1, 2::numeric(10,2))", f"INSERT INTO t VALUES {_MANY}"),
        ("SELECT a FROM t WHERE b = ANY (ARRAY[1, 2])", "SELECT a FROM t WHERE b = ANY (ARRAY[$1])"),
        ("SELECT date '2020-01-01' + 1", "SELECT date $1 + $2", "SELECT CAST($1 AS date) + $2"),
        ("SELECT a FROM t LIMIT 5", "SELECT a FROM t LIMIT $1"),
        ("SELECT a FROM app.t", 'SELECT a FROM "app"."t"'),
        ("SELECT a FROM t WHERE b = 5 AND", "select a from t where b = $1 and", "SELECT a FROM t WHERE b=7 AND"),
        ("SELECT a FROM t WHERE b IN (1, 2, 3", "SELECT a FROM t WHERE b IN ($1, $2, $3, $4, $1"),
        ("INSERT INTO t VALUES (1, 2), (3", "INSERT INTO t VALUES (1, 2), (3, 4), (5, 6"),
    ],
)
def test_the_same_statement(texts: tuple[str, ...]) -> None:
    assert len({_fingerprint(text) for text in texts}) == 1


@pytest.mark.parametrize(
    "texts",
    [
        ("SELECT a FROM t", "SELECT a FROM app.t", "SELECT a FROM other.t", 'SELECT a FROM "T"', "SELECT b FROM t"),
        (
            "SELECT a FROM t",
            "SELECT a FROM t LIMIT 1",
            "SELECT a FROM t OFFSET 1",
            "SELECT a FROM t ORDER BY 1",
            "SELECT a FROM t ORDER BY 2",
            "SELECT a FROM t GROUP BY 1",
        ),
        (
            "SELECT a FROM t WHERE b = 1",
            "SELECT a FROM t WHERE b IN (1)",
            "SELECT a FROM t WHERE b = ANY ($1)",
            "SELECT a FROM t WHERE b <> 1",
            "SELECT a FROM t WHERE b = c",
            "SELECT a FROM t WHERE b = 1 AND",
        ),
        ("SELECT a FROM t WHERE b = 5 AND", "SELECT a FROM t WHERE c = 5 AND", 'SELECT a FROM "T" WHERE b = 5 AND'),
        ("SELECT 1", "EXPLAIN SELECT 1", "SET a = 1", "SET b = 1", "VALUES (1)"),
    ],
)
def test_other_statements(texts: tuple[str, ...]) -> None:
    assert len({_fingerprint(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "kind", "relations"),
    [
        ("SELECT a FROM t, app.u x JOIN t z ON true", Kind.SELECT, ("t", "app.u")),
        ('TABLE "Odd ""one"', Kind.SELECT, ('"Odd ""one"',)),
        (
            'SELECT 1 FROM s."Odd name", "user", "plain" FOR UPDATE OF z',
            Kind.SELECT,
            ('s."Odd name"', '"user"', "plain"),
        ),
        ("VALUES (1)", Kind.SELECT, ()),
        (
            "SELECT f(x) FROM g(1) a, LATERAL (SELECT 1 FROM b WHERE EXISTS (SELECT 1 FROM c)) d",
            Kind.SELECT,
            ("b", "c"),
        ),
        ("INSERT INTO t SELECT * FROM u", Kind.INSERT, ("t", "u")),
        ("UPDATE t SET a = (SELECT 1 FROM v) FROM u", Kind.UPDATE, ("t", "v", "u")),
        ("DELETE FROM ONLY t USING u", Kind.DELETE, ("t", "u")),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", Kind.MERGE, ("t", "u")),
        (
            "WITH x AS (SELECT * FROM y), y AS (SELECT * FROM x) INSERT INTO x SELECT * FROM y, s.x",
            Kind.INSERT,
            ("y", "x", "s.x"),
        ),
        ("WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM x, y) SELECT * FROM x", Kind.SELECT, ("y",)),
        ("SELECT (WITH q AS (SELECT 1 FROM k) SELECT 1 FROM q) FROM q", Kind.SELECT, ("k", "q")),
        ("SELECT a INTO new FROM t", Kind.UTILITY, ("new", "t")),
        ("EXPLAIN INSERT INTO t SELECT 1", Kind.UTILITY, ("t",)),
        ("PREPARE p AS SELECT 1 FROM t", Kind.SELECT, ("t",)),
        ("DECLARE c CURSOR FOR SELECT 1 FROM t", Kind.UTILITY, ("t",)),
        ("COPY (SELECT 1 FROM t) TO STDOUT", Kind.UTILITY, ("t",)),
        ("CREATE TABLE n AS SELECT 1 FROM t", Kind.UTILITY, ("n", "t")),
        ("COPY t FROM '/x' WITH (DELIMITER 'y')", Kind.UTILITY, ()),
        ("BEGIN", Kind.UTILITY, ()),
        ("CALL p(1)", Kind.UTILITY, ()),
        ("/* dbopt: what it does */ SELECT 1 FROM t", Kind.OWN, ("t",)),
        ("<insufficient privilege>", Kind.UNKNOWN, ()),
        ("", Kind.UNKNOWN, ()),
        # Nested too deeply for a tree.
        ("SELECT a" + " || b" * 100 + " FROM t WHERE c = 5", Kind.SELECT, ("t",)),
        ("SELECT 1 FROM a" + " UNION ALL SELECT 2 FROM b" * 100 + " WHERE c", Kind.SELECT, ("a", "b")),
        # Cut off.
        (
            "select extract(year from d), trim(both from e) from a, only b x join lateral (select 1 from c",
            Kind.SELECT,
            ("a", "b"),
        ),
        (
            "WITH x (a, b) AS (SELECT 1 FROM t), y AS MATERIALIZED (SELECT * FROM x) UPDATE u SET a = ",
            Kind.UPDATE,
            ("t", "u"),
        ),
        ("WITH x AS (SELECT 1 FROM t WHERE", Kind.UNKNOWN, ("t",)),
        ("(SELECT 1 FROM t WHERE", Kind.SELECT, ("t",)),
        ('INSERT INTO app."Odd one" (a, b) VALUES ($1, ', Kind.INSERT, ('app."Odd one"',)),
        ("DELETE FROM t WHERE a IS DISTINCT FROM b AND c IN (1, ", Kind.DELETE, ("t",)),
        ("SELECT 1 FROM f(1) AS g, t WHERE a IN (SELECT b FROM cu", Kind.SELECT, ("t",)),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = (", Kind.MERGE, ("t", "u")),
        ("SELECT 1 FROM t FOR UPDATE OF (", Kind.SELECT, ("t",)),
        ("CREATE TABLE x (a int, ", Kind.UTILITY, ()),
        ("SELEC", Kind.UNKNOWN, ()),
    ],
)
def test_kind_and_relations(text: str, kind: Kind, relations: tuple[str, ...]) -> None:
    found = traits(normalized(text))
    assert (found.kind, found.relations) == (kind, relations)
    assert len(found.fingerprint) == 16
    int(found.fingerprint, 16)


_NAMES = st.sampled_from(["a", "b", "s.c", '"Odd one"', 's."T"'])


@settings(deadline=None)
@given(st.lists(_NAMES, min_size=1, max_size=4), st.sampled_from([" CROSS JOIN ", ", "]))
def test_cut_off_or_not_the_tables_are_those(names: list[str], between: str) -> None:
    text = f"SELECT 1 FROM {between.join(f'{name} x{n}' for n, name in enumerate(names))} WHERE true"
    assert traits(text).relations == cut_off.relations(text + " AND (")
