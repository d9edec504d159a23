"""Statements for people: the same statement, on lines that fit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbopt.postgres.normalized import normalized
from dbopt.workload.layout import formatted

from . import zoo


def test_a_clause_a_line() -> None:
    text = "SELECT a, b FROM t JOIN u USING (c) WHERE d = $1 AND e IN ($2, $3) ORDER BY 1 DESC LIMIT $4"
    assert formatted(text, 40).split("\n") == [
        *("SELECT a, b", "FROM", "  t", "  JOIN u USING (c)", "WHERE", "  d = $1", "  AND e IN ($2, $3)"),
        *("ORDER BY 1 DESC", "LIMIT $4"),
    ]


def test_what_does_not_parse_keeps_its_words() -> None:
    text = 'SELECT a, b FROM "Odd   name" WHERE c = $1 AND d = $2 AND'
    assert formatted(text, 30) == 'SELECT a, b FROM "Odd   name"\n  WHERE c = $1 AND d = $2 AND'


def test_a_comment_of_ours_has_its_line() -> None:
    assert formatted("/* dbopt: what it does */ SELECT 1") == "/* dbopt: what it does */\nSELECT 1"


def test_long_lines_are_broken() -> None:
    text = "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = u.b WHEN NOT MATCHED THEN DO NOTHING"
    assert [len(line) <= 50 for line in formatted(text, 50).split("\n")] == [True, True, True]


# What postgast's formatter leaves out of some of these, were it believed.
@pytest.mark.parametrize(
    "text",
    [
        "SELECT CAST($1 AS interval day to second(2))",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), ()), DISTINCT b",
        "SELECT sum(a) FILTER (WHERE b > $1) OVER (PARTITION BY c ORDER BY d ROWS $2 PRECEDING EXCLUDE TIES) FROM t",
        "SELECT * FROM json_table(a, '?' COLUMNS (b int PATH '?'))",
        "WITH x AS NOT MATERIALIZED (SELECT $1) SELECT * FROM x",
        "SELECT $1::timestamp(3) with time zone[]",
    ],
)
def test_nothing_is_lost(text: str) -> None:
    assert _words(formatted(text)) == _words(text) or _same_tree(formatted(text), text)


@pytest.mark.parametrize("text", [*zoo.STATEMENTS, *zoo.SINCE_15], ids=range(len(zoo.STATEMENTS + zoo.SINCE_15)))
def test_the_zoo(text: str) -> None:
    found = normalized(text)
    assert _same_tree(formatted(found), found)


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(1, 40))
def test_any_text_keeps_its_words(text: str, width: int) -> None:
    assert formatted(text + " AND (", width).split() == [*text.split(), "AND", "("]


def _words(text: str) -> list[str]:
    return text.split()


def _same_tree(one: str, other: str) -> bool:
    """By what libpg_query writes of both, which is not how the layout proves it."""
    import postgast

    return postgast.deparse(postgast.parse(one)) == postgast.deparse(postgast.parse(other))
