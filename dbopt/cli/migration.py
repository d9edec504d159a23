"""dbopt migration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbopt.cli.frame import command
from dbopt.cli.options import Adopt, PruneForeign, SpecArgument
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE
from dbopt.render.output import Format

if TYPE_CHECKING:
    from dbopt.cli.session import Session
Alembic = Annotated[
    Path | None,
    typer.Option(
        "--alembic",
        metavar="PATH",
        help="Write a revision behind the head: an alembic.ini, or the folder of revisions.",
    ),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write to a file, not to stdout.")]
Down = Annotated[Path | None, typer.Option("--down", metavar="FILE", help="Of sql: write the way back to a file too.")]
Message = Annotated[
    str | None, typer.Option("-m", "--message", metavar="TEXT", help="What the migration is for; its first line.")
]
DownRevision = Annotated[
    str | None,
    typer.Option("--down-revision", metavar="REV", help="The revision that comes before; base: there is none."),
]
RevId = Annotated[
    str | None, typer.Option("--rev-id", metavar="REV", help="The id of the revision; else a random one.")
]


@command(
    "migration",
    examples=("dbopt migration", 'dbopt migration --format alembic --down-revision base -m "first indexes"'),
    exits={0: "written, or there is nothing to do", 1: "an index was refused: the migration lacks it"},
    formats=(Format.SQL, Format.ALEMBIC),
)
def migration(
    session: Session,
    specs: SpecArgument = None,  # noqa: ARG001 - it is a setting, see frame
    alembic: Alembic = None,
    out: Out = None,
    down: Down = None,
    message: Message = None,
    down_revision: DownRevision = None,
    rev_id: RevId = None,
    prune_foreign: PruneForeign = False,
    adopt: Adopt = False,
) -> int:
    """Writes the plan for other hands to run: as a plain SQL file, or as an Alembic revision with the way back. Builds
    and drops are CONCURRENTLY in both, and what is in place after them, plan finds as the specs say. Nothing is
    changed.
    """
    from dbopt.cli import migrations, plans
    from dbopt.optimize import migration as making
    from dbopt.optimize.plan import PlanOptions
    from dbopt.render.migration import write_refused

    wishes = migrations.Wishes(
        form=session.shared.format or (Format.SQL if alembic is None else Format.ALEMBIC),
        alembic=alembic,
        out=out,
        down=down,
        message=message,
        down_revision=down_revision,
        rev_id=rev_id,
    )
    place = migrations.place(wishes)
    target = session.target
    plan = plans.make(session, target, plans.load_specs(session), PlanOptions(prune_foreign=prune_foreign, adopt=adopt))
    write_refused(session.output, plan)
    if not plan.steps:
        session.output.note(f"nothing to do on {plan.target.dbname}: no migration was written")
    else:
        with session.reading(target) as (conn, server):
            made = making.migration(plan, making.collect(conn, server, plan))
        migrations.write(session.output, made, wishes, place)
    return EXIT_ATTENTION if plan.refused else EXIT_DONE
