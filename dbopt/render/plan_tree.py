"""A plan as a tree for people: how much of the cost each node is, what it does, and by which conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.render.screen import padded, width
from dbopt.render.workload_words import BLOCK_BYTES, amount
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.text import Text

    from dbopt.render.screen import Screen
    from dbopt.workload.model import Statement
    from dbopt.workload.plan import Node

# What EXPLAIN says of a node, in its order, and what it is called here.
_CONDITIONS = (
    *(("Function Call", "calls"), ("Index Cond", "finds"), ("Recheck Cond", "rechecks"), ("TID Cond", "finds")),
    *(("Order By", "in order of"), ("Merge Cond", "joins"), ("Hash Cond", "joins"), ("Join Filter", "join filter")),
    *(("Filter", "filter"), ("One-Time Filter", "once"), ("Conflict Filter", "conflict filter")),
    *(("Sort Key", "sorts by"), ("Presorted Key", "sorted already by"), ("Group Key", "groups by")),
    *(("Cache Key", "caches by"), ("Workers Planned", "workers"), ("Subplans Removed", "subplans removed")),
)
_REMOVED = (
    ("Rows Removed by Filter", "filter discards"),
    ("Rows Removed by Join Filter", "join filter discards"),
    ("Rows Removed by Index Recheck", "recheck discards"),
)
_OFF = 10  # times that an estimate is wrong, from which on it is marked


def found(statement: Statement) -> dict[int, list[str]]:
    """The codes of what was found, by the number of the node that it is about."""
    codes: dict[int, list[str]] = {}
    for item in statement.advice:
        for node in item.nodes:
            codes.setdefault(node, []).append(item.code)
    return codes


def lines(screen: Screen, tree: Node, notes: Mapping[int, Sequence[str]]) -> Iterator[Text]:
    """`notes`: by number of a node, what was found about it."""
    from rich.text import Text

    nodes = list(tree.walk())
    ran = any(node.actual_loops is not None for node in nodes)
    heads = ["#", "cost", "rows", *(("real", "time") if ran else ())]
    rows = [
        [str(node.number), f"{node.own_share * 100:.0f} %", amount(node.plan_rows), *_real(node, ran)] for node in nodes
    ]
    sizes = [max(map(width, column)) for column in zip(heads, *rows, strict=True)]
    head = "  ".join(padded(title, size, right=True) for title, size in zip(heads, sizes, strict=True))
    yield Text(f"  {head}  node", "dim")
    left = 2 + sum(sizes) + 2 * len(sizes)
    for node, (stem, below), cells in zip(nodes, _stems(screen, tree), rows, strict=True):
        marked = node.is_costly or node.number in notes
        numbers = "  ".join(padded(cell, size, right=True) for cell, size in zip(cells, sizes, strict=True))
        text = Text("! " if marked else "  ", "bold yellow").append(numbers, "bold" if node.is_costly else "")
        first, *more = screen.broken(_title(screen, node), screen.columns - left - width(stem))
        text.append(f"  {stem}", "dim").append(first, "bold" if node.is_costly else "")
        yield text
        blanks = " " * left
        for line in more:
            yield Text(blanks).append(below, "dim").append(line)
        for style, said in _said(node, notes.get(node.number, ())):
            room = screen.columns - left - width(below) - 2
            for number, line in enumerate(screen.broken(screen.text(said), room)):
                yield Text(blanks).append(below, "dim").append(("    " if number else "  ") + line, style)


def _title(screen: Screen, node: Node) -> str:
    subplan = node.raw.get("Subplan Name")
    title = screen.text(f"{subplan}: {node.words}" if subplan else node.words)
    if node.actual_loops == 0:
        return f"{title}  never run"
    return f"{title}  <- costly" if node.is_costly else title


def _real(node: Node, ran: bool) -> list[str]:
    """Rows and time of all executions together; the time with its children's."""
    if not ran:
        return []
    loops = node.actual_loops
    if not loops or node.actual_rows is None:
        return ["-", "-"]
    rows = amount(round(node.actual_rows * loops))
    time = node.actual_total_time_ms
    return [rows, "-" if time is None else format_duration(time * loops / 1000)]


def _said(node: Node, codes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Style and text of each line below a node."""
    for code in dict.fromkeys(codes):
        yield "bold yellow", f"! {code}"
    loops = node.actual_loops
    if loops and node.actual_rows is not None:
        real, estimate = max(node.actual_rows, 1.0), max(node.plan_rows, 1.0)
        if max(real / estimate, estimate / real) >= _OFF:
            each = " each time" if loops > 1 else ""
            yield "yellow", f"{amount(node.actual_rows)} rows{each}, {amount(node.plan_rows)} were expected"
        if loops > 1:
            yield "", f"run {amount(loops)} times"
    for key, word in _CONDITIONS:
        if key in node.raw:
            value = _value(node.raw[key])
            launched = node.raw.get("Workers Launched")
            more = f", {launched} launched" if key == "Workers Planned" and launched is not None else ""
            yield "", f"{word} {value}{more}"
    for key, word in _REMOVED:
        if node.raw.get(key):
            yield "", f"{word} {amount(float(node.raw[key]))} rows" + (" each time" if (loops or 0) > 1 else "")
    yield from (("", said) for said in _spent(node.raw))


def _spent(raw: Mapping[str, Any]) -> Iterator[str]:
    """Memory and blocks, where it ran."""
    if "Sort Space Used" in raw:
        space = format_bytes(raw["Sort Space Used"] * 1024)
        yield f"{raw.get('Sort Method', 'sort')}, {space} of {str(raw.get('Sort Space Type', 'memory')).lower()}"
    if "Hash Batches" in raw:
        memory = format_bytes(raw.get("Peak Memory Usage", 0) * 1024)
        batches = raw["Hash Batches"]
        yield f"hash in {batches} {'batch' if batches == 1 else 'batches'}, {memory} of memory"
    if raw.get("Lossy Heap Blocks"):
        yield f"bitmap lossy: {amount(raw['Lossy Heap Blocks'])} blocks read whole"
    if raw.get("Heap Fetches"):
        yield f"fetches {amount(raw['Heap Fetches'])} rows from the table to see whether they are visible"
    blocks = [
        f"{word} {format_bytes(raw[key] * BLOCK_BYTES)}"
        for key, word in (
            ("Shared Hit Blocks", "found in memory"),
            ("Shared Read Blocks", "read"),
            ("Temp Written Blocks", "temporary files"),
        )
        if raw.get(key)
    ]
    if blocks:
        yield ", ".join(blocks)


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _stems(screen: Screen, tree: Node) -> Iterator[tuple[str, str]]:
    """Of each node in order, what stands left of it and left of its further lines."""
    branch, last, bar = (screen.pick(fine, plain) for fine, plain in (("├─ ", "|- "), ("└─ ", "`- "), ("│  ", "|  ")))

    def walk(node: Node, before: str, stem: str, below: str) -> Iterator[tuple[str, str]]:
        inner = before + below
        yield before + stem, inner + (bar if node.children else "")
        for child in node.children:
            is_last = child is node.children[-1]
            yield from walk(child, inner, last if is_last else branch, "   " if is_last else bar)

    return walk(tree, "", "", "")
