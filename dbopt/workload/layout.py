"""A statement laid out over several lines, for people."""

from __future__ import annotations

import re
from typing import Any

from dbopt import grammar
from dbopt.grammar import GrammarError
from dbopt.postgres.normalized import OWN_MARK

_COMMENT = re.compile(r"\s*/\*.*?\*/\s*")
# What a line does not break: quoted names whole, all else up to white space.
_UNBROKEN = re.compile(r"(?:\"(?:[^\"]|\"\")*+\"?|[^\s\"]++)++")
_INDENT = "  "


def formatted(text: str, width: int = 100) -> str:
    """A normalized statement with a clause a line where PostgreSQL's grammar reads both as the same, parameters and
    all; else, as where it is cut off, its own words with line breaks between them.
    """
    mark = _COMMENT.match(text) if text.startswith(OWN_MARK) else None
    front = mark[0].strip() + "\n" if mark else ""
    statement = text[mark.end() :] if mark else text
    return front + (_by_clauses(statement, width) or _wrapped(statement, width))


def _by_clauses(statement: str, width: int) -> str | None:
    import postgast

    try:
        tree = grammar.parse_one(statement)
        made = str(postgast.format_sql(statement, line_width=width)).removesuffix(";")
        # Of some statements it makes one line, MERGE among them.
        made = "\n".join(line if len(line) <= width else _wrapped(line, width) for line in made.split("\n"))
        again = grammar.parse_one(made)
    except (GrammarError, postgast.PgQueryError, RecursionError, LookupError, ValueError, AttributeError, TypeError):
        return None  # its formatter does not know all that the grammar does
    return made if _placeless(tree) == _placeless(again) else None


# Of the fields that say where in the text something stands, the ends of their names.
_PLACES = ("location", "list_start", "list_end")


def _placeless(tree: Any) -> Any:
    """Without where in the text each part of it stood."""
    parts = [tree]
    while parts:
        part = parts.pop()
        for field, value in part.ListFields():
            if field.message_type is None:
                if field.name.endswith(_PLACES):
                    part.ClearField(field.name)
            elif field.is_repeated:
                parts.extend(value)
            else:
                parts.append(value)
    return tree


def _wrapped(text: str, width: int) -> str:
    """Lines of `width` at most, but for a single word that is longer."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    lines: list[str] = []
    for word in _UNBROKEN.findall(text):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(indent + _INDENT + word if lines else indent + word)
    return "\n".join(lines)
