"""How a column of sample data is made: small functions that give an SQL expression over the number of the row.

Nothing is random: every value is a function of (table, column, row number) by way of the server's own hash, so that the
same rows come out on every run, on every server, and a foreign key can be computed instead of looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import crc32

from psycopg import sql

from dbopt.values import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.demo.schema import Column, Schema


@dataclass(frozen=True, slots=True)
class Row:
    """What a recipe sees: whose value is wanted, and the expression for the row's number, which counts from 1."""

    book: Book
    table: str
    column: str
    number: sql.Composable

    def at(self, column: str) -> Row:
        """Another column of the same row."""
        return replace(self, column=column)

    @property
    def rows(self) -> int:
        return self.book.rows[self.table]

    def value(self) -> sql.Composable:
        recipe = self.book.recipe(self.table, self.column)
        if recipe is None:
            raise LookupError(f"{self.table}.{self.column} is left to its default: no other column can be made of it")
        return recipe(self)


Recipe = Callable[[Row], sql.Composable]


@dataclass(frozen=True, slots=True)
class Book:
    """The recipes of an application, how many rows each table gets, and what `now` is in its data."""

    schema: Schema
    recipes: Mapping[str, Mapping[str, Recipe]]
    rows: Mapping[str, int]
    now: datetime

    def recipe(self, table: str, column: str) -> Recipe | None:
        """The column's own recipe, else one after its type; None where NULL or the default will do."""
        own = self.recipes[table].get(column)
        return own or _usual(self, table, self.schema.tables[table].columns[column])

    def insert(self, table: str) -> sql.Composed:
        """All rows of a table in one statement, made by the server."""
        start = Row(self, table, "", sql.SQL("g.i"))
        made = [name for name in self.schema.tables[table].columns if self.recipe(table, name) is not None]
        return sql.SQL("INSERT INTO {} ({})\nSELECT {}\nFROM pg_catalog.generate_series(1::bigint, {}) AS g(i)").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, made)),
            sql.SQL(", ").join(start.at(name).value() for name in made),
            sql.Literal(self.rows[table]),
        )


def identifier(table: str, number: sql.Composable) -> sql.Composable:
    """An id as the client library makes them: 25 characters, growing with time in front, noise behind."""
    return sql.SQL("('c' || lpad(to_hex({n}), 8, '0') || substr(md5({t} || {n}), 1, 16))").format(
        n=number, t=sql.Literal(table)
    )


def uniform(row: Row, salt: str = "") -> sql.Composable:
    """0 <= u < 1, another one for every table, column and salt."""
    seed = crc32(f"{row.table}.{row.column}.{salt}".encode())
    return sql.SQL("((hashint8extended({}, {}) & 4294967295) / 4294967296.0::float8)").format(
        row.number, sql.Literal(seed)
    )


def own_id(row: Row) -> sql.Composable:
    return identifier(row.table, row.number)


@dataclass(frozen=True, slots=True)
class Parent:
    """The id of a row of `table`, by Zipf's law: the k-th parent has 1/k of the children of the first.

    Of 1000 parents the first has 10 % of all children, the first 31 have half of them. With `among` a, only the first
    a of the parents have children at all.
    """

    table: str
    among: float = 1

    def number(self, row: Row) -> sql.Composable:
        parents = max(1, round(row.book.rows[self.table] * self.among))
        return sql.SQL("floor({} ^ {})::bigint").format(sql.Literal(parents + 1.0), uniform(row))

    def __call__(self, row: Row) -> sql.Composable:
        return identifier(self.table, self.number(row))


def same(table: str) -> Recipe:
    """The id of the row of `table` with the same number: one to one."""
    return lambda row: identifier(table, row.number)


def through(column: str, wanted: str, of: str | None = None) -> Recipe:
    """What the parent behind `column` has in `wanted`: the organisation of the client, say.

    `of` names a table that stands one to one beside the parent and has the column instead of it.
    """

    def make(row: Row) -> sql.Composable:
        parent = row.book.recipes[row.table][column]
        if not isinstance(parent, Parent):
            raise LookupError(f"{row.table}.{column} has no parent")
        return Row(row.book, of or parent.table, wanted, parent.number(row.at(column))).value()

    return make


def pick(**weights: float) -> Recipe:
    """One of the labels, each as often as its weight says."""
    total = sum(weights.values())
    bounds, reached = [], 0.0
    for weight in list(weights.values())[:-1]:
        reached += weight / total
        bounds.append(round(reached, 6))

    def make(row: Row) -> sql.Composable:
        type_ = row.book.schema.type_of(row.book.schema.tables[row.table].columns[row.column])
        return sql.SQL("({}::{}[])[1 + width_bucket({}, {}::float8[])]").format(
            sql.Literal(list(weights)), type_, uniform(row), sql.Literal(bounds)
        )

    return make


def maybe(share: float, recipe: Recipe) -> Recipe:
    """NULL but for a share of the rows."""
    return lambda row: sql.SQL("CASE WHEN {} < {} THEN {} END").format(
        uniform(row, "maybe"), sql.Literal(share), recipe(row)
    )


def when(column: str, label: str, then: Recipe, otherwise: Recipe) -> Recipe:
    """One recipe where another column of the row has this value, a second one elsewhere."""
    return lambda row: sql.SQL("CASE WHEN {} = {} THEN {} ELSE {} END").format(
        row.at(column).value(), sql.Literal(label), then(row), otherwise(row)
    )


def past(days: float, growth: float = 2) -> Recipe:
    """A time within the last days, growing with the row's number.

    With `growth` 2 there are more and more of them towards now, as in an application that gains users; with 1 they are
    spread evenly.
    """
    return lambda row: sql.SQL("({}::timestamp - {} * interval '1 day' * (1 - ({} - 0.5) / {}) ^ {})").format(
        sql.Literal(row.book.now), sql.Literal(days), row.number, sql.Literal(row.rows), sql.Literal(growth)
    )


def since(column: str) -> Recipe:
    """A time between another column of the row and now, mostly soon after it."""
    return lambda row: sql.SQL("({c} + ({now}::timestamp - {c}) * {u} ^ 3)").format(
        c=row.at(column).value(), now=sql.Literal(row.book.now), u=uniform(row)
    )


def around(before_days: float, after_days: float) -> Recipe:
    """A time from so many days before now to so many after, evenly."""
    return lambda row: sql.SQL("({}::timestamp + interval '1 day' * ({} * {} - {}))").format(
        sql.Literal(row.book.now), sql.Literal(before_days + after_days), uniform(row), sql.Literal(before_days)
    )


def later(column: str, hours: float) -> Recipe:
    """Up to so many hours after another column of the row."""
    return lambda row: sql.SQL("({} + interval '1 hour' * {} * {})").format(
        row.at(column).value(), sql.Literal(hours), uniform(row)
    )


def amount(high: float, skew: float = 2, digits: int = 0) -> Recipe:
    """A number from 0 to `high`, mostly small: what counts, sums and scores look like."""
    return lambda row: sql.SQL("round(({} * {} ^ {})::numeric, {})").format(
        sql.Literal(high), uniform(row), sql.Literal(skew), sql.Literal(digits)
    )


def label(text: str) -> Recipe:
    """The text with the row's number: unique."""
    return lambda row: sql.SQL("({} || {})").format(sql.Literal(text), row.number)


def prose(length: int) -> Recipe:
    """Text of about half the length to the whole of it."""
    return lambda row: sql.SQL("repeat(md5({}::text) || ' ', 1 + ({} * (0.5 + {} / 2) / 33)::int)").format(
        row.number, sql.Literal(length), uniform(row)
    )


def fixed(text: str | None) -> Recipe:
    return lambda _: sql.Literal(text)


def _usual(book: Book, table: str, column: Column) -> Recipe | None:
    """After name and type, for columns that nobody has an opinion on."""
    definition = book.schema.tables[table]
    if column.name == "id":
        return own_id
    if column.default == "CURRENT_TIMESTAMP":  # which would make every load another one
        return past(700)
    if column.name in ("updatedAt", "lastUpdated") and "createdAt" in definition.columns:
        return since("createdAt")
    if column.nullable or column.default is not None:
        return None
    if column.name in definition.references:
        return Parent(definition.references[column.name].table)
    if column.type in book.schema.enums:
        return pick(**dict.fromkeys(book.schema.enums[column.type], 1.0))
    usual: dict[str, Recipe] = {
        "integer": amount(100),
        "double precision": amount(1000),
        "boolean": fixed("true"),
        "jsonb": fixed("{}"),
        "timestamp(3)": around(90, 90),
    }
    return usual.get(column.type, label(f"{column.name} "))
