"""A plan as EXPLAIN writes it for people, read back into the keys of EXPLAIN (FORMAT JSON).

Only what plans are judged by: buffers, timings of I/O, JIT and workers of their own are left out. A node's place in
the tree is its indentation: https://www.postgresql.org/docs/current/using-explain.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_QUERY_TEXT = "Query Text: "
_ROWS = r"\d+(?:\.\d+)?"
_NODE = re.compile(
    rf"""
    (?P<indent>\ *) (?P<arrow>->\ \ )? (?P<label>\S.*?)
    \ \ \(cost=(?P<startup>\d+\.\d+)\.\.(?P<total>\d+\.\d+)\ rows=(?P<rows>{_ROWS})\ width=(?P<width>\d+)\)
    (?: \ \( (?: actual\ (?:time=(?P<from>\d+\.\d+)\.\.(?P<to>\d+\.\d+)\ )?
                 rows=(?P<actual>{_ROWS})\ loops=(?P<loops>\d+)
              | (?P<never>never\ executed) ) \) )?
    """,
    re.VERBOSE,
)
_ROOT = re.compile(r"\S.*  \(cost=\d+\.\d+\.\.\d+\.\d+ rows=[\d.]+ width=\d+\).*")
_HEADING = re.compile(r"( *)((?:InitPlan|SubPlan|CTE) \S.*)")
_PROPERTY = re.compile(r"( *)([A-Z][A-Za-z -]*): (.*)", re.DOTALL)
_NAME = r'"(?:[^"]|"")*"|[^\s".]+'
_LABEL = re.compile(
    rf"""
    (?P<parallel>Parallel\ )? (?P<async>Async\ )?
    (?P<type>[A-Z]\w*(?:\ (?!Backward\b)[A-Z]\w*)*) (?:\ \((?P<provider>[^)]*)\))? (?P<backward>\ Backward)?
    (?:\ using\ (?P<index>{_NAME}))? (?:\ on\ (?:(?P<schema>{_NAME})\.)?(?P<on>{_NAME})(?:\ (?P<alias>{_NAME}))?)?
    """,
    re.VERBOSE,
)
_JOIN = re.compile(
    r"(Nested Loop|Merge(?=.* Join)|Hash(?=.* Join))(?: (Left|Right|Full|(?:Right )?(?:Semi|Anti)))?(?: Join)?"
)
_AGGREGATE = re.compile(r"(?:(Partial|Finalize) )?(Group|Hash|Mixed)?Aggregate")
_STRATEGIES = {None: "Plain", "Group": "Sorted", "Hash": "Hashed", "Mixed": "Mixed"}
_SET_OPERATION = re.compile(r"(Hash)?SetOp (.+)")
_CHANGE = re.compile(r"(?:Foreign )?(Insert|Update|Delete|Merge)")
# What stands after `on`, where it is not a table.
_TARGETS = {
    "Function Scan": "Function Name",
    "Table Function Scan": "Table Function Name",
    "CTE Scan": "CTE Name",
    "WorkTable Scan": "CTE Name",
    "Named Tuplestore Scan": "Tuplestore Name",
}
_ONLY_ALIAS = ("Subquery Scan", "Values Scan")
_MEMBERS = ("Append", "Merge Append", "BitmapAnd", "BitmapOr")

_LISTS = ("Output", "Sort Key", "Presorted Key", "Group Key")
_TEXTS = (
    *("Filter", "Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter", "TID Cond", "Order By"),
    *("One-Time Filter", "Run Condition", "Cache Key", "Cache Mode", "Function Call", "Table Function Call"),
    *("Conflict Resolution", "Conflict Filter", "Remote SQL", "Relations"),
)
_NUMBERS = (
    *("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck", "Heap Fetches"),
    *("Rows Removed by Conflict Filter", "Workers Planned", "Workers Launched", "Subplans Removed", "Index Searches"),
    *("Tuples Inserted", "Conflicting Tuples"),
)
# Properties with several numbers: the keys of JSON, and what stands around the number.
_SORT_METHOD = re.compile(r"(\S.*?)  (Memory|Disk): (\d+)kB")
_MEMORY, _DISK = ("Peak Memory Usage", r"Memory Usage: (\d+)kB"), ("Disk Usage", r"Disk Usage: (\d+)kB")
_SEVERAL = {
    "Heap Blocks": (("Exact Heap Blocks", r"exact=(\d+)"), ("Lossy Heap Blocks", r"lossy=(\d+)")),
    "Buckets": (("Hash Buckets", r"^(\d+)"), ("Hash Batches", r"Batches: (\d+)"), _MEMORY),
    "Batches": (("HashAgg Batches", r"^(\d+)"), _MEMORY, _DISK),
    "Planned Partitions": (("Planned Partitions", r"^(\d+)"), ("HashAgg Batches", r"Batches: (\d+)"), _MEMORY, _DISK),
    "Buffers": (("Temp Read Blocks", r"temp read=(\d+)"), ("Temp Written Blocks", r"temp [^,]*written=(\d+)")),
}
_FIRST = 2  # the column of what is said of the root
_STEP = 6  # from a node's arrow to what is said of it

_QUOTE = re.compile("['\"]")
_ITEM_MARK = re.compile(r"""'(?:[^']|'')*+'|"(?:[^"]|"")*+"|[()\[\],]""")


def query_text(said: str) -> str | None:
    """What stands before the plan; a statement may have many lines."""
    parts = _parts(said)
    if parts is None:
        return None
    return "\n".join(parts[0]).partition("\nQuery Parameters: $1 = ")[0]


def document(said: str) -> dict[str, Any] | None:
    """None: no plan in the form of EXPLAIN's text."""
    parts = _parts(said)
    reader = _Reader()
    return None if parts is None or not reader.read(parts[1]) else {"Plan": reader.root}


def _parts(said: str) -> tuple[list[str], list[str]] | None:
    """The lines of the statement and those of the plan. Of the lines that look like the root of a plan, the last: what
    comes after the root is indented, and a statement may hold whole plans as values.
    """
    if not said.startswith(_QUERY_TEXT):
        return None
    lines = said.removeprefix(_QUERY_TEXT).split("\n")
    start = max((number for number, line in enumerate(lines) if number and _ROOT.fullmatch(line)), default=None)
    return None if start is None else (lines[:start], lines[start:])


class _Reader:
    """The nodes on the way from the root to the current line, each with the column of what is said of it."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._path: list[tuple[int, dict[str, Any]]] = []
        self._heading: tuple[int, str] | None = None

    def read(self, lines: list[str]) -> bool:
        for line in _joined(lines):
            if (node := _NODE.fullmatch(line)) is not None:
                if not self._node(node):
                    return False
            elif (heading := _HEADING.fullmatch(line)) is not None:
                self._heading = (len(heading[1]), heading[2])
            elif (said := _PROPERTY.fullmatch(line)) is not None and self._path:
                column, latest = self._path[-1]
                if column == len(said[1]):
                    _say(latest, said[2], said[3])
        return bool(self.root)

    def _node(self, match: re.Match[str]) -> bool:
        node = _label(match["label"])
        if node is None or bool(self._path) != bool(match["arrow"]):
            return False
        node |= _numbers(match)
        if not self._path:
            self.root = node
            self._path = [(_FIRST, node)]
            return True
        arrow = len(match["indent"])
        while len(self._path) > 1 and self._path[-1][0] > arrow:
            self._path.pop()
        column, parent = self._path[-1]
        children = parent.setdefault("Plans", [])
        if self._heading is not None and self._heading[0] == column and arrow > column:
            name = self._heading[1]
            node["Parent Relationship"] = "SubPlan" if name.startswith("SubPlan") else "InitPlan"
            node["Subplan Name"] = name
        else:
            node["Parent Relationship"] = _relationship(parent, children)
        children.append(node)
        self._path.append((arrow + _STEP, node))
        self._heading = None
        return True


def _joined(lines: list[str]) -> Iterator[str]:
    """A value with line breaks in it is one line: what it holds are no lines of the plan."""
    parts: list[str] = []
    inside: str | None = None  # a string or a name in quotes; a quote in it is written twice, which changes nothing
    for line in lines:
        for quote in _QUOTE.findall(line):
            if inside is None:
                inside = quote
            elif inside == quote:
                inside = None
        parts.append(line)
        if inside is None:
            yield "\n".join(parts)
            parts = []


def _numbers(match: re.Match[str]) -> dict[str, float]:
    numbers = {
        "Startup Cost": float(match["startup"]),
        "Total Cost": float(match["total"]),
        "Plan Rows": float(match["rows"]),
        "Plan Width": float(match["width"]),
    }
    if match["never"] or match["to"]:
        numbers["Actual Startup Time"] = float(match["from"] or 0)
        numbers["Actual Total Time"] = float(match["to"] or 0)
    if match["never"] or match["actual"]:
        numbers["Actual Rows"] = float(match["actual"] or 0)
        numbers["Actual Loops"] = float(match["loops"] or 0)
    return numbers


def _label(text: str) -> dict[str, Any] | None:
    """What kind of node it is, and what it works on."""
    match = _LABEL.fullmatch(text)
    if match is None:
        return None
    kind = match["type"]
    node: dict[str, Any] = {"Node Type": kind, "Parallel Aware": match["parallel"] is not None}
    if (join := _JOIN.fullmatch(kind)) is not None:
        node |= {"Node Type": join[1] if join[1] == "Nested Loop" else f"{join[1]} Join"}
        node |= {"Join Type": join[2] or "Inner"}
    elif (aggregate := _AGGREGATE.fullmatch(kind)) is not None:
        node |= {"Node Type": "Aggregate", "Strategy": _STRATEGIES[aggregate[2]]}
        node |= {"Partial Mode": aggregate[1] or "Simple"}
    elif (operation := _SET_OPERATION.fullmatch(kind)) is not None:
        node |= {"Node Type": "SetOp", "Strategy": "Hashed" if operation[1] else "Sorted", "Command": operation[2]}
    elif (change := _CHANGE.fullmatch(kind)) is not None:
        node |= {"Node Type": "ModifyTable", "Operation": change[1]}
    if match["provider"]:
        node["Custom Plan Provider"] = match["provider"]
    if kind in ("Index Scan", "Index Only Scan"):
        node["Scan Direction"] = "Backward" if match["backward"] else "Forward"
    if match["index"]:
        node["Index Name"] = _name(match["index"])
    if match["on"] is not None:
        node |= _target(kind, _name(match["on"]), match["schema"], match["alias"])
    return node


def _target(kind: str, name: str, schema: str | None, alias: str | None) -> dict[str, str]:
    if kind == "Bitmap Index Scan":
        return {"Index Name": name}
    target = {"Alias": _name(alias) if alias else name}
    if kind not in _ONLY_ALIAS:
        target[_TARGETS.get(kind, "Relation Name")] = name
    if schema:  # auto_explain.log_verbose
        target["Schema"] = _name(schema)
    return target


def _name(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def _relationship(parent: Mapping[str, Any], siblings: list[dict[str, Any]]) -> str:
    if parent["Node Type"] in _MEMBERS:
        return "Member"
    if parent["Node Type"] == "Subquery Scan":
        return "Subquery"
    return "Inner" if any(node["Parent Relationship"] == "Outer" for node in siblings) else "Outer"


def _say(node: dict[str, Any], key: str, value: str) -> None:
    if key in _TEXTS:
        node[key] = value
    elif key in _LISTS:
        node[key] = list(_items(value))
    elif key in _NUMBERS and value.isdecimal():
        node[key] = int(value)
    elif key == "Sort Method" and (sort := _SORT_METHOD.fullmatch(value)):
        node |= {"Sort Method": sort[1], "Sort Space Type": sort[2], "Sort Space Used": int(sort[3])}
    for name, pattern in _SEVERAL.get(key, ()):
        if found := re.search(pattern, value):
            node[name] = int(found[1])


def _items(text: str) -> Iterator[str]:
    """A list, cut at the commas that stand in no parentheses."""
    depth = start = 0
    for mark in _ITEM_MARK.finditer(text):
        if mark[0] in ("(", "["):
            depth += 1
        elif mark[0] in (")", "]"):
            depth -= 1
        elif mark[0] == "," and depth == 0:
            yield text[start : mark.start()].strip()
            start = mark.end()
    yield text[start:].strip()
