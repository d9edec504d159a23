"""load_relations: what becomes of the items, and with how many statements."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from dbopt.client import AsyncDatabase, Database
from dbopt.client.reading.relations import Relation
from dbopt.errors import NoUniqueKey, UsageError

from .blog import Author, Place, Post, Profile, Tag, Visit, author, filled, post, post_tag, statements, tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

TO_AUTHOR = Relation.one(author, local="author_id", remote="id")
TO_POSTS = Relation.many(post, local="id", remote="author_id")
TO_TAGS = Relation.through(tag, post_tag, local="id", near="post_id", far="tag_id", remote="id")


@pytest.fixture(scope="module")
def blog(pg: Server) -> Iterator[str]:
    """Nobody writes to it."""
    with filled(pg) as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def db(blog: str) -> Iterator[Database]:
    with Database(blog, min_connections=0, max_connections=4) as made:
        yield made


def read(db: Database, model: Any, **options: Any) -> list[Any]:
    """Detached."""
    with db.session(**options) as session:
        return list(session.scalars(sa.select(model).order_by(sa.inspect(model).primary_key[0])))


def dicts(db: Database, table: Any) -> list[dict[str, Any]]:
    with db.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings()]


# Objects


def test_relationships_of_objects(db: Database) -> None:
    """As SQLAlchemy would have loaded them one by one, but with one statement each."""
    posts, authors = read(db, Post), read(db, Author)
    with db.session() as session:
        expected = {
            each.id: (
                each.author and each.author.id,
                {one.id for one in each.tags},
                each.answered and each.answered.id,
                sorted(one.id for one in each.answers),
            )
            for each in session.scalars(sa.select(Post))
        }
    with statements(db) as sent:
        assert db.load_relations(posts, ["author", "tags", "answered", "answers"]) == posts
        assert db.load_relations(authors, ["posts", "profile", "drafts"]) == authors
        assert len(sent) == 7
        for each in posts:
            assert isinstance(each.tags, set)
            assert expected[each.id] == (
                each.author and each.author.id,
                {one.id for one in each.tags},
                each.answered and each.answered.id,
                [one.id for one in each.answers],
            )
        assert [[one.id for one in each.posts] for each in authors[:2]] == [
            [26, 21, 16, 11, 6, 1],
            [27, 22, 17, 12, 7, 2],
        ]
        assert [one.profile and one.profile.text for one in authors[:3]] == ["one", None, "three"]
        assert [sorted(one.id for one in each.drafts) for each in authors[:2]] == [[6, 21], [12, 27]]
        assert len(sent) == 7  # nothing was loaded since
    assert posts[0].author is posts[5].author


def test_many_to_one_asks_for_each_once(db: Database) -> None:
    posts = read(db, Post)
    with statements(db) as sent:
        db.load_relations(posts, ["author"])
    ((text, parameters),) = sent
    assert "post" not in text.replace('"', "").split()
    assert next(iter(parameters.values())) == "{1,2,3,4}"


def test_objects_of_a_session_stay_clean(db: Database) -> None:
    with db.session() as session:
        posts = list(session.scalars(sa.select(Post)))
        with statements(db) as sent:
            db.load_relations(posts, ["author", "tags"])
            assert len(sent) == 2
            assert {type(each.author) for each in posts} == {Author, type(None)}
            assert all(one in session for each in posts for one in each.tags)
            assert not session.dirty
            session.flush()
            assert len(sent) == 2
        posts[0].author = None
        assert session.dirty
        session.rollback()


def test_what_expired_is_read_at_once(db: Database) -> None:
    with db.session(expire_on_commit=True) as session:
        posts = list(session.scalars(sa.select(Post)))
        session.commit()
        with statements(db) as sent:
            db.load_relations(posts, ["author"])
        assert len(sent) == 1
        session.commit()
        with statements(db) as sent:
            db.load_relations(posts, {"writer": Relation.one(Author, local="author_id", remote="id")})
            assert [each.writer and each.writer.id for each in posts[:6]] == [1, 2, 3, 4, None, 1]
        assert len(sent) == 2


def test_what_is_not_loaded_is_said(db: Database) -> None:
    with db.session() as session:
        detached = session.scalars(sa.select(Post).options(sa.orm.load_only(Post.id)).limit(1)).all()
    with pytest.raises(UsageError, match=r"Post.author_id is not loaded"):
        db.load_relations(detached, {"writer": Relation.one(Author, local="author_id", remote="id")})
    db.load_relations(detached, ["author"])  # by the primary key
    assert detached[0].author.id == 1


def test_new_objects_have_nothing_yet(db: Database) -> None:
    new = [Post(headline="new"), Post(headline="of one", author_id=1)]
    db.load_relations(new, ["author", "answers", "tags"])
    assert [(each.author and each.author.id, each.answers, each.tags) for each in new] == [
        (None, [], set()),
        (1, [], set()),
    ]


def test_several_columns(db: Database) -> None:
    with db.session() as session:
        visits = session.scalars(sa.select(Visit).order_by(Visit.id)).all()
        places = session.scalars(sa.select(Place)).all()
    with statements(db) as sent:
        db.load_relations(visits, ["place"])
        db.load_relations(places, ["visits"])
    assert [each.place and each.place.name for each in visits] == ["de1", "it1", "de1", None, None]
    assert {each.name: [one.id for one in each.visits] for each in places if each.visits} == {"de1": [1, 3], "it1": [2]}
    assert len(sent) == 2


def test_items_of_several_classes(db: Database) -> None:
    items = [*read(db, Post)[:3], *read(db, Profile)]
    with statements(db) as sent:
        db.load_relations(items, ["author"])
        assert [each.author.id for each in items] == [1, 2, 3, 1, 3]
    assert len(sent) == 2
    with statements(db) as sent:
        db.load_relations(items, {"writer": TO_AUTHOR})
        assert [each.writer["id"] for each in items] == [1, 2, 3, 1, 3]
    assert len(sent) == 1


def test_nested_chosen_and_limited(db: Database) -> None:
    authors = read(db, Author)
    latest = Relation.mapped(where=Post.is_draft.is_(False), order_by="-id", limit=2, include=["tags", "answered"])
    with statements(db) as sent:
        db.load_relations(authors, {"posts": latest})
        assert [[one.id for one in each.posts] for each in authors[:5]] == [[26, 16], [22, 17], [28, 23], [29, 19], []]
        assert [one.answered and one.answered.id for one in authors[0].posts] == [6, None]
        assert [len(one.tags) for one in authors[3].posts] == [4, 4]
        assert len(sent) == 3


# Dicts


def test_dicts(db: Database) -> None:
    posts, authors = dicts(db, post), dicts(db, author)
    with statements(db) as sent:
        db.load_relations(posts, {"author": TO_AUTHOR, "tags": TO_TAGS})
        db.load_relations(authors, {"posts": TO_POSTS})
    assert len(sent) == 3
    assert [each["author"] and each["author"]["email"] for each in posts[:5]] == ["a1", "a2", "a3", "a4", None]
    assert posts[0]["author"] is posts[5]["author"]
    assert [[one["name"] for one in each["tags"]] for each in posts[:5]] == [
        ["t1"],
        ["t1", "t2"],
        ["t1", "t2", "t3"],
        ["t1", "t2", "t3", "t4"],
        [],
    ]
    assert [[one["id"] for one in each["posts"]] for each in authors] == [
        [n for n in range(1, 31) if n % 5 == id_ % 5] if id_ < 5 else [] for id_ in range(1, 10)
    ]


def test_dicts_nested_with_columns(db: Database) -> None:
    authors = dicts(db, author)[:2]
    posts = Relation.many(
        post,
        local="id",
        remote="author_id",
        columns=["id", "title"],
        order_by=[post.c.is_draft.desc(), "-id"],
        limit=1,
        include={
            "tags": Relation.through(
                Tag, post_tag, local="id", near="post_id", far="tag_id", remote="id", columns=["name"], limit=1
            )
        },
    )
    db.load_relations(authors, {"posts": posts})
    assert [each["posts"][0]["title"] for each in authors] == ["p21", "p27"]
    assert [[one.name for one in each["posts"][0]["tags"]] for each in authors] == [["t1"], ["t1"]]
    assert authors[0]["posts"][0].keys() == {"id", "title", "tags"}


def test_the_first_of_several(db: Database) -> None:
    authors = dicts(db, author)
    latest = Relation.one(Post, local="id", remote="author_id", order_by=Post.id.desc())
    with statements(db) as sent:
        db.load_relations(authors, {"latest": latest})
    assert len(sent) == 1
    assert [each["latest"] and each["latest"].id for each in authors[:6]] == [26, 27, 28, 29, None, None]
    with pytest.raises(NoUniqueKey, match="the relation 'latest' has several rows for one item"):
        db.load_relations(authors, {"latest": Relation.one(Post, local="id", remote="author_id")})


def test_nothing_to_do(db: Database) -> None:
    with statements(db) as sent:
        assert db.load_relations([], {"author": TO_AUTHOR}) == []
        assert db.load_relations(({"id": n} for n in (1, 2)), []) == [{"id": 1}, {"id": 2}]
        nobody = [{"author_id": None}, {"author_id": 2**70}]
        db.load_relations(nobody, {"author": TO_AUTHOR})
        assert [each["author"] for each in nobody] == [None, None]
    assert sent == []


def test_the_same_item_twice_and_unknown_keys(db: Database) -> None:
    one: dict[str, Any] = {"id": 1}
    items = [one, one, {"id": 1}, {"id": 404}]
    db.load_relations(items, {"posts": TO_POSTS})
    assert [len(each["posts"]) for each in items] == [6, 6, 6, 0]
    assert items[2]["posts"] is not one["posts"]  # lists are each one's own


def test_limited_by_the_index(database: Any) -> None:
    """The first rows of each are found without reading all of them."""
    children = sa.Table(
        "children",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent", sa.Integer),
        sa.Column("born", sa.Integer),
        sa.Index("children_by_parent", "parent", "born"),
    )
    with Database(database.conninfo, min_connections=0) as db:
        children.metadata.create_all(db.engine)
        database.sql("INSERT INTO children SELECT n, n % 10, n FROM generate_series(1, 20000) n; ANALYZE children")
        items: list[dict[str, Any]] = [{"id": n} for n in range(10)]
        with statements(db) as sent:
            relation = Relation.many(children, local="id", remote="parent", order_by="-born", limit=2)
            db.load_relations(items, {"youngest": relation})
        assert [one["born"] for one in items[3]["youngest"]] == [19993, 19983]
        ((text, parameters),) = sent
        with db.engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", parameters).scalar_one()
    assert "children_by_parent" in str(plan)
    assert most_rows(plan[0]["Plan"]) <= 10 * SORTED_AT_LEAST


SORTED_AT_LEAST = 33  # rows that an incremental sort reads, to see that a group has ended


def most_rows(node: dict[str, Any]) -> float:
    """That any node of a plan gave, all its loops together."""
    own = node["Actual Rows"] * node["Actual Loops"]
    return max([own, *map(most_rows, node.get("Plans", ()))])


def test_async(blog: str) -> None:
    async def load() -> None:
        async with AsyncDatabase(blog, min_connections=0) as adb:
            posts = await adb.rows(sa.select(Post).order_by(Post.id))
            await adb.load_relations(posts, {"author": Relation.mapped(include=["profile"]), "tags": Relation.mapped()})
            assert posts[0].author.profile.text == "one"
            async with adb.session() as session:
                own = list(await session.scalars(sa.select(Post).order_by(Post.id)))
                await adb.load_relations(own, ["author"])
                assert own[1].author in session
            assert adb.metrics().pool.used == 0

    asyncio.run(load())


# What is refused


def test_names_that_there_are_not(db: Database) -> None:
    posts = read(db, Post)[:1]
    for relations, words, hint in (
        (["autor"], "Post has no relationship 'autor'", "author, tags, answered, answers"),
        ({"x": Relation.one(Author, local="autor_id", remote="id")}, "Post has no column 'autor_id'", "author_id"),
        ({"x": Relation.one(Author, local="author_id", remote="key")}, "Author has no column 'key'", "email"),
        (
            {"x": Relation.one(Author, local="id", remote="id", columns=["mail"])},
            "Author has no column 'mail'",
            "email",
        ),
        (
            {"x": Relation.many(Author, local="id", remote="id", order_by="-mail")},
            "Author has no column 'mail'",
            "email",
        ),
        ({"headline": Relation.mapped()}, "Post has no relationship 'headline'", "author"),
    ):
        with pytest.raises(UsageError) as caught:
            db.load_relations(posts, relations)
        assert caught.value.message == words
        assert hint in str(caught.value.hint)
    with pytest.raises(UsageError, match="an item has no key 'author_id'") as caught:
        db.load_relations([{"id": 1}], {"author": TO_AUTHOR})
    assert caught.value.hint == "It has: id."


def test_items_and_relations_that_are_none(db: Database) -> None:
    with pytest.raises(UsageError, match="a Row cannot carry relations"):
        db.load_relations(db.fetch_many(Post, [1], columns=["id"]).items, {"posts": TO_POSTS})
    with pytest.raises(UsageError, match="dicts have no relationship 'author'"):
        db.load_relations([{"id": 1}], ["author"])
    with pytest.raises(UsageError, match="relations are a text"):
        db.load_relations([{"id": 1}], "author")
    with pytest.raises(UsageError, match="the relation 'author' is a str"):
        db.load_relations([{"id": 1}], {"author": "Author"})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match=r"an id for author\.id has the wrong type"):
        db.load_relations([{"author_id": "1"}], {"author": TO_AUTHOR})
    for wrong in ({"local": (), "remote": ()}, {"local": ("a", "b"), "remote": "a"}):
        with pytest.raises(UsageError, match="as many columns on both sides"):
            Relation.one(author, **wrong)
    with pytest.raises(UsageError, match="limited"):
        Relation.many(author, local="id", remote="id", limit=0)


def test_places_that_cannot_hold_it(db: Database) -> None:
    posts, authors = read(db, Post)[:1], read(db, Author)[:1]
    many = Relation.many(Post, local="id", remote="author_id")
    for items, relations, words in (
        (posts, {"headline": TO_AUTHOR}, "Post.headline is no relationship"),
        (posts, {"author": TO_AUTHOR}, "Post.author cannot hold this relation"),  # dicts
        (posts, {"author": Relation.many(Author, local="author_id", remote="id")}, "Post.author cannot hold"),
        (posts, {"author": Relation.mapped(limit=2)}, "one row, and cannot be limited"),
        (authors, ["written"], "the relationship 'written' is never loaded as a whole"),
        (authors, {"written": many}, "the relationship 'written' is never loaded as a whole"),
        (
            authors,
            {"x": Relation.many(Post, local="id", remote="author_id", columns=["id"], include=["tags"])},
            "cannot include",
        ),
    ):
        with pytest.raises(UsageError, match=words):
            db.load_relations(items, relations)
    db.load_relations(authors, {"posts": many})
    assert [each.id for each in authors[0].posts] == [1, 6, 11, 16, 21, 26]


def test_items_of_several_sessions(db: Database) -> None:
    with db.session() as one, db.session() as other:
        items = [one.get_one(Post, 1), other.get_one(Post, 2)]
        with pytest.raises(UsageError, match="several sessions"):
            db.load_relations(items, ["author"])
        with pytest.raises(UsageError, match="several sessions"):
            db.within(one).load_relations(items[1:], ["author"])
