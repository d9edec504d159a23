"""Small words shared by the messages of the loader and of lint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN_MAX = 60  # characters of foreign text in one message
MESSAGE_MAX = 200


def quoted(text: str) -> str:
    """Foreign text for a message: between quotes, on one line, without control characters, cut when long."""
    return f'"{plain(text, SHOWN_MAX)}"'


def plain(text: str, length: int = MESSAGE_MAX) -> str:
    """A text on one line, without control characters, cut when long."""
    cut = text if len(text) <= length else text[: length - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint for a word that is none of those known: the nearest one, else all of them."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if nearest:
        return f"Did you mean {folded[nearest[0]]}?"
    return f"Known here: {', '.join(names)}." if names else None


def listed(words: Iterable[str]) -> str:
    """`asc or desc`; `ignore, report or prune`."""
    *head, last = words
    return f"{', '.join(head)} or {last}" if head else last
