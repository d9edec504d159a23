"""Changes in a spec's text: just those, and every comment stays."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt.spec.splice import Edit, spliced
from tests.spec.values import ALL_FIELDS

NEW = {"name": "new", "table": "t", "keys": ["k"]}
NEW_LINES = ["  - name: new", "    table: t", "    keys: [k]"]

TEXT = """\
# head
spec: 1
domain: shop   # one
indexes:
  # before a
  - name: a           # its name
    table: t
    keys:             # order matters
      - x             # first
      # between
      - {column: y, order: desc}
    where: >-  # folded
      a = 1
      AND b = 2

    # on why
    why: "it's # no comment"
  - {name: b, table: t, keys: [x], include: [z]}  # flow

  # tail of b
"""
A, B = (6, 5), (18, 5)


def diff(text: str, changed: str) -> list[str]:
    lines = difflib.unified_diff(text.splitlines(), changed.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def change(text: str, place: tuple[int, int], **fields: object) -> list[str]:
    """The lines that an edit takes out and puts in."""
    done = spliced(text, [Edit(*place, fields)], [])
    assert done is not None
    assert done.undone == []
    return diff(text, done.text)


def test_one_value() -> None:
    assert change(TEXT, A, why="so") == ['-    why: "it\'s # no comment"', "+    why: so"]
    assert change(TEXT, A, name="b") == ["-  - name: a           # its name", "+  - name: b           # its name"]


def test_a_comment_in_the_first_column_behind_a_text_of_several_lines() -> None:
    text = "spec: 1\ndomain: d\nindexes:\n  - name: a\n    table: t\n    why: b\n# end\n"
    assert change(text, (4, 5), why="c\nd") == ["-    why: b", "+    why: |-", "+      c", "+      d"]


def test_comments_inside_of_what_is_replaced_stand_above_it() -> None:
    assert change(TEXT, A, keys=["x", "z"]) == [
        "-    keys:             # order matters",
        "-      - x             # first",
        "-      # between",
        "-      - {column: y, order: desc}",
        "+    # order matters",
        "+    # first",
        "+    # between",
        "+    keys: [x, z]",
    ]
    assert change(TEXT, A, where="c > 1") == [
        "-    where: >-  # folded",
        "-      a = 1",
        "-      AND b = 2",
        "+    # folded",
        "+    where: c > 1",
    ]


def test_a_key_goes_and_leaves_its_comment() -> None:
    assert change(TEXT, A, where=None) == [
        "-    where: >-  # folded",
        "-      a = 1",
        "-      AND b = 2",
        "+    # folded",
    ]
    assert change(TEXT, A, name=None) == [
        "-  - name: a           # its name",
        "+  - # its name",
    ]


def test_new_keys_stand_in_their_order() -> None:
    assert change(TEXT, A, unique=True, include=["q"], method="gist") == [
        "+    method: gist",
        "+    include: [q]",
        "+    unique: yes",
    ]


def test_an_entry_on_one_line() -> None:
    old = "-  - {name: b, table: t, keys: [x], include: [z]}  # flow"
    assert change(TEXT, B, keys=[{"expr": "f(x, y)"}], include=None, where="a > 1") == [
        old,
        "+  - {name: b, table: t, keys: [{expr: 'f(x, y)'}], where: a > 1}  # flow",
    ]


def test_what_is_so_already_stays_as_it_is() -> None:
    assert change(TEXT, A, keys=["x", {"column": "y", "order": "desc"}], where="a = 1 AND b = 2") == []
    assert change(TEXT, B, keys=["x"], include=["z"]) == []


def test_additions_stand_at_the_end() -> None:
    done = spliced(TEXT, [], [NEW, {**NEW, "name": "newer"}])
    assert done is not None
    assert diff(TEXT, done.text) == [
        *(f"+{line}" for line in NEW_LINES),
        "+  - name: newer",
        *(f"+{line}" for line in NEW_LINES[1:]),
    ]
    assert done.text.startswith(TEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spec: 1\ndomain: a\n", "spec: 1\ndomain: a\n\nindexes:\n{}\n"),
        ("spec: 1\ndomain: a\nindexes:\n", "spec: 1\ndomain: a\nindexes:\n{}\n"),
        ("spec: 1\ndomain: a\nindexes: []  # none\n# end", "spec: 1\ndomain: a\nindexes:  # none\n# end\n{}\n"),
        ("indexes: ~\nspec: 1\ndomain: a\n", "indexes:\n{}\nspec: 1\ndomain: a\n"),
        (
            "indexes:\n- name: x\n  keys: [a]  # x\n\n- name: y\n# of all\nspec: 1\ndomain: a\n",
            "indexes:\n- name: x\n  keys: [a]  # x\n\n- name: y\n\n{0}\n# of all\nspec: 1\ndomain: a\n",
        ),
        (
            '{{"spec": "1", "domain": "a", "indexes": [{{"name": "x"}}]}}',
            '{{"spec": "1", "domain": "a", "indexes": [{{"name": "x"}}, {{name: new, table: t, keys: [k]}}]}}',
        ),
    ],
)
def test_where_additions_go(text: str, expected: str) -> None:
    indent = 2 if "- name: x" not in text else 0
    lines = "\n".join(line[2 - indent :] for line in NEW_LINES)
    done = spliced(text.format(), [], [NEW])
    assert done is not None
    assert done.text == expected.format(lines)


def test_line_breaks_stay_as_the_file_has_them() -> None:
    text = TEXT.replace("\n", "\r\n")
    done = spliced(text, [Edit(*A, {"keys": ["z"], "where": None, "unique": True})], [NEW])
    assert done is not None
    assert done.undone == []
    assert done.text.count("\n") == done.text.count("\r\n")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        # An anchor that others use
        ("indexes:\n  - name: a\n    keys: &k [x]\n  - name: b\n    keys: *k\n", {"keys": ["y"]}),
        # A comment in the middle of a flow mapping
        ("indexes:\n  - {name: a, keys: [x,  # first\n      y]}\n", {"keys": ["z"]}),
        # The only key
        ("indexes:\n  - name: a\n", {"name": None}),
    ],
)
def test_what_is_too_artful_is_left_alone_and_said(text: str, fields: dict[str, object]) -> None:
    text = "spec: 1\ndomain: a\n" + text
    line = text[: text.index("name: a")].count("\n") + 1
    edit = Edit(line, 5, fields)
    done = spliced(text, [edit], [NEW])
    assert done is not None
    assert done.undone == [edit]
    assert done.text.startswith(text)
    assert "name: new" in done.text


def test_an_alias_is_replaced_where_it_stands() -> None:
    text = "spec: 1\ndomain: a\nindexes:\n  - name: a\n    keys: &k [x]\n  - name: b\n    keys: *k  # as a\n"
    assert change(text, (6, 5), keys=["y"]) == ["-    keys: *k  # as a", "+    keys: [y]  # as a"]


FIELDS = {
    "keys": st.lists(st.sampled_from(["a", "no", "b: c"]), min_size=1, max_size=3),
    "include": st.none() | st.just(["i", "j"]),
    "where": st.none() | st.sampled_from(["x > 1", "x = '# y'", "CASE\n  WHEN a THEN b\nEND"]),
    "unique": st.none() | st.booleans(),
    "method": st.none() | st.just("gin"),
    "with": st.none() | st.just({"fillfactor": "70"}),
    "tablespace": st.none() | st.just("fast"),
}


@given(st.data())
def test_any_change_of_any_entry(data: st.DataObject) -> None:
    """What comes out means what was asked, or was left alone: `spliced` reads it again."""
    lines = ALL_FIELDS.splitlines()
    places = [n for n, line in enumerate(lines, start=1) if line.startswith("  - name:")]
    chosen = data.draw(st.lists(st.sampled_from(places), unique=True, min_size=1))
    edits = [
        Edit(line, 5, {name: data.draw(FIELDS[name]) for name in data.draw(st.sets(st.sampled_from(sorted(FIELDS))))})
        for line in chosen
    ]
    done = spliced(ALL_FIELDS, edits, [NEW])
    assert done is not None
    assert done.undone == []
    untouched = [
        line for line in lines if line.lstrip().startswith(("why", "serves", "- query", "was", "#", "priority"))
    ]
    assert [line for line in done.text.splitlines() if line in untouched] == untouched
