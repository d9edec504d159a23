"""No value of a live statement gets through, however the text was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt.postgres.literals import masked, shown

MARK = "Zq"  # every value below is made of it, and no name is

_VALUES = st.text(alphabet=MARK + " ()[],;.%{}=<>!?/*-", min_size=2, max_size=20).map(
    lambda text: f"{MARK}{text}{MARK}"
)


def _quoted(text: str) -> str:
    return text.replace("'", "''")


_LITERALS = st.one_of(
    _VALUES.map(lambda v: f"'{v}'"),
    _VALUES.map(lambda v: f"'{v}''{v}'"),
    _VALUES.map(lambda v: f"E'{v}\\'{v}\\\\'"),
    _VALUES.map(lambda v: f"e'{v}''{v}\\n'"),
    _VALUES.map(lambda v: f"N'{v}'"),
    _VALUES.map(lambda v: f"U&'{v}' UESCAPE '!'"),
    _VALUES.map(lambda v: f"'{v}\\'"),
    _VALUES.map(lambda v: f"'{v}\\''{v}'"),
    _VALUES.map(lambda v: f"$${v}$$"),
    _VALUES.map(lambda v: f"$tag${v}$$ $other$ '{v}$tag$"),
    _VALUES.map(lambda v: f"'{v}'\n  '{v}'"),
    _VALUES.map(lambda v: f"'{v}'s {v}'"),
    _VALUES.map(lambda v: f"/* {v} /* ' */ {v} */ 1".replace("?/", "").replace("*/*", "*")),
    _VALUES.map(lambda v: f"1 -- {v}\n"),
)
_PARTS = st.one_of(
    _LITERALS,
    st.sampled_from(
        ["SELECT", "a.b", '"Odd name"', "foo$1", "$1", "::text", "(", ")", ",", "=", "tab1", "e", "x", "é"]
    ),
)


@given(st.lists(_PARTS, max_size=12).map(" ".join), st.integers(0, 400))
def test_no_value_gets_through(statement: str, length: int) -> None:
    for text in (statement, statement[:length]):
        assert MARK not in masked(text)


@given(st.lists(st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,5})?(e[-+]?[0-9]{1,3})?|0x[0-9a-f]+", fullmatch=True), max_size=5))
def test_no_number_gets_through(numbers: list[str]) -> None:
    assert masked(f"SELECT {' , '.join(numbers)} FROM t") == " ".join(
        f"SELECT {' , '.join('?' * len(numbers))} FROM t".split()
    )


@given(st.text(max_size=200))
def test_any_text_can_be_masked(text: str) -> None:
    assert "\n" not in masked(text)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE t1 SET a = 'x',  b=2.5\n WHERE c = $1", "UPDATE t1 SET a = ?, b=? WHERE c = $1"),
        ("SELECT \"it's\" FROM t WHERE u = 'x'", 'SELECT "it\'s" FROM t WHERE u = ?'),
        ("SELECT 'cut off", "SELECT ?"),
        ("SELECT E'cut\\", "SELECT ?"),
        ("SELECT 'a', 'cut", "SELECT ?"),
        ("SELECT $x$ cut", "SELECT ?"),
        ("SELECT 1 /* cut", "SELECT ?"),
        ("SELECT 'it's mine'", "SELECT ?"),
        ("", ""),
    ],
)
def test_examples(statement: str, expected: str) -> None:
    assert masked(statement) == expected


def test_shown_as_it_is() -> None:
    assert shown("SELECT\n 'a'", literals=True) == "SELECT 'a'"
    assert shown("SELECT\n 'a'", literals=False) == "SELECT ?"
