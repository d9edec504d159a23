"""One statement as a file has it with various constants: as many of these as say something. Pure.

A few different texts are a few statements: `status = 'open'` and `status = 'failed'` may want different indexes. Many
are one statement with parameters, of which those constants remain that are the same in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.grammar import GrammarError
from dbopt.postgres.normalized import repaired
from dbopt.postgres.tokens import Sort, Token, tokens, written

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS_MAX = 4  # our own: values of a status are fewer, ids are more
_VALUES = (Sort.STRING, Sort.NUMBER)


class Variants:
    """The texts of one fingerprint, with their calls and times."""

    def __init__(self, shown: str) -> None:
        """`shown`: without any constants."""
        self._shown = shown
        self._texts: dict[str, tuple[str, float, float | None]] = {}
        self._calls = 0.0
        self._time_ms: float | None = None
        self._form: list[Token] | None = None  # of the first text
        self._varying: set[int] = set()  # places in it
        self._is_many = False

    def add(self, text: str, calls: float, time_ms: float | None) -> None:
        """`time_ms`: of all these calls; None: not known."""
        self._calls += calls
        self._time_ms = added(self._time_ms, time_ms)
        key = _key(text)
        if key in self._texts:
            first, known, time = self._texts[key]
            self._texts[key] = (first, known + calls, added(time, time_ms))
        elif not self._is_many and len(self._texts) < TEXTS_MAX:
            self._texts[key] = (text, calls, time_ms)
        else:
            self._together(text)

    def _together(self, text: str) -> None:
        if not self._is_many:
            self._is_many = True
            (first, *_), *others = self._texts.values()
            self._form = _scanned(first)
            for other, *_ in others:
                self._compare(other)
            self._texts.clear()
        self._compare(text)

    def _compare(self, text: str) -> None:
        if self._form is None:
            return
        items = _scanned(text)
        if items is None or len(items) != len(self._form):
            self._form = None
            return
        for place, (one, other) in enumerate(zip(self._form, items, strict=True)):
            if one.text == other.text:
                continue
            if one.sort in _VALUES and other.sort in _VALUES:
                self._varying.add(place)
            elif one.word != other.word or not one.word:  # keywords may be written in any case
                self._form = None
                return

    def result(self) -> Iterator[tuple[str, float, float | None]]:
        """Texts, calls, times."""
        if self._is_many:
            yield self._merged(), self._calls, self._time_ms
        else:
            yield from self._texts.values()

    def _merged(self) -> str:
        if self._form is None:
            return self._shown
        number = max((int(item.text[1:]) for item in self._form if item.sort is Sort.PARAMETER), default=0)
        made = []
        for place, item in enumerate(self._form):
            if place in self._varying:
                number += 1
                made.append(Token(Sort.PARAMETER, f"${number}", item.gap))
            else:
                made.append(item)
        text = repaired(written(made))
        try:
            grammar.parse_one(text)
        except GrammarError:
            return self._shown
        return text


def _key(text: str) -> str:
    """The same for texts that differ in white space, or in comments, which may hold the id of a request."""
    if "--" in text or "/*" in text:
        items = _scanned(text)
        return text if items is None else written(items)
    return " ".join(text.split())


def _scanned(text: str) -> list[Token] | None:
    try:
        return tokens(text)
    except GrammarError:
        return None


def added(one: float | None, other: float | None) -> float | None:
    """None: not known."""
    return other if one is None else one if other is None else one + other
