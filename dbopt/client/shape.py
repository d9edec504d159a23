"""What an operation is about and what its rows become: mapped objects, dicts of a table, or SQLAlchemy's Rows.

A shape also packs what was read into plain values, for the cache, and makes the same of them again: objects of their
own each time, so that nobody changes what another one gets. Plain values are what codec.py of the cache knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary, WeakSet

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from dbopt.errors import NoUniqueKey, UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A mapped class or a table of Core's.
Model: TypeAlias = "type[Any] | sa.Table"
# What can be read: SQL in a text comes as sqlalchemy.text(), as everywhere in SQLAlchemy.
Readable: TypeAlias = "sa.Select[Any] | sa.CompoundSelect[Any] | sa.TextClause | sa.TextualSelect"
_AS_ROWS = (sa.CompoundSelect, sa.TextClause, sa.TextualSelect)

# What is known of statements that are made once and used again: a cached read takes half as long with it.
_entities: WeakKeyDictionary[sa.Select[Any], Entity | None] = WeakKeyDictionary()
_cacheable: WeakSet[Any] = WeakSet()


@dataclass(frozen=True, slots=True)
class Entity:
    """A mapped class or a table: its columns by the names that the application uses (attributes, or columns' keys)."""

    table: sa.Table
    columns: Mapping[str, Any]  # sa.Column
    mapper: orm.Mapper[Any] | None  # None: a table

    @property
    def name(self) -> str:
        return self.mapper.class_.__name__ if self.mapper else self.table.fullname

    @property
    def key(self) -> tuple[str, ...]:
        """Of the primary key, in its order. Raises NoUniqueKey."""
        primary = tuple(self.mapper.primary_key if self.mapper else self.table.primary_key.columns)
        if not primary:
            raise NoUniqueKey(
                f"{self.name} has no primary key", hint="Name columns that are unique together, where that is offered."
            )
        if self.mapper is not None:  # of a subclass with a table of its own, the key is the parent's
            return tuple(self.mapper.get_property_by_column(column).key for column in primary)
        names: dict[Any, str] = {column: name for name, column in self.columns.items()}
        return tuple(names[column] for column in primary)

    def column(self, name: str) -> sa.Column[Any]:
        """Raises UsageError with the names that there are."""
        if name not in self.columns:
            raise UsageError(f"{self.name} has no column {name!r}", hint=f"It has: {', '.join(self.columns)}.")
        column: sa.Column[Any] = self.columns[name]
        return column

    def attribute(self, name: str) -> sa.ColumnElement[Any]:
        """As it is written in a statement: the mapped attribute, or the table's column."""
        column = self.column(name)
        return getattr(self.mapper.class_, name) if self.mapper else column

    def select(self, names: Sequence[str] = ()) -> sa.Select[Any]:
        """All of it, or Rows of some columns."""
        if names:
            return sa.select(*(self.attribute(name) for name in names))
        return sa.select(self.mapper.class_ if self.mapper else self.table)

    def value(self, item: Any, name: str) -> Any:
        """Of one of its objects or dicts."""
        return item[name] if self.mapper is None else getattr(item, name)


def entity(model: Model) -> Entity:
    """Raises UsageError for what is neither a mapped class nor a table."""
    if isinstance(model, sa.Table):
        return Entity(model, dict(model.columns.items()), None)
    mapper = sa.inspect(model, raiseerr=False)
    if not isinstance(mapper, orm.Mapper):
        raise UsageError(
            f"{model!r} is neither a mapped class nor a table",
            hint="Pass a class of your models, or a sqlalchemy.Table.",
        )
    table = mapper.local_table
    if not isinstance(table, sa.Table):
        raise UsageError(f"{mapper.class_.__name__} is not mapped to a table", hint="Pass a select() of it instead.")
    # Of inherited attributes the column of the class that brought them.
    columns = {attribute.key: attribute.columns[0] for attribute in mapper.column_attrs if _is_column(attribute)}
    return Entity(table, columns, mapper)


def _is_column(attribute: orm.ColumnProperty[Any]) -> bool:
    return isinstance(attribute.columns[0], sa.Column)


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement, and what one of its rows is for the application."""

    statement: Readable
    entity: Entity | None  # None: Rows, as the statement says

    def fetch(
        self,
        session: orm.Session,
        statement: Readable | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Of this statement, or one that was made of it."""
        result = session.execute(self.statement if statement is None else statement, parameters)
        if self.entity is None:
            return list(result.all())
        if self.entity.mapper is None:
            # A column's key may be another word than its name, by which SQLAlchemy calls it here.
            return [dict(zip(self.entity.columns, row, strict=True)) for row in result]
        return list(result.scalars().unique().all())

    def check_cacheable(self) -> None:
        """Raises UsageError for what plain values cannot bring back."""
        if self.statement in _cacheable:
            return
        mapper = self.entity.mapper if self.entity else None
        if mapper is not None and mapper.polymorphic_on is not None:
            raise UsageError(
                f"objects of {mapper.class_.__name__} cannot come from the cache",
                detail="its class depends on the row (polymorphic_on)",
                hint="Leave `cache` out, or select the columns that are needed.",
            )
        if not isinstance(self.statement, sa.Select):
            return
        if self.entity is None and any(map(_is_whole, self.statement.column_descriptions)):
            raise UsageError(
                "objects beside other columns cannot come from the cache",
                hint="Select the columns that are needed, or leave `cache` out.",
            )
        if self.statement._with_options:  # loader options have no public name
            raise UsageError(
                "what loader options bring along cannot come from the cache",
                hint="Leave `cache` out, or the options; load_relations brings related rows along.",
            )
        _cacheable.add(self.statement)

    def pack(self, items: Sequence[Any]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Names, and for each item its values."""
        if self.entity is None:
            names = tuple(items[0]._fields) if items else ()
            return names, [tuple(item) for item in items]
        if self.entity.mapper is None:
            names = tuple(self.entity.columns)
            return names, [tuple(item[name] for name in names) for item in items]
        # Deferred columns stay what they were, not loaded.
        left = sa.inspect(items[0]).unloaded if items else frozenset()
        names = tuple(name for name in self.entity.columns if name not in left)
        return names, [tuple(getattr(item, name) for name in names) for item in items]

    def unpack(self, packed: tuple[Sequence[str], Sequence[Sequence[Any]]]) -> list[Any]:
        names, rows = packed
        if self.entity is None:
            return list(IteratorResult(SimpleResultMetaData(tuple(names)), iter(map(tuple, rows))).all())
        if self.entity.mapper is None:
            return [dict(zip(names, row, strict=True)) for row in rows]
        make = _maker(self.entity.mapper, names)
        return [make(row) for row in rows]


def _is_whole(described: Mapping[str, Any]) -> bool:
    """Whether an item of a select is a mapped class, or an alias of one, and no column. Columns of a Core table have
    no `entity` at all.
    """
    return described.get("entity") is not None and described["expr"] is described["entity"]


def _maker(mapper: orm.Mapper[Any], names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """Objects as a closed session leaves them: loaded, detached, with nothing to be saved."""

    def make(row: Sequence[Any]) -> Any:
        item = mapper.class_manager.new_instance()
        for name, value in zip(names, row, strict=True):
            orm.attributes.set_committed_value(item, name, value)
        orm.make_transient_to_detached(item)
        return item

    return make


def shape(what: Model | Readable) -> Shape:
    """A model is all of its rows; a select of one mapped class or one table gives objects or dicts, any other Rows.
    Raises UsageError for what is none of it.
    """
    if isinstance(what, _AS_ROWS):
        return Shape(what, None)
    if not isinstance(what, sa.Select):
        own = entity(what)
        return Shape(own.select(), own)
    if what not in _entities:
        _entities[what] = _entity_of(what)
    return Shape(what, _entities[what])


def _entity_of(what: sa.Select[Any]) -> Entity | None:
    """Whose rows a select gives whole."""
    described = what.column_descriptions
    if len(described) == 1 and isinstance(described[0]["expr"], type):
        return entity(described[0]["expr"])
    froms = what.columns_clause_froms  # not get_final_froms(), which compiles all of it
    if len(froms) == 1 and isinstance(froms[0], sa.Table) and list(what.selected_columns) == list(froms[0].columns):
        return entity(froms[0])
    return None
