"""Which statement a text is. Parsing one costs a hundred times as much as recognizing it, and a log has millions."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from dbopt.postgres import literals
from dbopt.postgres.normalized import OWN_MARK, normalized

if TYPE_CHECKING:
    from dbopt.workload.model import Traits

# What is remembered of texts. Prepared statements come again letter by letter, others only without their values.
TEXTS_MAX = 2_000
TEXT_MAX_CHARACTERS = 4_096
FORMS_MAX = 100_000


# Names in quotes, comments, strings and numbers: what is in one of them is none of the others.
_TOKEN = re.compile(
    r"""("(?:[^"]|"")*+") | (--[^\r\n]*+ | /\*(?:[^*/]|\*(?!/)|/(?!\*))*+\*/)
      | '(?:[^']|'')*+' | (?<![\w$])[0-9](?:[eE][+-][0-9]|[\w.])*+""",
    re.VERBOSE,
)
# Where a string ends is not so easily seen; nor where a comment does that holds another.
_INTRICATE = re.compile(r"\\|\$(?![0-9])")


class Identities:
    """`known`: by fingerprint, the normalized text and what it says; as many as `statements_max`."""

    def __init__(self, statements_max: int) -> None:
        self.known: dict[str, tuple[str, Traits]] = {}
        self._statements_max = statements_max
        self._by_text: dict[str, str | None] = {}
        self._by_form: dict[bytes, str | None] = {}

    def of(self, text: str) -> str | None:
        """The fingerprint. None: it is one more than can be told apart."""
        found = self._by_text.get(text, "")
        if found == "":
            found = self._of_form(text)
            if len(text) <= TEXT_MAX_CHARACTERS:
                if len(self._by_text) >= TEXTS_MAX:
                    self._by_text.clear()
                self._by_text[text] = found
        return found

    def _of_form(self, text: str) -> str | None:
        digest = hashlib.blake2b(_form(text).encode("utf-8", "replace"), digest_size=16).digest()
        if digest not in self._by_form:
            if len(self._by_form) >= FORMS_MAX:
                self._by_form.clear()
            self._by_form[digest] = self._of_new(text)
        return self._by_form[digest]

    def _of_new(self, text: str) -> str | None:
        from dbopt.workload.fingerprint import traits

        query = normalized(text)
        found = traits(query)
        if found.fingerprint not in self.known:
            if len(self.known) >= self._statements_max:
                return None
            self.known[found.fingerprint] = (query, found)
        return found.fingerprint


def _form(text: str) -> str:
    """Texts with one form are one statement. Never shown: it may hold values of what cannot be read."""
    own = "\n" if OWN_MARK in text else ""  # told by a comment, and comments are no part of the form
    form = "/*" if _INTRICATE.search(text) else _TOKEN.sub(_formed, text)
    return own + (literals.masked(text) if "/*" in form else form)


def _formed(token: re.Match[str]) -> str:
    return token[1] or ("" if token[2] else "?")
