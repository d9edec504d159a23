"""Which tables a statement reads."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from dbopt.client.tables import tables_of

from .blog import Author, Post, Tag, author, post, post_tag

elsewhere = sa.Table("Odd Name", sa.MetaData(), sa.Column("id", sa.Integer), schema="my.app")
cte = sa.select(Tag.id).cte()
of_author = sa.select(post).where(post.c.author_id == author.c.id).lateral()


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        (Post, {"post"}),
        (post, {"post"}),
        (elsewhere, {"my.app.Odd Name"}),
        (sa.select(elsewhere.c.id), {"my.app.Odd Name"}),
        (sa.select(Post.id).where(Post.id.in_([1, 2])), {"post"}),
        (sa.select(sa.func.count()).select_from(Post), {"post"}),
        (sa.select(Post).join(Post.tags), {"post", "tag", "post_tag"}),
        (sa.select(Post).where(Post.author.has(Author.city == "Ulm")), {"post", "author"}),
        (sa.select(Author).where(Author.id.in_(sa.select(Post.author_id))), {"post", "author"}),
        (sa.select(sa.select(sa.func.max(post.c.id)).scalar_subquery()), {"post"}),
        (sa.select(cte), {"tag"}),
        (sa.select(author.c.id, of_author.c.id).join(of_author, sa.true()), {"post", "author"}),
        (sa.union(sa.select(Post.id), sa.select(Tag.id)), {"post", "tag"}),
        (sa.select(sa.orm.aliased(Post)), {"post"}),
        (sa.select(Post).options(sa.orm.joinedload(Post.author)), {"post", "author"}),
        (sa.select(sa.literal(1)), set()),
        (sa.text("SELECT 1 FROM post JOIN app.tag USING (id) WHERE x = :x"), {"post", "app.tag"}),
        (sa.text("TABLE post").columns(sa.column("id")), {"post"}),
        (sa.select(Tag).where(sa.text("id IN (SELECT id FROM post)")), {"tag", "post"}),
        (sa.select(sa.literal_column("(SELECT max(id) FROM post)")), {"post"}),
        (sa.select(post_tag).where(sa.text("tag_id > 3")), {"post_tag"}),
    ],
)
def test_tables_of(statement: Any, tables: set[str]) -> None:
    assert tables_of(statement) == tables
    assert tables_of(statement) == tables  # remembered


def test_of_several_and_of_none() -> None:
    assert tables_of(Post, sa.select(Tag)) == {"post", "tag"}
    assert tables_of() == frozenset()


def test_statements_that_look_alike() -> None:
    """What differs in more than values is not taken for the same."""
    assert tables_of(sa.select(sa.text("(SELECT 1 FROM post)"))) == {"post"}
    assert tables_of(sa.select(sa.text("(SELECT 1 FROM tag)"))) == {"tag"}
