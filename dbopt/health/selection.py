"""Which checks are meant. An unknown name lists the valid ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.errors import UsageError
from dbopt.health.check import Group
from dbopt.health.checks import all_checks, check_ids
from dbopt.spec.words import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from dbopt.health.check import Check


def select(
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    groups: Sequence[str] = (),
    unwanted: Collection[str] = (),
) -> tuple[Check[Any], ...]:
    """By group, then by id. `unwanted` are those that the configuration skips: who asks for one of them gets it.

    Raises UsageError for a name that does not exist, or where nothing is left.
    """
    ids = check_ids()
    _known((*only, *skip), ids, "check", "dbopt health --list shows them all.")
    _known(groups, list(Group), "group", f"Groups: {', '.join(Group)}.")
    chosen = tuple(
        check
        for check in all_checks()
        if (check.id in only if only else check.id not in unwanted)
        and check.id not in skip
        and (not groups or check.group in groups)
    )
    if not chosen:
        raise UsageError(
            "no check is left to run", hint="Leave out some of --only, --skip and --group, and of `skip` in dbopt.yaml."
        )
    return chosen


def _known(names: Iterable[str], valid: Sequence[str], kind: str, listing: str) -> None:
    for name in names:
        if name not in valid:
            raise UsageError(f"unknown {kind} {quoted(name)}", hint=did_you_mean(name, valid) or listing)
