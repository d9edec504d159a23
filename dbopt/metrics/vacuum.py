"""Vacuum and analyze, and what waits for them."""

from __future__ import annotations

from dbopt.metrics.metric import Group, Metric, Unit
from dbopt.snapshot.model import Family


def _runs(name: str, counter: str, title: str, meaning: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        group=Group.VACUUM,
        unit=Unit.COUNT,
        meaning=meaning,
        families=(Family.RELATIONS,),
        value=lambda window: window.sum(Family.RELATIONS, counter, "all"),
        adds_up=True,
    )


METRICS = (
    Metric(
        name="autovacuum_workers",
        title="Autovacuum at work",
        group=Group.VACUUM,
        unit=Unit.COUNT,
        meaning="Autovacuum workers of the server, in all databases; the mean of the looks.",
        families=(Family.SERVER,),
        value=lambda window: window.level("autovacuum_workers"),
        hidden=True,
    ),
    _runs("autovacuums", "autovacuum_count", "Autovacuums", "Tables of this database that autovacuum has vacuumed."),
    _runs("autoanalyzes", "autoanalyze_count", "Autoanalyzes", "Tables of this database that autovacuum has analyzed."),
    _runs("vacuums", "vacuum_count", "Vacuums by hand", "Tables of this database that somebody's VACUUM was at."),
    _runs("analyzes", "analyze_count", "Analyzes by hand", "Tables of this database that somebody's ANALYZE was at."),
    Metric(
        name="dead_rows",
        title="Dead rows",
        group=Group.VACUUM,
        unit=Unit.COUNT,
        meaning="Dead rows in the tables of this database that VACUUM has not yet removed; the mean of the looks.",
        families=(Family.RELATIONS,),
        value=lambda window: window.level("n_dead_tup", Family.RELATIONS),
    ),
    Metric(
        name="xid_age",
        title="Transaction ID age",
        group=Group.VACUUM,
        unit=Unit.COUNT,
        meaning="Transactions since the oldest row of this database that is not frozen was written; PostgreSQL stops"
        " taking new ones at 2,147 million. The worst of the looks.",
        families=(Family.SERVER,),
        value=lambda window: window.greatest("xid_age"),
    ),
)
