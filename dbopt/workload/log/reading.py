"""From the lines of a log to its statements."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TextIO

from dbopt.errors import Error
from dbopt.workload.log import durations, explained, formats, masking, notes
from dbopt.workload.log.durations import Duration, Phase
from dbopt.workload.log.files import opened
from dbopt.workload.log.tally import Sum, Tallied, Tally
from dbopt.workload.log.times import Clock
from dbopt.workload.log.values import CUT_OFF, Entry, LogStatement, LogWorkload

# Sessions whose text (log_statement) waits for its duration.
ANNOUNCED_MAX = 1_000
# Of that many statements, the costliest, the plan is read: nobody looks at more, and each costs up to a millisecond.
DOCUMENTS_MAX = 200


def read(
    path: Path | TextIO,
    *,
    dbname: str | None = None,
    user: str | None = None,
    since: datetime | None = None,
    literals: bool = False,
    canceled: bool = False,
) -> LogWorkload:
    """What the log says about statements of a database, of a user, since a time. `literals`: each with one text as it
    was logged, values and all; nothing else that leaves here has any. `canceled`: those too that did not end by
    themselves, apart from the others.

    Raises Error for what is no log, and for a log without durations (and without what was asked for), with what to set.
    """
    with opened(path) as lines:
        skipped: Counter[str] = Counter()
        name, entries = formats.entries(lines, skipped)
        reader = _Reader(skipped, dbname, user, since, literals=literals, canceled=canceled)
        for entry in entries:
            reader.take(entry)
    if not reader.seen.durations and not reader.seen.canceled:
        raise notes.nothing(lines.name, reader.seen)
    if since is not None and reader.from_at is None:
        hint = "Set log_line_prefix = '%m [%p] %q%u@%d ' for the logs to come, or leave out --since."
        raise Error(f"the lines of {lines.name} have no time", hint=hint)
    return reader.result(name, lines.clipped, lines.damage)


class _Reader:
    """What is gathered entry by entry."""

    def __init__(
        self,
        skipped: Counter[str],
        dbname: str | None,
        user: str | None,
        since: datetime | None,
        *,
        literals: bool,
        canceled: bool,
    ) -> None:
        self.seen = notes.Seen()
        self.from_at: datetime | None = None
        self.to_at: datetime | None = None
        self._skipped = skipped
        self._dbname, self._user, self._since = dbname, user, since
        self._clock = Clock()
        self._tally = Tally(literals=literals)
        self._canceled = Tally(literals=literals) if canceled else None
        self._textless = Sum()
        self._announced: OrderedDict[str, tuple[Duration, str]] = OrderedDict()

    def take(self, entry: Entry) -> None:
        self.seen.entries += 1
        at = self._clock.at(entry.at)
        if at is not None and (self._since is None or at >= self._since):
            self.from_at = at if self.from_at is None else min(self.from_at, at)
            self.to_at = at if self.to_at is None else max(self.to_at, at)
        found = durations.duration(entry.message)
        if found is None:
            if self._canceled is not None and durations.is_canceled(entry.message):
                self._cancel(self._canceled, entry, at)
            elif durations.is_localized(entry.message):
                self.seen.localized += 1
                self._skipped[notes.LOCALIZED] += 1
        elif found.ms is None:
            self._announce(entry, found)
        else:
            self.seen.durations += 1
            # A plan is logged between the two.
            announced = None if found.phase is Phase.PLAN else self._announced.pop(entry.pid or "", None)
            if (reason := self._unwanted(entry, at)) is not None:
                self._skipped[reason] += 1
            elif found.phase is None and announced is not None:
                self._count(entry._replace(detail=announced[1]), at, announced[0]._replace(ms=found.ms))
            else:
                self._count(entry, at, found)

    def _cancel(self, tally: Tally, entry: Entry, at: datetime | None) -> None:
        self.seen.canceled += 1
        if (reason := self._unwanted(entry, at)) is not None:
            self._skipped[reason] += 1
        elif not entry.statement or durations.is_damaged(entry.statement):
            self._skipped[CUT_OFF] += 1
        else:
            tally.add(entry, at, 0.0, Phase.STATEMENT, durations.planned(entry.statement), None)

    def _announce(self, entry: Entry, found: Duration) -> None:
        if entry.pid is not None:  # else the next duration may be somebody else's
            self._announced[entry.pid] = (found, entry.detail)
            self._announced.move_to_end(entry.pid)
            if len(self._announced) > ANNOUNCED_MAX:
                self._announced.popitem(last=False)

    def _unwanted(self, entry: Entry, at: datetime | None) -> str | None:
        if self._since is not None and (at is None or at < self._since):
            return notes.TOO_EARLY
        if self._dbname is not None and entry.dbname not in (None, self._dbname):
            return notes.OTHER_DATABASE
        if self._user is not None and entry.user not in (None, self._user):
            return notes.OTHER_USER
        self.seen.unattributed += (self._dbname is not None and entry.dbname is None) or (
            self._user is not None and entry.user is None
        )
        return None

    def _count(self, entry: Entry, at: datetime | None, found: Duration) -> None:
        phase, ms, said = found.phase, found.ms, found.text
        assert ms is not None
        if phase is None or said is None:
            self._textless.add(ms)
        elif phase in (Phase.PARSE, Phase.BIND):
            self._skipped[notes.PREPARING] += 1
        elif phase is Phase.FASTPATH:
            self._skipped[notes.FASTPATH] += 1
        elif phase is not Phase.PLAN:
            self._execution(entry, at, ms, phase, durations.executed(said, entry.detail), None)
        elif (text := explained.query_text(said)) is None:
            self._skipped[CUT_OFF] += 1
        else:
            self.seen.plans += 1
            self.seen.nested += bool(entry.context)
            self._execution(entry, at, ms, phase, durations.planned(text), said)

    def _execution(
        self, entry: Entry, at: datetime | None, ms: float, phase: Phase, text: str, plan: str | None
    ) -> None:
        if durations.is_damaged(text):
            self._skipped[CUT_OFF] += 1
        else:
            self._tally.add(entry, at, ms, phase, text, plan)

    def result(self, name: str, clipped: int, damage: str | None) -> LogWorkload:
        tally = self._tally
        ranked = sorted(tally.statements.items(), key=lambda item: item[1].executions.total_ms, reverse=True)
        statements = tuple(
            self._statement(tally, fingerprint, found, with_plan=rank < DOCUMENTS_MAX)
            for rank, (fingerprint, found) in enumerate(ranked)
        )
        return LogWorkload(
            from_at=self.from_at,
            to_at=self.to_at,
            format=name,
            entries=self.seen.entries,
            statements=statements,
            skipped=self._skipped,
            notes=tuple(
                notes.of(
                    self.seen,
                    shortest_ms=tally.shortest_ms,
                    others=tally.others.executions.calls,
                    textless=self._textless.calls,
                    zones=self._clock.unknown,
                    clipped=clipped,
                    damage=damage,
                )
            ),
            shortest_ms=tally.shortest_ms,
            others=tally.others.executions.counters(),
            textless=self._textless.counters(),
            canceled=() if self._canceled is None else tuple(self._often(self._canceled)),
        )

    def _often(self, tally: Tally) -> Iterator[LogStatement]:
        """The most frequent first."""
        for fingerprint, found in sorted(tally.statements.items(), key=lambda item: (-item[1].logged.calls, item[0])):
            yield self._statement(tally, fingerprint, found, with_plan=False)

    def _statement(self, tally: Tally, fingerprint: str, found: Tallied, *, with_plan: bool) -> LogStatement:
        query, traits = tally.identities.known[fingerprint]
        document = None
        if with_plan and found.plan is not None:
            document = explained.document(found.plan)
            self.seen.unreadable += document is None
        return LogStatement(
            fingerprint=fingerprint,
            query=query,
            kind=traits.kind,
            relations=traits.relations,
            users=tuple(sorted(found.users)),
            dbnames=tuple(sorted(found.dbnames)),
            queryids=tuple(found.queryids),
            counters=found.executions.counters(),
            max_exec_time_ms=found.executions.max_ms,
            first_at=found.first_at,
            last_at=found.last_at,
            document=None if document is None else masking.masked(document),
            raw=found.raw,
        )
