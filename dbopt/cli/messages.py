"""stderr: messages, never data. Every byte that goes there goes through here, so that no password does."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

from dbopt.render.output import Format, Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbopt.errors import Error

MASK = "********"

# Passwords in the forms in which connection strings hold them, whether or not dbopt has read that string.
_IN_URI = re.compile(r"(?P<before>[a-z][a-z0-9+.:-]*://[^\s:/@]*:)[^\s@]+(?=@)", re.IGNORECASE)
_IN_PAIRS = re.compile(r"(?P<before>\b\w*password[\"']?\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE)


class MaskedStream:
    """stderr without secrets. A closed stderr is nobody's error."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._secrets: set[str] = set()
        self.encoding = file.encoding

    def add_secrets(self, secrets: Iterable[str]) -> None:
        self._secrets.update(secret for secret in secrets if secret)

    def mask(self, text: str) -> str:
        """Without known secrets, as whole words, and whatever stands where a connection string has its password."""
        text = _IN_PAIRS.sub(rf"\g<before>{MASK}", _IN_URI.sub(rf"\g<before>{MASK}", text))
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
        return text

    def write(self, text: str) -> int:
        with contextlib.suppress(BrokenPipeError):
            self._file.write(self.mask(text))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._file.flush()

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()


class Messages:
    """What one call says on stderr. `verbosity`: -1 for -q, 0, 1 for -v, 2 for -vv."""

    def __init__(self, stderr: TextIO) -> None:
        self.stream = MaskedStream(stderr)
        self.verbosity = 0
        self.output = self.detect(None, color=True, quiet=False)

    def detect(self, form: Format | None, *, color: bool, quiet: bool) -> Output:
        """The Output of a command, with this stream as its stderr."""
        stderr: TextIO = self.stream  # type: ignore[assignment]  # as much of a TextIO as is written to
        self.output = Output.detect(format=form, color=color, quiet=quiet, stdout=sys.stdout, stderr=stderr)
        return self.output

    def note(self, text: str) -> None:
        """What only -v shows."""
        if self.verbosity >= 1:
            self.output.note(f"note: {text}")

    def warn(self, text: str) -> None:
        self.output.note(f"warning: {text}")

    def interrupted(self) -> None:
        self.output.note("dbopt: interrupted; nothing was being changed")

    def error(self, error: Error) -> None:
        from dbopt.render.error import write_error

        write_error(self.output, error)
        if self.output.format is Format.NAGIOS:  # its readers have stdout alone
            from dbopt.render.nagios import failure

            self.output.out.write(self.stream.mask(failure(error)))

    def traceback(self, exc: BaseException) -> None:
        """Only at -vv; for everybody else the error says enough."""
        if self.verbosity >= 2:
            self.stream.write("".join(traceback.format_exception(exc)))

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While it lasts, the library's warnings are ours, and at -v its statements with their times."""
        logger, sql = logging.getLogger("dbopt"), logging.getLogger("dbopt.sql")
        before = (logger.propagate, sql.level)
        handler = _ToMessages(self)
        logger.addHandler(handler)
        logger.propagate = False
        # What psycopg meets while it tidies up after an error of the server, that error says better, as our own words.
        silent, driver = logging.NullHandler(), logging.getLogger("psycopg")
        driver.addHandler(silent)
        try:
            yield
        finally:
            driver.removeHandler(silent)
            logger.removeHandler(handler)
            logger.propagate = before[0]
            sql.setLevel(before[1])

    def set_verbosity(self, verbosity: int) -> None:
        self.verbosity = verbosity
        if verbosity >= 1:
            logging.getLogger("dbopt.sql").setLevel(logging.DEBUG)


class _ToMessages(logging.Handler):
    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name == "dbopt.sql":
            self._messages.stream.write(f"dbopt: sql: {text}\n")
        elif record.levelno >= logging.WARNING and self._messages.verbosity >= 0:
            self._messages.stream.write(f"dbopt: warning: {text}\n")
