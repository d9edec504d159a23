"""The question before a deed: on a terminal it is asked, off a terminal nothing is done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dbopt.errors import UsageError

if TYPE_CHECKING:
    from dbopt.cli.session import Session


def agreed(session: Session, question: str, command: str) -> bool:
    """Whether somebody at a terminal says yes. Raises UsageError, with the command to paste, where nobody can."""
    err = session.output.err
    if not (sys.stdin.isatty() and err.terminal):
        raise UsageError(
            f"nothing was changed: {session.command} asks first, and there is no terminal to ask on", hint=command
        )
    err.write(f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
