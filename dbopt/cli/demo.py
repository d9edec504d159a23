"""dbopt demo."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_ATTENTION, EXIT_DONE, Interrupted, UsageError

if TYPE_CHECKING:
    from types import FrameType

App = Annotated[
    str | None, typer.Option("--app", metavar="NAME", help="Sample application: thrive_send (default) or neonhub.")
]
Rows = Annotated[
    int | None,
    typer.Option("--rows", metavar="N", help="Rows of the largest tables, the others in proportion; default 120000."),
]
Proof = Annotated[
    bool, typer.Option("--proof", help="Let users read before and after, and set promises beside what is measured.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the server running, and say how to reach it.")]
Stop = Annotated[bool, typer.Option("--stop", help="End the server that --keep has left, and remove its files.")]


@command(
    "demo",
    examples=("dbopt demo", "dbopt demo --app neonhub --rows 50000", "dbopt demo --proof", "dbopt demo --keep"),
    exits={0: "all indexes were made, or the kept server was stopped", 1: "an index could not be made, or was refused"},
    database=False,
)
def demo(
    session: Session, app: App = None, rows: Rows = None, proof: Proof = False, keep: Keep = False, stop: Stop = False
) -> int:
    """Starts a private PostgreSQL server, loads a sample application into it, measures its access paths, applies the
    application's spec and measures them again. Every number shown is measured. The server and its files are gone at the
    end, unless --keep is given.

    --proof takes a minute or two more: 10, 100 and 1000 users read at once, without and with the cache of dbopt's
    client, and each promise of the application's own guide gets a verdict. One that is missed does not change the exit
    code.
    """
    if stop and (keep or proof or app is not None or rows is not None):
        raise UsageError("--stop stands alone", hint="dbopt demo --stop")

    import platformdirs

    from dbopt.demo import walkthrough

    kept_in = platformdirs.user_state_path("dbopt") / "demo"
    if stop:
        found = walkthrough.stop(kept_in)
        session.output.note("the server is stopped, its files are removed" if found else "no server was left running")
        return EXIT_DONE

    from dbopt.demo.app import DEFAULT_ROWS, get
    from dbopt.render.demo import DemoReporter

    sample = get(app or "thrive_send")
    signal.signal(signal.SIGTERM, _terminate)  # Ctrl-C is an exception already; both end the server on their way out
    result = None
    scale = None
    if proof:
        from dbopt.demo.proof import values

        scale = values.SHORT
    events = walkthrough.run(
        sample, DEFAULT_ROWS if rows is None else rows, keep_in=kept_in if keep else None, proof=scale
    )
    with DemoReporter(session.output) as reporter, contextlib.closing(events):
        for event in events:
            reporter.handle(event)
            if isinstance(event, walkthrough.Finished):
                result = event.result
    assert result is not None  # the last event
    return EXIT_ATTENTION if result.failed or result.refused else EXIT_DONE


def _terminate(signum: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted(signum, "terminated, the private server is stopped")
