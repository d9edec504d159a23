"""Statements without their values: what is in a live statement is somebody's data.

PostgreSQL cuts off the text that pg_stat_activity shows, so a parser would refuse many of them. This reads them as the
server's scanner does, and in doubt leaves out rather more than less: comments, as drivers write tags with values there;
all that follows a plain string with a backslash, whose end depends on a setting of the session; and where a string has
no end, all that follows the first: a stray apostrophe may have turned the inside of strings out.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html
"""

from __future__ import annotations

import functools
import re

PLACEHOLDER = "?"

_LETTER = r"A-Za-z_\u0080-\U0010ffff"
_TOKENS = rf"""
      # What surely is no value, as long as it goes on: a token at a time costs a third of a second for a megabyte.
      (?P<kept> (?: [{_LETTER}][{_LETTER}0-9$]*+(?![&'"]) | "(?:[^"]|"")*+" | \$[0-9]++
                  | (?![{_LETTER}])\s++ | [^\s{_LETTER}0-9'"$/.\-]++ | \.(?![0-9]) | -(?!-) | /(?!\*) )++ )
    | (?P<line_comment> --[^\r\n]*)
    | (?P<comment> /\*)
    | (?P<identifier> (?:[uU]&)?"(?:[^"]|"")*(?:"|\Z))
    | (?P<escaped> [eE]'(?:[^'\\]|\\.|'')*'(?![{_LETTER}0-9]))
    | (?P<string> (?:[bBxXnN]|[uU]&)?'(?:[^'\\]|'')*'(?![{_LETTER}0-9]))
    | (?P<open> (?:[bBxXnNeE]|[uU]&)?')
    | (?P<dollar> \$(?P<tag>(?:[{_LETTER}][{_LETTER}0-9]*)?)\$)
    | (?P<word> [{_LETTER}][{_LETTER}0-9$]*)
    | (?P<parameter> \$[0-9]+)
    | (?P<number> \.?[0-9](?:[eE][-+][0-9]|[{_LETTER}0-9.])*)
    | (?P<space> \s+)
    | (?P<other> .)
"""
_COMMENT_MARKS = re.compile(r"/\*|\*/")


@functools.cache
def _tokens() -> re.Pattern[str]:
    """Compiled when a statement is first to be shown: it takes longer than all the rest of this module."""
    return re.compile(_TOKENS, re.VERBOSE | re.DOTALL)


def masked(statement: str) -> str:
    """The statement on one line, each literal replaced by `?`, without comments."""
    parts: list[str] = []
    first: int | None = None
    position = 0
    while position < len(statement):
        token = _tokens().match(statement, position)
        assert token is not None  # the last alternative takes any character
        position = token.end()
        match token.lastgroup:
            case "line_comment" | "space":
                parts.append(" ")
            case "comment":
                parts.append(" ")
                position = _end_of_comment(statement, position)
            case "number":
                parts.append(PLACEHOLDER)
            case "string" | "escaped":
                parts.append(PLACEHOLDER)
                first = first or len(parts)
            case "open":
                parts.append(PLACEHOLDER)
                del parts[first or len(parts) :]
                position = len(statement)
            case "dollar":
                parts.append(PLACEHOLDER)
                closing = statement.find(token[0], position)
                position = len(statement) if closing < 0 else closing + len(token[0])
            case _:
                parts.append(token[0])
    return " ".join("".join(parts).split())


def _end_of_comment(statement: str, position: int) -> int:
    """Comments nest. One that is not closed takes the rest."""
    depth = 1
    while depth:
        mark = _COMMENT_MARKS.search(statement, position)
        if mark is None:
            return len(statement)
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return position


def shown(statement: str, *, literals: bool) -> str:
    """For people: on one line, masked unless they asked for the values."""
    return " ".join(statement.split()) if literals else masked(statement)
