"""`dbopt slow-queries --sample`: what is at work, seen in pg_stat_activity again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.cli import readings
from dbopt.cli.planning import Planning
from dbopt.errors import EXIT_DONE
from dbopt.store.aside import Aside
from dbopt.store.location import NONE
from dbopt.values import dataclass
from dbopt.workload import statements as ranking
from dbopt.workload.model import Workload

if TYPE_CHECKING:
    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.workload.statements import Filter, Sort


@dataclass(frozen=True, slots=True)
class Here:
    """The session that has sampled plans, too."""

    planner: Reader


def show_sample(
    session: Session, seconds: float, wanted: Filter, sort: Sort, limit: int, *, plans: bool, literals: bool
) -> int:
    """Nothing of it is kept: a sample is no reading."""
    from dbopt.render.workload import write_workloads
    from dbopt.workload.sample import sample

    with readings.reader(session, session.target) as source:
        sampled = sample(source.conn, source.server, seconds=seconds, show_literals=literals)
        chosen, others = ranking.chosen(sampled.statements, wanted, sort, limit)
        if plans:
            chosen = Planning(Aside(NONE, ""), Here(source)).planned(chosen, None)
        workload = Workload(
            span=sampled.span,
            statements=tuple(chosen),
            totals=sampled.totals,
            others=others,
            slow_ms=wanted.slow_ms,
            notes=sampled.notes,
            lacks=sampled.lacks,
        )
        about = readings.about(source)
    write_workloads(
        session.output,
        [(about, workload)],
        several=False,
        literals=literals,
        call=lambda *options: session.call("slow-queries", *options, specs=False),
        sort=sort,
    )
    return EXIT_DONE
