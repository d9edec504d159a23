"""The section `health:` of the configuration, as it is written.

Which checks, limits and units there are, only the checks know, and to load them costs time: `dbopt health` and
--show-config look at the words then (dbopt/health/overrides.py), and every word knows its place until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from dbopt.config.place import Place, Word


@dataclass(frozen=True, slots=True)
class CheckSetting:
    """`checks: {CHECK: {NAME: VALUE}}`."""

    check: Word
    name: Word
    value: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreEntry:
    """Findings that somebody knows about, until and including a day. `check` and `subject` are patterns."""

    check: Word
    subject: Word
    reason: Word
    until: date | None
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSection:
    fail_on: Word | None = None
    skip: tuple[Word, ...] = ()
    checks: tuple[CheckSetting, ...] = ()
    ignore: tuple[IgnoreEntry, ...] = ()

    def __bool__(self) -> bool:
        return self != NOTHING_SAID


NOTHING_SAID = HealthSection()


def laid_over(sections: Iterable[HealthSection]) -> HealthSection:
    """Several sections as one, the strongest last: of one value it has the word, lists are added up."""
    sections = list(sections)
    checks = {(item.check.text, item.name.text): item for section in sections for item in section.checks}
    return HealthSection(
        fail_on=next((section.fail_on for section in reversed(sections) if section.fail_on is not None), None),
        skip=tuple({word.text: word for section in sections for word in section.skip}.values()),
        checks=tuple(checks.values()),
        ignore=tuple(entry for section in sections for entry in section.ignore),
    )


def rows(section: HealthSection, prefix: str = "") -> Iterator[tuple[str, object, str]]:
    """(name, value, origin) of each setting."""
    if section.fail_on is not None:
        yield f"{prefix}health.fail_on", section.fail_on.text, str(section.fail_on.place)
    for item in section.checks:
        yield f"{prefix}health.checks.{item.check.text}.{item.name.text}", item.value.text, str(item.value.place)
    for word in section.skip:
        yield f"{prefix}health.skip", word.text, str(word.place)
    for entry in section.ignore:
        until = f" until {entry.until}" if entry.until else ""
        words = f"{entry.check.text} {entry.subject.text}{until}: {entry.reason.text}"
        yield f"{prefix}health.ignore", words, str(entry.place)
