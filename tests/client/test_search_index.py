"""The index of a search: the one that it prints is the one that serves, and no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from dbopt.client.searching.search import Marks, Page, Search
from dbopt.client.searching.sql import values
from tests.client.articles import COLUMN, PARTS, TABLE, WORDS, Article, nodes, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
def trgm(articles: Own, server_binaries: Binaries) -> Own:
    if not server_binaries.has_library("pg_trgm"):
        pytest.skip("without pg_trgm")
    articles.sql("CREATE EXTENSION pg_trgm")
    return articles


def plan(db: Database, search: Search, term: str, *highlight: str) -> Any:
    """Of the very statement of a search, with sequential scans priced out."""
    page = Page.of(search, highlight, Marks().options, ())
    statement = page.statement.params(values(search, term) | {"dbopt_limit": 5, "dbopt_offset": 0})
    with db.session() as session:
        session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        text = str(statement.compile(dialect=db.engine.dialect, compile_kwargs={"literal_binds": True}))
        found = session.connection().exec_driver_sql(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}").scalar_one()
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def test_only_rows_of_the_page_are_marked(articles: Own, db: Database) -> None:
    every = list(nodes(plan(db, WORDS, "cats", "body")))
    [limit] = [node for node in every if node["Node Type"] == "Limit"]
    below = list(nodes(limit))
    assert "ts_headline" in json.dumps([node.get("Output") for node in every])
    assert "ts_headline" not in json.dumps([node.get("Output") for node in below])


@pytest.mark.parametrize(
    ("search", "index"),
    [
        (WORDS, "Articles_Title_body_search"),
        (Search(TABLE, ("body",), config="simple", index="by_body"), "by_body"),
        (COLUMN, "Articles_document_search"),
        (PARTS, "Articles_Title_body_trgm"),
    ],
    ids=["expression", "table", "column", "substring"],
)
def test_the_index_that_it_prints_is_the_one_that_serves(
    trgm: Own, db: Database, run_cli: RunCli, tmp_path: Path, search: Search, index: str
) -> None:
    before = db.check_index(search)
    assert (before.is_served, before.indexes) == (False, ())
    assert "index_spec()" in (before.hint or "")
    spec = tmp_path / "search.yaml"
    spec.write_text(search.index_spec(), encoding="utf-8")
    linted = run_cli("lint", str(spec))
    assert (linted.code, linted.out) == (0, "")
    env = {"DBOPT_STORE_URL": "none"}
    made = run_cli("optimize", str(spec), "-d", trgm.conninfo, "--yes", env=env)
    assert made.code == 0, made.err
    again = run_cli("plan", str(spec), "-d", trgm.conninfo, "--check", env=env)
    assert again.code == 0, again.out
    after = db.check_index(search)
    assert (after.is_served, after.indexes, after.hint) == (True, (index,), None)
    used = {node["Index Name"] for node in nodes(plan(db, search, "cats")) if node["Node Type"] == "Bitmap Index Scan"}
    assert used == {index}


NEARLY = (
    "to_tsvector('english', \"Title\")",
    "to_tsvector('english', coalesce(\"Title\", '')) || to_tsvector('english', coalesce(body, ''))",
    "setweight(to_tsvector('simple', coalesce(\"Title\", '')), 'A') || to_tsvector('english', coalesce(body, ''))",
    "setweight(to_tsvector('english', coalesce(\"Title\", '')), 'B') || to_tsvector('english', coalesce(body, ''))",
    "document",
)


def test_an_index_that_is_nearly_right_does_not_serve(articles: Own, db: Database) -> None:
    for definition in NEARLY:
        articles.sql(f'CREATE INDEX ON "Articles" USING gin (({definition}))')
    assert not db.check_index(WORDS).is_served


def test_an_invalid_index_does_not_serve(articles: Own, db: Database) -> None:
    articles.sql('CREATE INDEX i ON "Articles" USING gin (document)')
    assert db.check_index(COLUMN).is_served
    articles.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass")
    assert not db.check_index(COLUMN).is_served


def test_a_partial_index_serves_under_its_condition(articles: Own, db: Database) -> None:
    articles.sql('CREATE INDEX i ON "Articles" USING gin (document) WHERE NOT "isDraft"')
    assert not db.check_index(COLUMN).is_served
    assert db.check_index(COLUMN, where=[~Article.is_draft]).indexes == ("i",)


def test_a_substring_index_on_one_of_two_columns_does_not_serve(trgm: Own, db: Database) -> None:
    trgm.sql('CREATE INDEX one ON "Articles" USING gin ("Title" gin_trgm_ops)')
    assert not db.check_index(PARTS).is_served
    trgm.sql('CREATE INDEX two ON "Articles" USING gin (body gin_trgm_ops)')
    assert db.check_index(PARTS).indexes == ("one", "two")


def test_one_partition_without_the_index_is_read_as_a_whole(database: Own, db: Database) -> None:
    database.sql(
        """
        CREATE TABLE parts (id int, at int, t text, PRIMARY KEY (id, at)) PARTITION BY LIST (at);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
        CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
        CREATE INDEX ON parts_1 USING gin (to_tsvector('english', coalesce(t, '')));
        """
    )
    parts = sa.Table(
        "parts",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Integer, primary_key=True),
        sa.Column("t", sa.Text),
    )
    search = Search(parts, ("t",))
    assert not db.check_index(search).is_served
    database.sql("CREATE INDEX ON parts_2 USING gin (to_tsvector('english', coalesce(t, '')))")
    assert db.check_index(search).is_served


def test_looking_for_the_index_leaves_the_callers_transaction_as_it_was(articles: Own, db: Database) -> None:
    with db.begin() as session:
        session.execute(sa.text("SET LOCAL enable_seqscan = on"))
        db.within(session).check_index(WORDS)
        assert session.execute(sa.text("SHOW enable_seqscan")).scalar_one() == "on"
        assert session.execute(sa.text("SHOW enable_indexscan")).scalar_one() == "on"


TERMS = ("zq", "zqx", "z-q", "-zq", "zq-", "z", "__", "z q", "!!!", "zqé")


def test_what_the_index_can_serve_is_known(trgm: Own) -> None:
    """Where no trigram can be had of a term, the index gives every row; else none, as nothing contains these."""
    trgm.sql('CREATE INDEX t ON "Articles" USING gin ("Title" gin_trgm_ops)')
    served = {}
    with trgm.connect() as conn:
        conn.execute("SET LOCAL enable_seqscan = off")
        for term in TERMS:
            explain = 'EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1 FROM "Articles" WHERE "Title" ILIKE %s'
            [(found,)] = conn.execute(explain, ["%" + term.replace("_", "\\_") + "%"]).fetchall()
            [scan] = [node for node in nodes(found[0]["Plan"]) if node["Node Type"] == "Bitmap Index Scan"]
            served[term] = scan["Actual Rows"] == 0
    assert served == {term: PARTS.is_servable(term) for term in TERMS}
    assert set(served.values()) == {True, False}


def test_names_in_a_spec() -> None:
    long = sa.Table(
        "a" * 40, sa.MetaData(schema="app"), sa.Column("id", sa.Integer, primary_key=True), sa.Column("b" * 40, sa.Text)
    )
    spec = Search(long, ("b" * 40,)).index_spec(domain="own")
    assert "domain: own\ndefaults: {schema: app}\n" in spec
    [name] = [line.partition("name: ")[2] for line in spec.splitlines() if "- name:" in line]
    assert len(name.encode()) == 63
    assert name.endswith("_search")
