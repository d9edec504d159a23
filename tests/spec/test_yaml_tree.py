"""YAML as both of PyYAML's parsers read it."""

from __future__ import annotations

import time

import pytest
import yaml

from dbopt.spec import yaml_tree
from dbopt.spec.yaml_tree import Mapping, Scalar, Sequence, parse

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request):
    return request.param


def texts(node):
    """A tree as plain values, places left out."""
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [texts(item) for item in node.items]
        case Mapping():
            return {key: texts(value) for key, (_, value) in node.entries.items()}
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("keys: [no, 1e3, 2026-01-31, 0x1F, yes, ~, null]", ["no", "1e3", "2026-01-31", "0x1F", "yes", "~", "null"]),
        ("keys: {fastupdate: no, on: off}", {"fastupdate": "no", "on": "off"}),
        ("keys:\n  - a\n  -\n  - ''\n", ["a", "", ""]),
        ("keys: |\n  a\n  b\n", "a\nb\n"),
        ("keys: 'it''s'", "it's"),
        ('keys: "a\\tb\\u00e9\\n"', "a\tbé\n"),
        ("keys: &x [a]\n", ["a"]),
        ("---\nkeys: 12:30:45\n...\n", "12:30:45"),
        ("keys: {{leaf: x}_y: z}", None),
    ],
)  # fmt: skip
def test_scalars_stay_text(loader, text, expected):
    root = texts(parse(text, loader=loader).root)
    assert (root or {}).get("keys") == expected


@pytest.mark.parametrize(
    ("value", "absent"),
    [("", True), ("~", True), ("null", True), ("nULL", False), ("'~'", False), ("''", False), ("no", False)],
)  # fmt: skip
def test_absent(loader, value, absent):
    root = parse(f"why: {value}\n", loader=loader).root
    assert isinstance(root, Mapping)
    node = root.entries["why"][1]
    assert isinstance(node, Scalar)
    assert node.is_absent is absent


def test_places_count_from_one_in_characters(loader):
    root = parse("# ü\nä: {b: ç, 'd': [e, \"ff\"]}\n", loader=loader).root
    assert isinstance(root, Mapping)
    key, inner = root.entries["ä"]
    assert (key.line, key.column) == (2, 1)
    assert isinstance(inner, Mapping)
    assert (inner.line, inner.column) == (2, 4)
    key, value = inner.entries["d"]
    assert (key.line, key.column) == (2, 11)
    assert isinstance(value, Sequence)
    assert [(item.line, item.column) for item in value.items] == [(2, 17), (2, 20)]


def test_an_alias_is_what_it_stands_for(loader):
    root = parse("a: &x {b: [c]}\nd: *x\ne: &y f\ng: *y\n", loader=loader).root
    assert texts(root) == {"a": {"b": ["c"]}, "d": {"b": ["c"]}, "e": "f", "g": "f"}


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "yaml-duplicate-key", 3, 1, "first in line 1"),
        ('a: {b: 1, "b": 2}', "yaml-duplicate-key", 1, 11, '"b"'),
        ("a: !!str 1", "yaml-tag", 1, 4, "tags"),
        ("a: !custom {b: c}", "yaml-tag", 1, 4, "tags"),
        ("- !!python/object/apply:os.system [ls]", "yaml-tag", 1, 3, "tags"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "yaml-merge-key", 3, 3, "merge"),
        ("a: 1\n---\nb: 2\n", "yaml-several-documents", 2, 1, "one YAML document"),
        ("a: *x\n", "yaml-alias", 1, 4, "&x"),
        ("a: &x [b, *x]\n", "yaml-alias", 1, 11, "contains itself"),
        ("a: &x {b: *x}\n", "yaml-alias", 1, 11, "contains itself"),
        ("? [a]\n: b\n", "yaml-key", 1, 3, "plain word"),
        ("? {a: b}\n: b\n", "yaml-key", 1, 3, "plain word"),
        ("a: &x [b]\n*x : c\n", "yaml-key", 2, 1, "plain word"),
        ("a: b\n" + "[" * 60, "yaml-syntax", 2, 1, ""),
        ("[" * 60, "yaml-too-deep", 1, 51, "50 levels"),
        ("a: 'x\nb: c\n", "yaml-syntax", 1, 4, "end of stream"),
        ("a:\n\t- b\n", "yaml-syntax", 2, 1, ""),
        ("why: a: b\n", "yaml-syntax", 1, 7, "mapping values"),
        ("a: @b\n", "yaml-syntax", 1, 4, "token"),
        ("a: {leaf}_x\n", "yaml-syntax", 1, 10, ""),
        ("a: [1, 2\n", "yaml-syntax", 1, 4, ""),
        ("a: b\x00c\n", "bad-encoding", 1, 5, "U+0000"),
        ("a: b\nc: \x1b[31m\n", "bad-encoding", 2, 4, "U+001B"),
        ("a: 1\nb: \ud800\n", "bad-encoding", 2, 4, "U+D800"),
        ('a: 1\nb: "\\0"\n', "bad-encoding", 2, 4, "U+0000"),
    ],
)
def test_problems_with_their_place(loader, text, code, line, column, words):
    (problem,) = parse(text, loader=loader).problems
    assert (problem.code, problem.line, problem.column) == (code, line, column)
    assert words in problem.message
    assert "\n" not in problem.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:\n\t- b\n", "blanks"),
        ("why: a: b\n", "colon"),
        ("a: *\n", "Quote"),
        ("a: {leaf}_x\n", "Quote"),
        ("a: `b`\n", "Quote"),
        ("a: 'it's'\n", "Quote"),
    ],
)
def test_hints_for_what_people_meet(loader, text, words):
    (problem,) = parse(text, loader=loader).problems
    assert words in (problem.hint or "")


def test_every_duplicate_is_told(loader):
    tree = parse("a: 1\na: 2\nb: {c: 1, c: 2}\nb: 3\n", loader=loader)
    assert [problem.line for problem in tree.problems] == [2, 3, 4]
    assert texts(tree.root) == {"a": "1", "b": {"c": "1"}}


def test_a_laugh_of_anchors_is_counted_not_built(loader):
    text = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 20))
    (problem,) = parse(text, loader=loader).problems
    assert (problem.code, problem.line) == ("yaml-too-large", 6)


def test_depth_by_aliases_is_depth(loader):
    text = "l0: &l0 [x]\n" + "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, 600))
    (problem,) = parse(text, loader=loader).problems
    assert problem.code == "yaml-too-deep"


@pytest.mark.parametrize("text", ["[" * 5_000_000, "{a: " * 1_000_000, "- " * 2_000_000, "? " * 2_000_000])
def test_five_megabytes_of_nesting(loader, text):
    started = time.monotonic()
    (problem,) = parse(text, loader=loader).problems
    assert problem.code in ("yaml-too-deep", "yaml-syntax", "yaml-key")
    assert time.monotonic() - started < 30  # seconds; a guard against quadratic time, not a measurement


def test_both_parsers_build_one_tree():
    text = "a: &x [b, {c: d}]\n# comment\ne: |\n  f\n\n  g\nh: *x\ni:\n- 'j'\n- \"k\\\n  l\"\n"
    trees = [parse(text, loader=loader) for loader in LOADERS]
    assert all(tree == trees[0] for tree in trees)
    assert parse(text) == trees[0]


def test_lines_are_counted_as_the_parser_counts():
    text = "a: 'x\u2028y'\r\nb: c\rd: e\n"
    root = parse(text).root
    assert isinstance(root, Mapping)
    lines = yaml_tree.split_lines(text)
    assert [lines[key.line - 1][key.column - 1] for key, _ in root.entries.values()] == ["a", "b", "d"]
