"""Which columns tell the rows of a select apart: what of its tables' keys its order lacks.

A table's row is known once the columns of one of its keys are; what conditions say to be equal is known with it. So of
comments joined with their authors the key of a comment is enough, and of authors joined with their comments both are
needed: several rows are of one author.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, BooleanClauseList

from dbopt.errors import NoUniqueKey
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from dbopt.client.shape import Shape

    Column = sa.ColumnElement[Any]

_HINT = "Say which columns of the select are unique together: unique=(...)."


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One of the FROM list. Columns are compared by hash, as SQLAlchemy does: an annotated one is another object."""

    selectable: sa.FromClause
    keys: tuple[tuple[Column, ...], ...]  # each of them unique and NOT NULL
    nullable: bool  # on the side of an outer join where rows may be missing
    is_lasting: bool  # others cannot be named in ORDER BY


@dataclass(frozen=True, slots=True)
class _Equality:
    """`column` is known once `other` is (None: it is a constant), and `sources`."""

    column: Column
    other: Column | None
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Sources:
    lasting: frozenset[int]  # hashes of what is the same in all statements made of this one
    all: list[Source] = field(default_factory=list)
    equalities: list[_Equality] = field(default_factory=list)

    @classmethod
    def of(cls, asked: Shape, statement: sa.Select[Any]) -> Sources:
        mapped = tuple(asked.entity.mapper.primary_key) if asked.entity and asked.entity.mapper else ()
        plain = _without_loading(statement.order_by(None))
        froms = plain.get_final_froms()
        # SQLAlchemy joins the table between two others by an alias that it makes anew whenever it looks at a statement.
        found = cls(lasting=frozenset(hash(part) for each in plain.get_final_froms() for part in _parts(each)))
        for selectable in froms:
            found._add(selectable, mapped, nullable=False)
        if statement.whereclause is not None:
            found._add_equalities(statement.whereclause)
        # What is selected first comes first: it is what the rows are about.
        hashes = [hash(column) for column in statement.selected_columns]
        found.all.sort(key=lambda source: _first_of(source.selectable.columns, hashes))
        return found

    @property
    def are_tables(self) -> bool:
        return all(isinstance(source.selectable, sa.Table) for source in self.all)

    def is_nullable(self, expression: Column) -> bool:
        """What is no column of a table, an expression say, counts as such."""
        if not isinstance(expression, sa.Column) or expression.nullable:
            return True
        return not any(
            _table(source.selectable) is not None
            and not source.nullable
            and _is_among(expression, source.selectable.columns)
            for source in self.all
        )

    def missing(self, ordered: Sequence[Column]) -> list[Column]:
        """Columns that, after these, make each row unique. Raises NoUniqueKey."""
        known = {hash(column) for column in ordered}
        added: list[Column] = []
        while unknown := self._unknown(known):
            source = next((source for source in unknown if source.is_lasting), unknown[0])
            if not source.keys or not source.is_lasting:
                name = getattr(source.selectable, "name", None) or source.selectable.__visit_name__
                raise NoUniqueKey(
                    f"{name} has no key that tells its rows apart",
                    detail="pages need an order in which no two rows are equal",
                    hint=_HINT,
                )
            columns = [column for column in source.keys[0] if hash(column) not in known]
            added += columns
            known.update(map(hash, columns))
        return added

    def _unknown(self, ordered: Collection[int]) -> list[Source]:
        """Sources of which, with these columns known, there may be several rows."""
        known = set(ordered)
        unknown = list(self.all)
        while True:
            before = len(known), len(unknown)
            for equality in self.equalities:
                is_given = equality.other is None or hash(equality.other) in known
                if is_given and not any(source in unknown for source in equality.sources):
                    known.add(hash(equality.column))
            for source in list(unknown):
                if any(all(hash(column) in known for column in key) for key in source.keys):
                    unknown.remove(source)
                    known.update(map(hash, source.selectable.columns))
            if before == (len(known), len(unknown)):
                return unknown

    def _add(self, selectable: sa.FromClause, mapped: Sequence[Column], *, nullable: bool) -> list[Source]:
        if not isinstance(selectable, sa.Join):
            source = Source(selectable, tuple(_keys(selectable, mapped)), nullable, hash(selectable) in self.lasting)
            self.all.append(source)
            return [source]
        left = self._add(selectable.left, mapped, nullable=nullable or selectable.full)
        right = self._add(selectable.right, mapped, nullable=nullable or selectable.isouter or selectable.full)
        if selectable.full or selectable.onclause is None:
            pass
        elif selectable.isouter or nullable:
            # A row of the right side is known only once the whole row of the left one is: it may be missing.
            self._add_equalities(selectable.onclause, given=left, of=right)
        else:
            self._add_equalities(selectable.onclause)
        return left + right

    def _add_equalities(
        self, condition: Column, given: Sequence[Source] = (), of: Sequence[Source] | None = None
    ) -> None:
        for left, right in _equal_pairs(condition):
            for column, other in ((left, right), (right, left)):
                if not isinstance(column, sa.Column | sa.ColumnClause):
                    continue
                if of is not None and not any(_is_among(column, source.selectable.columns) for source in of):
                    continue
                if isinstance(other, BindParameter):
                    self.equalities.append(_Equality(column, None, tuple(given)))
                elif isinstance(other, sa.ColumnClause):
                    self.equalities.append(_Equality(column, other, tuple(given)))


def _equal_pairs(condition: Any) -> Iterator[tuple[Any, Any]]:
    """Of all that has to be true."""
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for part in condition.clauses:
            yield from _equal_pairs(part)
    elif isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        yield condition.left, condition.right


def _keys(selectable: sa.FromClause, mapped: Sequence[Column]) -> Iterator[tuple[Column, ...]]:
    """Of a table or an alias of one; nobody knows those of subqueries and functions."""
    table = _table(selectable)
    if table is None:
        return
    if table is selectable and mapped and all(_is_among(column, table.columns) for column in mapped):
        yield tuple(mapped)  # that of the class, which may be another one than the table's
    for key in _keys_of_table(table):
        yield tuple(selectable.columns[column.key] for column in key)


def _table(selectable: sa.FromClause) -> sa.Table | None:
    table = selectable.element if isinstance(selectable, sa.Alias) else selectable
    return table if isinstance(table, sa.Table) else None


def _keys_of_table(table: sa.Table) -> Iterator[tuple[sa.Column[Any], ...]]:
    if len(table.primary_key.columns):
        yield tuple(table.primary_key.columns)
    unique = [
        tuple(constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, sa.UniqueConstraint) and not constraint.deferrable
    ]
    unique += [
        tuple(index.columns)
        for index in table.indexes
        if index.unique
        and index.dialect_options["postgresql"]["where"] is None
        and all(isinstance(expression, sa.Column) for expression in index.expressions)
    ]
    # In an order that does not depend on sets, so that all processes choose the same one.
    unique.sort(key=lambda columns: (len(columns), [column.key for column in columns]))
    yield from (columns for columns in unique if not any(column.nullable for column in columns))


def _is_among(column: Column, columns: Iterable[Column]) -> bool:
    return any(hash(column) == hash(other) for other in columns)


def _parts(selectable: sa.FromClause) -> Iterator[sa.FromClause]:
    if isinstance(selectable, sa.Join):
        yield from _parts(selectable.left)
        yield from _parts(selectable.right)
    else:
        yield selectable


def _without_loading(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Without what is joined to it only in order to be loaded along."""
    if not any(described.get("entity") is not None for described in statement.column_descriptions):
        return statement
    plain = statement.where()  # a copy: options have no public name, and no way to take them back
    plain._with_options = ()
    return plain.options(orm.lazyload("*"))


def _first_of(columns: Iterable[Column], selected: Sequence[int]) -> int:
    own = set(map(hash, columns))
    return next((at for at, column in enumerate(selected) if column in own), len(selected))
