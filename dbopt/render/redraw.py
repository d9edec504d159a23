"""Something shown again and again: in place on a terminal, one after another elsewhere."""

from __future__ import annotations

import dataclasses
import io
import re
import shutil
import time
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn, TypeVar

from dbopt.errors import AnotherRunner, UsageError
from dbopt.render.escape import visible
from dbopt.render.output import EVERYWHERE, Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.render.output import Output

Seen = TypeVar("Seen")

_EMPTY_SCREEN = "\x1b[2J\x1b[H"
_OVER_IT = "\x1b[H\x1b[J"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def redraw(
    output: Output,
    seconds: float,
    look: Callable[[], Seen],
    write: Callable[[Output, Seen], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Looks every `seconds` until somebody interrupts, and writes what was seen: JSON as one line. `look` raises
    AnotherRunner where a dbopt of the same kind is at work on that database: it will have ended by the next look, so
    that is said and no reason to stop.
    """
    if output.format not in EVERYWHERE:
        raise UsageError(f"--watch does not write {output.format}", hint=f"Formats: {', '.join(EVERYWHERE)}.")
    in_place = output.format is Format.TABLE and output.out.live
    first = True
    while True:
        started = time.monotonic()
        try:
            seen = look()
        except AnotherRunner as exc:
            shown = f"{visible(exc.message)}\n" if in_place else ""
            if not in_place:
                output.note(exc.message)
        else:
            shown = _text(output, seen, write, first)
        if in_place:
            size = shutil.get_terminal_size()
            head = f"every {seconds:g} s, {datetime.now():%H:%M:%S}, until Ctrl-C\n\n"
            shown = (_EMPTY_SCREEN if first else _OVER_IT) + fitted(head + shown, size.columns, size.lines)
        output.out.write(shown)
        first = False
        sleep(max(0.0, seconds - (time.monotonic() - started)))


class _Page(io.StringIO):
    """What is written for a terminal has to know which characters that has."""

    def __init__(self, encoding: str | None) -> None:
        super().__init__(newline="")
        self._encoding = encoding

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        return self._encoding


def _text(output: Output, seen: Seen, write: Callable[[Output, Seen], None], first: bool) -> str:
    """One look: the head of csv comes once, tables are told apart by a blank line."""
    file = _Page(getattr(output.out.file, "encoding", None))
    write(
        dataclasses.replace(output, out=dataclasses.replace(output.out, file=file, width=output.out.columns)),
        seen,
    )
    text = file.getvalue()
    if first or output.format is Format.LINES or output.format is Format.JSON or output.out.live:
        return text
    return text.partition("\r\n")[2] if output.format is Format.CSV else f"\n{text}"


def fitted(text: str, columns: int, rows: int) -> str:
    """What a screen holds of it: lines before the last one give way, as the last one sums up."""
    from rich.cells import cell_len

    def height(line: str) -> int:
        return max(1, -(-cell_len(_STYLE.sub("", line)) // columns))

    *lines, last = text.splitlines()
    room = rows - 1 - height(last)  # the cursor stands below
    if sum(map(height, lines)) <= room:
        return text
    kept: list[str] = []
    for line in lines:
        if sum(map(height, kept)) + height(line) > room - 1:
            break
        kept.append(line)
    return "\n".join([*kept, f"... {len(lines) - len(kept)} more lines; without --watch they are all shown", last, ""])
