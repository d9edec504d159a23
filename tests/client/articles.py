"""Texts to search in, for the tests of the client: mapped with names that need quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from dbopt.client.searching.search import Search, tsvector_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from server import Database


class Base(orm.DeclarativeBase):
    pass


class Article(Base):
    """Its attributes are called otherwise than its columns."""

    __tablename__ = "Articles"

    number: orm.Mapped[int] = orm.mapped_column("articleId", primary_key=True)
    title: orm.Mapped[str] = orm.mapped_column("Title", sa.String(200))
    body: orm.Mapped[str | None] = orm.mapped_column(sa.Text)
    is_draft: orm.Mapped[bool] = orm.mapped_column("isDraft", server_default=sa.false())
    document: orm.Mapped[str] = orm.mapped_column(
        postgresql.TSVECTOR,
        sa.Computed(tsvector_sql(["Title", "body"], weights={"Title": "A"}), persisted=True),
        deferred=True,
    )


TABLE = sa.inspect(Article).local_table
assert isinstance(TABLE, sa.Table)
MANY_WORDS = " ".join(f"word{number}" for number in range(300))
TEXTS = {
    1: ("Cats and dogs", "They run together."),
    2: ("About dogs", "Nothing on cats here."),
    3: ("Cats", "A cat is a cat is a cat, and running cats are cats."),
    4: ("Birds", None),
    5: ("100 % cotton_wool", "under_score and back\\slash"),
    6: ("<script>alert(1)</script> catalog", 'Ampersand & "quotes" of cats'),
    7: ("Résumé of the café", "accents"),
    8: ("Haystack", f"{MANY_WORDS} needle {MANY_WORDS} needle {MANY_WORDS}"),
    9: ("Controls", "\x02no\x03 tricks \x04"),
}
WORDS = Search(Article, ("title", "body"), weights={"title": "A"})
COLUMN = Search(Article, ("title", "body"), column="document")
PARTS = Search(Article, ("title", "body"), substring=True)


def write(database: Database) -> None:
    """The table with its rows."""
    database.sql(str(sa.schema.CreateTable(TABLE).compile(dialect=postgresql.dialect())))  # type: ignore[no-untyped-call]
    for number, texts in TEXTS.items():
        database.sql('INSERT INTO "Articles" ("articleId", "Title", body) VALUES (%s, %s, %s)', (number, *texts))


def numbers(hits: Sequence[Any]) -> list[int]:
    return [hit.item.number for hit in hits]


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Of a plan of EXPLAIN (FORMAT JSON), from the top."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)
