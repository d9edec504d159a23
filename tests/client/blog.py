"""A blog, mapped and as Core tables, with every kind of relation: for the tests of reading."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

    from dbopt.client import Database


class Base(orm.DeclarativeBase):
    pass


post_tag = sa.Table(
    "post_tag",
    Base.metadata,
    sa.Column("post_id", sa.ForeignKey("post.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("tag.id"), primary_key=True),
)


class Author(Base):
    __tablename__ = "author"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    email: orm.Mapped[str] = orm.mapped_column(sa.String(40), unique=True)
    city: orm.Mapped[str | None]
    posts: orm.Mapped[list[Post]] = orm.relationship(
        back_populates="author", foreign_keys="Post.author_id", order_by="Post.id.desc()"
    )
    profile: orm.Mapped[Profile | None] = orm.relationship(back_populates="author")
    drafts: orm.Mapped[list[Post]] = orm.relationship(
        primaryjoin=lambda: sa.and_(Author.id == orm.foreign(Post.author_id), Post.is_draft), viewonly=True
    )
    written: orm.DynamicMapped[Post] = orm.relationship(viewonly=True, foreign_keys="Post.author_id")


class Profile(Base):
    __tablename__ = "profile"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("author.id"))
    text: orm.Mapped[str]
    author: orm.Mapped[Author] = orm.relationship(back_populates="profile")


class Post(Base):
    """Its attribute `headline` is called otherwise than its column."""

    __tablename__ = "post"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    headline: orm.Mapped[str] = orm.mapped_column("title")
    is_draft: orm.Mapped[bool] = orm.mapped_column(default=False)
    author_id: orm.Mapped[int | None] = orm.mapped_column(sa.ForeignKey("author.id"))
    answers_id: orm.Mapped[int | None] = orm.mapped_column(sa.ForeignKey("post.id"))
    author: orm.Mapped[Author | None] = orm.relationship(back_populates="posts", foreign_keys=[author_id])
    tags: orm.Mapped[set[Tag]] = orm.relationship(secondary=post_tag)
    answered: orm.Mapped[Post | None] = orm.relationship(remote_side=[id], back_populates="answers")
    answers: orm.Mapped[list[Post]] = orm.relationship(back_populates="answered")


class Tag(Base):
    __tablename__ = "tag"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]


class Place(Base):
    """A key of two columns, and visits to it."""

    __tablename__ = "place"

    country: orm.Mapped[str] = orm.mapped_column(sa.CHAR(2), primary_key=True)
    number: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    visits: orm.Mapped[list[Visit]] = orm.relationship(back_populates="place")


class Visit(Base):
    __tablename__ = "visit"
    __table_args__ = (sa.ForeignKeyConstraint(["country", "number"], ["place.country", "place.number"]),)

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    country: orm.Mapped[str | None]
    number: orm.Mapped[int | None]
    place: orm.Mapped[Place | None] = orm.relationship(back_populates="visits")


class Album(Base):
    """Loads its songs along, by joining them."""

    __tablename__ = "album"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    songs: orm.Mapped[list[Song]] = orm.relationship(lazy="joined", order_by="Song.id")


class Song(Base):
    __tablename__ = "song"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    album_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("album.id"))


log = sa.Table("log", Base.metadata, sa.Column("line", sa.Text))  # without a key

author, post, tag = Author.__table__, Post.__table__, Tag.__table__

DATA = """
    INSERT INTO author (id, email, city) SELECT n, 'a' || n, CASE n % 2 WHEN 0 THEN 'Ulm' END
        FROM generate_series(1, 9) n;
    INSERT INTO profile (id, author_id, text) VALUES (1, 1, 'one'), (2, 3, 'three');
    INSERT INTO post (id, title, is_draft, author_id, answers_id)
        SELECT n, 'p' || n, n % 3 = 0, nullif(n % 5, 0), CASE WHEN n > 20 THEN n - 20 END FROM generate_series(1, 30) n;
    INSERT INTO tag (id, name) SELECT n, 't' || n FROM generate_series(1, 4) n;
    INSERT INTO post_tag (post_id, tag_id) SELECT p, t FROM generate_series(1, 30) p, generate_series(1, 4) t
        WHERE t <= p % 5;
    INSERT INTO place (country, number, name) SELECT c, n, c || n
        FROM unnest(array['de', 'it']) c, generate_series(1, 3) n;
    INSERT INTO visit (id, country, number) VALUES
        (1, 'de', 1), (2, 'it', 1), (3, 'de', 1), (4, NULL, 1), (5, 'it', NULL);
    INSERT INTO album (id) SELECT n FROM generate_series(1, 3) n;
    INSERT INTO song (id, album_id) SELECT n, 1 + n % 2 FROM generate_series(1, 6) n;
    INSERT INTO log (line) VALUES ('a');
"""


@contextlib.contextmanager
def filled(pg: Server) -> Iterator[str]:
    """The conninfo of a database with it."""
    with pg.database() as own:
        engine = sa.create_engine("postgresql+psycopg://", creator=own.connect)
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
        engine.dispose()
        own.sql(DATA)
        yield own.conninfo


@contextlib.contextmanager
def statements(db: Database) -> Iterator[list[tuple[str, Any]]]:
    """What is sent while it is open: texts and parameters."""
    sent: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, text: str, parameters: Any, context: Any, many: bool) -> None:
        sent.append((text, parameters))

    engine = getattr(db.engine, "sync_engine", db.engine)
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
