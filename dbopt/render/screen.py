"""What a screen has room for, and which characters it has: foreign text is shown, cut and broken by columns here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.escape import visible
from dbopt.render.output import UNLIMITED
from dbopt.render.sparkline import can_show
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.render.output import Stream

_FINE = "▏▎▍▌▋▊▉█·±≥└─├│"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_ELLIPSIS = "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """`has_all` False: it shows ASCII and little else, as its `encoding` says."""

    columns: int
    encoding: str
    has_all: bool

    @classmethod
    def of(cls, out: Stream) -> Screen:
        encoding = getattr(out.file, "encoding", None) or "utf-8"
        return cls(columns=out.columns, encoding=encoding, has_all=can_show(encoding, _FINE))

    @property
    def is_unlimited(self) -> bool:
        """A file or a pipe, where nothing is cut or broken."""
        return self.columns >= UNLIMITED

    def pick(self, fine: str, plain: str) -> str:
        return fine if self.has_all else plain

    def text(self, foreign: str) -> str:
        """On one line, as long as it will be on the screen: what its encoding has not stands there as an escape."""
        return visible(foreign).encode(self.encoding, "backslashreplace").decode(self.encoding)

    def cut(self, text: str, columns: int) -> str:
        """With `...` where something is left out."""
        if self.is_unlimited or width(text) <= columns:
            return text
        return _head(text, columns - len(_ELLIPSIS)).rstrip() + _ELLIPSIS

    def broken(self, text: str, columns: int) -> list[str]:
        """In lines of at most so many columns, between words where there are any."""
        if self.is_unlimited:
            return [text]
        columns = max(columns, 8)
        lines: list[str] = []
        line = ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if width(longer) <= columns:
                line = longer
                continue
            if line:
                lines.append(line)
            line = word
            while width(line) > columns:
                head = _head(line, columns)
                lines.append(head)
                line = line[len(head) :]
        return [*lines, line] if line or not lines else lines

    def bar(self, share: float | None, columns: int) -> str:
        """Never empty for what is something."""
        if not share or share <= 0:
            return " " * columns
        share = min(1.0, share)
        if not self.has_all:
            return ("#" * max(1, round(share * columns))).ljust(columns)
        eighths = max(1, round(share * columns * 8))
        return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(columns)


def width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _head(text: str, columns: int) -> str:
    """As much of its beginning as fits, at least one character."""
    end = min(len(text), columns)
    while end > 1 and width(text[:end]) > columns:
        end -= 1
    return text[: max(end, 1)]


def padded(text: str, columns: int, *, right: bool = False) -> str:
    blanks = " " * (columns - width(text))
    return blanks + text if right else text + blanks
