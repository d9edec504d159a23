"""The statement of an upsert: rows of a source settled by the server's own idea of equal, written in the order of their
key, and counted.

Two calls that write the same rows take their locks in the same order, and do not wait for each other in a circle. What
was inserted and what was updated is told by xmax, which is 0 only in a row that nobody has locked: ON CONFLICT locks
what it updates. A row that went through a partitioned table has no system columns; there a setting of the transaction
is the mark: it is set for each row as it comes, changed where the row was there, and read where it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from dbopt.client.bulk.rows import given_names
from dbopt.client.bulk.stage import NUMBER, SET
from dbopt.client.bulk.values import Named
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dbopt.client.bulk.rows import RowSet
    from dbopt.client.bulk.target import Key, Target
    from dbopt.client.bulk.values import Sender
    from dbopt.client.shape import Entity

_MARK = "dbopt.upsert"
# Limits of these change the value that is given; those of texts are kept or an error.
_ROUNDED = ("N", "D", "T")  # pg_type.typcategory: numbers, times, intervals


@dataclass(frozen=True, slots=True)
class Counts:
    settled: int = 0
    inserted: int = 0
    written: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.settled + other.settled, self.inserted + other.inserted, self.written + other.written)


@dataclass(frozen=True, slots=True)
class Before:
    """Only rows of the input with a lower number: of those that are settled, or of all."""

    number: int
    is_settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """All statements of one call. `source`: rows with NUMBER, SET and columns by `names`; texts, or of their types."""

    own: Entity
    target: Target
    sender: Sender
    key: Key
    update: Collection[str] | None
    where_changed: bool
    duplicates: str
    source: sa.FromClause
    names: Mapping[str, str]
    is_text: bool
    sets: Sequence[RowSet]

    def write(self, connection: sa.Connection, before: Before | None = None) -> Counts:
        total = Counts()
        for rows in self.sets:
            settled, inserted, written = connection.execute(self._statement(rows, before)).one()
            total += Counts(settled, inserted, written)
        return total

    def twins(self, connection: sa.Connection) -> tuple[int, int] | None:
        """The first two rows of the input with the same key. None: there are none such."""
        if not self._keyed():
            return None
        given = self._given(None)
        number, apart = given.c[NUMBER], self._equal(given)
        before = sa.func.lag(number).over(partition_by=apart, order_by=number).label("before")
        pairs = sa.select(before, number.label("number")).select_from(given).subquery("pairs")
        first = sa.select(pairs).where(pairs.c.before.is_not(None)).order_by(pairs.c.number).limit(1)
        found = connection.execute(first).one_or_none()
        return None if found is None else (found[0], found[1])

    def _statement(self, rows: RowSet, before: Before | None) -> sa.Select[Any]:
        settled = self._settled(rows, before)
        table, columns = self.own.table, self.own.columns
        sent = [settled.c[self.names[name]] for name in rows.sent]
        values = [*sent, *rows.computed.values()]
        taken = sa.select(*values).select_from(settled)
        if self.target.is_partitioned:
            taken = taken.where(_marked("i"))
        into = [columns[name] for name in (*rows.sent, *rows.computed)]
        insert = postgresql.insert(table).from_select(into, taken, include_defaults=False)
        by = [columns[name] for name in self.key.names]
        is_counted = self.is_counted(rows)
        changed = () if is_counted else given_names(rows, self.update, self.key.names)
        if changed:
            conditions = [self._differs(insert, changed)] if self.where_changed else []
            if self.target.is_partitioned:
                conditions.append(_marked("u"))
            insert = insert.on_conflict_do_update(
                index_elements=by,
                set_=self._changes(insert, changed),
                where=sa.and_(*conditions) if conditions else None,
            )
        elif not is_counted:  # else a number that is there already is an error, and not the row that is meant
            insert = insert.on_conflict_do_nothing(index_elements=by)
        # Of rows that were there nothing is returned unless they are updated.
        is_new: sa.ColumnElement[bool] = sa.literal_column("xmax = 0", sa.Boolean) if changed else sa.true()
        if changed and self.target.is_partitioned:
            is_new = sa.func.pg_catalog.current_setting(_MARK) == "i"
        written = insert.returning(is_new.label("is_new")).cte("written")
        count = sa.func.count()
        return sa.select(
            sa.select(count).select_from(settled).scalar_subquery().label("settled"),
            count.filter(written.c.is_new).label("inserted"),
            count.label("written"),
        ).select_from(written)

    def _settled(self, rows: RowSet, before: Before | None) -> sa.CTE:
        """One row of each key, of one set, by the key."""
        given = self._given(before)
        number = given.c[NUMBER]
        order: list[sa.ColumnElement[Any]] = []
        picked = sa.select(given)
        if self._keyed():
            order = self._equal(given)
            picked = _distinct_on(picked, order)
        is_first = self.duplicates == "first" or not order
        picked = picked.order_by(*order, number.asc() if is_first else number.desc())
        conditions = []
        every = picked.subquery("picked")
        if len(self.sets) > 1:
            conditions.append(every.c[SET] == rows.number)
        if before is not None and before.is_settled:
            conditions.append(every.c[NUMBER] < before.number)
        return (sa.select(every).where(*conditions) if conditions else picked).cte("settled")

    def _given(self, before: Before | None) -> sa.Subquery:
        """The rows as the table will have them, with all columns that any of their sets has."""
        sent = {name for rows in self.sets for name in rows.sent}
        columns = [self.source.c[NUMBER].label(NUMBER), self.source.c[SET].label(SET)]
        if self.is_text:
            columns = [sa.cast(column, sa.BigInteger).label(column.name) for column in columns]
        for name, own in self.names.items():
            if name in sent:
                columns.append(self._value(name, self.source.c[own]).label(own))
        given = sa.select(*columns)
        if before is not None and not before.is_settled:
            given = given.where(columns[0].element < before.number)
        return given.subquery("input")

    def _value(self, name: str, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        carrier = self.sender.carrier(name)
        if isinstance(carrier, Named):
            cast = sa.cast(column, carrier) if self.is_text else column
            made: sa.ColumnElement[Any] = self.sender.impl(name).bind_expression(cast)
            return made
        return sa.cast(column, Named(carrier.plain_type_name)) if self.is_text else column

    def is_counted(self, rows: RowSet) -> bool:
        """Whether the server counts a part of the key, so that the rows are new ones."""
        for name in set(self.key.names).difference(rows.sent):
            column = self.own.columns[name]
            if isinstance(column.default, sa.Sequence):
                return True
            if name not in rows.computed and self.target.columns[column.name].is_counted:
                return True
        return False

    def _keyed(self) -> list[RowSet]:
        """The sets whose rows say their whole key: of the others the server makes it, and they are no duplicates."""
        return [rows for rows in self.sets if set(self.key.names) <= set(rows.sent)]

    def _equal(self, given: sa.Subquery) -> list[sa.ColumnElement[Any]]:
        """Expressions that are the same for rows of the same key, and for those only."""
        columns = [given.c[self.names[name]] for name in self.key.names]
        equal = [
            self._compared(name, column, collation)
            for name, column, collation in zip(self.key.names, columns, self.key.collations, strict=True)
        ]
        alone = []
        if self.key.nulls_are_distinct:
            alone.append(sa.func.pg_catalog.num_nulls(*columns) > 0)
        keyed = self._keyed()
        if len(keyed) < len(self.sets):
            alone.append(given.c[SET].not_in([rows.number for rows in keyed]))
        if alone:
            equal.append(sa.case((sa.or_(*alone), given.c[NUMBER])))
        return equal

    def _compared(self, name: str, column: sa.ColumnElement[Any], collation: str | None) -> sa.ColumnElement[Any]:
        carrier = self.sender.carrier(name)
        if self.is_text and not isinstance(carrier, Named) and carrier.is_limited and carrier.category in _ROUNDED:
            column = sa.cast(column, Named(carrier.type_name))
        if collation is None:
            return column
        # Where equal means the same bytes, the order of the bytes is the quickest.
        return column.op("COLLATE")(sa.literal_column(collation or 'pg_catalog."C"'))

    def _changes(self, insert: postgresql.Insert, changed: Sequence[str]) -> dict[Any, Any]:
        """As an UPDATE of SQLAlchemy: also what has an `onupdate`, once for all rows of the statement."""
        mapper = self.own.mapper
        changes: dict[Any, Any] = {}
        for name, column in self.own.columns.items():
            if name in changed:
                changes[column] = insert.excluded[column.key]
            elif name in self.key.names:
                continue
            elif mapper is not None and column is mapper.version_id_col and callable(mapper.version_id_generator):
                changes[column] = _next_version(self.own.columns[name], mapper.version_id_generator)
            elif (default := column.onupdate) is not None:
                arg: Any = default.next_value() if isinstance(default, sa.Sequence) else default.arg
                changes[column] = arg(_NoRow()) if default.is_callable else arg
        return changes

    def _differs(self, insert: postgresql.Insert, changed: Sequence[str]) -> sa.ColumnElement[bool]:
        """Byte by byte, which works for types without equality, too: 1.0 and 1.00 differ, as do A and a of citext."""
        columns = [self.own.columns[name] for name in changed]
        there = _record(columns)
        given = _record([insert.excluded[column.key] for column in columns])
        return there.bool_op("OPERATOR(pg_catalog.*<>)")(given)


def _record(columns: Sequence[sa.ColumnElement[Any]]) -> sa.ColumnElement[Any]:
    """As one value: an operator between two ROW() would be taken for one between their columns."""
    plain = [sa.type_coerce(column, sa.types.NullType()) for column in columns]
    return sa.cast(sa.func.ROW(*plain), Named("record"))


def _distinct_on(statement: sa.Select[Any], columns: Sequence[sa.ColumnElement[Any]]) -> sa.Select[Any]:
    if hasattr(postgresql, "distinct_on"):  # SQLAlchemy 2.1, which warns of the old way
        return statement.ext(postgresql.distinct_on(*columns))
    return statement.distinct(*columns)


class _NoRow:
    """What a function of `onupdate=` is given: it is called for many rows at once."""

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> dict[str, Any]:
        del isolate_multiinsert_groups
        return {}


def _marked(how: str) -> sa.ColumnElement[bool]:
    """True, and a note of it."""
    return sa.func.pg_catalog.set_config(_MARK, how, sa.true()) == how


def _next_version(column: sa.Column[Any], generator: Any) -> Any:
    """Of SQLAlchemy's counter of versions, or of another generator a value that it gives to new rows."""
    first = generator(None)
    if isinstance(first, int) and generator(first) == first + 1:
        return sa.func.coalesce(column, 0) + 1
    return first
