"""Entries as YAML: what is written is read back, by our loader and by any other, and looks as if typed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbopt.spec import write
from dbopt.spec.write import Parameter
from dbopt.spec.yaml_tree import Mapping, Scalar, parse

# Whatever PostgreSQL can store, and more of what YAML takes for something else.
HOSTILE = st.sampled_from(
    ["no", "1e3", "2026-01-31", "~", "null", "*a", "&a", "{a}", "- a", "a: b", "a #b", "'", '"', "\\", "%", "?", "<<"]
)
TEXTS = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
    | HOSTILE
    | st.text(st.sampled_from("ab '\"\\:#,[]{}\n-?!&*|>%@`~\t\r\x85\u2028é日😀.0="), min_size=1)
    | st.lists(HOSTILE, min_size=2, max_size=40).map(" ".join)
)
VALUES: Any = st.recursive(
    TEXTS | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXTS.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=8,
)


def plain(node: Any) -> Any:
    if isinstance(node, Scalar):
        assert not node.is_absent
        return node.text
    if isinstance(node, Mapping):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    return [plain(item) for item in node.items]


def words(value: Any) -> Any:
    """As our loader hands values over: texts."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return {key: words(item) for key, item in value.items()}
    return [words(item) for item in value] if isinstance(value, list) else value


@given(VALUES, st.sampled_from([0, 2, 4]), st.sampled_from(["where", "why"]))
def test_what_is_written_is_read_back(value: Any, indent: int, key: str) -> None:
    text = "\n".join([*write.entry_lines({"name": "x", key: value, "z": "end"}, indent), ""])
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        tree = parse(text, loader=loader)
        assert tree.problems == (), text
        assert plain(tree.root) == [{"name": "x", key: words(value), "z": "end"}], text
    # A reader that knows numbers, dates and booleans sees texts all the same.
    assert yaml.safe_load(text) == [{"name": "x", key: value, "z": "end"}], text
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("text", "shown", "inside"),
    [
        ("customer_id", "customer_id", "customer_id"),
        ("lower((v)::text)", "lower((v)::text)", "lower((v)::text)"),
        ("f(a, b)", "f(a, b)", "'f(a, b)'"),
        ("no", "'no'", "'no'"),
        ("Null", "'Null'", "'Null'"),
        ("1e3", "'1e3'", "'1e3'"),
        ("2026-01-31", "'2026-01-31'", "'2026-01-31'"),
        ("x", "x", "x"),
        ("y", "y", "y"),
        ("it's", "it's", "it's"),
        ("'quoted'", '''"'quoted'"''', '''"'quoted'"'''),
        ("a: 'b'", '''"a: 'b'"''', '''"a: 'b'"'''),
        ('"a" > 1', "'\"a\" > 1'", "'\"a\" > 1'"),
        ("a\tb", '"a\\tb"', '"a\\tb"'),
        ("\x1b[31m", '"\\x1b[31m"', '"\\x1b[31m"'),
        ("\u202e😀\U000e0001", '"\\u202e😀\\U000e0001"', '"\\u202e😀\\U000e0001"'),
        ("жук 😀", "жук 😀", "жук 😀"),
    ],
)
def test_scalars(text: str, shown: str, inside: str) -> None:
    assert write.scalar(text) == shown
    assert write.scalar(text, inside=True) == inside


def test_a_number_is_one_where_it_is_a_parameter() -> None:
    parameters = {"fillfactor": Parameter("70"), "fastupdate": Parameter("off"), "x": Parameter("1e3"), "y": "70"}
    assert write.flow(parameters) == "{fillfactor: 70, fastupdate: off, x: '1e3', y: '70'}"


def test_an_entry() -> None:
    entry = {
        "name": "users_email_ci",
        "table": {"schema": "crm", "name": "users"},
        "keys": [{"expr": "lower(email)"}, "id"],
        "unique": True,
        "where": "status = 'open'::text",
    }
    assert write.entry_lines(entry, 2) == [
        "  - name: users_email_ci",
        "    table: {schema: crm, name: users}",
        "    keys: [{expr: lower(email)}, id]",
        "    unique: yes",
        "    where: status = 'open'::text",
    ]


def test_what_is_long_stands_on_several_lines() -> None:
    words = " ".join(f"word{n}" for n in range(30))
    conditions = " OR ".join(f"(t = 'value number {n}'::text)" for n in range(8))
    entry = {
        "name": "x",
        "keys": [f"a_rather_long_name_of_a_column_{n}" for n in range(4)],
        "where": conditions,
        "why": words,
    }
    assert write.entry_lines(entry, 0) == [
        "- name: x",
        "  keys:",
        *(f"    - a_rather_long_name_of_a_column_{n}" for n in range(4)),
        "  where: >-",
        "    (t = 'value number 0'::text) OR (t = 'value number 1'::text) OR (t = 'value number 2'::text)",
        "    OR (t = 'value number 3'::text) OR (t = 'value number 4'::text) OR (t = 'value number 5'::text)",
        "    OR (t = 'value number 6'::text) OR (t = 'value number 7'::text)",
        "  why: >-",
        f"    {' '.join(f'word{n}' for n in range(15))}",
        f"    {' '.join(f'word{n}' for n in range(15, 28))}",
        "    word28 word29",
    ]


def test_what_has_lines_keeps_them() -> None:
    assert write.field_lines("why", "first\n  second", 2) == ["  why: |-", "    first", "      second"]
    assert write.field_lines("keys", [{"expr": "CASE\nEND"}], 0) == ["keys:", "  - expr: |-", "      CASE", "      END"]


def test_nodes_are_counted_as_the_reader_counts_them() -> None:
    assert write.node_count({"a": "b", "c": ["d", {"e": True}]}) == 1 + 2 + 2 + 1 + 3
