"""Pages are fetched with OFFSET: each reads all pages before it, and throws them away.

The server cannot jump to a row by its place in an order: `LIMIT 20 OFFSET 10000` reads 10,020 rows to give back twenty,
and what is inserted meanwhile moves rows from one page to the next. Keyset paging asks for the rows behind the last one
that was shown, which an index on the columns of ORDER BY finds at once, however far back the page is. What it cannot
do is to jump to page number 500.

It is named where the plan has at least a thousand rows to page through, and a call reads at least a hundred blocks, ten
for each row that it gives back: who only ever looks at the first page does not pay for it. Where blocks were not
counted, by the plan alone. The offset itself is a parameter, so nobody here knows how large it was: a statement that
sorts its rows for each page does so for the first page, too, and the sort is the first thing to mend (avoidable-sort).
https://www.postgresql.org/docs/current/queries-limit.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.values import dataclass
from dbopt.workload import texts
from dbopt.workload.finding import Finding
from dbopt.workload.model import Advice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from postgast.pg_query_pb2 import SelectStmt

    from dbopt.workload.finding import Scene
    from dbopt.workload.model import Counters
    from dbopt.workload.plan import Node

# Our own reasoning: nobody goes far back in less, and reading all of them takes a millisecond.
ROWS_MIN = 1_000
# Our own reasoning: blocks found in memory, a hundred take a tenth of a millisecond; a page of rows found by an index
# takes about a block a row, and a few for the index itself.
BLOCKS_MIN = 100
BLOCKS_A_ROW_MIN = 10


def _look(scene: Scene) -> Iterator[Advice]:
    tree = texts.select(scene.statement.query)
    limit = scene.plan
    if tree is None or limit is None or limit.node_type != "Limit" or not limit.children:
        return
    if not tree.HasField("limit_offset") or not texts.is_parameter(tree.limit_offset):
        return
    below = limit.children[0]
    rows = below.plan_rows if below.actual_rows is None else max(below.plan_rows, below.actual_rows)
    blocks = _blocks(scene.statement.counters)
    if rows < ROWS_MIN or (blocks is not None and not _is_much(blocks, scene.statement.counters)):
        return
    each = "pages with OFFSET through" if not _sorts(below) else "reads and sorts, for each page with OFFSET,"
    message = f"{each} up to {rows:,.0f} rows"
    if blocks is not None:
        given = scene.statement.counters.rows_per_call or 0.0
        message += f": a call reads {blocks:,.0f} blocks to give back {given:,.0f} rows"
    yield Advice(
        code=FINDING.code,
        message=message,
        why="The rows before the page are read and thrown away, so that each page is slower than the one before.",
        hint=_hint(scene, tree, below),
        nodes=(limit.number,),
    )


def _sorts(node: Node) -> bool:
    """All of the rows, whichever page it is."""
    return node.is_sort or (node.node_type in ("Gather Merge", "Result") and any(map(_sorts, node.children)))


def _blocks(counters: Counters) -> float | None:
    """Of a call."""
    if counters.calls <= 0 or counters.shared_blks_hit is None or counters.shared_blks_read is None:
        return None
    return (counters.shared_blks_hit + counters.shared_blks_read) / counters.calls


def _is_much(blocks: float, counters: Counters) -> bool:
    rows = counters.rows_per_call
    return blocks >= BLOCKS_MIN and (rows is None or blocks >= rows * BLOCKS_A_ROW_MIN)


@dataclass(frozen=True, slots=True)
class _By:
    text: str  # as it is written: `o."createdAt"`
    name: str
    is_descending: bool


def _hint(scene: Scene, tree: SelectStmt, below: Node) -> str:
    from dbopt import grammar

    order = _order(tree)
    if not order:
        return (
            "Order by columns, the last of them unique, and ask for the rows behind the last one that was shown:"
            " WHERE (a, id) > ($1, $2) ORDER BY a, id LIMIT $3, without OFFSET."
        )
    keys = _keys(scene, below)
    if keys and not any(key <= {by.name for by in order} for key in keys) and len(keys[0]) == 1:
        order.append(_last(tree, next(iter(keys[0])), order[-1].is_descending))
    is_unique = any(key <= {by.name for by in order} for key in keys)
    whole = texts.parsed(scene.statement.query or "")
    number = 0 if whole is None else grammar.parameter_count(whole)
    places = [f"${number + at}" for at in range(1, len(order) + 1)]
    by = ", ".join(f"{item.text}{' DESC' if item.is_descending else ''}" for item in order)
    last = ", ".join(f"{place} its {item.name}" for item, place in zip(order, places, strict=True))
    closing = "" if is_unique else " The last column has to make the order unique."
    return (
        f"Ask for the rows behind the last one that was shown:"
        f" {'AND' if tree.HasField('where_clause') else 'WHERE'} {_behind(order, places)} ORDER BY {by} LIMIT ...,"
        f" without OFFSET ({last}).{closing}"
    )


def _order(tree: SelectStmt) -> list[_By]:
    """Empty where it orders by something else than columns, or NULLs stand elsewhere than usual."""
    from postgast import pg_query_pb2

    from dbopt import grammar

    found = []
    for item in tree.sort_clause:
        sort = item.sort_by
        has_usual_nulls = sort.sortby_nulls == pg_query_pb2.SORTBY_NULLS_DEFAULT
        if sort.sortby_dir == pg_query_pb2.SORTBY_USING or not has_usual_nulls or not texts.is_column(sort.node):
            return []
        is_descending = sort.sortby_dir == pg_query_pb2.SORTBY_DESC
        found.append(_By(grammar.expression_text(sort.node), texts.column_name(sort.node), is_descending))
    return found


def _last(tree: SelectStmt, name: str, is_descending: bool) -> _By:
    """A column that makes the order unique, written like the one before it."""
    from postgast.pg_query_pb2 import Node as Message

    from dbopt import grammar

    column = Message()
    column.CopyFrom(tree.sort_clause[-1].sort_by.node)
    column.column_ref.fields[-1].string.sval = name
    return _By(grammar.expression_text(column), name, is_descending)


def _behind(order: Sequence[_By], places: Sequence[str]) -> str:
    """The rows after one: of a single direction a comparison of rows, which an index knows."""
    signs = ["<" if by.is_descending else ">" for by in order]
    if len(order) == 1:
        return f"{order[0].text} {signs[0]} {places[0]}"
    if len(set(signs)) == 1:
        return f"({', '.join(by.text for by in order)}) {signs[0]} ({', '.join(places)})"
    parts = []
    for at, by in enumerate(order):
        equal = [f"{order[before].text} = {places[before]}" for before in range(at)]
        parts.append(" AND ".join([*equal, f"{by.text} {signs[at]} {places[at]}"]))
    return f"({' OR '.join(f'({part})' if ' AND ' in part else part for part in parts)})"


def _keys(scene: Scene, below: Node) -> list[frozenset[str]]:
    """Of the one table that all rows come from, the columns of its unique indexes, the shortest first."""
    tables = {node.relation for node in below.walk() if node.relation is not None}
    relation = scene.relations.get(tables.pop()) if len(tables) == 1 else None
    found = [
        frozenset(key.column or "" for key in index.keys)
        for index in (() if relation is None else relation.indexes)
        if index.is_unique and index.is_valid and index.predicate is None and all(key.column for key in index.keys)
    ]
    return sorted(found, key=len)


FINDING = Finding(
    code="offset-paging",
    title="Paging with OFFSET",
    look=_look,
    source=f"our own reasoning: from {ROWS_MIN:,} rows to page through, and {BLOCKS_MIN} blocks a call on",
)
