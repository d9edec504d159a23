"""Marks around what was found, and what of a term is looked for: pure."""

from __future__ import annotations

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbopt.client.searching.marks import CONTROLS, Marks
from dbopt.client.searching.sql import TERM_MAX_CHARACTERS, TERM_MAX_WORDS, cleaned, has_trigram
from dbopt.errors import UsageError

LONG = " ".join(f"word{number}" for number in range(200))


def test_marks_stand_around_every_occurrence_and_the_rest_is_escaped() -> None:
    shown = Marks().around('<b>Foo</b> & "foo"', "foo")
    assert shown == "&lt;b&gt;<mark>Foo</mark>&lt;/b&gt; &amp; &quot;<mark>foo</mark>&quot;"
    assert Marks(start="*", stop="*", escape=False).around("<b>Foo</b>", "foo") == "<b>*Foo*</b>"


def test_a_piece_of_a_long_text_around_the_first_occurrence() -> None:
    shown = Marks(words=10).around(LONG, "word120") or ""
    assert "<mark>word120</mark>" in shown
    assert shown.startswith(" … ")
    assert shown.endswith(" … ")
    words = shown.replace("<mark>", "").replace("</mark>", "").replace(" … ", "").split()
    assert 5 <= len(words) <= 12
    assert set(words) <= set(LONG.split())  # whole ones
    assert (Marks(words=10).around(LONG, "word0 ") or "").startswith("<mark>word0 </mark>word1 ")
    assert (Marks(words=10).around(LONG, "word199") or "").endswith("<mark>word199</mark>")
    assert Marks(words=None).around(LONG, "word7 ") == LONG.replace("word7 ", "<mark>word7 </mark>")


def test_what_is_not_there_is_shown_without_marks() -> None:
    assert Marks(words=2).around("one two three four five", "zzz") == "one two … "
    assert Marks().around(None, "foo") is None
    assert Marks().shown(None) is None
    assert Marks().around("", "foo") == ""


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.text(max_size=5), st.sampled_from([None, 2, 5]))
def test_without_its_marks_it_is_a_piece_of_the_text(text: str, term: str, words: int | None) -> None:
    marks = Marks(start="", stop="", cut="", words=words)
    plain = "".join(character for character in text if character not in CONTROLS)
    assert (marks.around(text, term) or "") in html.escape(plain)


def test_no_text_passes_for_a_mark() -> None:
    assert Marks().around("\x02evil\x03 foo", "foo") == "evil <mark>foo</mark>"


@pytest.mark.parametrize("options", [{"words": 1}, {"words": 10_001}, {"fragments": -1}, {"fragments": 101}])
def test_numbers_that_make_no_sense(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="cannot be shown"):
        Marks(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("cats", "cats"),
        ("", ""),
        (" \t\n ", ""),
        ("\0", ""),
        ("a\0b", "a b"),
        ("half \ud800 pair", "half ? pair"),
        ("-dogs", "-dogs"),
        ("foo-bar", "foo-bar"),
        ("foo--bar", "foo--bar"),
        ("foo -- bar", "foo   bar"),
        ("- - - -dogs", " dogs"),
        ("-" * 100 + "x", " x"),
        ('- "a" - b', '- "a" - b'),
    ],
)
def test_what_is_looked_for(term: str, expected: str) -> None:
    assert cleaned(term, substring=False) == expected


def test_of_words_so_many_count_and_of_substrings_all() -> None:
    assert cleaned("ab " * 20_000, substring=False) == "ab " * TERM_MAX_WORDS
    assert cleaned("ab,cd-" * 20_000, substring=False) == "ab,cd-" * (TERM_MAX_WORDS // 2)
    assert cleaned("ab " * TERM_MAX_WORDS, substring=False) == "ab " * TERM_MAX_WORDS
    assert len(cleaned("x" * 20_000, substring=False)) == TERM_MAX_CHARACTERS
    assert cleaned("--%", substring=True) == "--%"
    assert len(cleaned("ab " * 20_000, substring=True)) == 60_000
    with pytest.raises(UsageError, match="a search term is text, not NoneType"):
        cleaned(None, substring=False)


@pytest.mark.parametrize("term", ["abc", "a-b", "-ab", "ab-cd", "x y", "éèà", "a b"])
def test_terms_with_a_trigram(term: str) -> None:
    assert has_trigram(term)


@pytest.mark.parametrize("term", ["a", "ab", "a-", "__", "%%%", "", "ab%"[:2], "--- ---"])
def test_terms_without_one(term: str) -> None:
    assert not has_trigram(term)
