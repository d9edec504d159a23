"""How much this database does."""

from __future__ import annotations

from dbopt.metrics.metric import Group, Metric, Unit
from dbopt.metrics.window import Window
from dbopt.snapshot.model import Family


def _transactions(window: Window) -> float | None:
    commits = window.rate(Family.SERVER, "xact_commit", "database")
    rollbacks = window.rate(Family.SERVER, "xact_rollback", "database")
    return None if commits is None or rollbacks is None else commits + rollbacks


METRICS = (
    Metric(
        name="transactions_per_second",
        title="Transactions",
        group=Group.THROUGHPUT,
        unit=Unit.PER_SECOND,
        meaning="Transactions of this database that ended, committed or rolled back. A lone statement is one too.",
        families=(Family.SERVER,),
        value=_transactions,
    ),
)
