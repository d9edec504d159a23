"""What can be said of a statement that does not parse: most often PostgreSQL has cut off its text.

By its words, read with the grammar in mind; in doubt nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.workload.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORD = re.compile(r'"(?:[^"]|"")*+"?|\$[0-9]+|[^\W\d][\w$]*|[0-9][\w.]*|[^\s\w]')
_SIMPLE = re.compile(r'"[a-z_][a-z0-9_$]*"')
_LIST = re.compile(r"\?(?: , \?)+")
_ROWS = re.compile(r"\( \? \)(?: , \( \? \))+")
_KINDS = {
    "select": Kind.SELECT,
    "values": Kind.SELECT,
    "table": Kind.SELECT,
    "insert": Kind.INSERT,
    "update": Kind.UPDATE,
    "delete": Kind.DELETE,
    "merge": Kind.MERGE,
}
# https://www.postgresql.org/docs/current/sql-commands.html
_UTILITY = frozenset(
    (
        *("abort", "alter", "analyze", "analyse", "begin", "call", "checkpoint", "close", "cluster", "comment"),
        *("commit", "copy", "create", "deallocate", "declare", "discard", "do", "drop", "end", "execute", "explain"),
        *("fetch", "grant", "import", "listen", "load", "lock", "move", "notify", "prepare", "reassign", "refresh"),
        *("reindex", "release", "reset", "revoke", "rollback", "savepoint", "security", "set", "show", "start"),
        *("truncate", "unlisten", "vacuum"),
    )
)
# Their FROM names no table.
_FUNCTIONS = frozenset(("extract", "overlay", "position", "substring", "trim"))
_ENDS_FROM = frozenset(
    (
        *("except", "group", "having", "intersect", "limit", "offset", "order", "returning", "select", "set"),
        *("union", "values", "where", "window"),
    )
)
_COLUMNS_MAX = 200  # of a common table expression, in words: so far is looked back for its name


def words(text: str) -> list[str]:
    """Alike for texts that differ in values, in white space, in the case of keywords, in how many values or rows a list
    has, and in where in such a list they are cut off.
    """
    found = []
    for word in _WORD.findall(text):
        if word[0] == "$" or word[0].isdigit():
            found.append("?")
        elif word[0] == '"':
            found.append(word[1:-1] if _SIMPLE.fullmatch(word) else word)
        else:
            found.append(word.lower())
    line = _ROWS.sub("( ? )", _LIST.sub("?", " ".join(found)))
    return line.rstrip(" ,(?").split(" ")


def kind(text: str) -> Kind:
    depth = 0
    is_with = False
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word in ("(", ")"):
            depth += 1 if word == "(" else -1
        elif is_with:
            if depth == 0 and word in _KINDS:
                return _KINDS[word]
        elif word == "with":
            is_with, depth = True, 0
        else:
            return Kind.UTILITY if word in _UTILITY else _KINDS.get(word, Kind.UNKNOWN)
    return Kind.UNKNOWN


def relations(text: str) -> tuple[str, ...]:
    """What stands where a table does. The last word of all does not count: it may have been longer."""
    found = _WORD.findall(text)
    lower = [word.lower() for word in found]
    expressions = set(_expressions(lower))
    names: list[str] = []
    for at in _places(lower):
        parts, after = _name(lower, found, at)
        if not parts or after >= len(found) or (lower[after] == "(" and lower[at - 1] != "into"):
            continue  # nothing, cut off, or a function
        if len(parts) > 1 or parts[0] not in expressions:
            names.append(".".join(parts[-2:]))
    return tuple(dict.fromkeys(names))


def _places(lower: list[str]) -> Iterator[int]:
    """Where a table may be named."""
    levels = [(False, False)]  # of each parenthesis that is open: whether it is such a function's, and a FROM going on
    for at, word in enumerate(lower):
        before = lower[at - 1] if at else ""
        function, listing = levels[-1]
        named = False
        if word == "(":
            levels.append((before in _FUNCTIONS, False))
        elif word == ")" and len(levels) > 1:
            levels.pop()
        elif word == "from" and not function and before != "distinct":
            named = True
            levels[-1] = (function, True)
        elif word in _ENDS_FROM:
            levels[-1] = (function, False)
        elif word == "update":
            named = before not in ("do", "for", "key", "then")
        else:
            named = word in ("into", "join", "using") or (word == "," and listing)
        if named:
            prefix = at + 1 < len(lower) and lower[at + 1] in ("lateral", "only", "table")
            yield at + 2 if prefix else at + 1


def _name(lower: list[str], found: list[str], at: int) -> tuple[list[str], int]:
    """The parts of the name that begins there, and what stands behind it."""
    parts: list[str] = []
    while at < len(found) and (found[at][0].isalpha() or found[at][0] in '_"'):
        if found[at][0] != '"':
            parts.append(lower[at])
        else:
            parts.append(found[at][1:-1] if _SIMPLE.fullmatch(found[at]) else found[at])
        at += 1
        if at >= len(found) or found[at] != ".":
            break
        at += 1
    return parts, at


def _expressions(lower: list[str]) -> Iterator[str]:
    """The names of common table expressions: `a AS (`, `a (b, c) AS MATERIALIZED (`."""
    for at in range(1, len(lower) - 1):
        if lower[at] == "as" and lower[at + 1] in ("(", "not", "materialized"):
            name = at - 1
            if lower[name] == ")":
                while name > max(0, at - _COLUMNS_MAX) and lower[name] != "(":
                    name -= 1
                name -= 1
            if name >= 0:
                yield lower[name].strip('"')
