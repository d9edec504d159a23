"""How what was found is shown: the piece of a text that it stands in, with marks around the words. Pure.

The server, which knows what it has matched, sets control characters; marks and the escaping of everything else come
afterwards, so that no text of somebody's can pass for markup.
"""

from __future__ import annotations

import html
import re

from dbopt.errors import UsageError
from dbopt.values import dataclass

_START, _STOP, _CUT = "\x02", "\x03", "\x04"
CONTROLS = _START + _STOP + _CUT  # taken out of the text before
_CHARACTERS_PER_WORD = 6  # with its blank, in English text
_WORDS_MAX = 10_000  # who wants more wants the whole text
_FRAGMENTS_MAX = 100  # more than a page of results has room for


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """For HTML, unless told otherwise: all but `start` and `stop` is escaped. `words`: how much is shown, None: the
    whole text. `fragments`: so many pieces of the text, with `cut` between them; 0: one that begins where it likes.
    """

    start: str = "<mark>"
    stop: str = "</mark>"
    cut: str = " … "
    escape: bool = True
    words: int | None = 35
    fragments: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError."""
        if self.words is not None and not 2 <= self.words <= _WORDS_MAX:
            hint = f"Valid: 2 to {_WORDS_MAX}, or None for the whole text."
            raise UsageError(f"{self.words} words cannot be shown", hint=hint)
        if not 0 <= self.fragments <= _FRAGMENTS_MAX:
            raise UsageError(f"{self.fragments} fragments cannot be shown", hint=f"Valid: 0 to {_FRAGMENTS_MAX}.")

    @property
    def options(self) -> str:
        """Of ts_headline: https://www.postgresql.org/docs/current/textsearch-controls.html"""
        ends = f'StartSel="{_START}",StopSel="{_STOP}",FragmentDelimiter="{_CUT}"'
        if self.words is None:
            return f"{ends},HighlightAll=true"
        return f"{ends},MaxWords={self.words},MinWords={max(1, self.words // 2)},MaxFragments={self.fragments}"

    def shown(self, headline: str | None) -> str | None:
        """What ts_headline gave."""
        if headline is None:
            return None
        text = html.escape(headline) if self.escape else headline
        return text.replace(_START, self.start).replace(_STOP, self.stop).replace(_CUT, self.cut)

    def around(self, text: str | None, term: str) -> str | None:
        """The part of a text around the first of the substrings, all of them marked."""
        if text is None:
            return None
        for control in CONTROLS:
            text, term = text.replace(control, ""), term.replace(control, "")
        found = re.compile(re.escape(term), re.IGNORECASE) if term else None
        begin, end = self._piece(text, found)
        piece = text[begin:end]
        if found is not None:
            piece = found.sub(lambda match: f"{_START}{match[0]}{_STOP}", piece)
        return self.shown((_CUT if begin else "") + piece + (_CUT if end < len(text) else ""))

    def _piece(self, text: str, found: re.Pattern[str] | None) -> tuple[int, int]:
        if self.words is None:
            return 0, len(text)
        room = self.words * _CHARACTERS_PER_WORD
        match = found.search(text) if found is not None else None
        first, last = match.span() if match is not None else (0, 0)
        begin = max(0, min(first, first - (room - (last - first)) // 2, len(text) - room))
        end = max(begin + room, last)
        # Between two words, where there is a blank on the way.
        blank = text.find(" ", begin, first) if begin else -1
        begin = begin if blank < 0 else blank + 1
        blank = text.rfind(" ", max(last, begin), end) if end < len(text) else -1
        return begin, min(end, len(text)) if blank < 0 else blank
