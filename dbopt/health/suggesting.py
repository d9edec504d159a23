"""What to type where an index would help, or may be of no use: `dbopt suggest` looks at all statements of a table."""

from __future__ import annotations

import shlex


def on_table(relation: str, *options: str) -> str | None:
    """A call of it that can be pasted, into a comment of SQL too: None for a name that would break the line."""
    return shlex.join(["dbopt", "suggest", *options, "--table", relation]) if relation.isprintable() else None


def remark(relation: str, words: str, *options: str) -> str:
    """Behind a statement, where there is such a call."""
    call = on_table(relation, *options)
    return "" if call is None else f"  -- {call} {words}"
