"""What `apply` tells, while it tells it: bars on a terminal, lines in a log, JSON lines for programs.

One reader is chosen by the Output; each is a context manager, so that a terminal gets its cursor back whatever happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from dbopt.render.output import Format

if TYPE_CHECKING:
    from types import TracebackType

    from dbopt.optimize.events import Event
    from dbopt.render.output import Output


class Reporter(Protocol):
    """Takes each event in turn. The Result goes to stdout; what comes before it to stderr, or as JSON to stdout."""

    def handle(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Both:
    """Events for a program, and beside it for whoever looks after the program: whom it waits for, what went wrong."""

    def __init__(self, program: Reporter, people: Reporter) -> None:
        self._program = program
        self._people: Reporter | None = people

    def handle(self, event: Event) -> None:
        try:
            if self._people is not None:
                self._people.handle(event)
        except BrokenPipeError:
            self._people = None  # the program still listens
        self._program.handle(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def reporter(output: Output, *, rerun: str) -> Reporter:
    """`rerun` is the command to paste when something is left to do."""
    if output.format is Format.JSON:
        from dbopt.render.events_json import JsonReporter
        from dbopt.render.events_log import LogReporter

        return Both(JsonReporter(output), LogReporter(output))
    if output.err.live and not output.quiet:
        from dbopt.render.events_terminal import TerminalReporter

        return TerminalReporter(output, rerun)
    from dbopt.render.events_log import LogReporter

    return LogReporter(output, rerun)
