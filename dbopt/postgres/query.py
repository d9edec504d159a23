"""A query is its SQL, by server version, and the type of its rows.

Variants are data: `since={(13,): ..., (16,): ...}`, and the greatest key not above the server's version wins. Every
variant gives the same columns, the fields of the row type in their order; a test runs every registered query on every
supported major and compares.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, LiteralString, TypeVar

from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.rows import args_row, class_row
from psycopg.sql import SQL, Identifier

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection, Cursor, abc
    from psycopg.sql import Composed

Row = TypeVar("Row")
Version = tuple[int, ...]

_REGISTRY: list[Query[Any]] = []


@dataclass(frozen=True, slots=True, eq=False)
class Query(Generic[Row]):
    """SQL whose result is rows of `row`.

    `name` is for people and tests; `example` are parameters that any server takes. With `extension`, the keys of
    `since` are versions of that extension, and `{schema}` in the text stands for the schema it was created in.
    `alike`: it gives many rows with the same texts and lists in them; each of these is read and kept once.
    """

    name: str
    row: type[Row]
    since: Mapping[Version, LiteralString]
    example: Mapping[str, object] | None = None
    extension: str | None = None
    alike: bool = False

    def __post_init__(self) -> None:
        _REGISTRY.append(self)

    def text(self, version: Version) -> LiteralString:
        """The variant for a version. Raises LookupError for a version older than the oldest variant."""
        usable = [key for key in self.since if key <= version]
        if not usable:
            raise LookupError(f"query {self.name} has no variant for version {'.'.join(map(str, version))}")
        return self.since[max(usable)]

    def composed(self, version: Version, schema: str) -> Composed:
        """The variant for a version of the extension, which lies in `schema`."""
        return SQL(self.text(version)).format(schema=Identifier(schema))

    def rows(
        self, conn: Connection[Any], version: Version, parameters: Mapping[str, object] | None = None
    ) -> list[Row]:
        """Run it. Values are bound, never pasted."""
        factory = args_row(self.row) if self.alike else class_row(self.row)
        with conn.cursor(row_factory=factory) as cursor:
            if self.alike:
                _keep_once(cursor)
            cursor.execute(self.text(version), parameters)
            return cursor.fetchall()

    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self.row))  # type: ignore[arg-type]  # rows are dataclasses


def _keep_once(cursor: Cursor[Any]) -> None:
    for name in ("text", "text[]", "int4[]"):
        info = cursor.adapters.types[name.removesuffix("[]")]
        oid = info.array_oid if name.endswith("[]") else info.oid
        usual = cursor.adapters.get_loader(oid, Format.TEXT)
        assert usual is not None
        cursor.adapters.register_loader(oid, type("Once", (_Once,), {"usual": usual}))


class _Once(Loader):
    """Gives the same object for the same text from the server."""

    usual: type[abc.Loader]

    def __init__(self, oid: int, context: abc.AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._load = self.usual(oid, context).load
        self._known: dict[bytes, Any] = {}

    def load(self, data: abc.Buffer) -> Any:
        text = bytes(data)
        if text not in self._known:
            self._known[text] = self._load(data)
        return self._known[text]


def registry() -> tuple[Query[Any], ...]:
    """Every query that the imported modules have made."""
    return tuple(_REGISTRY)
