"""The ownership mark: which indexes are dbopt's, said on the index itself.

`COMMENT ON INDEX` carries the human text and, at its end, `[dbopt:1 domain/name sha=0123456789ab]`. The digest covers
the definition and the text as the spec had them. ` kept` says that the text in front was there before dbopt and stays.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.spec.model import IndexSpec

# The last one counts: a text in front may quote another.
_MARK = re.compile(
    r"(?P<human>.*)\[dbopt:1 (?P<domain>[a-z0-9_-]+)/(?P<name>.*) sha=(?P<sha>[0-9a-f]{12})(?P<kept> kept)?\]\s*", re.S
)


@dataclass(frozen=True, slots=True)
class Mark:
    domain: str
    name: str
    sha: str
    kept: bool


def read(comment: str | None) -> tuple[str, Mark | None]:
    """A comment as its human text and its mark."""
    match = _MARK.fullmatch(comment or "")
    if match is None:
        return (comment or "").strip(), None
    return match["human"].strip(), Mark(match["domain"], match["name"], match["sha"], match["kept"] is not None)


def owned(comment: str | None, domain: str) -> bool:
    mark = read(comment)[1]
    return mark is not None and mark.domain == domain


def says_the_same(one: str | None, other: str | None) -> bool:
    """Whether two comments differ in the digest at most: the wording of a definition, which the server calls equal."""

    def said(comment: str | None) -> tuple[object, ...]:
        human, mark = read(comment)
        return human, mark and (mark.domain, mark.name, mark.kept)

    return said(one) == said(other)


def write(entry: IndexSpec, create: str, existing: str | None) -> str:
    """The comment that an entry's index should have, given the one that it has.

    The spec's `comment` wins; else a text that was there before dbopt stays; else the spec's `why`.
    """
    human, mark = read(existing)
    kept = entry.comment is None and human != "" and (mark is None or mark.kept)
    text = human if kept else (entry.comment or entry.why or "").strip()
    digest = hashlib.sha256("\0".join([create, text]).encode()).hexdigest()[:12]
    return f"{text} [dbopt:1 {entry.domain}/{entry.name} sha={digest}{' kept' if kept else ''}]".lstrip()
