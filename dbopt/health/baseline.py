"""`--baseline FILE`: what an earlier `dbopt health --format json` has found already is known, and does not count.

A finding is the same by check and subject. One that has got worse since, from warning to critical, is new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dbopt.errors import UsageError
from dbopt.health.check import Status
from dbopt.health.remainder import set_aside
from dbopt.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from dbopt.health.check import Finding, Result
    from dbopt.health.verdict import About

SIZE_MAX_BYTES = 256 * 1024 * 1024  # some half a million findings: whatever is larger is another file
_SCHEMA_VERSION = 1
_HINT = "Write one with `dbopt health --format json > FILE`."


@dataclass(frozen=True, slots=True)
class Baseline:
    """The status that each finding had, by check and subject; of one database."""

    name: str | None  # of the target
    dbname: str | None
    known: Mapping[tuple[str, str], Status]

    def without_known(self, result: Result) -> Result:
        def known(finding: Finding) -> Finding | None:
            before = self.known.get((result.id, finding.subject))
            return finding if before is not None and before.rank >= finding.status.rank else None

        return set_aside(result, "known", known)


def read(path: Path) -> tuple[Baseline, ...]:
    """Of each database that the document is about. Raises UsageError for a file that is none of ours."""
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_MAX_BYTES + 1)
    except OSError as exc:
        raise UsageError(f"could not read the baseline {path}", detail=exc.strerror, hint=_HINT) from None
    if len(raw) > SIZE_MAX_BYTES:
        raise UsageError(f"could not read the baseline {path}", detail="it is far too large for one")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        words = f"it is not JSON: {exc}" if raw.strip() else "it is empty"
        raise UsageError(f"could not read the baseline {path}", detail=words, hint=_HINT) from None
    try:
        return _of(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(
            f"{path} is no baseline", detail="it is not what `dbopt health --format json` writes", hint=_HINT
        ) from None


def of_target(baselines: tuple[Baseline, ...], about: About) -> Baseline | None:
    """The one about this database: by the name of its target where both have one, else by the database's own."""
    for mine in (
        [item for item in baselines if item.name is not None and item.name == about.name],
        [item for item in baselines if item.dbname == about.dbname and None in (item.name, about.name)],
    ):
        if mine:
            return mine[0]
    return None


def _of(document: Any) -> tuple[Baseline, ...]:
    if document["command"] != "health" or document["schema_version"] != _SCHEMA_VERSION:
        raise ValueError
    return tuple(map(_one, document["targets"])) if "targets" in document else (_one(document),)


def _one(document: Mapping[str, Any]) -> Baseline:
    known = {
        (_text(check["id"]), _text(finding["subject"])): Status(finding["status"])
        for check in document["checks"]
        for finding in (*check.get("known", ()), *check["findings"])
    }
    target = document["target"]
    return Baseline(target.get("name"), target.get("dbname"), known)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
