"""Foreign text made safe to show: a name, a comment or an error message stays on its line and steers no terminal."""

from __future__ import annotations

# They hold together emoji and the words of several scripts, and move nothing else.
_JOINERS = "\u200c\u200d"


def is_plain(char: str) -> bool:
    """Whether a character shows as itself. Control, bidi, unassigned and odd blank characters do not."""
    return char.isprintable() or char in _JOINERS


def visible(text: str) -> str:
    r"""The text on one line, every character that is not plain as an escape: `\n`, `\t`, `\x1b`, `\u202e`.

    For people only: a backslash stays as it is, so that regular expressions can be read; there is no exact way back.
    """
    if text.isprintable():
        return text
    return "".join(char if is_plain(char) else char.encode("unicode_escape").decode() for char in text)
