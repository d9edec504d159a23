"""What statements ask of tables, in few words: `orders o: status = $1 | order created_at desc | limit -> id`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.suggest.model import Item, Unread
from dbopt.suggest.reading.accesses import accesses, written
from dbopt.suggest.reading.prepare import Prepared, prepared
from dbopt.suggest.tables import tables
from dbopt.workload.conditions import Kind
from dbopt.workload.explain import Planner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database

    from dbopt.postgres.connect import Connection
    from dbopt.suggest.model import Access, SortKey, Written
    from dbopt.workload.conditions import Condition


class Reader:
    """One session that only reads."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.server = inspect(conn)
        self.planner = Planner(conn, self.server)

    def prepared(self, query: str) -> Prepared:
        answer = self.asked(query)
        assert isinstance(answer, Prepared), answer
        return answer

    def asked(self, query: str) -> Prepared | Unread:
        return prepared(Item(number=1, query=query, shown=query, calls=1), self.planner)

    def accesses(self, query: str) -> tuple[Access, ...]:
        found = self.prepared(query)
        return accesses(found, tables(self.conn, self.server, [found]).tables)

    def words(self, query: str) -> list[str]:
        """Sorted: in which order a plan has its tables is the planner's."""
        return sorted(map(words, self.accesses(query)))

    def written(self, query: str) -> list[str]:
        found = self.prepared(query)
        return [_written(item) for item in written(found, tables(self.conn, self.server, [found]).tables)]


@contextlib.contextmanager
def reading(database: Database, conninfo: str | None = None) -> Iterator[Reader]:
    with connect(conninfo or database.conninfo, command="test", read_only=True) as conn:
        yield Reader(conn)
        assert conn.execute("SELECT name FROM pg_prepared_statements").fetchall() == []
        assert conn.execute("SHOW enable_indexscan").fetchone() == ("on",)


def words(access: Access) -> str:
    parts = [
        ", ".join(sorted(map(_condition, access.conditions))),
        _list("join", sorted(map(_condition, access.joins))),
        _list("order", map(_key, access.order)),
        "limit" if access.limit else "",
        _list("group", access.group),
        _list("extreme", access.extreme),
        "residual" if access.residual else "",
    ]
    name = access.relation[1] if access.relation[0] == "public" else ".".join(access.relation)
    output = "*" if access.output is None else ", ".join(sorted(access.output)) or "nothing"
    alias = "" if access.alias == access.relation[1] else f" {access.alias}"
    return f"{name}{alias}: {' | '.join(part for part in parts if part)} -> {output}"


def _list(word: str, items: object) -> str:
    text = ", ".join(items)  # type: ignore[call-overload]
    return f"{word} {text}" if text else ""


def _condition(condition: Condition) -> str:
    text = " ".join(part for part in (condition.expression, condition.operator, condition.other_side) if part)
    return f"{text} (no use)" if condition.kind in (Kind.OTHER, Kind.CAST) else text


def _key(key: SortKey) -> str:
    nulls = "" if key.nulls_first == key.descending else f" nulls {'first' if key.nulls_first else 'last'}"
    return f"{key.column or key.expression}{' desc' if key.descending else ''}{nulls}"


def _written(item: Written) -> str:
    return f"{item.operation.value} {item.relation[1]} {', '.join(item.columns)}".strip()
