"""What a search lacks on the server, what others have installed there, and what was written meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from dbopt.client.searching.search import Search
from dbopt.errors import ServerUnfit
from tests.client.articles import PARTS, WORDS, Article, numbers, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database as Own

    from dbopt.client import Database
    from dbopt.embedded import Binaries

    RunCli = Callable[..., Result]


@pytest.fixture
def articles(database: Own) -> Own:
    write(database)
    return database


@pytest.fixture
def sent(db: Database) -> Iterator[list[str]]:
    """The statements that were sent."""
    statements: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(db.engine, "before_cursor_execute", note)


def test_cached_hits_are_the_same_and_sent_once(articles: Own, db: Database, sent: list[str]) -> None:
    first = db.search(WORDS, "cats", highlight=["title", "body"], cache=60)
    count = len(sent)
    again = db.search(WORDS, "cats", highlight=["title", "body"], cache=60)
    assert len(sent) == count
    assert numbers(again) == numbers(first)
    assert [(hit.rank, hit.highlights) for hit in again] == [(hit.rank, hit.highlights) for hit in first]
    assert numbers(db.search(WORDS, "dogs", cache=60)) != numbers(first)
    for number in (3, 1, 3):
        assert numbers(db.search(WORDS, "cats", where=[Article.number == number], cache=60)) == [number]
    assert len(sent) == count + 3
    with db.begin() as session:
        session.execute(sa.delete(Article).where(Article.number == 3))
    assert numbers(db.search(WORDS, "cats", highlight=["title", "body"], cache=60)) == [1, 2, 6]


def test_without_pg_trgm(articles: Own, db: Database) -> None:
    with pytest.raises(ServerUnfit, match="a search for substrings needs pg_trgm") as caught:
        db.search(PARTS, "cats")
    assert caught.value.hint == "CREATE EXTENSION pg_trgm;"
    with db.begin() as session, pytest.raises(ServerUnfit, match="needs pg_trgm"):
        db.within(session).search(PARTS, "cats")
    assert numbers(db.search(WORDS, "birds")) == [4]


def test_pg_trgm_in_another_schema(articles: Own, db: Database, server_binaries: Binaries) -> None:
    if not server_binaries.has_library("pg_trgm"):
        pytest.skip("without pg_trgm")
    articles.sql("CREATE SCHEMA extensions; CREATE EXTENSION pg_trgm SCHEMA extensions")
    with pytest.raises(ServerUnfit, match="pg_trgm is not on the search_path") as caught:
        db.search(PARTS, "cats")
    assert "extensions" in (caught.value.detail or "")


def test_a_configuration_of_ones_own_ignores_accents(articles: Own, db: Database, server_binaries: Binaries) -> None:
    if not server_binaries.has_library("unaccent"):
        pytest.skip("without unaccent")
    articles.sql(
        """
        CREATE EXTENSION unaccent;
        CREATE TEXT SEARCH CONFIGURATION "Plain" (COPY = simple);
        ALTER TEXT SEARCH CONFIGURATION "Plain" ALTER MAPPING FOR hword, hword_part, word WITH unaccent, simple;
        """
    )
    search = Search(Article, ("title",), config='public."Plain"')
    assert numbers(db.search(search, "resume CAFÉ")) == [7]
    articles.sql("""CREATE INDEX i ON "Articles" USING gin (to_tsvector('public."Plain"', coalesce("Title", '')))""")
    assert db.check_index(search).is_served
