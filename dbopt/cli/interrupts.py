"""SIGINT and SIGTERM while a change is under way: the work itself asks for them, also while it waits."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType

    from dbopt.cli.messages import Messages

_BUILDING = "dbopt: interrupted: ending the build on the server and removing what it leaves\n"
_AGAIN = "dbopt: still cleaning up\n"


class Interrupts:
    """Called, it tells which signal came first; None: none."""

    def __init__(self, messages: Messages, first: str = _BUILDING) -> None:
        """`first`: what is said to the first signal."""
        self._messages = messages
        self._first = first
        self._signum: int | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> int | None:
        return self._signum

    def __enter__(self) -> Self:
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._before[signum] = signal.signal(signum, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _take(self, signum: int, _frame: FrameType | None) -> None:
        # The stream's own write is not allowed to be called while it is being called: this may be such a moment.
        text = self._first if self._signum is None else _AGAIN
        with contextlib.suppress(OSError, ValueError):
            os.write(self._messages.stream.fileno(), text.encode())
        self._signum = self._signum or signum
