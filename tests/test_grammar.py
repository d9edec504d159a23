"""PostgreSQL's grammar as a gate: what comes through is one expression, or one statement."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt import grammar
from dbopt.grammar import GrammarError


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "(a)",
        "lower(a)",
        "a = 1 AND b IS NOT NULL",
        "(a + b) * (c + d)",
        "(a, b) = (1, 2)",
        "a -- a comment",
        "a /* a comment */ ",
        "\n a\n",
        "data->>'x' = ');'",
        "a COLLATE \"C\"",
        "CASE WHEN a THEN 1 END",
        "a::text",
        "a IN (1, 2)",
        "$$x); y$$ = a",
    ],
)  # fmt: skip
def test_one_expression(text):
    grammar.parse_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-- only a comment",
        "a, b",
        "(a, b)",
        "a b",
        "a AS b",
        "a) AS b, (c",
        "a) b",
        "a), (b",
        "a) + (b",
        "a) FROM t WHERE (b",
        "a); DROP TABLE t; SELECT (b",
        "a) UNION SELECT (b",
        "a) LIMIT (1",
        "a) ORDER BY (1",
        "a) INTO t FROM (SELECT 1",
        "a) WHERE (true",
        "a)",
        "(a",
        "a /*",
        "'a",
        "a;",
        "SELECT 1",
        "VALUES (1)",
        "TABLE t",
        "*",
        "DISTINCT a",
        "a\0",
        "\ud800",
    ],
)
def test_more_or_less_than_one_expression(text):
    with pytest.raises(GrammarError):
        grammar.parse_expression(text)


@given(st.text())
def test_no_text_brings_another_exception(text):
    for parse in (grammar.parse_expression, grammar.parse_one, grammar.parse_create_index):
        refusal = None
        try:
            parse(text)
        except GrammarError as exc:
            refusal = exc
        assert refusal is None or refusal.position is None or 0 <= refusal.position <= len(text)


@given(st.text("()ab,; '\"$-/*\n=", max_size=12))
def test_what_passes_stays_inside_its_parentheses(text):
    try:
        grammar.parse_expression(text)
    except GrammarError:
        return
    statement = grammar.parse_one(f"CREATE INDEX i ON t ((\n{text}\n)) WHERE (\n{text}\n)")
    assert statement.HasField("index_stmt")
    assert len(statement.index_stmt.index_params) == 1


@pytest.mark.parametrize(
    ("text", "position"),
    [("a = 1 AND )", 10), ("é = 1 AND )", 10), ("🐘 = )", 4), ("lower(", 6), (")", 0)],
)
def test_positions_count_characters_of_the_text_given(text, position):
    with pytest.raises(GrammarError) as caught:
        grammar.parse_expression(text)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("", "found none"),
        ("-- nothing", "found none"),
        ("SELECT 1; SELECT 2", "found 2"),
        ("SELCT 1", "syntax error"),
        ("SELECT '\0'", "NUL"),
    ],
)
def test_one_statement(sql, words):
    with pytest.raises(GrammarError, match=words):
        grammar.parse_one(sql)


def test_create_index():
    statement = grammar.parse_create_index('CREATE UNIQUE INDEX "I" ON s.t (a);')
    assert (statement.idxname, statement.relation.schemaname, statement.relation.relname) == ("I", "s", "t")
    with pytest.raises(GrammarError, match="one CREATE INDEX"):
        grammar.parse_create_index("CREATE TABLE t ()")


@pytest.mark.parametrize(
    "text",
    ["1" + "+1" * 100, "NOT " * 100 + "true", "f(" * 100 + "1" + ")" * 100, "(" * 100_000, "CASE WHEN a THEN " * 5_000],
    ids=["operators", "not", "calls", "parentheses", "case"],
)
def test_depth_is_refused_in_words(text):
    with pytest.raises(GrammarError, match=r"nested too deeply|memory exhausted"):
        grammar.parse_expression(text)


@pytest.mark.parametrize(
    "text", ['"1" + "+1" * 9_900', '"1" + "+1" * 500_000', '"a" + "::text" * 100_000', '"NOT " * 200_000 + "true"']
)
def test_no_text_ends_the_process(text):
    program = f"""
from dbopt import grammar
try:
    grammar.parse_expression({text})
except grammar.GrammarError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_long_flat_texts_are_no_trouble():
    grammar.parse_expression("a" + " AND b" * 5_000)
    grammar.parse_one(f"SELECT * FROM t WHERE a IN ({', '.join(map(str, range(20_000)))})")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("lower( Email )", "lower(email)"), ("a   >  1 -- b", "a > 1"), ("\"Ab\" = 'x'", "\"Ab\" = 'x'")],
)
def test_expression_text(text, expected):
    assert grammar.expression_text(grammar.parse_expression(text)) == expected


def test_column_names():
    assert list(grammar.column_names(grammar.parse_expression("t.a + b > length(b) AND 'c' = 'c'"))) == ["a", "b", "b"]
