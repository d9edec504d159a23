"""What `health:` in dbopt.yaml says about checks: its words held against the checks that there are.

The words come with their places, so that everything that is wrong with them is told as the rest of the file is.
"""

from __future__ import annotations

from dataclasses import field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from dbopt.health import amounts
from dbopt.health.check import Thresholds
from dbopt.health.checks import check_ids, load
from dbopt.spec.words import did_you_mean, quoted
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbopt.config.health import CheckSetting, HealthSection, IgnoreEntry
    from dbopt.config.place import Word
    from dbopt.health.check import Check, Unit

NEVER = "none"  # as a threshold: it is never that
_THRESHOLDS = ("warning", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The checks as this configuration has them, by id, where it changes them; and those that are not wanted."""

    changed: Mapping[str, Check[Any]] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    ignore: tuple[IgnoreEntry, ...] = ()

    def over(self, checks: Iterable[Check[Any]]) -> list[Check[Any]]:
        return [self.changed.get(check.id, check) for check in checks]


def resolve(section: HealthSection) -> Overrides:
    """Raises ConfigError for the first word that makes no sense. Loads the checks that the section names."""
    by_check: dict[str, list[CheckSetting]] = {}
    for item in section.checks:
        by_check.setdefault(_known(item.check), []).append(item)
    changed = {check_id: _changed(load(check_id), items) for check_id, items in by_check.items()}
    for entry in section.ignore:
        if not any(fnmatchcase(check_id, entry.check.text) for check_id in check_ids()):
            _known(entry.check)
    return Overrides(changed=changed, skip=frozenset(map(_known, section.skip)), ignore=section.ignore)


def _changed(check: Check[Any], items: Sequence[CheckSetting]) -> Check[Any]:
    """The check with other numbers, each of which says where it comes from."""
    limits = {limit.name: limit for limit in check.limits}
    levels: list[tuple[CheckSetting, float | None]] = []
    for item in items:
        own = limits.get(item.name.text)
        if own is None:
            levels.append(_threshold(item, check))
        else:
            source = f"set in {item.value.place}; else {own.source}"
            limits[own.name] = replace(own, value=_amount(item, own.unit), source=source)
    thresholds = _in_order(check, levels) if levels else check.thresholds
    return replace(check, thresholds=thresholds, limits=tuple(limits.values()))


def _known(word: Word) -> str:
    ids = check_ids()
    if word.text not in ids:
        near = did_you_mean(word.text, ids) or ""
        hint = near if near.startswith("Did") else "`dbopt health --list` shows them all."
        raise word.place.error(f"unknown check {quoted(word.text)}", hint)
    return word.text


def _threshold(item: CheckSetting, check: Check[Any]) -> tuple[CheckSetting, float | None]:
    # Where any row at all is the problem, there is no number to set.
    mere_presence = float("-inf") in (check.thresholds.warning, check.thresholds.critical)
    names = [*(() if mere_presence else _THRESHOLDS), *(limit.name for limit in check.limits)]
    if item.name.text not in names:
        message = f"{check.id} has no threshold or limit {quoted(item.name.text)}"
        if mere_presence and item.name.text in _THRESHOLDS:
            message = f"{check.id} has no thresholds: what it finds is a problem whatever it measures"
        near = did_you_mean(item.name.text, names) or ""
        hint = f"To be set: {', '.join(names)}." if names else "It has nothing to set; `skip` and `ignore` are there."
        raise item.name.place.error(message, f"{near} {hint}" if near.startswith("Did") else hint)
    return item, None if item.value.text == NEVER else _amount(item, check.unit)


def _in_order(check: Check[Any], levels: Sequence[tuple[CheckSetting, float | None]]) -> Thresholds:
    places = ", ".join(f"{item.name.text} set in {item.value.place}" for item, _ in levels)
    own = check.thresholds
    given = {"warning": own.warning, "critical": own.critical} | {item.name.text: value for item, value in levels}
    found = Thresholds(given["warning"], given["critical"], f"{places}; else {own.source}", own.below)
    if found.warning is not None and found.critical is not None:
        inverted = found.warning < found.critical if found.below else found.warning > found.critical
        if inverted:
            warning, critical = (amounts.spelled(value, check.unit) for value in (found.warning, found.critical))
            raise levels[-1][0].value.place.error(
                f"{check.id} would be critical at {critical}, before it is a warning at {warning}",
                f"Set both, {'less' if found.below else 'more'} being worse.",
            )
    return found


def _amount(item: CheckSetting, unit: Unit) -> float:
    try:
        return amounts.parse(item.value.text, unit)
    except ValueError as exc:
        raise item.value.place.error(f"{item.check.text}.{item.name.text}: {exc}") from None
