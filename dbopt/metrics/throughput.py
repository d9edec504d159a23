"""How much this database does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Group, Metric, Unit
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window


def _rate(*names: str) -> Callable[[Window], float | None]:
    """The sum of these counters of the database for each second."""

    def value(window: Window) -> float | None:
        rates = [window.rate(Family.SERVER, name, "database") for name in names]
        return None if any(rate is None for rate in rates) else sum(rate or 0.0 for rate in rates)

    return value


def _of_statements(name: str) -> Callable[[Window], float | None]:
    """For each second, of those that clients sent: what functions run is part of the statement that called them."""

    def value(window: Window) -> float | None:
        if not window.counts(Family.STATEMENTS, name):
            return None
        # One by one, as each may have been dropped in between and have come back.
        rates = [
            window.rate(Family.STATEMENTS, name, change.key)
            for change, _ in window.changes(Family.STATEMENTS, name)
            if toplevel(change.key)
        ]
        known = [rate for rate in rates if rate is not None]
        return None if rates and not known else sum(known)

    return value


def toplevel(key: str) -> bool:
    """Of a subject of STATEMENTS: `queryid/userid/1`."""
    return key.endswith("/1")


def _rollbacks(window: Window) -> float | None:
    rolled_back = window.sum(Family.SERVER, "xact_rollback", "database")
    return window.ratio(rolled_back, window.sum(Family.SERVER, "xact_commit", "database"))


def _metric(name: str, title: str, meaning: str, value: Callable[[Window], float | None], family: Family) -> Metric:
    return Metric(
        name=name,
        title=title,
        group=Group.THROUGHPUT,
        unit=Unit.PER_SECOND,
        meaning=meaning,
        families=(family,),
        value=value,
    )


METRICS = (
    _metric(
        "transactions_per_second",
        "Transactions",
        "Transactions of this database that ended, committed or rolled back. A lone statement is one too.",
        _rate("xact_commit", "xact_rollback"),
        Family.SERVER,
    ),
    Metric(
        name="rollback_ratio",
        title="Rolled back",
        group=Group.THROUGHPUT,
        unit=Unit.RATIO,
        meaning="The share of this database's transactions that were rolled back.",
        families=(Family.SERVER,),
        value=_rollbacks,
        lacks="no transaction ended",
    ),
    _metric(
        "statements_per_second",
        "Statements",
        "Statements that clients sent to this database and that ended, as pg_stat_statements counts them.",
        _of_statements("calls"),
        Family.STATEMENTS,
    ),
    _metric(
        "rows_read_per_second",
        "Rows read",
        "Rows that scans of this database's tables and entries that scans of its indexes went through, those of the"
        " system catalogs too (tup_returned).",
        _rate("tup_returned"),
        Family.SERVER,
    ),
    _metric(
        "rows_returned_per_second",
        "Rows returned",
        "Rows that statements gave back to their clients or wrote, as pg_stat_statements counts them.",
        _of_statements("rows"),
        Family.STATEMENTS,
    ),
    _metric(
        "rows_written_per_second",
        "Rows written",
        "Rows that were inserted, updated or deleted in this database.",
        _rate("tup_inserted", "tup_updated", "tup_deleted"),
        Family.SERVER,
    ),
    _metric(
        "rows_inserted_per_second",
        "Rows inserted",
        "Rows that were inserted in this database.",
        _rate("tup_inserted"),
        Family.SERVER,
    ),
    _metric(
        "rows_updated_per_second",
        "Rows updated",
        "Rows that were updated in this database.",
        _rate("tup_updated"),
        Family.SERVER,
    ),
    _metric(
        "rows_deleted_per_second",
        "Rows deleted",
        "Rows that were deleted in this database.",
        _rate("tup_deleted"),
        Family.SERVER,
    ),
)
