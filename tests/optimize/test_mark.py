"""The ownership mark in the comment: what is written is read again, and what was there before stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt.spec import mark
from dbopt.spec.model import IndexSpec, Key, TableRef

CREATE = "CREATE INDEX ..."


def entry(name: str = "i", why: str | None = None, comment: str | None = None, domain: str = "shop") -> IndexSpec:
    table = TableRef(name="t", schema="public")
    return IndexSpec(name=name, table=table, keys=(Key(column="a"),), why=why, comment=comment, domain=domain)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(name=TEXTS.filter(bool), why=st.none() | TEXTS, existing=st.none() | TEXTS)
def test_what_is_written_is_read_and_stays(name: str, why: str | None, existing: str | None) -> None:
    one = entry(name, why)
    written = mark.write(one, CREATE, existing)
    found = mark.read(written)[1]
    assert found is not None
    assert (found.domain, found.name) == ("shop", name)
    assert mark.owned(written, "shop")
    assert mark.write(one, CREATE, written) == written


def test_the_forms_of_a_comment() -> None:
    assert mark.read(None) == ("", None)
    assert mark.read("plain [text]") == ("plain [text]", None)
    text, found = mark.read("Ask first. [dbopt:1 shop/a b/c sha=0123456789ab kept]")
    assert (text, found) == ("Ask first.", mark.Mark("shop", "a b/c", "0123456789ab", True))


@pytest.mark.parametrize(
    "comment",
    [
        "[dbopt:1 shop/i sha=0123456789ab] and more",
        "[dbopt:2 shop/i sha=0123456789ab]",
        "[dbopt:1 Shop/i sha=0123456789ab]",
        "[dbopt:1 shop/i sha=0123]",
        "[dbopt:1 shop sha=0123456789ab]",
    ],
)
def test_what_is_no_mark(comment: str) -> None:
    assert mark.read(comment) == (comment, None)


def test_a_domain_owns_its_own_only() -> None:
    written = mark.write(entry(domain="shop"), CREATE, None)
    assert mark.owned(written, "shop")
    assert not mark.owned(written, "sho")
    assert not mark.owned("shop", "shop")


def test_the_text_in_front() -> None:
    """The spec's `comment` wins; else what was there before dbopt; else `why`."""

    def text(one: IndexSpec, existing: str | None) -> str:
        return mark.read(mark.write(one, CREATE, existing))[0]

    assert text(entry(), None) == ""
    assert text(entry(why="fast"), None) == "fast"
    assert text(entry(why="fast"), "theirs") == "theirs"
    assert text(entry(why="fast", comment="ours"), "theirs") == "ours"
    ours = mark.write(entry(why="fast"), CREATE, None)
    assert text(entry(why="faster"), ours) == "faster"
    theirs = mark.write(entry(why="fast"), CREATE, "theirs")
    assert text(entry(why="faster"), theirs) == "theirs"


def test_the_digest_tells_definitions_and_texts_apart() -> None:
    digests = {
        found.sha
        for one, create in ((entry(why="a"), "x"), (entry(why="b"), "x"), (entry(why="a"), "y"))
        if (found := mark.read(mark.write(one, create, None))[1]) is not None
    }
    assert len(digests) == 3
