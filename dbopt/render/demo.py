"""The demo as it goes, and what it measured: a table for people, records for programs."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from dbopt.demo.data import Loaded
from dbopt.demo.proof.judge import judge
from dbopt.demo.walkthrough import FASTER_FROM, Applying, Finished, StageFinished, StageStarted
from dbopt.metrics.metric import Unit
from dbopt.optimize.events import Result, StepFinished
from dbopt.optimize.steps import Plan
from dbopt.render.amounts import amount
from dbopt.render.events import reporter
from dbopt.render.events_log import finished_text
from dbopt.render.output import Format
from dbopt.render.plan import target_document
from dbopt.render.proof import COLUMNS as PROMISES
from dbopt.render.proof import evidence_document, summary, verdict_document, verdict_rows
from dbopt.render.records import Column, write_data, write_records
from dbopt.render.table import table
from dbopt.render.words import STYLES, plural, subject
from dbopt.stats.coverage import LARGE_ROWS
from dbopt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.demo.walkthrough import Comparison, DemoEvent
    from dbopt.render.events import Reporter
    from dbopt.render.output import Output
    from dbopt.stats.coverage import Share


def _milliseconds(value: float) -> str:
    return f"{value:.2f} ms"


def _factor(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.1f}x" if value < FASTER_FROM else f"{value:.0f}x"


_PATHS = [
    Column(name="path", title="Access path"),
    Column(name="before_ms", title="Before", show=_milliseconds, align="right"),
    Column(name="after_ms", title="After", show=_milliseconds, align="right"),
    Column(name="times_faster", title="Times faster", show=_factor, align="right"),
    Column(name="plan_before", title="Plan before"),
    Column(name="plan_after", title="Plan after"),
]
_FOR_PROGRAMS = [Column(name=name) for name in ("buffers_before", "buffers_after", "rows", "runs_before", "runs_after")]


class DemoReporter:
    """The way there goes to stdout where that is for people, else to stderr; the measurements to stdout."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._people = output.out if output.format is Format.TABLE else output.err
        self._moving = ExitStack()  # what moves on a terminal: a spinner, the bars of apply
        self._bars: Reporter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._moving.close()

    def handle(self, event: DemoEvent) -> None:
        match event:
            case StageStarted(what=what):
                if self._live:
                    self._moving.enter_context(self._output.err.console().status(what))
            case Applying(event=Result()):
                pass  # the result of the stage tells it
            case Applying(event=StepFinished() as step) if not self._live:
                if step.error is not None:
                    self._people.print(finished_text(step))
            case Applying(event=step) if self._live:
                if self._bars is None:
                    self._moving.close()
                    self._bars = self._moving.enter_context(reporter(self._output, rerun="dbopt demo"))
                self._bars.handle(step)
            case StageFinished(what=what, seconds=seconds, result=result):
                self._moving.close()
                self._say(f"{what}: {format_duration(seconds)}{_outcome(result)}")
                if isinstance(result, Plan):
                    self._plan(result)
            case Finished():
                self._finished(event)

    @property
    def _live(self) -> bool:
        return self._output.err.live and not self._output.quiet

    def _say(self, text: str) -> None:
        if not self._output.quiet:
            self._people.write(text + "\n")

    def _plan(self, plan: Plan) -> None:
        """A line a step; the whole plan is for `dbopt plan` on a kept server."""
        from rich.text import Text

        for step in () if self._output.quiet else plan.steps:
            text = Text("  ").append(step.action.value, STYLES[step.action]).append(" ").append(subject(step), "bold")
            self._people.print(text.append(f": {step.reason}"))

    def _finished(self, finished: Finished) -> None:
        output = self._output
        verdicts = [verdict_document(one) for one in judge([finished.evidence])] if finished.evidence else []
        if output.format is Format.TABLE:
            output.out.write("\n")
            output.out.print(table(_PATHS, [_row(c, people=True) for c in finished.comparisons]))
            output.out.write("\n")
            if verdicts:
                output.out.print(table(PROMISES, verdict_rows(verdicts)))
                output.out.write("\n")
        elif verdicts and output.format is not Format.JSON:
            write_data(output, PROMISES, verdict_rows(verdicts))
        else:
            columns, rows = [*_PATHS, *_FOR_PROGRAMS], [_row(c) for c in finished.comparisons]
            proof: dict[str, object] = {}
            if finished.evidence:
                proof = {"promises": verdicts, "proof": evidence_document(finished.evidence)}
            write_records(output, "demo", "paths", columns, rows, more={**_facts(finished), **proof})
        for line in _summary(finished):
            self._say(line)
        if verdicts:
            self._say(summary(verdicts))


def _outcome(result: Loaded | Plan | Result | None) -> str:
    match result:
        case Loaded():
            return f", {plural(result.tables, 'table', 'tables')}, {sum(result.rows.values()):,} rows"
        case Plan():
            steps = ", ".join(f"{count} to {action}" for action, count in result.summary().items() if count)
            return f", {steps or 'nothing to do'}"
        case Result():
            failed = f", {result.failed} failed" if result.failed else ""
            return f", {plural(result.applied, 'index', 'indexes')} applied{failed}"
    return ""


def _row(pair: Comparison, *, people: bool = False) -> list[object]:
    """People are spared a factor that is nothing but noise."""
    before, after = pair.before, pair.after
    return [
        before.path.name,
        before.milliseconds,
        after.milliseconds,
        "as before" if people and pair.about_the_same else pair.factor,
        before.plan_node,
        after.plan_node,
        before.buffers,
        after.buffers,
        after.rows,
        before.runs,
        after.runs,
    ]


def _facts(finished: Finished) -> dict[str, object]:
    """What stands in the JSON document beside the paths."""
    pairs = finished.comparisons
    return {
        "target": target_document(finished.plan.target),
        "app": finished.app.name,
        "rows": finished.loaded.rows,
        "applied": finished.result.applied,
        "failed": finished.result.failed,
        "refused": finished.result.refused,
        "seconds": finished.seconds,
        "conninfo": finished.conninfo,
        "coverage": {
            before.name: {"title": before.title, "before": before.ratio, "after": after.ratio}
            for before, after in _shares(finished)
        },
        "summary": {
            "paths": len(pairs),
            "at_least_10_times_faster": sum(pair.much_faster for pair in pairs),
            "unchanged": sum(pair.about_the_same for pair in pairs),
        },
    }


def _summary(finished: Finished) -> Iterator[str]:
    """How many are much faster, and of each that is not faster why."""
    pairs = finished.comparisons
    much = sum(pair.much_faster for pair in pairs)
    same = [pair for pair in pairs if pair.about_the_same]
    slower = [pair for pair in pairs if not pair.about_the_same and pair.factor < 1]
    less = len(pairs) - much - len(same) - len(slower)
    yield (
        f"{much} of {plural(len(pairs), 'access path', 'access paths')} at least {FASTER_FROM:.0f} times faster, "
        f"{less} faster by less, {len(same)} as before, {len(slower)} slower."
    )
    for pair in same:
        yield f"  As before: {pair.before.path.name}: {_why_the_same(pair)}."
    for pair in slower:
        yield f"  Slower: {pair.before.path.name}."
    yield from _coverage(finished)
    indexes = plural(finished.result.applied, "index", "indexes")
    version = finished.plan.target.server_version
    yield f"PostgreSQL {version}, {indexes} made online, {format_duration(finished.seconds)} in all."
    if finished.conninfo is not None:
        yield from _kept(finished, finished.conninfo)


def _shares(finished: Finished) -> Iterator[tuple[Share, Share]]:
    """Before and after. Specs are left out: what became of each entry stands there already."""
    before, after = finished.coverage
    yield before.rows, after.rows
    yield before.foreign_keys, after.foreign_keys


def _coverage(finished: Finished) -> Iterator[str]:
    """What `dbopt stats coverage` would have said of the two times of measuring."""
    of_what = {
        "rows_by_index": f"rows read from tables over {LARGE_ROWS:,} rows that an index found",
        "foreign_keys_indexed": "foreign keys with an index",
    }
    yield "Index coverage, as the server counted it:"
    for before, after in _shares(finished):
        if before.ratio is None or after.ratio is None:
            yield f"  {of_what[before.name]}: {before.reason or after.reason}"
        else:
            shares = (amount(share.ratio, Unit.RATIO) for share in (before, after))
            yield f"  {of_what[before.name]}: {' before, '.join(shares)} after"


def _why_the_same(pair: Comparison) -> str:
    if not pair.same_plan:
        return f"there was little to gain, {pair.before.buffers} buffers before, {pair.after.buffers} after"
    if "Seq Scan" in pair.after.plan_node:
        return f"the table is small enough to be read as a whole, the plan stays {pair.after.plan_node}"
    return f"an index that was there served it already, the plan stays {pair.after.plan_node}"


def _kept(finished: Finished, conninfo: str) -> Iterator[str]:
    dsn, spec = shlex.quote(conninfo), shlex.quote(str(finished.spec))
    yield ""
    yield f"The server goes on: {conninfo}"
    yield "Try:"
    yield f"  dbopt plan -d {dsn} {spec}"
    yield f"  dbopt lint --online -d {dsn} {spec}"
    yield f"  dbopt health -d {dsn}"
    yield f"  dbopt stats -d {dsn}"
    yield f"  dbopt metrics --interval 1s -d {dsn}"
    yield f"  psql -d {dsn}"
    yield "  dbopt demo --stop"
