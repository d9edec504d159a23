"""paginate: what makes the rows of tables, joins and subqueries unique."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from dbopt.client import Database
from dbopt.errors import InvalidCursor, NoUniqueKey

from . import shelf
from .blog import Album, Author, Place, Post, Tag, author, filled, post_tag, statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server


class Base(orm.DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    kind: orm.Mapped[str]
    name: orm.Mapped[str | None]


class Guest(Person):
    """In the table of persons."""

    __mapper_args__ = {"polymorphic_identity": "guest"}  # noqa: RUF012


class Worker(Person):
    """In a table of their own, besides."""

    __tablename__ = "worker"
    __mapper_args__ = {"polymorphic_identity": "worker"}  # noqa: RUF012

    id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("person.id"), primary_key=True)
    pay: orm.Mapped[int]


@pytest.fixture(scope="module")
def blog(pg: Server) -> Iterator[Database]:
    """Nobody writes to it."""
    with filled(pg) as conninfo, Database(conninfo, min_connections=0) as made:
        yield made


def all_of(db: Database, what: Any, size: int = 3, **options: Any) -> list[Any]:
    forwards, _ = shelf.walk(lambda **place: db.paginate(what, size=size, **options, **place))
    return [item for page in forwards for item in page.items]


def test_one_row_of_a_joined_table_needs_no_key_of_its_own(blog: Database) -> None:
    """Many to one: what the condition says to be equal is known."""
    written = sa.select(Post, Author.email).join(Post.author)
    with statements(blog) as sent:
        found = all_of(blog, written, order_by=Post.headline)
    assert [row.Post.id for row in found] == [
        id_ for (id_,) in _rows(blog, sa.select(Post.id).join(Post.author).order_by(Post.headline, Post.id))
    ]
    assert "ORDER BY post.title ASC, post.id ASC" in sent[0][0]
    with statements(blog) as sent:
        all_of(blog, sa.select(Post.id, author.c.email).join(author, Post.author_id == author.c.id, isouter=True))
    assert "ORDER BY post.id ASC \n" in sent[0][0]


def test_several_rows_of_a_joined_table_need_its_key(blog: Database) -> None:
    """One to many and many to many: rows are those of the statement, an author comes as often as in it."""
    for what, order, key in (
        (sa.select(Author).join(Author.posts), Author.city, (Author.id, Post.id)),
        (sa.select(Author).outerjoin(Author.posts), Author.city, (Author.id, Post.id)),
        (sa.select(Post).join(Post.tags), Post.headline, (Post.id, Tag.id)),
        (sa.select(Author.id, Post.headline).where(Author.id == Post.author_id), Author.city, (Author.id, Post.id)),
        (sa.select(Post.headline, Author.id).where(Author.id == Post.author_id), Author.city, (Post.id,)),
        # Several authors meet no post.
        (sa.select(Post.id, Author.city).join(Post.author, full=True), Post.headline, (Post.id, Author.id)),
    ):
        found = all_of(blog, what, 2, order_by=order.desc())
        with blog.session() as session:
            rows = session.execute(what.order_by(order.desc(), *(column.desc() for column in key))).all()
        assert [getattr(item, "id", item) for item in found] == [
            getattr(row[0], "id", None) if len(row) == 1 else row.id for row in rows
        ]


def test_rows_of_two_aliases_of_a_table(blog: Database) -> None:
    other = orm.aliased(Post)
    pairs = sa.select(Post.id, other.id.label("other")).join(other, Post.author_id == other.author_id)
    found = all_of(blog, pairs, 4, order_by=[other.headline.desc(), Post.headline])
    expected = _rows(blog, pairs.order_by(other.headline.desc(), Post.headline, Post.id, other.id))
    assert found == expected


def _rows(db: Database, statement: Any) -> list[Any]:
    with db.session() as session:
        return list(session.execute(statement).all())


def test_loaded_along(blog: Database) -> None:
    """Joined collections are one item each, and complete."""
    found = all_of(blog, Album, 2, order_by="-id")
    with blog.session() as session:
        expected = session.scalars(sa.select(Album).order_by(Album.id.desc())).unique().all()
        assert [(item.id, [song.id for song in item.songs]) for item in found] == [
            (item.id, [song.id for song in item.songs]) for item in expected
        ]
    options = (orm.joinedload(Author.posts), orm.selectinload(Author.profile))
    found = all_of(blog, sa.select(Author).options(*options), 2, order_by=Author.city)
    assert all(len(item.posts) == len({each.id for each in item.posts}) and item.profile != 0 for item in found)


def test_criteria_of_options_hold_for_what_is_behind_too(blog: Database) -> None:
    ids = [id_ for (id_,) in _rows(blog, sa.select(Post.id).order_by(Post.id))]
    visible = orm.with_loader_criteria(Post, Post.id > ids[2])
    page = blog.paginate(sa.select(Post).options(visible), size=1)
    page = blog.paginate(sa.select(Post).options(visible), size=1, after=page.next_cursor)
    assert [item.id for item in page.items] == [ids[4]]
    first = blog.paginate(sa.select(Post).options(visible), after=page.previous_cursor)
    assert first.has_previous
    page = blog.paginate(sa.select(Post).options(visible), before=page.previous_cursor)
    assert [item.id for item in page.items] == [ids[3]]
    first = blog.paginate(sa.select(Post).options(visible), after=page.next_cursor)
    assert first.has_previous
    with pytest.raises(InvalidCursor, match="another query"):
        blog.paginate(sa.select(Post).options(orm.with_loader_criteria(Post, Post.id > ids[1])), after=page.next_cursor)


def test_a_unique_column_settles_ties_without_the_primary_key(blog: Database) -> None:
    with statements(blog) as sent:
        all_of(blog, Author, order_by="-email")
    assert "ORDER BY author.email DESC \n" in sent[0][0]


def test_a_table_without_a_key(db: Database) -> None:
    with db.begin() as session:
        session.execute(sa.text("CREATE TABLE line (number int NOT NULL, text text, UNIQUE (number))"))
        session.execute(sa.text("INSERT INTO line SELECT n, 'x' || n % 3 FROM generate_series(1, 10) AS n"))
    columns = (sa.Column("number", sa.Integer), sa.Column("text", sa.Text))
    line = sa.Table("line", sa.MetaData(), *columns)
    with pytest.raises(NoUniqueKey, match="line has no key") as refused:
        db.paginate(line, order_by="text")
    assert "unique=" in (refused.value.hint or "")
    expected = [3, 6, 9, 1, 4, 7, 10, 2, 5, 8]
    assert [row["number"] for row in all_of(db, line, order_by="text", unique="number")] == expected
    assert [row["number"] for row in all_of(db, line, order_by="text", unique=[line.c.number])] == expected
    with pytest.raises(NoUniqueKey, match="two rows of a page are equal"):
        db.paginate(line, order_by="text", unique="text")
    known = (sa.Column("number", sa.Integer, nullable=False, unique=True), sa.Column("text", sa.Text))
    assert [row["number"] for row in all_of(db, sa.Table("line", sa.MetaData(), *known), order_by="text")] == expected
    nullable = sa.Table("line", sa.MetaData(), sa.Column("number", sa.Integer, unique=True), sa.Column("text", sa.Text))
    with pytest.raises(NoUniqueKey):
        db.paginate(nullable, order_by="text")


def test_no_key_is_known_of_a_subquery(blog: Database) -> None:
    by_city = sa.select(Author.city, sa.func.count().label("people")).group_by(Author.city).subquery()
    with pytest.raises(NoUniqueKey):
        blog.paginate(sa.select(by_city), order_by="people")
    found = all_of(blog, sa.select(by_city), 1, order_by="-people", unique="city")
    assert found == _rows(blog, sa.select(by_city).order_by(by_city.c.people.desc(), by_city.c.city.desc()))
    either = sa.union(sa.select(Author.id), sa.select(Tag.id)).subquery()
    assert all_of(blog, sa.select(either), 2, unique="id") == _rows(blog, sa.select(either).order_by(either.c.id))


def test_a_subquery_may_have_all_of_that(blog: Database) -> None:
    rank = sa.func.row_number().over(order_by=Post.id).label("rank")
    newest = sa.select(Post.id, sa.select(sa.func.max(Post.id)).scalar_subquery().label("newest"))
    assert len(all_of(blog, newest)) == len(_rows(blog, newest))
    ranked = sa.select(sa.select(Post.id, rank).subquery())
    assert all_of(blog, ranked, 2, order_by="-rank", unique="id") == _rows(blog, ranked.order_by(sa.desc("rank")))


def test_nothing_that_tells_selects_apart_is_forgotten(db: Database) -> None:
    """What is remembered of a select is used for others only with the same values, options and schemas."""
    with db.begin() as session:
        for schema, first in (("one", 10), ("two", 20)):
            session.execute(sa.text(f"CREATE SCHEMA {schema}"))
            session.execute(sa.text(f"CREATE TABLE {schema}.tag (id int PRIMARY KEY, name text)"))
            insert = f"INSERT INTO {schema}.tag SELECT n, n::text FROM generate_series({first}, {first + 4}) AS n"
            session.execute(sa.text(insert))

    def ids(schema: str, *conditions: Any) -> list[int]:
        what = sa.select(Tag).where(*conditions).execution_options(schema_translate_map={None: schema})
        return [item.id for item in all_of(db, what, 2, order_by="-id")]

    for _ in range(2):
        assert ids("one") == [14, 13, 12, 11, 10]
        assert ids("two") == [24, 23, 22, 21, 20]
        for name in ("11", "12"):
            assert ids("one", Tag.name == name) == [int(name)]
    with db.begin() as session:
        session.execute(sa.text("SET LOCAL search_path = one"))
        here = db.within(session)
        for least, names in itertools.product((11, 12), (["12", "13"], ["13", "14"])):
            found = here.paginate(sa.select(Tag).where(Tag.id > least, Tag.name.in_(names))).items
            assert [item.name for item in found] == [name for name in names if int(name) > least]
        for option, is_loaded in ((orm.defer(Tag.name), False), (orm.undefer(Tag.name), True)):
            session.expunge_all()
            [item] = here.paginate(sa.select(Tag).where(Tag.id == 11).options(option)).items
            assert ("name" not in sa.inspect(item).unloaded) is is_loaded


def test_inherited(db: Database) -> None:
    Base.metadata.create_all(db.engine)
    with db.begin() as session:
        session.add_all([Guest(id=n, name=f"g{n % 2}") for n in range(1, 5)])
        session.add_all([Worker(id=n, name="w", pay=n % 2) for n in range(5, 10)])
    assert [item.id for item in all_of(db, Guest, 1, order_by="-name")] == [3, 1, 4, 2]
    assert not db.paginate(Guest, order_by="id", size=4).has_next
    with statements(db) as sent:
        assert [item.id for item in all_of(db, Worker, 2, order_by=["-pay", "name"])] == [5, 7, 9, 6, 8]
    assert "ORDER BY worker.pay DESC, person.name ASC, worker.id ASC" in sent[0][0]
    everybody = all_of(db, Person, 4, order_by="name")
    assert [type(item) for item in everybody] == [Guest] * 4 + [Worker] * 5
    cursor = db.paginate(Guest, order_by="id", size=1).next_cursor
    with pytest.raises(InvalidCursor, match="another query"):
        db.paginate(Person, order_by="id", after=cursor)


def test_what_a_filter_says_is_known(blog: Database) -> None:
    """Of a row that a condition names there is only one, whatever it is ordered by."""
    assert [item.id for item in all_of(blog, sa.select(Post).where(Post.id == 7))] == [7]
    assert [item.id for item in all_of(blog, sa.select(Post).where(Post.id == 7), order_by="headline")] == [7]
    tagged = sa.select(Post.id, post_tag.c.tag_id).join(post_tag, post_tag.c.post_id == Post.id)
    with statements(blog) as sent:
        found = all_of(blog, tagged.where(post_tag.c.tag_id == 2), order_by=Post.headline)
    assert found == _rows(blog, tagged.where(post_tag.c.tag_id == 2).order_by(Post.headline, Post.id))
    assert "ORDER BY post.title ASC, post.id ASC \n" in sent[0][0]
    of_two = tagged.where(post_tag.c.tag_id.in_([2, 3]))
    assert all_of(blog, of_two) == _rows(blog, of_two.order_by(Post.id, post_tag.c.tag_id))
    either = tagged.where((post_tag.c.tag_id == 2) | (Post.id == 4))
    assert all_of(blog, either) == _rows(blog, either.order_by(Post.id, post_tag.c.tag_id))


def test_what_an_outer_join_says_holds_where_there_is_a_row(blog: Database) -> None:
    """Of two posts by the same author one may lack what the other one is joined with: `on` says more than equality."""
    drafted = sa.and_(author.c.id == Post.author_id, Post.is_draft)
    what = sa.select(author.c.email, Post.author_id).select_from(Post).outerjoin(author, drafted)
    expected = _rows(blog, what.order_by(Post.author_id, author.c.id, Post.id))
    assert all_of(blog, what, 2, order_by=Post.author_id) == expected
    lacking = sa.select(Post.id, post_tag.c.tag_id).outerjoin(post_tag, post_tag.c.post_id == Post.id)
    assert all_of(blog, lacking, 4, order_by=post_tag.c.tag_id.desc()) == _rows(
        blog, lacking.order_by(post_tag.c.tag_id.desc(), Post.id.desc())
    )


def test_a_key_of_several_columns(blog: Database) -> None:
    assert [(item.country, item.number) for item in all_of(blog, Place, 2)] == [
        (country, number) for country in ("de", "it") for number in (1, 2, 3)
    ]
    assert [(item.country, item.number) for item in all_of(blog, Place, 2, order_by="-number")] == [
        (country, number) for number in (3, 2, 1) for country in ("it", "de")
    ]
