"""What people paste must be the same statement to PostgreSQL's own grammar."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt.grammar import parse_one
from dbopt.render.sql import pasteable

from .values import HOSTILE

texts = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1) | st.text(
    "\\'\"\n\t\x1b\u202e $ab", min_size=1
)


def tree(sql: str) -> str:
    """The parse tree without the places, which may differ."""
    node: Any = parse_one(sql)
    return re.sub(r"\b(stmt_)?(location|len): -?\d+", "", str(node))


def is_safe(sql: str) -> bool:
    return all(char.isprintable() or char in "\n\u200c\u200d" for char in sql)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ('ANALYZE "app"."orders"', 'ANALYZE "app"."orders";'),
        ("ANALYZE orders; ", "ANALYZE orders;"),
        ("ANALYZE orders -- now", "ANALYZE orders -- now\n;"),
        ("ANALYZE\n\torders", "ANALYZE\n\torders;"),
        ('ANALYZE "a\nb\\c"', r'ANALYZE U&"a\000ab\\c";'),
        ("COMMENT ON INDEX i IS 'it''s\n\\'", r"COMMENT ON INDEX i IS E'it''s\n\\';"),
        ("COMMENT ON INDEX i IS $x$it's\n$x$", r"COMMENT ON INDEX i IS E'it''s\n';"),
        ("COMMENT ON INDEX i IS E'a\\\nb\\'\x1b'", r"COMMENT ON INDEX i IS E'a\nb\'\u001b';"),
        ('ANALYZE U&"d\\0061t\x1b"', r'ANALYZE U&"d\0061t\001b";'),
    ],
)
def test_spelling(statement: str, expected: str) -> None:
    assert pasteable(statement) == expected
    assert tree(pasteable(statement)) == tree(statement)


@given(texts, texts)
def test_any_name_and_literal_stay_what_they_are(name: str, text: str) -> None:
    quoted, literal = '"' + name.replace('"', '""') + '"', "'" + text.replace("'", "''") + "'"
    for statement in (
        f"COMMENT ON INDEX {quoted} IS {literal}",
        f"CREATE INDEX CONCURRENTLY {quoted} ON app.t (a) WHERE b = {literal}",
    ):
        shown = pasteable(statement)
        assert is_safe(shown)
        assert "\n" not in shown
        assert tree(shown) == tree(statement)


@given(texts.filter(lambda text: "$" not in text))
def test_any_dollar_quoted_text(text: str) -> None:
    statement = f"COMMENT ON INDEX i IS $a${text}$a$"
    assert tree(pasteable(statement)) == tree(statement)
    assert is_safe(pasteable(statement))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    statement = 'ANALYZE "{}"'.format(name.replace('"', '""'))
    assert tree(pasteable(statement)) == tree(statement)
    assert is_safe(pasteable(statement))
