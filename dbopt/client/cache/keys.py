"""Keys of answers: digests of what was asked, the same in each process that asks it.

Of a statement count its text, as it is compiled for PostgreSQL, what its columns become in Python, and the values
bound. The first two are found out once for all statements that differ in values only, by SQLAlchemy's own cache key.
"""

from __future__ import annotations

import weakref
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.util import LRUCache

from dbopt.client.cache import codec
from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.elements import BindParameter

REMEMBERED = 1_000  # statements, some kilobytes each


class Keys:
    def __init__(self, *about: str | None) -> None:
        """`about`: what else counts, for all keys."""
        self._begun = blake2b(codec.dumps((*about, codec.VERSION, sa.__version__)), digest_size=20)
        self._dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
        self._texts: LRUCache[Any, str] = LRUCache(REMEMBERED)
        # By identity: columns have an == of their own, which is true for all of them.
        self._asked: dict[int, tuple[weakref.ref[sa.ClauseElement], _Asked]] = {}

    def key(self, parts: Sequence[Any]) -> str:
        """Raises UsageError for values of types that codec.py does not know."""
        digest = self._begun.copy()
        try:
            digest.update(b"\n".join(map(self._data, parts)))  # JSON has no line breaks
        except codec.Unknown as exc:
            raise UsageError(
                f"a value of the type {exc.kind.__name__} cannot be a part of a key of the cache",
                hint="Leave `cache` out, or pass the value as a plain one.",
            ) from None
        return digest.hexdigest()

    def _data(self, part: Any) -> bytes:
        found = self._asked.get(id(part))
        if found is not None and found[0]() is part and found[1].data is not None:
            return found[1].data
        return codec.dumps(self._plain(part))

    def _plain(self, part: Any) -> Any:
        kind = type(part)
        if kind in codec.SCALARS:
            return part
        if isinstance(part, sa.Table):
            return ("table", part.fullname)
        if isinstance(part, sa.ClauseElement):
            return self._statement(part).plain()
        if isinstance(part, list | tuple):
            return [self._plain(item) for item in part]
        if kind is dict:
            return {key: self._plain(item) for key, item in part.items()}
        if isinstance(part, type) and isinstance(sa.inspect(part, raiseerr=False), orm.Mapper):
            return _class(part)
        return part

    def _statement(self, statement: sa.ClauseElement) -> _Asked:
        found = self._asked.get(id(statement))
        if found is not None and found[0]() is statement:
            return found[1]
        asked = self._look(statement)
        if len(self._asked) >= REMEMBERED:
            self._asked.clear()
        self._asked[id(statement)] = (weakref.ref(statement), asked)
        return asked

    def _look(self, statement: sa.ClauseElement) -> _Asked:
        key = statement._generate_cache_key()  # as SQLAlchemy's own examples of caching do
        if key is None:  # a part of it is of a class that has no key
            compiled = statement.compile(dialect=self._dialect)
            return _Asked(_text(statement, compiled), compiled=compiled)
        text = self._texts.get(key.key)
        if text is None:
            text = self._texts[key.key] = _text(statement, statement.compile(dialect=self._dialect))
        if isinstance(statement, sa.Executable):
            translated = statement.get_execution_options().get("schema_translate_map")
            if translated:
                text += repr(sorted(translated.items(), key=repr))
        return _Asked(text, key.bindparams)


def _text(statement: Any, compiled: Any) -> str:
    types = [f"{type(one.type).__module__} {one.type!r}" for one in getattr(statement, "selected_columns", ())]
    described = [(one["name"], _class(one.get("entity"))) for one in getattr(statement, "column_descriptions", ())]
    return blake2b(repr((str(compiled), types, described)).encode(), digest_size=20).hexdigest()


class _Asked:
    """A statement's text, and where its values are. `data`: all of it, where no value can change."""

    __slots__ = ("_bound", "_compiled", "_text", "data")

    def __init__(self, text: str, bound: Sequence[BindParameter[Any]] = (), compiled: Any = None) -> None:
        self._text = text
        self._bound = bound
        self._compiled = compiled
        is_fixed = compiled is None and not any(one.callable or _may_change(one.value) for one in bound)
        self.data = codec.dumps(self.plain()) if is_fixed else None

    def plain(self) -> Any:
        if self._compiled is not None:
            return (self._text, sorted(self._compiled.params.items()))
        return (self._text, [one.effective_value for one in self._bound])


def _class(entity: Any) -> tuple[str, ...]:
    """Of a mapped class, or none: an object and a row of the same columns are kept differently."""
    return ("class", entity.__module__, entity.__qualname__) if isinstance(entity, type) else ()


def _may_change(value: Any) -> bool:
    return type(value) not in codec.UNCHANGING and not isinstance(value, Enum)
