"""What both applications have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa

from dbopt.client import Cached

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.client import Database

Row: TypeAlias = "dict[str, Any]"


class Application:
    """`db` is a Database. Methods of one query also take an AsyncDatabase: what they give is to be awaited then.

    `cached` False asks the database each time, which is for measuring.
    """

    def __init__(self, db: Database, *, cached: bool = True) -> None:
        self.db = db
        self.cached = cached

    def keep(self, seconds: float) -> Cached | None:
        """How long the answer of a query may be used again, if nobody writes to its tables before."""
        return Cached(ttl=seconds) if self.cached else None


def span(column: sa.ColumnElement[Any], start: datetime | None, end: datetime | None) -> list[sa.ColumnElement[bool]]:
    """A time span as conditions. Both ends belong to it, and either may be open."""
    conditions = []
    if start is not None:
        conditions.append(column >= start)
    if end is not None:
        conditions.append(column <= end)
    return conditions
