"""Where and how to write, decided once at the start of a command.

stdout is data and is always complete; stderr is messages and progress, and `quiet` leaves only errors of it.
"""

from __future__ import annotations

import io
import os
import re
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

from dbopt.render.escape import visible
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console, RenderableType

# Wide enough that no table in a file or a pipe is ever folded: whoever reads it there has a pager, or another program.
UNLIMITED = 1_000_000
_TRAILING_BLANKS = re.compile(r" +$", re.MULTILINE)


class Format(StrEnum):
    TABLE = "table"  # for people
    LINES = "lines"  # one record a line, tab-separated
    JSON = "json"
    CSV = "csv"
    PROMETHEUS = "prometheus"  # these only where a command names them
    NAGIOS = "nagios"
    MARKDOWN = "markdown"  # for tickets
    SQL = "sql"  # of a migration
    ALEMBIC = "alembic"
    YAML = "yaml"  # of an export


EVERYWHERE = (Format.TABLE, Format.LINES, Format.JSON, Format.CSV)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream. `width` None asks the terminal each time, as people resize it while a build runs."""

    file: TextIO
    terminal: bool = False
    live: bool = False  # a terminal whose cursor can be moved: progress bars
    color: bool = False
    width: int | None = UNLIMITED

    def write(self, text: str) -> None:
        self.file.write(text)
        self.file.flush()

    def print(self, renderable: RenderableType) -> None:
        """Text is never wrapped, so that what is copied from it has no line breaks of ours; tables fold."""
        from rich.text import Text

        if isinstance(renderable, Text) and not self.color:
            self.write(renderable.plain + "\n")
            return
        console = self.console()
        with console.capture() as capture:
            console.print(renderable, soft_wrap=isinstance(renderable, Text))
        self.write(_TRAILING_BLANKS.sub("", capture.get()))

    @property
    def columns(self) -> int:
        return self.console().width if self.width is None else self.width

    def console(self) -> Console:
        """A rich console that takes all decisions from here, and none from the environment."""
        from rich.console import Console

        return Console(
            file=self.file,
            width=self.width,
            force_terminal=self.terminal,
            force_interactive=self.live,
            force_jupyter=False,
            # The sixteen colours that every reader has fitted to his own background.
            color_system="standard" if self.color else None,
            no_color=not self.color,
            markup=False,
            emoji=False,
            highlight=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    format: Format
    out: Stream
    err: Stream
    quiet: bool = False

    @classmethod
    def detect(
        cls,
        *,
        format: Format | None = None,
        color: bool = True,
        quiet: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Output:
        """`format` None: a table on a terminal, lines elsewhere. `color` False is --no-color; NO_COLOR does the same.

        https://no-color.org: any value but an empty one counts.
        """
        environ = os.environ if environ is None else environ
        out = _stream(sys.stdout if stdout is None else stdout, color, environ)
        err = _stream(sys.stderr if stderr is None else stderr, color, environ)
        default = Format.TABLE if out.terminal else Format.LINES
        return cls(format=format or default, out=out, err=err, quiet=quiet)

    def note(self, text: str) -> None:
        """A message that is no error."""
        if not self.quiet:
            self.err.write(f"dbopt: {visible(text)}\n")


def _stream(file: TextIO, color: bool, environ: Mapping[str, str]) -> Stream:
    # A terminal of an old encoding must not end a command because somebody's index is called by an emoji.
    if isinstance(file, io.TextIOWrapper):
        file.reconfigure(errors="backslashreplace")
    terminal = file.isatty()
    live = terminal and environ.get("TERM") not in ("dumb", "unknown")
    columns = environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else None if terminal else UNLIMITED
    return Stream(
        file=file, terminal=terminal, live=live, color=live and color and not environ.get("NO_COLOR"), width=width
    )
