"""The lines of a log, wherever they come from: a file, compressed or not, or a stream. One at a time: logs are big."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from dbopt.errors import Error

# Of a line that is longer only so much is read: a statement of that length is a load of data, and its first part says
# where to.
LINE_MAX_BYTES = 1024 * 1024
ENTRY_MAX_CHARACTERS = 4 * LINE_MAX_BYTES  # of all lines of an entry
HEAD_BYTES = 8192
HINT_WHERE = "SELECT pg_current_logfile(), or SHOW log_directory, says where the server writes its log."

_COMPRESSED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_ZSTD = b"\x28\xb5\x2f\xfd"
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


class Lines:
    """Iterates over lines without their ends. Afterwards: whether the last had one, and what was not read."""

    def __init__(self, raw: IO[Any], name: str) -> None:
        self.name = name
        self.ends_in_line = False  # the server ends each line: the last one was cut off, or is still being written
        self.clipped = 0  # lines longer than LINE_MAX_BYTES
        self.damage: str | None = None  # of a compressed file
        self._raw = raw

    def __iter__(self) -> Iterator[str]:
        try:
            while piece := self._raw.readline(LINE_MAX_BYTES):
                line = piece.decode("utf-8", "replace") if isinstance(piece, bytes) else piece
                if len(piece) == LINE_MAX_BYTES and not _ends(piece):
                    self.clipped += 1
                    piece = self._rest_of_line()
                self.ends_in_line = not _ends(piece)
                # Of a file system that lost its power, zeros remain.
                yield line.rstrip("\r\n").replace("\0", "")
        except _DAMAGE as exc:
            self.damage = str(exc)
            self.ends_in_line = True
        except OSError as exc:
            raise Error(f"could not read {self.name}", detail=exc.strerror or str(exc)) from exc

    def _rest_of_line(self) -> Any:
        while (piece := self._raw.readline(LINE_MAX_BYTES)) and not _ends(piece):
            pass
        return piece


def _ends(piece: Any) -> bool:
    return piece[-1:] in (b"\n", "\n")


@contextlib.contextmanager
def opened(source: Path | TextIO) -> Iterator[Lines]:
    """Raises Error for what is not there, not readable, empty or no text."""
    with contextlib.ExitStack() as stack:
        if isinstance(source, Path):
            name = str(source)
            try:
                raw: IO[Any] = stack.enter_context(source.open("rb"))
            except IsADirectoryError as exc:
                raise Error(f"{name} is a folder", detail="expected a log file", hint=HINT_WHERE) from exc
            except PermissionError as exc:
                hint = "Logs belong to the server's account: read it as that account, or pipe it in with --log -."
                raise Error(f"could not read {name}", detail=exc.strerror, hint=hint) from exc
            except OSError as exc:
                raise Error(f"could not read {name}", detail=exc.strerror, hint=HINT_WHERE) from exc
        else:
            name, raw = "standard input", getattr(source, "buffer", source)
        yield Lines(_plain(raw, name, stack), name)


def _plain(raw: IO[Any], name: str, stack: contextlib.ExitStack) -> IO[Any]:
    if isinstance(raw, io.TextIOBase):  # in memory: neither compressed nor in another encoding
        return raw
    head = _head(raw, name)
    if head.startswith(_ZSTD):
        raise Error(f"{name} is compressed by zstd", hint="zstd -dc FILE | dbopt slow-queries --log -")
    for magic, decompressed in _COMPRESSED.items():
        if head.startswith(magic):
            raw = stack.enter_context(decompressed(raw, "rb"))
            head = _head(raw, name)
    if not head:
        hint = f"Right after a rotation there is nothing in it yet. {HINT_WHERE}"
        raise Error(f"{name} is empty", hint=hint)
    if b"\0" in head:
        raise Error(f"{name} is not a text file", detail="it holds zero bytes", hint=HINT_WHERE)
    return raw


def _head(raw: Any, name: str) -> bytes:
    try:
        return bytes(raw.peek(HEAD_BYTES)[:HEAD_BYTES])
    except _DAMAGE:
        return b"\xff"  # what can be read of it comes out as lines; then the damage is told
    except OSError as exc:
        raise Error(f"could not read {name}", detail=exc.strerror or str(exc)) from exc
