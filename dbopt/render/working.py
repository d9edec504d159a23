"""One line on a terminal's stderr that says what is being done, and is gone when that is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from dbopt.render.escape import visible

if TYPE_CHECKING:
    from dbopt.render.output import Output

_CLEARED = "\r\x1b[K"


class Working:
    """Says nothing in a pipe, on a dumb terminal and with -q."""

    def __init__(self, output: Output) -> None:
        self._err = output.err
        self._shows = output.err.live and not output.quiet
        self._is_dirty = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def say(self, text: str) -> None:
        if self._shows:
            line = visible(text)[: max(0, self._err.columns - 1)]
            self._err.write(f"{_CLEARED}{line}")
            self._is_dirty = True

    def clear(self) -> None:
        """Before anything else is written."""
        if self._is_dirty:
            self._err.write(_CLEARED)
            self._is_dirty = False
