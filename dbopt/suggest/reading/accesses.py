"""What a prepared statement asks of each table, and what it writes. Pure.

All of it is read from the plan that the statement would have without any index: only the planner knows what views,
row security and functions come to. What it says in a way that is not understood gives no access, or one that asks for
less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.suggest.model import Access, Operation, Written
from dbopt.suggest.reading.clauses import Clauses
from dbopt.suggest.reading.orders import Orders
from dbopt.suggest.reading.outputs import needed
from dbopt.suggest.reading.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.suggest.model import Name, Table
    from dbopt.suggest.reading.prepare import Prepared


def accesses(prepared: Prepared, tables: Mapping[Name, Table]) -> tuple[Access, ...]:
    """One for each place at which the statement reads one of these tables, in the order of the plan."""
    if not prepared.reads:
        return ()
    around = Surroundings(prepared.bare, tables)
    clauses = Clauses(around)
    orders = Orders(around, clauses, prepared.planned.query)
    outputs = needed(around)
    found = []
    for source in around.sources:
        if source.name not in tables or not source.is_searched:
            continue
        wanted = orders.wanted(source)
        found.append(
            Access(
                relation=source.name,
                alias=source.alias,
                conditions=tuple(clauses.own[source.number]),
                joins=tuple(clauses.joins[source.number]),
                residual=orders.is_narrowed(source),
                order=wanted.order,
                limit=wanted.limit,
                group=wanted.group,
                extreme=wanted.extreme,
                output=outputs[source.number],
            )
        )
    return tuple(found)


def written(prepared: Prepared, tables: Mapping[Name, Table]) -> tuple[Written, ...]:
    """What the statement writes to these tables; of a partition, to the topmost table."""
    roots = {leaf: name for name, table in tables.items() for leaf in table.leaves}
    read = {roots.get(name, name) for name in prepared.relations} & tables.keys()
    found = []
    for item in prepared.written:
        names = [roots.get(name, name) for name in prepared.candidates(item)]
        name = next((name for name in names if name in tables), None)
        if name is None and item.operation is not Operation.INSERT and len(read) == 1:
            name = min(read)  # the table of a view
        if name is not None:
            found.append(Written(relation=name, operation=item.operation, columns=item.columns))
    return tuple(dict.fromkeys(found))
