"""Events on a terminal: a bar for each build under way, replaced by one line when it is done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dbopt.optimize.events import (
    Event,
    Notice,
    Progress,
    Result,
    RunStarted,
    StepFinished,
    StepPutOff,
    StepStarted,
    Waiting,
)
from dbopt.render.escape import visible
from dbopt.render.events_log import finished_text, put_off_text
from dbopt.render.result import Recap
from dbopt.render.words import DOING, STYLES, blocker, subject
from dbopt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from rich.console import Console, ConsoleOptions, RenderResult

    from dbopt.optimize.steps import Step
    from dbopt.render.output import Output

REDRAWS_PER_SECOND = 4
BAR_COLUMNS = 20  # leaves room for phase and times beside it on a terminal of 60
BLOCKERS_SHOWN = 5  # a busy server can have hundreds; the screen must hold them


@dataclass(slots=True)
class _Build:
    """A step under way, as last heard of."""

    started: StepStarted
    since: float
    progress: Progress | None = None
    heard: float = 0.0
    waiting: Waiting | None = None


class TerminalReporter:
    def __init__(self, output: Output, rerun: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._recap = Recap(output, rerun)
        self._clock = clock
        self._builds: dict[Hashable, _Build] = {}
        self._live = Live(
            self,
            console=output.err.console(),
            transient=True,
            refresh_per_second=REDRAWS_PER_SECOND,
            vertical_overflow="visible",
        )

    def handle(self, event: Event) -> None:
        match event:
            case RunStarted():
                pass  # the plan has been on this screen just before
            case StepStarted(step=step):
                self._builds = {**self._builds, _key(step): _Build(event, self._clock())}
            case Progress(step=step):
                if build := self._builds.get(_key(step)):
                    build.progress, build.heard = event, self._clock()
                    if build.waiting and build.waiting.phase != event.phase:
                        build.waiting = None
            case Waiting(step=step):
                if build := self._builds.get(_key(step)):
                    build.waiting = event
            case Notice(message=message, step=step):
                self._say(Text(f"{subject(step)}: {visible(message)}" if step else visible(message)))
            case StepPutOff(step=step):
                self._forget(step)
                self._say(Text(put_off_text(event)))
            case StepFinished(step=step):
                self._forget(step)
                self._recap.keep(event)
                self._say(finished_text(event))
            case Result():
                self._live.stop()
                self._recap.write(event)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Another thread draws; `_builds` is replaced and never changed, so it sees a whole one.
        now = self._clock()
        for build in self._builds.values():
            yield from _lines(build, now)

    def _forget(self, step: Step) -> None:
        self._builds = {key: build for key, build in self._builds.items() if key != _key(step)}

    def _say(self, text: Text) -> None:
        self._live.console.print(text, soft_wrap=True)


def _key(step: Step) -> Hashable:
    return (step.action, step.schema, step.table, step.index)


def _lines(build: _Build, now: float) -> RenderResult:
    step, progress, waiting = build.started.step, build.progress, build.waiting
    title = Text(f"[{build.started.number}/{build.started.total}] ", overflow="fold")
    title.append(f"{DOING[step.action]} ", STYLES[step.action]).append(subject(step), "bold")
    yield title
    done = progress.done if progress else None
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=2)
    grid.add_column(width=BAR_COLUMNS)
    grid.add_column(overflow="fold")
    bar = ProgressBar(total=1.0, completed=done or 0.0, width=BAR_COLUMNS, pulse=done is None)
    grid.add_row("", bar, Text(_state(build, now), overflow="fold"))
    yield grid
    for who in waiting.blockers[:BLOCKERS_SHOWN] if waiting else ():
        yield Padding(Text(f"waits for {blocker(who)}", "yellow", overflow="fold"), (0, 0, 0, 4))
    if waiting and len(waiting.blockers) > BLOCKERS_SHOWN:
        yield Text(f"    and for {len(waiting.blockers) - BLOCKERS_SHOWN} more", "yellow")


def _state(build: _Build, now: float) -> str:
    """Percent, elapsed, time left, phase. The clock runs on between two events."""
    progress, waiting = build.progress, build.waiting
    said = []
    if progress and progress.done is not None:
        said.append(f"{progress.done * 100:3.0f} %")
    said.append(_clock_face(now - build.since))
    if waiting:
        limit = "" if waiting.limit_seconds is None else f", gives up after {format_duration(waiting.limit_seconds)}"
        return "  ".join([*said, f"{visible(waiting.phase)}{limit}"])
    if progress and progress.eta_seconds is not None:
        said.append(f"about {format_duration(max(0.0, progress.eta_seconds - (now - build.heard)))} left")
    if progress:
        said.append(visible(progress.phase))
    return "  ".join(said)


def _clock_face(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`: of one width while it runs, so that nothing jumps."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
