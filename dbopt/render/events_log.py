"""Events as plain lines on stderr, each to be understood on its own: for cron, CI and journals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

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
from dbopt.render.result import Recap
from dbopt.render.words import DOING, DONE, STYLES, blocker, database, plural, subject
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Hashable

    from dbopt.optimize.steps import Step
    from dbopt.render.output import Output

# A build of an hour gives 360 lines, and a CI that kills a silent job after a minute hears from us in time.
SECONDS_BETWEEN_LINES = 10.0


class LogReporter:
    """A line for each step's begin and end, for each new phase or blocker, and every ten seconds in between."""

    def __init__(self, output: Output, rerun: str | None = None) -> None:
        """`rerun` None: the Result is told elsewhere."""
        self._output = output
        self._recap = None if rerun is None else Recap(output, rerun)
        self._said: dict[Hashable, tuple[object, float]] = {}  # by step and kind of event: what, and when in the build

    def handle(self, event: Event) -> None:
        match event:
            case RunStarted(plan=plan):
                self._line(f"{plural(len(plan.steps), 'step', 'steps')} on {database(plan.target)}")
            case StepStarted(number=number, total=total, step=step):
                self._line(f"[{number}/{total}] {DOING[step.action]} {subject(step)}")
            case Progress():
                if self._due(event.step, "progress", event.phase, event.elapsed_seconds):
                    self._line(f"{subject(event.step)}: {progress_words(event)}")
            case Waiting():
                who = tuple((other.pid, other.gid, other.state) for other in event.blockers)
                if self._due(event.step, "waiting", who, event.waited_seconds):
                    self._line(f"{subject(event.step)}: {waiting_words(event)}")
            case Notice(message=message, step=step):
                self._line(f"{subject(step)}: {visible(message)}" if step else visible(message))
            case StepPutOff():
                self._line(put_off_text(event))
            case StepFinished():
                if self._recap is not None:
                    self._recap.keep(event)
                if event.error is not None or not self._output.quiet:
                    self._output.err.print(finished_text(event))
            case Result():
                if self._recap is not None:
                    self._recap.write(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _line(self, text: str) -> None:
        if not self._output.quiet:
            self._output.err.write(text + "\n")

    def _due(self, step: Step, kind: str, what: object, seconds: float) -> bool:
        key = (step.action, step.schema, step.table, step.index, kind)
        before = self._said.get(key)
        if before is not None and before[0] == what and 0 <= seconds - before[1] < SECONDS_BETWEEN_LINES:
            return False
        self._said[key] = (what, seconds)
        return True


def progress_words(event: Progress) -> str:
    said = [visible(event.phase)]
    if event.done is not None:
        said.append(f"{event.done * 100:.0f} %")
    if event.elapsed_seconds:
        said.append(f"{format_duration(event.elapsed_seconds)} elapsed")
    if event.eta_seconds is not None:
        said.append(f"about {format_duration(event.eta_seconds)} left")
    return ", ".join(said)


def waiting_words(event: Waiting) -> str:
    who = "; ".join(map(blocker, event.blockers)) or "others"
    limit = "" if event.limit_seconds is None else f" of at most {format_duration(event.limit_seconds)}"
    return f"{visible(event.phase)}: {who}, waited {format_duration(event.waited_seconds)}{limit}"


def put_off_text(event: StepPutOff) -> str:
    return f"put off   {DOING[event.step.action]} {subject(event.step)}: {visible(event.reason)}"


def finished_text(event: StepFinished) -> Text:
    """`created  orders_open on app.orders in 3.2 s, 48MB`, or what went wrong and what to do about it."""
    step = event.step
    if event.error is None:
        text = Text().append(f"{DONE[step.action]:<9}", STYLES[step.action]).append(" ").append(subject(step), "bold")
        text.append(f" in {format_duration(event.seconds)}")
        return text.append("" if event.size_bytes is None else f", {format_bytes(event.size_bytes)}")
    text = Text().append("failed    ", "bold red").append(f"{DOING[step.action]} ").append(subject(step), "bold")
    text.append(f" after {format_duration(event.seconds)}: {visible(event.error)}")
    return text.append("\n  ").append("hint:", "bold").append(f" {visible(event.hint)}") if event.hint else text
