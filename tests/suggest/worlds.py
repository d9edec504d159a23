"""Tables, accesses and statements by hand, in few words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dbopt.suggest.model import Access, Candidate, Item, Key, SortKey, Subject, Table, Writes
from dbopt.workload.conditions import conditions
from dbopt.workload.finding import Column, Index, Relation
from dbopt.workload.finding import Key as IndexKey
from dbopt.workload.model import Planned

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS = 1_000_000.0
T = ("public", "t")


def column(name: str, attnum: int, type_name: str = "integer", **more: Any) -> Column:
    facts = {"n_distinct": 1000.0, "avg_width": 4, "null_frac": 0.0, "correlation": 0.0, **more}
    return Column(name=name, attnum=attnum, type_name=type_name, has_statistics=True, **facts)


def index(name: str, *columns: str, unique: bool = False, **more: Any) -> Index:
    keys = tuple(IndexKey(column=item, expression=None, opclass="int4_ops") for item in columns)
    return Index(name=name, method="btree", keys=keys, is_unique=unique, **more)


def table(
    columns: Mapping[str, Mapping[str, Any]], *indexes: Index, name: tuple[str, str] = T, rows: float = ROWS
) -> Table:
    """Columns by name, each with what is unusual about it; `id` is unique."""
    made = tuple(column(key, number, **facts) for number, (key, facts) in enumerate(columns.items(), 1))
    return Table(
        relation=Relation(
            oid=1,
            schema=name[0],
            name=name[1],
            relkind="r",
            rows=rows,
            size_bytes=int(rows * 100),
            columns=made,
            indexes=indexes,
        ),
        writes=Writes(),
    )


def access(where: str = "", *, order: str = "", joins: str = "", relation: tuple[str, str] = T, **more: Any) -> Access:
    """`order`: `a, b desc`, NULLs where they usually are; `joins`: `a = o.id`."""
    keys = []
    for part in filter(None, order.split(", ")):
        name, _, direction = part.partition(" ")
        keys.append(SortKey(name, None, direction == "desc", direction == "desc"))
    return Access(
        relation=relation,
        alias="t",
        conditions=conditions(where, alias="t") if where else (),
        joins=conditions(joins, alias="t") if joins else (),
        order=tuple(keys),
        **more,
    )


def subject(number: int, *accesses: Access, calls: float = 1.0, **more: Any) -> Subject:
    item = Item(number=number, query=f"SELECT {number}", shown="SELECT $1", calls=calls)
    return Subject(
        item=item,
        planned=Planned(query=item.query, documents=(), planned_at=datetime(2026, 1, 1, tzinfo=UTC)),
        accesses=accesses,
        **more,
    )


def candidate(*keys: str, include: tuple[str, ...] = (), where: str = "", method: str = "btree") -> Candidate:
    """`a`, `b desc`, `lower(c)`, `d text_pattern_ops`."""
    made = []
    for text in keys:
        name, _, rest = text.partition(" ")
        place = {"expression": name} if "(" in name else {"column": name}
        if rest == "desc":
            made.append(Key(**place, descending=True, nulls_first=True))
        else:
            made.append(Key(**place, opclass=rest))
    return Candidate(T, tuple(made), include, where, method)


def words(item: Candidate) -> str:
    """`(a, b desc) include (c) where d`"""
    keys = ", ".join(
        " ".join(filter(None, (key.name, key.opclass, "desc" if key.descending else ""))) for key in item.keys
    )
    method = "" if item.method == "btree" else f"{item.method} "
    include = f" include ({', '.join(item.include)})" if item.include else ""
    return f"{method}({keys}){include}{f' where {item.where}' if item.where else ''}"
