"""Values arrive as those of an INSERT by SQLAlchemy, whichever way they go."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import ipaddress
import math
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as pgt

from dbopt.client import Database
from dbopt.client.bulk import upsert as bulk
from dbopt.errors import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database as Own
    from server import Server

TOKYO = dt.timezone(dt.timedelta(hours=9))
WHEN = dt.datetime(2020, 2, 29, 12, 30, 1, 123456)
ODD_TEXTS = [
    "",
    " ",
    "\\N",
    "\\.",
    "\\",
    "\t\n\r\b\f\v",
    "{NULL}",
    "NULL",
    '"',
    "'",
    ",",
    "{",
    "}",
    "ä€𝄞\u200b",
    "%s %(a)s",
    "a\\,b",
]


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Fruit(enum.Enum):
    GREEN = "g"


class Doubled(sa.types.TypeDecorator[int]):
    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return -1 if value is None else value * 2


class Upper(sa.types.UserDefinedType[str]):
    """The server makes of each value what it stores."""

    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "text"

    def bind_expression(self, bindparam: Any) -> Any:
        return sa.func.upper(bindparam)


class Counted(sa.types.TypeDecorator[str]):
    impl = sa.Integer
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        return sa.func.length(sa.type_coerce(bindparam, sa.LargeBinary()))

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value


# By column: SQLAlchemy's type, the type in the database where that is another, values.
CASES: dict[str, tuple[Any, str | None, list[Any]]] = {
    "text": (sa.Text(), None, [*ODD_TEXTS, True, 5, -(2**70), WHEN.date(), uuid.UUID(int=5), 1e16, Decimal("1E+3")]),
    "limited": (sa.String(3), None, ["abc", "ab ", "abc  ", "äöü"]),
    "padded": (sa.CHAR(3), None, ["a", "a ", "abc"]),
    "one": (sa.types.NullType(), '"char"', ["a", ""]),
    "name": (sa.types.NullType(), "name", ["a" * 63]),
    "whole": (sa.Integer(), None, [0, -5, "17", sa.null(), True, False, 1.5, 2.5, Decimal("2.5"), 2**31 - 1]),
    "large": (sa.BigInteger(), None, [2**63 - 1, -(2**63), 1.0]),
    "small": (sa.SmallInteger(), None, [-(2**15), 7]),
    "exact": (sa.Numeric(30, 20), None, [Decimal("0.12345678901234567890"), 0.1234567890123456789, 5, "NaN", 1e9]),
    "free": (sa.Numeric(), None, [Decimal("1.50"), Decimal("NaN"), 10**40, 3.0]),
    "approximate": (sa.Float(53), None, [0.1, math.nan, math.inf, -math.inf, 1e308, 5e-324, Decimal("1.1"), 2**60 + 1]),
    "short": (sa.REAL(), None, [0.1, 16777217, Decimal("3.3"), 1e-40]),
    "flag": (sa.Boolean(), None, [True, False, 1, 0]),
    "data": (sa.LargeBinary(), None, [bytes(range(256)), b"", b"\\x00", bytearray(b"ab"), memoryview(b"cd")]),
    "day": (sa.Date(), None, [WHEN.date(), WHEN, WHEN.replace(tzinfo=TOKYO), "infinity", dt.date.max, dt.date.min]),
    "moment": (sa.DateTime(), None, [WHEN, WHEN.replace(tzinfo=TOKYO), WHEN.date(), "-infinity", dt.datetime.max]),
    "instant": (sa.DateTime(timezone=True), None, [WHEN, WHEN.replace(tzinfo=TOKYO), WHEN.date(), "infinity"]),
    "rounded": (pgt.TIMESTAMP(precision=0), None, [WHEN, WHEN.replace(microsecond=500000)]),
    "clock": (sa.Time(), None, [WHEN.time(), WHEN.timetz().replace(tzinfo=TOKYO), dt.time.max]),
    "zoned": (sa.Time(timezone=True), None, [WHEN.time().replace(tzinfo=TOKYO), WHEN.time()]),
    "span": (sa.Interval(), None, [dt.timedelta(days=-3, seconds=5, microseconds=7), dt.timedelta(0)]),
    "uuid": (sa.Uuid(), None, [uuid.UUID(int=7)]),
    "written": (sa.Uuid(as_uuid=False), None, [str(uuid.UUID(int=9))]),
    "doc": (sa.JSON(), None, [{"a": [1, None, "\t\\N\"{"]}, "text", 5, None, sa.null(), [], sa.JSON.NULL, True]),
    "binary_doc": (pgt.JSONB(), None, [{"b": 1, "a": "ä\\"}, None, sa.null(), "x"]),
    "nothing": (sa.JSON(none_as_null=True), None, [None, {"a": None}]),
    "colour": (sa.Enum(Colour, name="colour"), None, [Colour.RED, "BLUE"]),
    "plain_colour": (sa.Enum(Colour, native_enum=False), None, [Colour.RED]),
    "words": (pgt.ARRAY(sa.Text), None, [ODD_TEXTS, [], [None, "NULL", "null"], [["a", "b"], ["c", None]]]),
    "numbers": (pgt.ARRAY(sa.Numeric(10, 2)), None, [[Decimal("1.005"), None], [1, 2], [0.5], []]),
    "moments": (pgt.ARRAY(sa.DateTime), None, [[WHEN], [WHEN.replace(tzinfo=TOKYO)]]),
    "colours": (pgt.ARRAY(sa.Enum(Colour, name="colour")), None, [[Colour.BLUE, Colour.RED]]),
    "range": (pgt.INT4RANGE(), None, [pgt.Range(1, 5), pgt.Range(empty=True), pgt.Range(None, None)]),
    "days": (pgt.DATERANGE(), None, [pgt.Range(WHEN.date(), None, bounds="()")]),
    "address": (pgt.INET(), None, [ipaddress.ip_address("10.0.0.1"), "10.0.0.0/8", "::1"]),
    "network": (pgt.CIDR(), None, [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("10.0.0.1")]),
    "bits": (pgt.BIT(3), None, ["101"]),
    "vector": (pgt.TSVECTOR(), None, ["a:1 b:2"]),
    "box": (sa.types.NullType(), "box", ["(1,2),(3,4)"]),
    "domain": (sa.types.NullType(), "positive", [5, "7.004"]),
    "pair": (sa.types.NullType(), "pair", ["(1,\"a,\\\"\")", (5, "b")]),
    "doubled": (Doubled(), None, [4, None, True]),
    "upper": (Upper(), None, ["straße\\N", "\t"]),
    "counted": (Counted(), None, [b"\x00\x01"]),
}  # fmt: skip


@pytest.fixture(params=["arrays", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "copy":
        monkeypatch.setattr(bulk, "ARRAY_ROWS", 0)
    return str(request.param)


@pytest.fixture(scope="module")
def own(pg: Server) -> Iterator[Own]:
    with pg.database() as fresh:
        fresh.sql(
            "CREATE DOMAIN below AS numeric(6,2); CREATE DOMAIN positive AS below CHECK (VALUE > 0);"
            "CREATE TYPE pair AS (a int, b text); CREATE TYPE colour AS ENUM ('RED', 'BLUE')"
        )
        yield fresh


@pytest.fixture(scope="module")
def table(own: Own) -> sa.Table:
    made = sa.Table(
        "everything",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, kind) for name, (kind, _, _) in CASES.items()),
    )
    engine = sa.create_engine("postgresql+psycopg://")
    compiler = engine.dialect.type_compiler_instance
    columns = ", ".join(f'"{name}" {spelled or compiler.process(kind)}' for name, (kind, spelled, _) in CASES.items())
    own.sql(f"CREATE TABLE everything (id int PRIMARY KEY, {columns}); CREATE TABLE by_sqlalchemy (LIKE everything)")
    return made


@pytest.fixture(scope="module")
def made(own: Own) -> Iterator[Database]:
    own.sql(f"ALTER DATABASE {own.name} SET timezone = 'America/Caracas'")  # where a zone that is dropped shows
    with Database(own.conninfo, min_connections=0) as database:
        yield database


def test_as_an_insert_by_sqlalchemy(made: Database, table: sa.Table, way: str) -> None:
    """Each value in a row of its own, and all of a column in one call."""
    other = table.to_metadata(sa.MetaData(), name="by_sqlalchemy")
    made.execute(sa.text("TRUNCATE everything, by_sqlalchemy"))
    rows = [(name, value) for name, (_, _, values) in CASES.items() for value in [*values, None]]
    with made.begin() as session:
        for number, (name, value) in enumerate(rows):
            session.connection().execute(sa.insert(other).values(id=number, **{name: value}))
    for name in CASES:
        given_rows = [{"id": number, name: value} for number, (one, value) in enumerate(rows) if one == name]
        assert made.bulk_upsert(table, given_rows).inserted == len(given_rows)
    for name in CASES:
        differing = made.rows(
            sa.text(
                f'SELECT a.id, a."{name}"::text, b."{name}"::text FROM everything a JOIN by_sqlalchemy b USING (id)'
                f' WHERE a."{name}"::text IS DISTINCT FROM b."{name}"::text'
            )
        )
        assert [(rows[id_], ours, theirs) for id_, ours, theirs in differing] == []
    assert made.scalar(sa.text("SELECT count(*) FROM everything")) == len(rows)


@pytest.mark.parametrize(
    ("name", "bad", "words"),
    [
        ("text", "a\0b", "text with a NUL character"),
        ("words", ["a\0b"], "a list cannot be sent (DataError)"),
        ("text", "\ud800", "a str cannot be sent (UnicodeEncodeError)"),
        ("text", object(), "a object cannot be sent (ProgrammingError)"),
        ("colour", Fruit.GREEN, "a Fruit that the column's type refuses (LookupError)"),
        ("doc", {"a": object()}, "TypeError"),
    ],
)
def test_values_that_cannot_be_sent(made: Database, table: sa.Table, way: str, name: str, bad: Any, words: str) -> None:
    """The error says where, and never what."""
    good = CASES[name][2][0]
    with pytest.raises(BadRow) as caught:
        made.bulk_upsert(table, [{"id": 900, name: good}, {"id": 901, name: bad}, {"id": 902, name: good}])
    error = caught.value
    assert words in error.message
    assert (error.row, error.column, error.detail) == (1, name, f"row 1 of the input, counted from 0, column {name}")
    assert error.__suppress_context__ or error.__context__ is None
    assert "GREEN" not in str(error)
    assert made.scalar(sa.text("SELECT count(*) FROM everything WHERE id >= 900")) == 0


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("whole", "seven"), ("whole", 2**40), ("limited", "abcd"), ("day", "no day"), ("domain", -1),
        ("exact", Decimal("1E+20")), ("binary_doc", {"a": "\x00"}), ("range", "[5,1]"), ("bits", "1"),
    ],
)  # fmt: skip
def test_values_that_the_server_refuses(made: Database, table: sa.Table, way: str, name: str, bad: Any) -> None:
    """They stay SQLAlchemy's errors, which tell the row; parameters are not shown."""
    good = CASES[name][2][0]
    rows = [{"id": number, name: bad if number == 903 else good} for number in range(900, 906)]
    with pytest.raises((sa.exc.DataError, sa.exc.IntegrityError)) as caught:
        made.bulk_upsert(table, rows)
    assert caught.value.input_row == 3  # type: ignore[union-attr]
    assert "903" not in str(caught.value)
    assert made.scalar(sa.text("SELECT count(*) FROM everything WHERE id >= 900")) == 0


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ODD_TEXTS
)
ROW = st.fixed_dictionaries(
    {
        "text": st.none() | TEXT,
        "words": st.none() | st.lists(st.none() | TEXT, max_size=4),
        "binary_doc": st.recursive(
            st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
            max_leaves=6,
        ),
        "data": st.none() | st.binary(max_size=12),
        "approximate": st.none() | st.floats(allow_nan=False),
        "free": st.none() | st.decimals(-(10**9), 10**9, places=4),
        "instant": st.none() | st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=st.just(TOKYO)),
        "span": st.none() | st.timedeltas(dt.timedelta(-(10**6)), dt.timedelta(10**6)),
        "large": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=8))
def test_what_goes_in_comes_out(made: Database, table: sa.Table, way: str, rows: list[dict[str, Any]]) -> None:
    made.execute(sa.text("TRUNCATE everything"))
    numbered = [{"id": number, **row} for number, row in enumerate(rows)]
    assert made.bulk_upsert(table, numbered).inserted == len(rows)
    with decimal.localcontext():
        found = made.rows(sa.select(*(table.c[name] for name in numbered[0])).order_by(table.c.id))
    assert [row._asdict() for row in found] == numbered
