"""Verdicts as Prometheus' text format, for the textfile collector of node_exporter.

Names and units: https://prometheus.io/docs/practices/naming/. One gauge family a check, its subjects as labels. All
series of a family stand together, those of several databases too, and none comes twice.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dbopt.health.check import Status, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.check import Check
    from dbopt.health.verdict import Verdict

PREFIX = "dbopt_health"
# Of a check that was skipped there is no series.
VALUES = {Status.OK: 0, Status.WARNING: 1, Status.CRITICAL: 2, Status.UNKNOWN: 3}
_SUFFIX = {
    Unit.BYTES: "_bytes",
    Unit.SECONDS: "_seconds",
    Unit.RATIO: "_ratio",
    Unit.TRANSACTIONS: "_transactions",
    Unit.COUNT: "",  # the name says what is counted
}
_Labels = Mapping[str, str]


class _Family:
    """A gauge and its series."""

    def __init__(self, name: str, help_text: str) -> None:
        self._head = f"# HELP {name} {_escape(help_text)}\n# TYPE {name} gauge\n"
        self._name = name
        self._series: dict[str, float] = {}

    def add(self, labels: _Labels, value: float) -> None:
        """The first one counts where a series comes again: findings stand with the worst first."""
        pairs = ",".join(f'{label}="{_escape(text, quoted=True)}"' for label, text in labels.items())
        self._series.setdefault(f"{self._name}{{{pairs}}}", value)

    def text(self) -> str:
        lines = [f"{series} {_number(value)}\n" for series, value in self._series.items()]
        return self._head + "".join(lines) if lines else ""


def exposition(verdicts: Sequence[Verdict]) -> str:
    return "".join(family.text() for family in _families(verdicts))


def metric_name(check: Check[object]) -> str:
    """`dbopt_health_idle_in_transaction_seconds`."""
    suffix = _SUFFIX[check.unit]
    name = f"{PREFIX}_{re.sub(r'[^a-z0-9]', '_', check.id)}"
    return name if name.endswith(suffix) else name + suffix


def _families(verdicts: Sequence[Verdict]) -> Iterator[_Family]:
    up = _Family(f"{PREFIX}_up", "Whether the database could be connected to.")
    verdict_ = _Family(f"{PREFIX}_verdict", "The worst of all checks: 0 ok, 1 warning, 2 critical, 3 unknown.")
    status = _Family(f"{PREFIX}_status", "Each check: 0 ok, 1 warning, 2 critical, 3 unknown; skipped ones are absent.")
    collected = _Family(f"{PREFIX}_collected_timestamp_seconds", "When dbopt health looked, since 1970 in UTC.")
    duration = _Family(f"{PREFIX}_duration_seconds", "How long it took, connecting included.")
    checks: dict[str, _Family] = {}
    for verdict in verdicts:
        labels = _target(verdict)
        up.add(labels, verdict.about.server_version is not None)
        verdict_.add(labels, VALUES[verdict.status])
        collected.add(labels, verdict.collected_at.timestamp())
        duration.add(labels, verdict.seconds)
        for result in verdict.results:
            check = result.check
            if result.status in VALUES:
                status.add({**labels, "check": check.id, "group": check.group}, VALUES[result.status])
            family = checks.setdefault(check.id, _Family(metric_name(check), f"{check.title}."))
            for finding in (*result.findings, *result.measured):
                family.add({**labels, "subject": finding.subject}, finding.measure)
    yield from (up, verdict_, status, collected, duration, *checks.values())


def _target(verdict: Verdict) -> _Labels:
    about = verdict.about
    return {"target": about.name or about.place, "database": about.dbname or ""}


def _escape(text: str, *, quoted: bool = False) -> str:
    # A lone half of a surrogate pair cannot be written as UTF-8.
    text = text.encode("utf-8", "replace").decode()
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quoted else text


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
