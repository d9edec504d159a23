"""What is read of a model beside other columns: whole objects, dicts of a table, or some columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

from dbopt.client.shape import Shape
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.client.shape import Entity


@dataclass(frozen=True, slots=True)
class Picked:
    entity: Entity
    names: tuple[str, ...]  # of columns; empty: whole objects of a mapped class

    @property
    def source(self) -> Any:
        """To select from."""
        return self.entity.mapper.class_ if self.entity.mapper else self.entity.table

    @property
    def elements(self) -> list[Any]:
        """To select."""
        if not self.names:
            return [self.source]
        return [self.entity.attribute(name) for name in self.names]

    @property
    def loads_joined(self) -> bool:
        """Whether a class loads relations along by joining them: an object may then come in several rows."""
        if self.names or self.entity.mapper is None:
            return False
        every = (one for each in self.entity.mapper.self_and_descendants for one in each.relationships)
        return any(one.lazy in ("joined", False) for one in every)

    def items(self, rows: Sequence[Any]) -> list[Any]:
        """Of what stands behind the first column of each row: objects, dicts of a table, Rows of a class's columns."""
        if not self.names:
            return [row[1] for row in rows]
        return self._made([row[1:] for row in rows])

    def pack(self, items: Sequence[Any]) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """As Shape.pack."""
        if not self.names:
            return Shape(self.entity.select(), self.entity).pack(items)
        return self.names, [tuple(item.values() if self.entity.mapper is None else item) for item in items]

    def unpack(self, packed: tuple[Sequence[str], Sequence[Sequence[Any]]]) -> list[Any]:
        if not self.names:
            return Shape(self.entity.select(), self.entity).unpack(packed)
        return self._made(packed[1])

    def check_cacheable(self) -> None:
        """Raises UsageError."""
        if not self.names:
            Shape(self.entity.select(), self.entity).check_cacheable()

    def _made(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        if self.entity.mapper is None:
            return [dict(zip(self.names, row, strict=True)) for row in rows]
        return list(IteratorResult(SimpleResultMetaData(self.names), map(tuple, rows)).all())


def picked(entity: Entity, columns: Sequence[str]) -> Picked:
    """Raises UsageError for columns that there are not."""
    columns = (columns,) if isinstance(columns, str) else columns
    for name in columns:
        entity.column(name)
    return Picked(entity, tuple(dict.fromkeys(columns)) or (() if entity.mapper else tuple(entity.columns)))
