"""A migration as a plain SQL file, for psql and for tools that run such files outside of a transaction."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from dbopt.optimize.migration import patient
from dbopt.postgres.connect import LOCK_TIMEOUT_MS
from dbopt.render.escape import visible
from dbopt.render.findings import finding_text, ordered
from dbopt.render.plan_text import common_hazards, ranges
from dbopt.render.sql import pasteable
from dbopt.render.words import subject
from dbopt.spec.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from dbopt.optimize.migration import Migration
    from dbopt.optimize.steps import Plan, Step
    from dbopt.render.output import Output

WIDTH = 100  # of comments; statements stay on one line
_WHY = "A timeout would end a build half-way and leave an INVALID index."


def write_refused(output: Output, plan: Plan) -> None:
    """What the migration lacks, on stderr."""
    told = {(finding.index, finding.message) for finding in plan.findings}
    for finding in ordered(plan.findings):
        if finding.severity is Severity.ERROR:
            output.err.print(finding_text(finding))
    for item in plan.refused:
        if (item.index, item.error) not in told:
            output.err.write(f"refused {subject(item)}: {visible(item.error or 'no reason given')}\n")


def sql_text(migration: Migration, *, message: str, origin: str) -> str:
    """The way up, ready to run."""
    lines = [
        *remarks(message, "-- "),
        *remarks(origin, "-- "),
        "--",
        *remarks("Run it outside of a transaction: psql -v ON_ERROR_STOP=1 -f FILE", "-- "),
        *remarks("If it breaks off, dbopt migration writes what is left to do.", "-- "),
        "",
    ]
    return "\n".join([*lines, *_statements(migration.up, migration.timeouts), ""])


def sql_down_text(migration: Migration, *, message: str, origin: str) -> str:
    """The way down, likewise."""
    lines = [
        *remarks(f"Takes back: {message}", "-- "),
        *remarks(origin, "-- "),
        *(line for said in migration.lasting for line in remarks(f"{said}.", "-- ")),
        "",
    ]
    return "\n".join([*lines, *_statements(migration.down, migration.timeouts), ""])


def _statements(steps: Sequence[Step], timeouts: Sequence[str]) -> Iterator[str]:
    if not steps:
        yield "-- Nothing to do."
        return
    common = common_hazards(steps)
    for line in hazards(common):
        yield from remarks(line, "-- ")
    yield from remarks(_WHY, "-- ")
    for name in timeouts:
        yield f"SET {name} = 0;"
    waits = True
    for number, step in enumerate(steps, 1):
        yield ""
        yield from step_remarks(number, step, common, "-- ")
        for name, value in step.settings.items():
            yield pasteable(f"SET {name} = {sql_literal(value)}")
        for statement in step.statements:
            wish = patient(statement, step)
            if wish is not None and wish is not waits:
                waits = wish
                yield f"SET lock_timeout = {lock_timeout(waits)};"
            yield pasteable(statement)
        for name in step.settings:
            yield f"RESET {name};"
    yield ""
    for name in timeouts:
        yield f"RESET {name};"


def lock_timeout(waits: bool) -> str:
    """What waits longer for a strong lock would make a queue behind it, so it fails instead."""
    return "0" if waits else f"'{LOCK_TIMEOUT_MS // 1000}s'"


def sql_literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def hazards(common: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Those of several steps, said once."""
    for hazard, numbers in common.items():
        yield f"hazard of steps {ranges(numbers)}: {visible(hazard)}"


def step_remarks(number: int, step: Step, common: Collection[str], prefix: str) -> Iterator[str]:
    """What a step does and why, and what it alone may cost."""
    yield from remarks(f"{number}. {step.action} {subject(step)}: {visible(step.reason)}", prefix)
    for hazard in step.hazards:
        if hazard not in common:
            yield from remarks(f"hazard: {visible(hazard)}", prefix)


def remarks(text: str, prefix: str) -> list[str]:
    """Prose as comment lines."""
    return textwrap.wrap(
        visible(text), WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
