"""Who asks for a connection: the thread or task, and the place in the application's code. Microseconds, as every
checkout pays for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import greenlet  # type: ignore[import-untyped]  # its stubs are a package of their own
import sqlalchemy

if TYPE_CHECKING:
    from types import FrameType

_LIBRARY = tuple(
    f"{folder}{os.sep}"
    for folder in (Path(sqlalchemy.__file__).parent, Path(__file__).parents[1], Path(greenlet.__file__).parent)
)
_STANDARD = f"{Path(os.__file__).parent}{os.sep}"
_names: dict[str, str | None] = {}  # how a file is shown, None: not at all; as many as the program has


def who() -> tuple[str, object]:
    """In words, `thread worker-1` or `task Task-12`, and what tells it from all others that run."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return f"task {task.get_name()}", id(task)
    thread = threading.current_thread()
    return f"thread {thread.name}", thread.ident


def place() -> str | None:
    """`app/orders.py:42`: the first frame that is neither of SQLAlchemy, nor of this package, nor of Python itself.
    None: there is none, as where a thread was started by this package.
    """
    frame: FrameType | None = sys._getframe(1)
    driver = None
    while True:
        while frame is not None:
            file = frame.f_code.co_filename
            try:
                name = _names[file]
            except KeyError:
                name = _names[file] = None if _is_inside(file) else _short(file)
            if name is not None:
                return f"{name}:{frame.f_lineno}"
            frame = frame.f_back
        # The frames of a greenlet end where it began; they go on in the one that drives it.
        driver = (driver or greenlet.getcurrent()).parent
        if driver is None:
            return None
        frame = driver.gr_frame


def _is_inside(name: str) -> bool:
    if name.startswith("<"):  # <frozen importlib>, and what SQLAlchemy and dataclasses compile
        return not name.startswith(("<stdin", "<ipython"))
    return name.startswith(_LIBRARY) or (name.startswith(_STANDARD) and "site-packages" not in name)


def _short(name: str) -> str:
    """From the working directory on, where it is below that."""
    return name.removeprefix(f"{Path.cwd()}{os.sep}")
