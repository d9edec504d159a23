"""Search in texts on real servers: what is found, in which order, and how it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbopt.client.searching.search import Marks, Search, tsvector_sql
from dbopt.errors import NoUniqueKey, UsageError
from tests.client.articles import COLUMN, PARTS, TABLE, WORDS, Article, numbers, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database as Own
    from server import Server

    from dbopt.client import AsyncDatabase, Database
    from dbopt.embedded import Binaries

    RunCli = Callable[..., Result]


@pytest.fixture(scope="module")
def library(pg: Server, server_binaries: Binaries) -> Iterator[Own]:
    """Nobody changes anything in it."""
    with pg.database() as made:
        write(made)
        if server_binaries.has_library("pg_trgm"):
            made.sql("CREATE EXTENSION pg_trgm")
        yield made


@pytest.fixture
def url(library: Own) -> str:
    return library.conninfo


@pytest.fixture
def trgm(library: Own, server_binaries: Binaries) -> Own:
    if not server_binaries.has_library("pg_trgm"):
        pytest.skip("without pg_trgm")
    return library


@pytest.fixture
def sent(db: Database) -> Iterator[list[str]]:
    """The statements that were sent."""
    statements: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(db.engine, "before_cursor_execute", note)


# Words


@pytest.mark.parametrize("search", [WORDS, COLUMN], ids=["expression", "column"])
def test_words_by_rank(db: Database, search: Search) -> None:
    hits = db.search(search, "cats")
    assert [hit.rank for hit in hits] == sorted((hit.rank for hit in hits), reverse=True)
    assert numbers(hits) == [3, 1, 2, 6]  # much of it; in the title; in the body only, by primary key
    assert isinstance(hits[0].item, Article)
    assert hits[0].item.title == "Cats"
    assert numbers(db.search(search, "run")) == [1, 3]
    assert numbers(db.search(search, '"cats and dogs"')) == [1]
    assert numbers(db.search(search, "cats -dogs")) == [3, 6]
    assert numbers(db.search(search, "birds or resume")) == [4]


def test_words_under_asyncio(run_async: Callable[..., Any]) -> None:
    async def body(db: AsyncDatabase) -> None:
        assert numbers(await db.search(WORDS, "cats")) == [3, 1, 2, 6]
        assert (await db.search(WORDS, "cats", limit=1, highlight=["title"]))[0].highlights == {
            "title": "<mark>Cats</mark>"
        }
        assert not (await db.check_index(WORDS)).is_served
        with pytest.raises(UsageError, match="no text search configuration klingon"):
            await db.search(Search(Article, ("title",), config="klingon"), "cats")

    run_async(body)


def test_rows_of_a_table_are_dicts(db: Database) -> None:
    [hit] = db.search(Search(TABLE, ("Title",)), "birds", highlight=["Title"])
    document = hit.item.pop("document")
    assert hit.item == {"articleId": 4, "Title": "Birds", "body": None, "isDraft": False}
    assert document == "'bird':1A"
    assert hit.highlights == {"Title": "<mark>Birds</mark>"}


def test_conditions_and_pages(db: Database) -> None:
    everything = numbers(db.search(WORDS, "cats"))
    assert numbers(db.search(WORDS, "cats", limit=2)) == everything[:2]
    assert numbers(db.search(WORDS, "cats", limit=3, offset=2)) == everything[2:]
    assert db.search(WORDS, "cats", offset=4) == []
    assert numbers(db.search(WORDS, "cats", where=[Article.number > 1, Article.title != "Cats"])) == [2, 6]


def test_what_the_caller_has_written_is_found_in_his_transaction(db: Database) -> None:
    with db.begin() as session:
        session.add(Article(number=99, title="Newts", body=None))
        session.flush()
        assert numbers(db.within(session).search(WORDS, "newt")) == [99]
        assert db.search(WORDS, "newt") == []
        session.rollback()


@pytest.mark.parametrize("term", ["", "   ", "\0", "\n"])
def test_nothing_is_asked_for_nothing(db: Database, sent: list[str], term: str) -> None:
    assert db.search(WORDS, term) == []
    assert db.search(PARTS, term) == []
    assert sent == []


AWKWARD = [
    "the of and",
    "x" * 10_000,
    "cats " * 2_000,
    "-" * 10_000,
    "- " * 5_000,
    '"' * 10_001,
    "a or " * 2_000,
    "(((((" * 500,
    "cats & dogs | !birds <-> :*",
    "'; DROP TABLE x --",
    "\\",
    "%s %(name)s :name $1",
    "\ud800",
    "\U0001f600",
]


@pytest.mark.parametrize("term", AWKWARD, ids=range(len(AWKWARD)))
def test_no_term_is_an_error(trgm: Own, db: Database, term: str) -> None:
    db.search(WORDS, term, highlight=["title", "body"])
    db.search(PARTS, term, highlight=["title", "body"], scan=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(term=st.one_of(st.text(max_size=60), st.text(alphabet="ab-\"' ()!&|<>:*\\or", max_size=400)))
def test_no_text_at_all_is_an_error(trgm: Own, db: Database, term: str) -> None:
    db.search(WORDS, term, highlight=["body"])
    db.search(PARTS, term, highlight=["body"], scan=True)


# Substrings


def test_parts_of_texts(trgm: Own, db: Database) -> None:
    assert numbers(db.search(PARTS, "CATA")) == [6]
    assert numbers(db.search(PARTS, "o wool", scan=True)) == []
    hits = db.search(PARTS, "cats")
    assert numbers(hits)[0] == 3  # a title of just that
    assert set(numbers(hits)) == {1, 2, 3, 6}
    assert [hit.rank for hit in hits] == sorted((hit.rank for hit in hits), reverse=True)
    assert hits[0].rank == 1


@pytest.mark.parametrize(
    ("term", "found"), [("100 %", [5]), ("n_w", [5]), ("k\\s", [5]), ("%cotton", []), ("cot_on", []), ("r_s", [5])]
)
def test_wildcards_are_characters(trgm: Own, db: Database, term: str, found: list[int]) -> None:
    assert numbers(db.search(PARTS, term, scan=True)) == found


def test_parts_are_marked(trgm: Own, db: Database) -> None:
    [hit] = db.search(PARTS, "CATALOG", highlight=["title", "body"])
    assert hit.highlights["title"] == "&lt;script&gt;alert(1)&lt;/script&gt; <mark>catalog</mark>"
    assert "<mark>" not in (hit.highlights["body"] or "")


def test_short_parts_are_refused_unless_every_row_may_be_read(trgm: Own, db: Database, sent: list[str]) -> None:
    assert not PARTS.is_servable("ca")
    with pytest.raises(UsageError, match="without three characters in a row") as caught:
        db.search(PARTS, "ca")
    assert "scan=True" in (caught.value.hint or "")
    assert sent == []
    assert set(numbers(db.search(PARTS, "ca", scan=True))) == {1, 2, 3, 6, 7}


# How it is shown


def test_markup_of_a_text_is_escaped(db: Database) -> None:
    [hit] = db.search(WORDS, "ampersand", highlight=["title", "body"])
    assert "<script>" not in (hit.highlights["title"] or "")
    assert hit.highlights["body"] == "<mark>Ampersand</mark> &amp; &quot;quotes&quot; of cats"
    marks = Marks(start="**", stop="**", escape=False)
    assert db.search(WORDS, "quotes", highlight=["body"], marks=marks)[0].highlights == {
        "body": 'Ampersand & "**quotes**" of cats'
    }


def test_a_column_that_is_null_has_none(db: Database) -> None:
    [hit] = db.search(WORDS, "birds", highlight=["body"])
    assert hit.highlights == {"body": None}


def test_how_much_is_shown(db: Database) -> None:
    def shown(**options: Any) -> str:
        [hit] = db.search(WORDS, "needle", highlight=["body"], marks=Marks(**options))
        text = hit.highlights["body"]
        assert text is not None
        assert "<mark>needle</mark>" in text
        return text

    assert len(shown(words=20).split()) <= 20
    assert shown(words=10, fragments=2).count(" … ") == 1
    assert len(shown(words=None).split()) == 902


def test_control_characters_of_a_text_are_no_marks(db: Database) -> None:
    [hit] = db.search(WORDS, "tricks", highlight=["body"])
    assert (hit.highlights["body"] or "").split() == ["no", "<mark>tricks</mark>"]


# What is wrong


def test_an_unknown_configuration_names_those_that_there_are(db: Database) -> None:
    unknown = Search(Article, ("title",), config="klingon")
    for ask in (lambda: db.search(unknown, "cats"), lambda: db.check_index(unknown)):
        with pytest.raises(UsageError, match="no text search configuration klingon") as caught:
            ask()
        assert "english" in (caught.value.hint or "")
        assert "simple" in (caught.value.hint or "")
    with pytest.raises(UsageError, match=r"no text search configuration nowhere\.english"):
        db.search(Search(Article, ("title",), config="nowhere.english"), "cats")
    with db.begin() as session, pytest.raises(UsageError, match="no text search configuration klingon") as caught:
        db.within(session).search(unknown, "cats")
    assert "pg_ts_config" in (caught.value.hint or "")


def test_another_fault_keeps_its_own_name(db: Database) -> None:
    with pytest.raises(sa.exc.ProgrammingError, match="nonsense"):
        db.search(WORDS, "cats", where=[sa.literal_column("1::nonsense") == 1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Search(Article), "nothing is to be searched"),
        (lambda: Search(Article, "title"), "`fields` is a list"),
        (lambda: Search(Article, ("title",), weights={"body": "A"}), "'body' has a weight"),
        (lambda: Search(Article, ("title",), weights={"title": "E"}), "the weight 'E'"),
        (lambda: Search(Article, ("title",), config="english'); DROP TABLE x; --"), "no text search configuration can"),
        (lambda: Search(Article, ("title",), config=""), "no text search configuration can"),
        (lambda: Search(Article, ("title",), substring=True, weights={"title": "A"}), "neither weights nor"),
        (lambda: Search(Article, ("title",), column="document", weights={"title": "A"}), "are in its expression"),
        (lambda: tsvector_sql([]), "nothing is to be searched"),
    ],
)
def test_searches_that_make_no_sense(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


@pytest.mark.parametrize(
    ("search", "options", "words"),
    [
        (WORDS, {"limit": 0}, "limit=0"),
        (WORDS, {"limit": True}, "limit=True"),
        (WORDS, {"limit": 10_001}, "limit=10001"),
        (WORDS, {"offset": -1}, "offset=-1"),
        (WORDS, {"offset": 2**63}, "offset="),
        (WORDS, {"where": Article.number == 1}, "`where` is a list"),
        (WORDS, {"highlight": ["headline"]}, "no column 'headline'"),
        (WORDS, {"highlight": ["number"]}, "Article.number holds no text"),
        (WORDS, {"highlight": "title"}, "`highlight` is a list"),
        (Search(Article, ("titel",)), {}, "no column 'titel'"),
        (Search(Article, ("number",)), {}, "Article.number holds no text"),
        (Search("articles", ("title",)), {}, "neither a mapped class nor a table"),
    ],
)
def test_calls_that_make_no_sense(db: Database, search: Search, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        db.search(search, "cats", **options)


def test_a_table_without_a_key_has_no_order(db: Database) -> None:
    keyless = sa.Table("keyless", sa.MetaData(), sa.Column("t", sa.Text))
    with pytest.raises(NoUniqueKey):
        db.search(Search(keyless, ("t",)), "cats")


def test_characters_of_a_fixed_length_are_in_no_trigram(db: Database) -> None:
    fixed = sa.Table("f", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("c", sa.CHAR(9)))
    with pytest.raises(UsageError, match=r"f\.c is char\(n\)"):
        db.search(Search(fixed, ("c",), substring=True), "cats")
