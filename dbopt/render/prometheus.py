"""Verdicts as Prometheus' text format, for the textfile collector of node_exporter.

Names and units: https://prometheus.io/docs/practices/naming/. One gauge family a check, its subjects as labels. All
series of a family stand together, those of several databases too, and none comes twice.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dbopt.health.check import Status, Unit
from dbopt.render.exposition import Family

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


def exposition(verdicts: Sequence[Verdict]) -> str:
    return "".join(family.text() for family in _families(verdicts))


def metric_name(check: Check[object]) -> str:
    """`dbopt_health_idle_in_transaction_seconds`."""
    suffix = _SUFFIX[check.unit]
    name = f"{PREFIX}_{re.sub(r'[^a-z0-9]', '_', check.id)}"
    return name if name.endswith(suffix) else name + suffix


def _families(verdicts: Sequence[Verdict]) -> Iterator[Family]:
    up = Family(f"{PREFIX}_up", "Whether the database could be connected to.")
    verdict_ = Family(f"{PREFIX}_verdict", "The worst of all checks: 0 ok, 1 warning, 2 critical, 3 unknown.")
    status = Family(f"{PREFIX}_status", "Each check: 0 ok, 1 warning, 2 critical, 3 unknown; skipped ones are absent.")
    collected = Family(f"{PREFIX}_collected_timestamp_seconds", "When dbopt health looked, since 1970 in UTC.")
    duration = Family(f"{PREFIX}_duration_seconds", "How long it took, connecting included.")
    checks: dict[str, Family] = {}
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
            family = checks.setdefault(check.id, Family(metric_name(check), f"{check.title}."))
            for finding in (*result.findings, *result.measured):
                family.add({**labels, "subject": finding.subject}, finding.measure)
    yield from (up, verdict_, status, collected, duration, *checks.values())


def _target(verdict: Verdict) -> Mapping[str, str]:
    about = verdict.about
    return {"target": about.name or about.place, "database": about.dbname or ""}
