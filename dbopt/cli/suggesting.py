"""The workload of one call of `dbopt suggest`: from a file, or from whatever the server knows of its statements."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.cli import readings
from dbopt.errors import Error, UsageError
from dbopt.render import workload_words as words
from dbopt.store.location import NONE
from dbopt.suggest import foreign_keys, inputs
from dbopt.suggest.inputs import Found, Inputs, Wanted
from dbopt.suggest.model import Origin
from dbopt.units import parse_duration
from dbopt.values import dataclass
from dbopt.workload.model import Counters, Kind, Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dbopt.cli.observed import Observed
    from dbopt.cli.readings import Reader
    from dbopt.cli.session import Session
    from dbopt.metrics.measurement import About
    from dbopt.suggest.file import FileWorkload
    from dbopt.workload.log import LogStatement, LogWorkload
    from dbopt.workload.model import Statement

STDIN = "-"
FILE_MAX_BYTES = 100 * 1024 * 1024  # our own: a hundred thousand statements of a thousand characters
_UNKEPT = "earlier readings are not looked at, and this one is not kept"
_ONE_LOOK_SECONDS = 0.001
_LOCK = "Lock: "  # who waits for others is not slow by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the call says of its input. `one`: an id, of --slow-query. `since`: as it was typed."""

    file: Path | None = None
    one: str | None = None
    since: str | None = None
    sample_seconds: float | None = None
    log: Path | None = None
    wanted: Wanted = field(default_factory=Wanted)
    uses_store: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """`seconds`: the time in which statements were called so often; None: not known. `window`: in words, which workload
    this is.
    """

    reader: Reader
    about: About
    inputs: Inputs
    seconds: float | None
    window: str
    notes: tuple[str, ...] = ()
    lacks: tuple[tuple[str, str | None], ...] = ()


@contextlib.contextmanager
def gathered(session: Session, wishes: Wishes) -> Iterator[Gathered]:
    """While it lasts, the session on the database is open. Raises Error, UsageError."""
    if wishes.file is not None:
        from dbopt.suggest.file import read

        name = "standard input" if str(wishes.file) == STDIN else str(wishes.file)
        found = read(_text(wishes.file, name), name)
        with readings.reader(session, session.target) as reader:
            yield _of_file(reader, found, name, wishes)
        return
    with contextlib.closing(_Server(session, wishes)) as server:
        yield server.gather() if wishes.one is None else server.one(wishes.one)


# A file


def _text(file: Path, name: str) -> str:
    """Raises UsageError, Error."""
    if str(file) == STDIN:
        content: str | bytes = getattr(sys.stdin, "buffer", sys.stdin).read(FILE_MAX_BYTES + 1)
    else:
        try:
            with file.open("rb") as opened:
                content = opened.read(FILE_MAX_BYTES + 1)
        except IsADirectoryError:
            raise UsageError(f"{name} is a folder", hint="--workload takes one file of SQL; - is stdin.") from None
        except OSError as exc:
            raise Error(f"could not read {name}", detail=exc.strerror or str(exc)) from exc
    if len(content) > FILE_MAX_BYTES:
        raise Error(
            f"{name} is too large for a workload",
            detail=f"more than {FILE_MAX_BYTES // 1024**2} MB",
            hint="Each statement once, with `-- calls: N` before it, says the same.",
        )
    if isinstance(content, str):
        return content
    if b"\0" in content:
        raise Error(f"{name} is not a text file", detail="it holds zero bytes")
    return content.decode("utf-8", "replace")


def _of_file(reader: Reader, found: FileWorkload, name: str, wishes: Wishes) -> Gathered:
    bare = foreign_keys.collect(reader.conn, reader.server, seconds=None, counted=False)
    wanted = replace(wishes.wanted, everything=True)
    choice = inputs.chosen([*found.found, *foreign_keys.asked(bare, found.found)], wanted)
    return Gathered(
        reader=reader,
        about=readings.about(reader),
        inputs=inputs.numbered(choice),
        seconds=None,
        window=f"statements of {name}",
        notes=(*found.notes, *choice.notes),
    )


# A server


class _Server:
    """What pg_stat_statements, pg_stat_activity and a log say together."""

    def __init__(self, session: Session, wishes: Wishes) -> None:
        self._session = session
        self._wishes = wishes
        self._slow_ms = session.settings.slow_threshold_ms.value
        self._observed = _observed(session, wishes, self._slow_ms)
        self._notes: list[str] = []
        self._lacks: list[tuple[str, str | None]] = []
        self._seconds: float | None = None
        self._spans: list[Span] = []
        self._by_queryid: dict[int | None, Statement] = {}

    def close(self) -> None:
        self._observed.close()

    @property
    def _reader(self) -> Reader:
        return self._observed.source.reader

    def gather(self) -> Gathered:
        statements, whole_ms = self._statements()
        found = [inputs.of_statement(item, Origin.STATEMENTS) for item in statements]
        every = inputs.merged([found, self._logged(), self._running()])
        bare = foreign_keys.collect(self._reader.conn, self._reader.server, seconds=self._seconds, counted=True)
        wanted = self._wishes.wanted
        choice = inputs.told(inputs.chosen(every, wanted), self._told)
        checks = inputs.chosen(foreign_keys.asked(bare, choice.taken), wanted)
        choice = replace(choice, taken=(*choice.taken, *checks.taken))
        return self._gathered(inputs.numbered(choice, whole_ms), choice.notes)

    def one(self, wanted: str) -> Gathered:
        """One statement of pg_stat_statements, and what the server asks because of it."""
        from dbopt.cli.showing import looked_up

        self._require()
        windows, lacks = self._observed.windows()
        self._seconds = windows.span.seconds
        self._lacks += lacks
        [statement] = self._observed.told([looked_up(self._observed, windows, wanted)])
        if not statement.kind.has_plan and statement.kind is not Kind.UNKNOWN:
            raise UsageError(
                f"{wanted} has no plan: no index can help it", hint="dbopt slow-queries lists those that have."
            )
        counters = replace(statement.counters, calls=max(1.0, statement.counters.calls))
        found = inputs.of_statement(replace(statement, counters=counters), Origin.STATEMENTS)
        bare = foreign_keys.collect(self._reader.conn, self._reader.server, seconds=None, counted=False)
        choice = inputs.chosen([found, *foreign_keys.asked(bare, [found])], Wanted(everything=True))
        self._spans.append(windows.span)
        return self._gathered(inputs.numbered(choice), (), f"statement {wanted}, ")

    def _gathered(self, made: Inputs, notes: Sequence[str], what: str = "") -> Gathered:
        return Gathered(
            reader=self._reader,
            about=readings.about(self._reader),
            inputs=made,
            seconds=self._seconds,
            window=what + "; ".join(map(words.window, self._spans)),
            notes=(*self._notes, *notes),
            lacks=tuple(dict.fromkeys(self._lacks)),
        )

    def _require(self) -> bool:
        """Whether pg_stat_statements can be read. Raises Error where it cannot, and there is nothing else."""
        from dbopt.workload import access

        reader = self._reader
        barred = access.look(reader.conn, reader.server, reader.surroundings)
        if barred is None or barred.stands_still:
            return True
        if self._wishes.log is not None or self._wishes.sample_seconds is not None:
            self._lacks.append((barred.message, "\n".join(barred.steps)))
            return False
        call = self._session.call
        until = [
            f"Until then: {call('suggest', *access.FALLBACK, specs=False)}",
            f"From a file of statements: {call('suggest', '--workload', 'FILE.sql', specs=False)}",
        ]
        raise Error(
            f"could not read the statements of {reader.place}: {barred.message}",
            detail=barred.detail,
            hint="\n".join([*barred.steps, *until]),
        )

    def _statements(self) -> tuple[list[Statement], float | None]:
        """Those of the window, most of them without texts yet; and the time of all of them."""
        if not self._require():
            return [], None
        windows, lacks = self._observed.windows()
        every, totals = self._observed.every(windows)
        self._seconds = windows.span.seconds
        self._spans.append(windows.span)
        self._notes += windows.notes
        self._lacks += lacks
        self._by_queryid = {item.queryid: item for item in every}
        return every, totals.total_exec_time_ms

    def _told(self, mute: Sequence[Found]) -> Iterable[Found]:
        """With texts, and what these say."""
        from dbopt.workload import access

        statements = [self._by_queryid[one.item.queryids[0]] for one in mute]
        for one, statement in zip(mute, self._observed.told(statements), strict=True):
            known = inputs.of_statement(statement, Origin.STATEMENTS)
            item = replace(one.item, query=known.item.query, shown=known.item.shown, fingerprint=known.item.fingerprint)
            yield replace(one, item=item, kind=known.kind, relations=known.relations, unread=known.unread)
        if self._observed.knowledge.is_refused:
            reader = self._reader
            self._lacks.append(access.untold(reader.conn, reader.server, reader.surroundings))

    def _logged(self) -> list[Found]:
        """What the log has of this database, as often as in the time of the others."""
        if self._wishes.log is None:
            return []
        log = _read(self._wishes.log, self._reader.server.dbname, self._wishes.since)
        seconds = (log.to_at - log.from_at).total_seconds() if log.from_at and log.to_at else None
        factor = self._factor(seconds)
        statements: dict[str, LogStatement] = {item.fingerprint: item for item in log.statements}
        canceled_ms = self._canceled_ms() if log.canceled else 0.0
        for item in log.canceled:
            counters = Counters(calls=item.counters.calls, total_exec_time_ms=item.counters.calls * canceled_ms)
            known = statements.get(item.fingerprint)
            statements[item.fingerprint] = (
                replace(item, counters=counters)
                if known is None
                else replace(known, counters=known.counters + counters)
            )
        self._notes += log.notes
        if log.canceled:
            calls = sum(item.counters.calls for item in log.canceled)
            self._notes.append(
                f"the log has {calls:,.0f} statements that were canceled: each counts as {canceled_ms:,.0f} ms"
            )
        to_at = log.to_at or datetime.now(UTC)
        place = str(self._wishes.log)
        self._spans.append(Span(source=Source.LOG, from_at=log.from_at, to_at=to_at, seconds=seconds, place=place))
        return [inputs.of_statement(item, Origin.LOG, factor=factor) for item in statements.values()]

    def _canceled_ms(self) -> float:
        """How long a statement is let run, as far as the catalogs tell; no less than what counts as slow."""
        from dbopt.postgres.timeouts import STATEMENT_TIMEOUTS

        found = [self._slow_ms]
        for row in STATEMENT_TIMEOUTS.rows(self._reader.conn, self._reader.server.version):
            with contextlib.suppress(ValueError):
                text = row.value.strip()
                found.append(float(text) if text.isdecimal() else 1000 * parse_duration(text))
        return max(found)

    def _running(self) -> list[Found]:
        """Of a sample all that was seen; else what has been at work for long by now."""
        from dbopt.workload.sample import sample

        reader, seconds = self._reader, self._wishes.sample_seconds
        sampled = sample(reader.conn, reader.server, seconds=_ONE_LOOK_SECONDS if seconds is None else seconds)
        here = [item for item in sampled.statements if item.dbname is None and item.kind.has_plan]
        if seconds is None:
            slow = [item for item in here if (item.max_exec_time_ms or 0.0) >= self._slow_ms and not _only_waits(item)]
            return [inputs.of_statement(_so_far(item), Origin.SAMPLE) for item in slow]
        factor = self._factor(sampled.span.seconds)
        self._notes += sampled.notes
        self._lacks += sampled.lacks
        self._spans.append(sampled.span)
        return [inputs.of_statement(item, Origin.SAMPLE, factor=factor) for item in here]

    def _factor(self, seconds: float | None) -> float:
        """From a time of this length to that of the first source."""
        if seconds is None or seconds <= 0:
            return 1.0
        if self._seconds is None:
            if not self._spans:
                self._seconds = seconds
            return 1.0
        return self._seconds / seconds


def _read(log: Path, dbname: str, since: str | None) -> LogWorkload:
    from dbopt.cli.moments import RESET, moment
    from dbopt.workload.log import read

    start = None if since in (None, RESET) else moment("--since", since or "", datetime.now(UTC))
    return read(sys.stdin if str(log) == STDIN else log, dbname=dbname, since=start, canceled=True)


def _observed(session: Session, wishes: Wishes, slow_ms: float) -> Observed:
    from dbopt.cli import observed
    from dbopt.store.aside import Aside, Needed
    from dbopt.workload.statements import Filter, Sort

    url = session.settings.store.value if wishes.uses_store else NONE
    aside = Aside(url, _UNKEPT)
    store = Needed(url) if wishes.since is not None else aside
    asked = observed.Wishes(
        filter=Filter(slow_ms=slow_ms, tables=wishes.wanted.tables),
        sort=Sort.TOTAL,
        limit=inputs.STATEMENTS_MAX,
        since=wishes.since,
        versus=None,
        interval=None,
        every=None,
        plans=False,
        uses_store=wishes.uses_store,
        literals=False,
        database=None,
    )
    return observed.Observed(session, session.target, asked, store, aside)


def _so_far(item: Statement) -> Statement:
    """One call, as long as it has been running."""
    return replace(item, counters=Counters(calls=1.0, total_exec_time_ms=item.max_exec_time_ms or 0.0))


def _only_waits(item: Statement) -> bool:
    return sum(number for wait, number in item.waits if wait.startswith(_LOCK)) >= (item.samples or 1)
