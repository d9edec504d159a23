"""One call of `dbopt health`: a look at each target, with what the configuration and earlier runs say about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from dbopt import units
from dbopt.cli import as_error
from dbopt.config import laid_over
from dbopt.errors import Error, UsageError
from dbopt.health import baseline, ignores, memory, overrides, replicas, selection, streaks
from dbopt.health.check import Result, Status
from dbopt.health.collect import STATEMENT_TIMEOUT_MS
from dbopt.health.run import Wishes, look
from dbopt.health.verdict import About, FailOn, Verdict
from dbopt.postgres.connect import describe
from dbopt.store.health import Memory, Recollection
from dbopt.store.targets import Whose
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dbopt.cli.session import Session
    from dbopt.config import Target
    from dbopt.health.check import Check
    from dbopt.health.deltas import Sample
    from dbopt.health.scene import Facts
    from dbopt.store.aside import Aside

_TIMEOUT_MAX_SECONDS = 2_147_483  # PostgreSQL's own greatest


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the call says."""

    only: tuple[str, ...]
    skip: tuple[str, ...]
    groups: tuple[str, ...]
    exact: bool
    timeout: str | None
    fail_on: FailOn | None
    baseline: Path | None
    runs: int  # in a row that must have found something
    uses_store: bool
    records: bool  # this look for the next one
    show_literals: bool


@dataclass(frozen=True, slots=True)
class _Job:
    """A target, and what the configuration makes of the checks there."""

    target: Target
    checks: list[Check[Any]]
    changes: overrides.Overrides
    fail_on: FailOn
    timeout_ms: int


class Looks:
    """Everything that the words of the call and of the configuration can have wrong is told before the first look."""

    def __init__(self, session: Session, options: Options, store: Aside | None = None) -> None:
        """`store`: of the command that these looks are a part of."""
        self._session = session
        self._options = options
        timeout_ms = None if options.timeout is None else _milliseconds(options.timeout)
        self._jobs = [self._job(target, timeout_ms) for target in session.targets_with_replicas]
        self._baselines = None if options.baseline is None else baseline.read(options.baseline)
        self._memory = Memory(session.settings.store.value if options.uses_store else "none", session.retention, store)
        self._samples: dict[Whose, Sample] = {}

    def once(self) -> list[Verdict]:
        """A look at each. Of several, one that fails is a verdict too, and hides no other one's."""
        looked: list[tuple[Verdict, ignores.Ignoring]] = []
        for job in self._jobs:
            try:
                looked.append(self._look(job))
            except (Error, psycopg.Error) as exc:
                if len(self._jobs) == 1:
                    raise
                looked.append((_unseen(job, as_error(exc)), ignores.nothing_seen(job.changes.ignore)))
        notes = ignores.notes([ignoring for _, ignoring in looked])
        return [
            replace(verdict, notes=(*verdict.notes, *said)) for (verdict, _), said in zip(looked, notes, strict=True)
        ]

    def _job(self, target: Target, timeout_ms: int | None) -> _Job:
        section = laid_over([self._session.settings.health, target.health])
        changes = overrides.resolve(section)
        options = self._options
        chosen = selection.select(only=options.only, skip=options.skip, groups=options.groups, unwanted=changes.skip)
        said = FailOn(section.fail_on.text) if section.fail_on is not None else FailOn.WARNING
        # What the connection string or the environment says of statements counts here too; the default is our own.
        given = target.statement_timeout_ms
        own = given.value if given.origin != "default" and given.value > 0 else STATEMENT_TIMEOUT_MS
        return _Job(target, changes.over(chosen), changes, options.fail_on or said, timeout_ms or own)

    def _look(self, job: _Job) -> tuple[Verdict, ignores.Ignoring]:
        options, target = self._options, job.target
        place = describe(target.conninfo)
        remembered = Recollection()

        def whose(facts: Facts) -> Whose:
            return Whose.of_server(facts.server, target.name or place)

        def recall(facts: Facts) -> Mapping[str, Sample]:
            nonlocal remembered
            now = facts.surroundings.now
            remembered = self._memory.recall(whose(facts), job.checks, now)
            first = self._samples.get(whose(facts))
            return {**({} if first is None else memory.useful(first, now)), **remembered.samples}

        verdict, facts = look(
            self._session.bare_connector(target),
            name=target.name,
            place=place,
            wishes=Wishes(
                checks=job.checks,
                recall=recall,
                applications=lambda facts: self._memory.applications(whose(facts), facts.surroundings.now),
                show_literals=options.show_literals,
                exact=options.exact,
                statement_timeout_ms=job.timeout_ms,
            ),
        )
        verdict = replace(verdict, fail_on=job.fail_on)
        if facts is None:
            return verdict, ignores.nothing_seen(job.changes.ignore)
        connects = {
            other.name or describe(other.conninfo): self._session.bare_connector(other)
            for other in self._session.replicas(target)
        }
        found = replicas.asked(verdict.results, connects) if connects else verdict.results
        ignoring = ignores.ignore(found, job.changes.ignore, verdict.collected_at.astimezone().date())
        verdict = self._settled(replace(verdict, results=ignoring.results), remembered)
        sample = memory.sample(job.checks, facts)
        if options.records:
            counted = memory.counted(facts) if options.uses_store else ()
            self._memory.keep(whose(facts), verdict, found, sample, counted)
        else:  # what comes next is compared with the first look
            self._samples.setdefault(whose(facts), sample)
        return verdict, ignoring

    def _settled(self, verdict: Verdict, remembered: Recollection) -> Verdict:
        """Without what the baseline has, and what has not been there for long enough."""
        results = verdict.results
        if self._baselines is not None:
            known = baseline.of_target(self._baselines, verdict.about)
            if known is None:
                raise UsageError(
                    f"{self._options.baseline} says nothing about {verdict.about.name or verdict.about.dbname}",
                    detail=f"it is about {', '.join(item.name or item.dbname or '?' for item in self._baselines)}",
                    hint="Write one for this database with `dbopt health --format json > FILE`.",
                )
            results = tuple(map(known.without_known, results))
        notes = verdict.notes
        if self._options.runs > 1:
            if remembered.streaks is None:
                notes = (*notes, "--for needs a store to count runs in: what is found counts at once")
            else:
                results = streaks.hold_back(results, remembered.streaks, self._options.runs)
        return replace(verdict, results=results, notes=notes)


def _unseen(job: _Job, error: Error) -> Verdict:
    """The verdict on a database that could not be looked at, beside those on others."""
    words = " / ".join([error.message, *(error.detail or "").splitlines()])
    return Verdict(
        about=About(name=job.target.name, place=describe(job.target.conninfo)),
        collected_at=datetime.now(UTC),
        seconds=0.0,
        results=tuple(
            Result(check=check, status=Status.UNKNOWN, reason=words, hint=error.hint, blind=True)
            for check in job.checks
        ),
        fail_on=job.fail_on,
    )


def _milliseconds(text: str) -> int:
    try:
        seconds = units.parse_duration(text)
    except ValueError as exc:
        raise UsageError("invalid value for --timeout", detail=str(exc)) from None
    if not 0.001 <= seconds <= _TIMEOUT_MAX_SECONDS:
        raise UsageError(
            "invalid value for --timeout", detail=f"found {text}", hint="Use a duration from 1ms on, such as 30s."
        )
    return round(seconds * 1000)
