"""Findings that somebody knows about and has given a reason for, until a day.

An entry hides findings, never what a check could not see: a check that is not wanted at all belongs under `skip`.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from dbopt.health.checks import check_ids
from dbopt.health.remainder import set_aside
from dbopt.spec.words import quoted
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from dbopt.config.health import IgnoreEntry
    from dbopt.health.check import Finding, Result


@dataclass(frozen=True, slots=True)
class Ignoring:
    """What became of the entries on one database."""

    results: tuple[Result, ...]
    entries: tuple[IgnoreEntry, ...] = ()
    expired: tuple[IgnoreEntry, ...] = ()  # of a check that has run
    idle: tuple[IgnoreEntry, ...] = ()  # certainly matched nothing: each of their checks has judged all there is


def ignore(results: Sequence[Result], entries: Sequence[IgnoreEntry], today: date) -> Ignoring:
    """`until` is the last day on which an entry holds."""
    ran = {result.id: result for result in results}
    holding = [entry for entry in entries if entry.until is None or today <= entry.until]
    used: set[IgnoreEntry] = set()
    left = tuple(_without(result, holding, used) for result in results)
    return Ignoring(
        left,
        tuple(entries),
        expired=tuple(entry for entry in entries if entry not in holding and ran.keys() & _checks(entry)),
        idle=tuple(
            entry
            for entry in holding
            if entry not in used and all(check_id in ran and ran[check_id].judged_all for check_id in _checks(entry))
        ),
    )


def nothing_seen(entries: Sequence[IgnoreEntry]) -> Ignoring:
    """Of a database that could not be looked at: any of them may match there."""
    return Ignoring((), tuple(entries))


def notes(looks: Sequence[Ignoring]) -> list[tuple[str, ...]]:
    """What to say of the entries, to each of the databases of a call. One that is for all of them is idle only where it
    was so on each, and is spoken of once.
    """
    busy = {entry for look in looks for entry in look.entries if entry not in look.idle}
    told: set[IgnoreEntry] = set()
    found = []
    for look in looks:
        expired = [entry for entry in look.expired if entry not in told]
        idle = [entry for entry in look.idle if entry not in busy | told]
        told.update(expired, idle)
        words = [f"{_named(entry)} has expired on {entry.until}: it ignores nothing any more" for entry in expired]
        found.append((*words, *(f"{_named(entry)} matches nothing" for entry in idle)))
    return found


def _without(result: Result, entries: Sequence[IgnoreEntry], used: set[IgnoreEntry]) -> Result:
    concerned = [entry for entry in entries if fnmatchcase(result.id, entry.check.text)]

    def ignored(finding: Finding) -> Finding | None:
        matching = [entry for entry in concerned if _matches(finding.subject, entry.subject.text)]
        used.update(matching)
        return replace(finding, reason=matching[0].reason.text) if matching else None

    advice = [(finding, ignored(finding)) for finding in result.advice]
    left = set_aside(result, "ignored", ignored)
    return replace(
        left,
        advice=tuple(finding for finding, taken in advice if taken is None),
        ignored=(*left.ignored, *(taken for _, taken in advice if taken is not None)),
    )


def _matches(subject: str, pattern: str) -> bool:
    return subject == pattern or fnmatchcase(subject, pattern)


def _checks(entry: IgnoreEntry) -> set[str]:
    return {check_id for check_id in check_ids() if fnmatchcase(check_id, entry.check.text)}


def _named(entry: IgnoreEntry) -> str:
    return f"the ignore entry of {entry.place} for {entry.check.text} {quoted(entry.subject.text)}"
