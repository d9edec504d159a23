"""Upserts of many rows: what they write, what they count, and whose transaction it is. Both ways there: as arrays, and
by COPY through a temporary table.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from dbopt.client import AsyncDatabase, Database
from dbopt.client.bulk import upsert as bulk
from dbopt.client.bulk.upsert import Progress, Upserted
from dbopt.errors import BadRow, NoUniqueKey, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from server import Database as Own
    from server import Server


EARLIER = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Base(orm.DeclarativeBase):
    pass


class Lead(Base):
    """Names that need quotes, a column under another name, and each kind of default."""

    __tablename__ = 'Odd "lead'

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    email: orm.Mapped[str] = orm.mapped_column("eMail %", sa.String(40), unique=True)
    score: orm.Mapped[int | None] = orm.mapped_column(default=7)
    code: orm.Mapped[str | None] = orm.mapped_column(default=lambda: uuid.uuid4().hex)
    slug: orm.Mapped[str | None] = orm.mapped_column(default=lambda context: context.get_current_parameters()["id"] * 2)
    region: orm.Mapped[str | None] = orm.mapped_column(server_default="north")
    seen_at: orm.Mapped[dt.datetime | None] = orm.mapped_column(
        sa.DateTime(timezone=True), default=sa.func.now(), onupdate=sa.func.now()
    )
    touched: orm.Mapped[int | None] = orm.mapped_column(onupdate=lambda: 5)
    doubled: orm.Mapped[int | None] = orm.mapped_column(sa.Computed("score * 2", persisted=True))


class Tag(Base):
    """Its key is made by the server."""

    __tablename__ = "tag"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    tenant: orm.Mapped[int | None]
    name: orm.Mapped[str | None]
    weight: orm.Mapped[int | None]
    __table_args__ = (
        sa.UniqueConstraint("tenant", "name"),
        sa.Index("partial", "weight", unique=True, postgresql_where=sa.text("weight > 0")),
    )


class Animal(Base):
    __tablename__ = "animal"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    kind: orm.Mapped[str]
    version: orm.Mapped[int] = orm.mapped_column()
    name: orm.Mapped[str | None]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal", "version_id_col": version}  # noqa: RUF012


class Dog(Animal):
    barks: orm.Mapped[bool | None]
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Bird(Animal):
    __tablename__ = "bird"

    id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("animal.id"), primary_key=True)
    wings: orm.Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "bird"}  # noqa: RUF012


LEAD: sa.Table = Lead.__table__  # type: ignore[assignment]
TAG: sa.Table = Tag.__table__  # type: ignore[assignment]


@pytest.fixture(params=["arrays", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "copy":
        monkeypatch.setattr(bulk, "ARRAY_ROWS", 0)
    return str(request.param)


@pytest.fixture(scope="module")
def own(pg: Server) -> Iterator[Own]:
    """One database for most of these tests: making one takes longer than they do."""
    with pg.database() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def made(own: Own) -> Iterator[Database]:
    with Database(own.conninfo, min_connections=0) as database:
        Base.metadata.create_all(database.engine)
        yield database


@pytest.fixture
def shop(made: Database) -> Database:
    made.execute(sa.text('TRUNCATE "Odd ""lead", tag, animal, bird'))
    return made


@pytest.fixture
def fresh(db: Database) -> Database:
    """For tests that change the schema."""
    Base.metadata.create_all(db.engine)
    return db


def emails(shop: Database) -> dict[int, str]:
    return {row["id"]: row["eMail %"] for row in shop.rows(LEAD)}


def make_collation(db: Database, name: str, locale: str) -> None:
    create = f"CREATE COLLATION {name} (provider = icu, locale = '{locale}', deterministic = false)"
    try:
        db.execute(sa.text(create))
    except sa.exc.DBAPIError:
        pytest.skip("this server has no ICU")


def test_inserts_and_updates(shop: Database, way: str) -> None:
    first = shop.bulk_upsert(Lead, [{"id": 1, "email": "a"}, {"id": 2, "email": "b"}])
    assert first == Upserted(rows=2, inserted=2, batches=1)
    again = shop.bulk_upsert(Lead, [{"id": 2, "email": "B"}, {"id": 3, "email": "c"}])
    assert again == Upserted(rows=2, inserted=1, updated=1, batches=1)
    assert emails(shop) == {1: "a", 2: "B", 3: "c"}


def test_names_of_attributes_of_columns_and_columns_themselves(shop: Database, way: str) -> None:
    rows = [{"id": 1, "email": "a"}, {"id": 2, "eMail %": "b"}, {Lead.id: 3, LEAD.c["eMail %"]: "c"}]
    assert shop.bulk_upsert(Lead, rows).inserted == 3
    shop.bulk_upsert(LEAD, [{"id": 3, "eMail %": "C", "score": 1}], key=LEAD.c.id, update=[LEAD.c["eMail %"]])
    shop.bulk_upsert(Lead, [{"id": 9, "email": "b", "score": 1}], key="email", update=Lead.score)
    assert emails(shop) == {1: "a", 2: "b", 3: "C"}
    assert shop.scalar(sa.select(Lead.score).where(Lead.email == "b")) == 1


def test_keys_of_columns_that_are_not_their_names(fresh: Database, way: str) -> None:
    columns = [sa.Column("the id", sa.Integer, key="id", primary_key=True), sa.Column("object", sa.Text, key="set")]
    named = sa.Table("Named :x", sa.MetaData(), *columns, sa.Column("n", sa.Integer, onupdate=3, key="some"))
    named.metadata.create_all(fresh.engine)
    fresh.bulk_upsert(named, [{"id": 1, "set": "a"}, {"the id": 2, "object": "b"}])
    fresh.bulk_upsert(named, [{"the id": 1, "set": "c"}], where_changed=True)
    found = fresh.rows(sa.text('SELECT "the id", object, n FROM "Named \\:x" ORDER BY 1'))
    assert found == [(1, "c", 3), (2, "b", None)]


def test_defaults_are_those_of_an_insert_by_sqlalchemy(shop: Database, way: str) -> None:
    shop.bulk_upsert(Lead, [{"id": 1, "email": "a"}, {"id": 2, "email": "b", "score": None, "region": None}])
    with shop.session() as session:
        one, two = session.scalars(sa.select(Lead).order_by(Lead.id))
    assert (one.score, one.region, one.slug, one.touched, one.doubled) == (7, "north", "2", None, 14)
    assert one.seen_at is not None
    assert one.code is not None
    assert one.code != two.code
    assert (two.score, two.region, two.slug, two.doubled) == (None, None, "4", None)


def test_what_a_row_leaves_out_stays_as_it_is(shop: Database, way: str) -> None:
    shop.bulk_upsert(Lead, [{"id": 1, "email": "a", "score": 1, "region": "x", "seen_at": EARLIER, "code": "k"}])
    shop.bulk_upsert(Lead, [{"id": 1, "email": "b"}])
    [row] = shop.rows(LEAD)
    assert (row["eMail %"], row["score"], row["region"], row["code"]) == ("b", 1, "x", "k")
    assert row["seen_at"] > EARLIER  # onupdate
    assert row["touched"] == 5
    shop.bulk_upsert(Lead, [{"id": 1, "email": "c", "score": None, "seen_at": EARLIER}])
    [row] = shop.rows(LEAD)
    assert (row["score"], row["seen_at"]) == (None, EARLIER)


def test_chosen_columns_and_none(shop: Database, way: str) -> None:
    shop.bulk_upsert(Lead, [{"id": 1, "email": "a", "score": 1}])
    rows = [{"id": 1, "email": "b", "score": 2}, {"id": 2, "email": "c", "score": 3}]
    assert shop.bulk_upsert(Lead, rows, update=["score"]) == Upserted(rows=2, inserted=1, updated=1, batches=1)
    assert emails(shop) == {1: "a", 2: "c"}
    rows = [{"id": 1, "email": "d"}, {"id": 3, "email": "e"}]
    assert shop.bulk_upsert(Lead, rows, update=()) == Upserted(rows=2, inserted=1, unchanged=1, batches=1)
    assert emails(shop) == {1: "a", 2: "c", 3: "e"}
    assert shop.bulk_upsert(Lead, [{"id": 1, "email": "y"}], update=["score"]).unchanged == 1
    with pytest.raises(sa.exc.IntegrityError):  # what is there already has to be a row all the same
        shop.bulk_upsert(Lead, [{"id": 1, "score": 1}])
    assert shop.bulk_upsert(Tag, [{"id": 1}, {"id": 1}]) == Upserted(rows=2, inserted=1, duplicates=1, batches=1)
    assert shop.bulk_upsert(Tag, [{"id": 1}]).unchanged == 1


def test_only_what_changes_is_written(fresh: Database, way: str) -> None:
    fresh.execute(sa.text("CREATE TABLE kept (id int PRIMARY KEY, doc json, price numeric)"))
    kept = sa.Table("kept", sa.MetaData(), autoload_with=fresh.engine)
    rows = [{"id": 1, "doc": {"a": 1}, "price": "1.0"}, {"id": 2, "doc": None, "price": None}]
    fresh.bulk_upsert(kept, rows)
    before = fresh.rows(sa.text("SELECT id, xmin::text FROM kept ORDER BY id"))
    assert fresh.bulk_upsert(kept, rows, where_changed=True).unchanged == 2
    assert fresh.rows(sa.text("SELECT id, xmin::text FROM kept ORDER BY id")) == before
    changed = [{"id": 1, "doc": {"a": 1}, "price": "1.00"}, {"id": 2, "doc": None, "price": None}]
    assert fresh.bulk_upsert(kept, changed, where_changed=True) == Upserted(rows=2, updated=1, unchanged=1, batches=1)
    assert fresh.bulk_upsert(kept, rows).updated == 2


@pytest.mark.parametrize(("duplicates", "kept"), [("last", "z"), ("first", "x")])
def test_duplicates(shop: Database, way: str, duplicates: Any, kept: str) -> None:
    """A row counts as a whole: what the one that is left out had besides is not merged."""
    rows = [
        {"id": 1, "email": "x"},
        {"id": 2, "email": "b"},
        {"id": 1, "email": "y", "score": 1},
        {"id": 1, "email": "z"},
    ]
    assert shop.bulk_upsert(Lead, rows, duplicates=duplicates) == Upserted(rows=4, inserted=2, duplicates=2, batches=1)
    assert emails(shop) == {1: kept, 2: "b"}
    assert shop.scalar(sa.select(Lead.score).where(Lead.id == 1)) == 7


def test_duplicates_as_an_error(shop: Database, way: str) -> None:
    rows = [
        {"id": 3, "email": "x"},
        {"id": 1, "email": "b"},
        {"id": 2, "email": "c"},
        {"id": 1, "email": "z", "score": 1},
    ]
    with pytest.raises(BadRow, match="rows 1 and 3 of the input have the same key") as caught:
        shop.bulk_upsert(Lead, rows, duplicates="error")
    assert caught.value.row == 3
    assert emails(shop) == {}
    assert shop.bulk_upsert(Lead, rows[:3], duplicates="error").inserted == 3


@pytest.mark.parametrize(
    ("type_name", "collation", "same", "other"),
    [
        ("numeric", "", ["1", "1.0", "1.00"], "1.01"),
        ("numeric(6,1)", "", ["1.04", "1.0", "0.96"], "1.1"),
        ("char(4)", "", ["ab", "ab  ", "ab "], "abc"),
        ("timestamptz", "", ["2020-01-01 00:00+00", "2020-01-01 01:00+01"], "2020-01-01 00:00:00.000001+00"),
        ("timestamp(0)", "", ["2020-01-01 00:00:00.4", "2020-01-01 00:00:00"], "2020-01-01 00:00:01"),
        ("interval", "", ["1 day", "24 hours"], "25 hours"),
        ("jsonb", "", ['{"a": 1, "b": 2}', '{"b": 2, "a": 1}'], "{}"),
        ("float8", "", ["0", "-0", "0.0"], "NaN"),
        ("int[]", "", ["{1,2}", "{ 1, 2 }"], "{1,NULL}"),
        ("odd_domain", "", ["1.004", "1.0"], "1.01"),
        ("text", 'COLLATE "Ignoring case"', ["Straße", "STRASSE", "strasse"], "strase"),
    ],
)  # fmt: skip
def test_equal_is_what_the_server_takes_for_equal(
    db: Database, way: str, type_name: str, collation: str, same: list[str], other: str
) -> None:
    db.execute(sa.text("CREATE DOMAIN odd_domain AS numeric(4,2) CHECK (VALUE < 50)"))
    if collation:
        make_collation(db, '"Ignoring case"', "und-u-ks-level1")
    db.execute(sa.text(f"CREATE TABLE keyed (id {type_name} {collation} NOT NULL, n int, UNIQUE (id))"))
    keyed = sa.Table("keyed", sa.MetaData(), sa.Column("id", sa.types.NullType()), sa.Column("n", sa.Integer))
    rows = [{"id": spelling, "n": n} for n, spelling in enumerate([*same, other])]
    settled = db.bulk_upsert(keyed, rows, key="id")
    assert settled == Upserted(rows=len(rows), inserted=2, duplicates=len(same) - 1, batches=1)
    assert db.bulk_upsert(keyed, [rows[0]], key="id").updated == 1
    assert sorted(db.rows(sa.select(keyed.c.n))) == [(0,), (len(same),)]


def test_the_collation_that_counts_is_the_index_s(db: Database, way: str) -> None:
    make_collation(db, "blind", "und-u-ks-level2")
    db.execute(sa.text("CREATE TABLE named (name text, n int)"))
    db.execute(sa.text("CREATE UNIQUE INDEX ON named (name COLLATE blind)"))
    named = sa.Table("named", sa.MetaData(), sa.Column("name", sa.Text), sa.Column("n", sa.Integer))
    assert db.bulk_upsert(named, [{"name": "a", "n": 1}, {"name": "A", "n": 2}], key="name").duplicates == 1


def test_null_in_a_key_is_equal_to_nothing(shop: Database, way: str) -> None:
    rows = [
        {"tenant": 1, "name": None},
        {"tenant": 1, "name": None},
        {"tenant": 1, "name": "a"},
        {"tenant": 1, "name": "a"},
    ]
    done = shop.bulk_upsert(Tag, rows, key=("name", "tenant"))
    assert done == Upserted(rows=4, inserted=3, duplicates=1, batches=1)
    assert shop.bulk_upsert(Tag, rows, key=["tenant", "name"], duplicates="first").inserted == 2


@pytest.mark.pg(">= 15")
def test_nulls_not_distinct(db: Database, way: str) -> None:
    db.execute(sa.text("CREATE TABLE slot (place int, n int, UNIQUE NULLS NOT DISTINCT (place))"))
    slot = sa.Table("slot", sa.MetaData(), autoload_with=db.engine)
    rows = [{"place": None, "n": 1}, {"place": None, "n": 2}]
    assert db.bulk_upsert(slot, rows, key="place") == Upserted(rows=2, inserted=1, duplicates=1, batches=1)
    assert db.bulk_upsert(slot, rows, key="place").updated == 1
    assert db.rows(slot) == [{"place": None, "n": 2}]


def test_a_key_that_the_server_makes(shop: Database, way: str) -> None:
    rows = [{"name": "a"}, {"name": "b"}, {"id": 500, "name": "c"}]
    assert shop.bulk_upsert(Tag, rows) == Upserted(rows=3, inserted=3, batches=1)
    assert sorted(row["name"] for row in shop.rows(TAG)) == ["a", "b", "c"]


@pytest.mark.parametrize("duplicates", ["last", "first"])
def test_numbers_of_the_server_are_in_the_order_of_the_input(shop: Database, way: str, duplicates: Any) -> None:
    shop.bulk_upsert(Tag, [{"name": name} for name in "abcd"], duplicates=duplicates)
    assert [row["name"] for row in shop.rows(sa.select(TAG).order_by(TAG.c.id))] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("options", [{}, {"update": ()}, {"where_changed": True}])
def test_a_new_row_is_never_another_that_has_its_number(shop: Database, way: str, options: dict[str, Any]) -> None:
    """As after rows were inserted with numbers of their own: the sequence does not know of them."""
    shop.execute(sa.text("ALTER SEQUENCE tag_id_seq RESTART"))
    shop.bulk_upsert(Tag, [{"id": n, "name": "old"} for n in (2, 3)])
    with pytest.raises(sa.exc.IntegrityError) as raised:
        shop.bulk_upsert(Tag, [{"name": "new"}, {"name": "new"}, {"id": 9, "name": "new"}], **options)
    assert raised.value.orig.sqlstate == "23505"  # type: ignore[union-attr]
    assert not hasattr(raised.value, "input_row")
    assert shop.rows(sa.select(TAG.c.id, TAG.c.name).order_by(TAG.c.id)) == [(2, "old"), (3, "old")]


def test_objects(shop: Database, way: str) -> None:
    """As SQLAlchemy's own INSERT: None is left out where the column has a default."""
    rows = [Lead(id=1, email="a", score=None), Lead(id=2, email="b", score=3, touched=None)]
    assert shop.bulk_upsert(Lead, rows).inserted == 2
    assert shop.rows(sa.select(Lead.score).order_by(Lead.id)) == [(7,), (3,)]
    assert shop.bulk_upsert(Tag, [Tag(id=None, name="x"), Tag(name="y")]).inserted == 2
    with shop.session() as session:
        lead = session.get_one(Lead, 1)
        session.expire(lead)
        with pytest.raises(BadRow, match="expired"):
            shop.bulk_upsert(Lead, [lead])


def test_inheritance_and_versions(shop: Database, way: str) -> None:
    assert shop.bulk_upsert(Dog, [{"id": 1, "barks": True}]).inserted == 1
    assert shop.bulk_upsert(Dog, [Dog(id=1, barks=False), Dog(id=2)]).updated == 1
    assert shop.rows(sa.text("SELECT id, kind, version, barks FROM animal ORDER BY id")) == [
        (1, "dog", 2, False),
        (2, "dog", 1, None),
    ]
    with pytest.raises(BadRow, match="a Dog is more than a Animal"):
        shop.bulk_upsert(Animal, [Dog(id=3)])
    with pytest.raises(UsageError, match="several tables"):
        shop.bulk_upsert(Bird, [{"id": 4}])


def test_rows_of_another_query(shop: Database, way: str) -> None:
    shop.bulk_upsert(Tag, [{"id": 1, "name": "a"}])
    assert shop.bulk_upsert(Tag, shop.rows(sa.select(Tag.id, Tag.name, Tag.weight))).updated == 1


def test_many_sets_of_columns(shop: Database, way: str) -> None:
    """More than go as arrays."""
    bits = {"score": 1, "code": 2, "slug": 4, "region": 8}
    rows = [
        {"id": n, "email": str(n), **{name: n if name == "score" else str(n) for name, bit in bits.items() if n & bit}}
        for n in range(16)
    ]
    assert shop.bulk_upsert(Lead, rows) == Upserted(rows=16, inserted=16, batches=1)
    assert shop.bulk_upsert(Lead, reversed(rows)).updated == 16
    for row in shop.rows(LEAD):
        assert row["region"] == (str(row["id"]) if row["id"] & 8 else "north")
        assert row["score"] == (row["id"] if row["id"] & 1 else 7)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_generator_in_one_transaction(shop: Database, way: str, size: int) -> None:
    said: list[Progress] = []
    rows = ({"id": n % 7, "email": f"{n}"} for n in range(10))
    done = shop.bulk_upsert(Lead, rows, batch_size=size, progress=said.append)
    assert done == Upserted(rows=10, inserted=7, duplicates=3, batches=-(-10 // size))
    assert len(said) == done.batches
    assert [one.sent for one in said] == [min(10, size * (n + 1)) for n in range(len(said))]
    assert (said[-1].done, said[-1].total, said[-1].inserted) == (10, None, 7)
    assert emails(shop) == {0: "7", 1: "8", 2: "9", 3: "3", 4: "4", 5: "5", 6: "6"}


def test_each_batch_by_itself(shop: Database, way: str) -> None:
    """As if each were a call: also for what is a duplicate."""
    said: list[tuple[int, int | None, int]] = []

    def tell(progress: Progress) -> None:
        said.append((progress.done, progress.total, len(emails(shop))))  # committed: another session sees it

    rows = [{"id": n % 4, "email": str(n)} for n in range(7)]
    done = shop.bulk_upsert(Lead, rows, batch_size=5, commit="batch", duplicates="first", progress=tell)
    assert done == Upserted(rows=7, inserted=4, updated=2, duplicates=1, batches=2)
    assert said == [(5, 7, 4), (7, 7, 4)]
    assert emails(shop) == {0: "0", 1: "5", 2: "6", 3: "3"}


def test_a_batch_that_fails_leaves_those_before(shop: Database, way: str) -> None:
    rows = [{"id": n, "email": "same" if n in (1, 4) else str(n)} for n in range(6)]
    with pytest.raises(sa.exc.IntegrityError) as caught:
        shop.bulk_upsert(Lead, rows, batch_size=2, commit="batch")
    assert caught.value.committed == Upserted(rows=4, inserted=4, batches=2)  # type: ignore[attr-defined]
    assert caught.value.input_row == 4  # type: ignore[attr-defined]
    assert "the first 4 rows of the input are committed, in 2 batches" in caught.value.__notes__
    assert sorted(emails(shop)) == [0, 1, 2, 3]


def test_what_progress_raises_ends_it(shop: Database, way: str) -> None:
    class Enough(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.sent == 4:
            raise Enough

    rows = [{"id": n, "email": str(n)} for n in range(6)]
    with pytest.raises(Enough):
        shop.bulk_upsert(Lead, rows, batch_size=2, progress=stop)
    assert emails(shop) == {}
    with pytest.raises(Enough) as caught:
        shop.bulk_upsert(Lead, rows, batch_size=2, commit="batch", progress=stop)
    assert caught.value.committed.rows == 4  # type: ignore[attr-defined]
    assert sorted(emails(shop)) == [0, 1, 2, 3]


def test_within_a_transaction_of_the_caller(shop: Database, way: str) -> None:
    with shop.session() as session:
        session.add(Lead(id=1, email="pending"))
        done = shop.within(session).bulk_upsert(Lead, [{"id": 1, "email": "a"}, {"id": 2, "email": "b"}])
        assert (done.inserted, done.updated) == (1, 1)
        with pytest.raises(sa.exc.IntegrityError):
            shop.within(session).bulk_upsert(Lead, [{"id": 3, "email": "c"}, {"id": 4, "email": "a"}])
        shop.within(session).bulk_upsert(Lead, [{"id": 5, "email": "e"}])
        assert session.scalars(sa.select(Lead.id).order_by(Lead.id)).all() == [1, 2, 5]
        assert emails(shop) == {}
        with pytest.raises(UsageError, match="within a transaction of the caller"):
            shop.within(session).bulk_upsert(Lead, [], commit="batch")
        session.rollback()
    assert emails(shop) == {}
    with shop.engine.begin() as connection:
        shop.within(connection).bulk_upsert(LEAD, [{"id": 1, "eMail %": "a"}])
    assert emails(shop) == {1: "a"}


def test_objects_that_the_session_has_are_read_again(shop: Database, way: str) -> None:
    with shop.begin() as session:
        lead, tag = Lead(id=1, email="a"), Tag(id=1, name="t")
        session.add_all([lead, tag])
        session.flush()
        lead.score = 3  # is written first
        shop.within(session).bulk_upsert(Lead, [{"id": 1, "email": "b"}])
        assert (lead.email, lead.score) == ("b", 3)
        assert "name" in sa.inspect(tag).dict


def test_temporary_tables_meet_no_other(shop: Database, way: str) -> None:
    with shop.begin() as session:
        session.execute(sa.text("CREATE TEMP TABLE dbopt_upsert (n int) ON COMMIT DROP"))
        session.execute(sa.text("INSERT INTO dbopt_upsert VALUES (7)"))
        session.execute(sa.text("SET LOCAL search_path = pg_catalog, public, pg_temp"))

        def nested() -> Iterator[dict[str, Any]]:
            for n in range(4):
                shop.within(session).bulk_upsert(
                    Tag, [{"id": n, "name": "a"}, {"id": n + 10, "name": "b"}], batch_size=1
                )
                yield {"id": n, "email": str(n)}

        assert shop.within(session).bulk_upsert(Lead, nested(), batch_size=2).inserted == 4
        found = session.scalars(
            sa.text("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'")
        )
        assert found.all() == ["dbopt_upsert"]
        assert session.scalar(sa.text("SELECT n FROM dbopt_upsert")) == 7


def test_schemas_and_their_translation(fresh: Database, way: str) -> None:
    fresh.execute(sa.text('CREATE SCHEMA "Other ""one"'))
    fresh.execute(sa.text('CREATE TABLE "Other ""one".tag (LIKE public.tag INCLUDING ALL)'))
    fresh.execute(sa.text('CREATE TABLE "Other ""one".parts (id int PRIMARY KEY, n int)'))
    engine = fresh.engine.execution_options(schema_translate_map={None: 'Other "one'})
    with orm.Session(engine) as session, session.begin():
        assert fresh.within(session).bulk_upsert(Tag, [{"id": 1, "name": "a"}], where_changed=True).inserted == 1
        assert fresh.within(session).bulk_upsert(Tag, [{"id": 1, "name": "b"}], where_changed=True).updated == 1
    assert fresh.rows(TAG) == []
    parts = sa.Table("parts", sa.MetaData(), autoload_with=fresh.engine, schema='Other "one')
    assert fresh.bulk_upsert(parts, [{"id": 1, "n": 1}], where_changed=True).inserted == 1
    assert fresh.bulk_upsert(parts, [{"id": 1, "n": 2}], where_changed=True).updated == 1


def test_counts_in_one_transaction_and_under_locks_of_others(fresh: Database, way: str) -> None:
    """What tells inserts from updates holds for rows that this transaction has made, locked or changed before, and for
    those that somebody else has locked.
    """
    fresh.execute(sa.text("CREATE TABLE child (id int PRIMARY KEY, tag int REFERENCES tag)"))
    fresh.bulk_upsert(Tag, [{"id": 1, "name": "a"}])
    with fresh.begin() as session, fresh.begin() as other:
        other.execute(sa.text("INSERT INTO child VALUES (1, 1)"))  # holds FOR KEY SHARE on the tag
        operations = fresh.within(session)
        for _ in range(2):
            done = operations.bulk_upsert(Tag, [{"id": 1, "weight": 0}, {"id": 2, "weight": 0}])
        assert done.updated == 2
        session.execute(sa.text("SELECT FROM tag FOR NO KEY UPDATE"))
        with session.begin_nested():
            assert operations.bulk_upsert(Tag, [{"id": n, "weight": 0} for n in (1, 2, 3)]).inserted == 1
        assert operations.bulk_upsert(Tag, [{"id": n, "weight": -1} for n in (1, 2, 3, 4)]).updated == 3


@pytest.mark.parametrize("is_partitioned", [False, True])
def test_triggers_and_partitions(db: Database, way: str, is_partitioned: bool) -> None:
    """Whatever triggers suppress or change, and whatever the columns of a partition: the counts are right."""
    partitioned = "PARTITION BY RANGE (id)" if is_partitioned else ""
    db.execute(sa.text(f"CREATE TABLE part (gone int, note text, id int PRIMARY KEY, n int) {partitioned}"))
    if is_partitioned:
        db.execute(sa.text("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10)"))
        db.execute(sa.text("CREATE TABLE part_2 (n int, id int NOT NULL, note text, gone int)"))
        db.execute(sa.text("ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20)"))
    db.execute(sa.text("ALTER TABLE part DROP COLUMN gone"))
    db.execute(
        sa.text("""
        CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.n = 13 AND TG_OP = 'INSERT' THEN RETURN NULL; END IF;
            IF NEW.n = 14 AND TG_OP = 'UPDATE' THEN RETURN NULL; END IF;
            NEW.note := concat(NEW.note, TG_OP); RETURN NEW; END $$
        """)
    )
    db.execute(sa.text("CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON part FOR EACH ROW EXECUTE FUNCTION guard()"))
    part = sa.Table("part", sa.MetaData(), autoload_with=db.engine)
    assert db.bulk_upsert(part, [{"id": n, "n": 0} for n in (1, 3, 5, 11, 13, 15)]).inserted == 6
    suppressed = {5: 14, 15: 14, 2: 13, 12: 13}
    rows = [{"id": n, "n": suppressed.get(n, 100 + n)} for n in (1, 2, 3, 4, 5, 11, 12, 13, 14, 15)]
    # 1, 3, 11, 13 are updated and 4, 14 inserted; the updates of 5 and 15 and the inserts of 2 and 12 are suppressed.
    assert db.bulk_upsert(part, rows) == Upserted(rows=10, inserted=2, updated=4, unchanged=4, batches=1)
    again = db.bulk_upsert(part, rows, where_changed=True)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, 10)
    assert db.bulk_upsert(part, [{"id": 6, "n": 1}, {"id": 1, "n": 1}], update=()).inserted == 1


def test_triggers_that_make_rows_the_same(fresh: Database, way: str) -> None:
    fresh.execute(
        sa.text(
            "CREATE FUNCTION lowered() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.name := lower(NEW.name); RETURN NEW; END $$"
        )
    )
    fresh.execute(sa.text("CREATE TRIGGER low BEFORE INSERT ON tag FOR EACH ROW EXECUTE FUNCTION lowered()"))
    with pytest.raises(UsageError, match="two rows of the input are about the same row of Tag"):
        fresh.bulk_upsert(Tag, [{"tenant": 1, "name": n, "weight": 0} for n in "aA"], key=["tenant", "name"])


def test_keys_that_there_are_not(fresh: Database, way: str) -> None:
    fresh.execute(sa.text("CREATE UNIQUE INDEX ON tag (lower(name))"))
    fresh.execute(sa.text("ALTER TABLE tag ADD COLUMN later int UNIQUE DEFERRABLE"))
    with pytest.raises(NoUniqueKey, match="no unique key of Tag is made of just these columns: weight") as caught:
        fresh.bulk_upsert(Tag, [{"weight": 1}], key="weight")
    detail = caught.value.detail or ""
    for part in (
        "(id)",
        "(tenant, name)",
        "(weight) is partial",
        "((expression)) is of an expression",
        "is deferrable",
    ):
        assert part in detail
    with pytest.raises(NoUniqueKey, match="tenant"):
        fresh.bulk_upsert(Tag, [{"tenant": 1}], key=["tenant"])
    bare = sa.Table("bare", sa.MetaData(), sa.Column("n", sa.Integer))
    with pytest.raises(NoUniqueKey, match="bare has no primary key"):
        fresh.bulk_upsert(bare, [{"n": 1}])


def test_empty_input_asks_nothing(url: str) -> None:
    with Database("host=127.0.0.1 port=1 dbname=nowhere", min_connections=0) as nowhere:
        assert nowhere.bulk_upsert(Lead, []) == Upserted()
        assert nowhere.bulk_upsert(Lead, iter(()), commit="batch") == Upserted()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": {"id": 1}}, "rows cannot be a dict"),
        ({"rows": 5}, "rows cannot be a int"),
        ({"rows": [5]}, "a int is no mapping nor a Lead"),
        ({"rows": [{}]}, "a row without columns"),
        ({"rows": [{"id": 1, "nme": 2}]}, "Lead has no column 'nme'"),
        ({"rows": [{"id": 1, Tag.name: 2}]}, "Lead has no such column"),
        ({"rows": [{"email": 1, "eMail %": 2}]}, "given twice"),
        ({"rows": [{"id": 1, "doubled": 2}]}, "computed by the server"),
        ({"rows": [{"id": 1, "email": sa.func.now()}]}, "an SQL expression is no value"),
        ({"key": "nme"}, "Lead has no column 'nme'"),
        ({"key": ()}, "key names no column"),
        ({"key": ["email", "eMail %"]}, "key names a column twice"),
        ({"update": ["nme"]}, "Lead has no column 'nme'"),
        ({"update": ["doubled"]}, "computed by the server"),
        ({"batch_size": 0}, "batch_size has to be"),
        ({"batch_size": True}, "batch_size has to be"),
        ({"commit": "never"}, "commit cannot be 'never'"),
        ({"duplicates": "any"}, "duplicates cannot be 'any'"),
    ],
)
def test_words_that_are_off(shop: Database, options: dict[str, Any], words: str) -> None:
    given = {"rows": [{"id": 1, "email": "a"}], **options}
    with pytest.raises(UsageError) as caught:
        shop.bulk_upsert(Lead, given.pop("rows"), **given)
    assert words in caught.value.message
    assert emails(shop) == {}
    if "nme" in words:
        assert "email" in (caught.value.hint or "")


def test_cached_answers_end(shop: Database, way: str) -> None:
    shop.bulk_upsert(Lead, [{"id": 1, "email": "a"}])
    count = sa.select(sa.func.count()).select_from(Lead)
    assert shop.scalar(count, cache=60) == 1
    shop.bulk_upsert(Lead, [{"id": 2, "email": "b"}])
    assert shop.scalar(count, cache=60) == 2
    shop.scalar(sa.select(sa.func.count()).select_from(Tag), cache=60)
    before = shop.metrics().cache
    shop.bulk_upsert(Lead, [{"id": 3, "email": "c"}])
    shop.scalar(sa.select(sa.func.count()).select_from(Tag), cache=60)  # of another table
    after = shop.metrics().cache
    assert before is not None
    assert after is not None
    assert after.hits == before.hits + 1


def test_asyncio(shop: Database, way: str, own: Own) -> None:
    said: list[int] = []

    async def tell(progress: Progress) -> None:
        said.append(progress.sent)

    async def rows() -> AsyncIterator[dict[str, Any]]:
        for n in range(5):
            yield {"id": n, "email": str(n)}

    async def body(adb: AsyncDatabase) -> None:
        assert (await adb.bulk_upsert(Lead, rows(), batch_size=2, progress=tell)).inserted == 5
        done = await adb.bulk_upsert(
            Lead, [Lead(id=n, email=f"{n}\t\\N\n") for n in range(7)], commit="batch", batch_size=3
        )
        assert (done.inserted, done.updated) == (2, 5)
        with pytest.raises(sa.exc.IntegrityError) as caught:
            await adb.bulk_upsert(Lead, [{"id": 10, "email": "x"}, {"id": 11, "email": "0\t\\N\n"}])
        assert caught.value.input_row == 1  # type: ignore[attr-defined]

    async def main() -> None:
        async with AsyncDatabase(own.conninfo, min_connections=0) as adb:
            await body(adb)

    asyncio.run(main())
    assert said == [2, 4, 5]
    assert emails(shop) == {n: f"{n}\t\\N\n" for n in range(7)}
    with pytest.raises(UsageError, match="rows cannot be a async_generator here"):
        shop.bulk_upsert(Lead, rows())


def test_sequences(fresh: Database, way: str) -> None:
    ids = sa.Column("id", sa.Integer, sa.Sequence("own_ids", start=5), primary_key=True)
    own = sa.Table("own", sa.MetaData(), ids, sa.Column("n", sa.Integer))
    own.metadata.create_all(fresh.engine)
    assert fresh.bulk_upsert(own, [{"n": 1}, {"n": 2}]).inserted == 2
    assert fresh.rows(sa.select(own.c.id).order_by(own.c.id)) == [(5,), (6,)]
