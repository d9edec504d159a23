"""A file of SQL, cut into its statements as psql cuts them, whether PostgreSQL's grammar takes them or not. Pure.

What is psql's own, commands that begin with a backslash and the rows of COPY FROM stdin, is passed over.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LETTER = r"A-Za-z_\u0080-\U0010ffff"
# A quote that nothing ends is a character like any other: the statement it stands in is refused, those after it are
# not. In one run what ends nothing, as a token at a time takes seconds for some megabytes.
_TOKEN = re.compile(
    rf"""
      (?P<plain> (?: [\s0-9+*%<>=~!@\#^&|`?,.:()\[\]] | \$[0-9]++ | -(?!-) | /(?!\*) )++ )
    | (?P<comment> --[^\r\n]*)
    | (?P<block> /\*)
    | (?P<string> [eE]'(?:[^'\\]|\\.|'')*+' | '(?:[^']|'')*+' | "(?:[^"]|"")*+")
    | (?P<dollar> \$(?P<tag>(?:[{_LETTER}][{_LETTER}0-9]*)?)\$)
    | (?P<end> ;)
    | (?P<command> \\(?P<word>;|[^\s\\]*)(?P<rest>[^\r\n]*))
    | (?P<name> [{_LETTER}][{_LETTER}0-9$]*+)
    | (?P<other> .)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARKS = re.compile(r"/\*|\*/")
# psql sends what was typed so far; https://www.postgresql.org/docs/current/app-psql.html
_SENDS = re.compile(r"\\(?:g|gx|gdesc|gexec|gset|crosstabview|watch|sendpipeline)\b")
_SENDS_WORDS = frozenset(("g", "gx", "gdesc", "gexec", "gset", "crosstabview", "watch", "sendpipeline", ";"))
_COPIES = re.compile(r"\s*copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_END_OF_LINE = re.compile(r";[^\S\n]*$", re.MULTILINE)
_HAS_BODY = re.compile(r"(?:create|do|alter)\b", re.IGNORECASE)  # in which semicolons end lines
_END_OF_ROWS = re.compile(r"^\\\.[^\S\n]*$", re.MULTILINE)


# Each time, all that follows is read once more: a file that is at fault so often is no script.
SHORTENED_MAX = 20


class Piece(NamedTuple):
    """What may be a statement. `line`: on which it begins, from 1. `comments`: the `--` lines right before it."""

    text: str
    line: int
    comments: tuple[str, ...] = ()
    start: int = 0  # in the file, in characters


class Skipped(NamedTuple):
    """A command of psql's: `timing`, without what follows it, which may be anything."""

    word: str
    line: int


class Script:
    """Cut while it is iterated over. `skipped`: so far."""

    def __init__(self, text: str) -> None:
        """However it is written: no text is refused."""
        self._text = text.removeprefix("\ufeff")
        self._breaks = [match.start() for match in re.finditer("\n", self._text)]
        self._at = 0
        self.skipped: list[Skipped] = []
        self._shortened = 0
        self._begin()

    def shortened(self, piece: Piece) -> Piece:
        """Of a piece, the one that was cut last, that is no statement: a quote in it may have lost its other half, so
        that others were taken for strings. Up to the first semicolon at the end of a line, whatever it seems to stand
        in; the next piece begins behind it.
        """
        end = _END_OF_LINE.search(self._text, piece.start, self._at)
        if end is None or _HAS_BODY.match(piece.text) or self._shortened >= SHORTENED_MAX:
            return piece
        self._shortened += 1
        self._at = end.end()
        return piece._replace(text=self._text[piece.start : end.start()])

    def _begin(self) -> None:
        self._parts: list[str] = []  # of the statement
        self._start = 0
        self._comments: list[str] = []
        self._names: list[str] = []  # its first ones
        self._blocks = 0  # BEGIN ATOMIC ... END of a function's body, CASE ... END in it

    def __iter__(self) -> Iterator[Piece]:
        while self._at < len(self._text):  # the last piece may be shortened, too
            yield from self._rest()

    def _rest(self) -> Iterator[Piece]:
        text = self._text
        while self._at < len(text):
            token = _TOKEN.match(text, self._at)
            assert token is not None  # the last alternative takes any character
            begin, self._at = self._at, token.end()
            match token.lastgroup:
                case "comment":
                    if self._parts:
                        self._parts.append(token[0])
                    else:
                        self._comments.append(token[0])
                case "block":
                    self._at = _end_of_comment(text, self._at)
                    if self._parts:
                        self._parts.append(text[begin : self._at])
                case "dollar":
                    end = text.find(token[0], self._at)
                    self._at = self._at if end < 0 else end + len(token[0])
                    self._add(text[begin : self._at], begin)
                case "end" if not self._is_inside():
                    copies = _COPIES.match("".join(self._parts)) is not None
                    if copies:
                        self._at = self._end_of_rows(self._at)
                    yield from self._piece()
                case "command":
                    sends = token["word"] in _SENDS_WORDS or _SENDS.search(token["rest"]) is not None
                    if token["word"] == ";":
                        self._at = begin + 2
                    elif not sends:
                        self.skipped.append(Skipped(token["word"], self._line(begin)))
                    if sends:
                        yield from self._piece()
                case "name":
                    self._name(token[0].lower())
                    self._add(token[0], begin)
                case _:
                    self._add(token[0], begin)
        yield from self._piece()

    def _add(self, part: str, begin: int) -> None:
        if not self._parts:
            if part.isspace():
                return
            self._start = begin + len(part) - len(part.lstrip())
        self._parts.append(part)

    def _name(self, name: str) -> None:
        """Within the body of a function semicolons end nothing."""
        if len(self._names) < 4:
            self._names.append(name)
        if self._names[0] == "create" and {"function", "procedure"} & set(self._names):
            if name == "begin" or (name == "case" and self._blocks):
                self._blocks += 1
            elif name == "end" and self._blocks:
                self._blocks -= 1

    def _is_inside(self) -> bool:
        """A rule may do several things, in parentheses."""
        if self._blocks:
            return True
        if self._names[:1] != ["create"] or "rule" not in self._names:
            return False
        written = "".join(part for part in self._parts if part[0] not in "'\"$-")
        return written.count("(") > written.count(")")

    def _piece(self) -> Iterator[Piece]:
        text = "".join(self._parts).strip()
        if text:
            piece = Piece(text, self._line(self._start), tuple(self._comments), self._start)
            self._begin()
            yield piece
        else:
            self._begin()

    def _line(self, at: int) -> int:
        return bisect_right(self._breaks, at - 1) + 1 if at else 1

    def _end_of_rows(self, at: int) -> int:
        """Of those that follow COPY FROM stdin."""
        end = _END_OF_ROWS.search(self._text, at)
        return len(self._text) if end is None else end.end()


def _end_of_comment(text: str, at: int) -> int:
    depth = 1
    for mark in _COMMENT_MARKS.finditer(text, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)
