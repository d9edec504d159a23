"""A workload from a file of SQL: what is to be planned in it, how often it is run, and what cannot be read. Pure.

Any SQL will do: a list of statements, a psql script, one of pgbench's, a dump of an application's queries. A comment
before a statement says how much it is: `-- calls: 1200`, `-- time: 3.5s` (of all calls together).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.errors import Error
from dbopt.grammar import GrammarError
from dbopt.postgres.normalized import normalized
from dbopt.suggest.inputs import Aside, Found, aside
from dbopt.suggest.model import Item, Origin
from dbopt.suggest.script import Piece, Script
from dbopt.suggest.unwrapping import Execution, Kept, Prepared, unwrapped
from dbopt.suggest.variants import Variants, added
from dbopt.units import parse_duration
from dbopt.values import dataclass
from dbopt.workload.log.identity import Identities
from dbopt.workload.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbopt.workload.model import Traits

STATEMENTS_MAX = 10_000  # that are told apart; as many as of a log
_SHOWN = 3  # examples in a note
_WEIGHT = re.compile(r"(calls|time)\s*[:=]\s*", re.IGNORECASE)
_CALLS = re.compile(r"[0-9]+(?:[,_][0-9]{3})*(?:\.[0-9]+)?")
HINT = (
    "Write one statement after the other, each with a semicolon at its end; `-- calls: 1200` before one is its weight."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWorkload:
    """`found`: in the order of the file, the unreadable ones among them. `notes`: what was passed over, and why."""

    found: tuple[Found, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """What comments say; None: nothing."""

    calls: float | None = None
    time_ms: float | None = None


def read(text: str, name: str) -> FileWorkload:
    """`name`: of the file, for messages. Raises Error where there is no statement in it."""
    script = Script(text)
    reader = _Reader(name, script)
    for piece in script:
        reader.take(piece)
    found, notes = tuple(reader.found()), tuple(_notes(script, reader))
    if not found:
        detail = "\n".join(notes) if text.strip() else "it is empty"
        raise Error(f"no statement that has a plan in {name}", detail=detail or None, hint=HINT)
    return FileWorkload(found=found, notes=notes)


class _Gathered:
    """What has one fingerprint."""

    def __init__(self, shown: str, traits: Traits) -> None:
        self.shown = shown
        self.traits = traits
        self.variants = Variants(shown)


class _Refused:
    def __init__(self, reason: str) -> None:
        self.reason = reason  # of the first
        self.calls = 0.0
        self.time_ms: float | None = None


class _Plan:
    """A prepared statement, and how often it was executed."""

    def __init__(self, text: str, line: int, weight: Weight) -> None:
        self.text, self.line, self.weight = text, line, weight
        self.calls = 0.0
        self.time_ms: float | None = None


class _Reader:
    def __init__(self, name: str, script: Script) -> None:
        self.asides: dict[Aside, list[int]] = {}  # lines
        self.paths: list[int] = []  # of SET search_path
        self.odd: list[int] = []  # of weights that are none
        self.untold = 0
        self._name = name
        self._script = script
        self._identities = Identities(STATEMENTS_MAX)
        self._gathered: dict[str, _Gathered] = {}
        self._unread: dict[str, _Refused] = {}  # by what is shown
        self._plans: dict[str, _Plan] = {}
        self._plain: set[str] = set()  # fingerprints of what need not be unwrapped

    def take(self, piece: Piece) -> None:
        weight = self._weight(piece)
        fingerprint = self._identities.of(piece.text)
        if fingerprint is not None and fingerprint in self._plain:
            self._add(fingerprint, piece.text, weight)
            return
        try:
            kept = unwrapped(piece.text)
        except GrammarError as exc:
            shorter = self._script.shortened(piece)
            if shorter.text != piece.text:
                self.take(shorter)
            else:
                self._refuse(piece, weight, _why(exc, piece))
            return
        match kept:
            case Prepared():
                self._flush(kept.name)
                self._plans[kept.name] = _Plan(kept.text, piece.line, weight)
            case Execution():
                self._execute(piece, kept, weight)
            case Kept():
                self._keep(piece, kept, weight)
            case None:
                self._set_aside(Aside.UTILITY, piece)
                if re.match(r"set\b.*\bsearch_path\b", piece.text, re.IGNORECASE):
                    self.paths.append(piece.line)

    def _keep(self, piece: Piece, kept: Kept, weight: Weight) -> None:
        fingerprint = self._identities.of(kept.text)
        if fingerprint is None:
            self.untold += 1
            return
        shown, traits = self._identities.known[fingerprint]
        reason = aside(traits.kind, traits.relations, shown)
        if reason is not None:
            self._set_aside(reason, piece)
        else:
            self._gathered.setdefault(fingerprint, _Gathered(shown, traits))
            if kept.text == piece.text:
                self._plain.add(fingerprint)
            self._add(fingerprint, kept.text, weight)

    def _set_aside(self, reason: Aside, piece: Piece) -> None:
        self.asides.setdefault(reason, []).append(piece.line)

    def _add(self, fingerprint: str, text: str, weight: Weight) -> None:
        calls = 1.0 if weight.calls is None else weight.calls
        self._gathered[fingerprint].variants.add(text, calls, weight.time_ms)

    def _execute(self, piece: Piece, execution: Execution, weight: Weight) -> None:
        plan = self._plans.get(execution.name)
        if plan is None:
            self._refuse(piece, weight, "nothing of this name is prepared before it")
            return
        plan.calls += 1.0 if weight.calls is None else weight.calls
        plan.time_ms = added(plan.time_ms, weight.time_ms)

    def _flush(self, name: str) -> None:
        """What was prepared under this name, executed or not."""
        plan = self._plans.pop(name, None)
        if plan is None:
            return
        given = plan.weight
        weight = Weight(plan.calls + (given.calls or 0.0) or 1.0, added(plan.time_ms, given.time_ms))
        self._keep(Piece(plan.text, plan.line), Kept(plan.text), weight)

    def _refuse(self, piece: Piece, weight: Weight, why: str) -> None:
        shown = normalized(piece.text)
        refused = self._unread.setdefault(shown, _Refused(f"line {piece.line} of {self._name}: {why}"))
        refused.calls += 1.0 if weight.calls is None else weight.calls
        refused.time_ms = added(refused.time_ms, weight.time_ms)

    def _weight(self, piece: Piece) -> Weight:
        calls = time_ms = None
        for comment in piece.comments:
            body = comment.lstrip("-").strip()
            parts = _WEIGHT.split(body)
            if parts[0].strip():  # an ordinary comment
                continue
            for word, value in zip(parts[1::2], parts[2::2], strict=True):
                amount = _amount(word.lower(), value.strip().rstrip(",;").strip())
                if amount is None:
                    self.odd.append(piece.line)
                elif word.lower() == "calls":
                    calls = amount
                else:
                    time_ms = amount
        return Weight(calls, time_ms)

    def found(self) -> Iterator[Found]:
        for name in list(self._plans):
            self._flush(name)
        for fingerprint, gathered in self._gathered.items():
            traits = gathered.traits
            for query, calls, time_ms in gathered.variants.result():
                item = Item(
                    number=0,
                    query=query,
                    shown=gathered.shown,
                    calls=calls,
                    time_ms=time_ms,
                    fingerprint=fingerprint,
                    origin=Origin.FILE,
                )
                yield Found(item=item, kind=traits.kind, relations=traits.relations)
        for shown, refused in self._unread.items():
            item = Item(
                number=0,
                query=shown,
                shown=shown,
                calls=refused.calls,
                time_ms=refused.time_ms,
                origin=Origin.FILE,
            )
            yield Found(item=item, kind=Kind.UNKNOWN, unread=(refused.reason, None))


def _amount(word: str, value: str) -> float | None:
    """Calls, or milliseconds. None: no such thing."""
    if word == "calls":
        number = float(re.sub("[,_]", "", value)) if _CALLS.fullmatch(value) else 0.0
        return number if number > 0 else None
    try:
        return 1000 * parse_duration(value)
    except ValueError:
        return None


def _why(exc: GrammarError, piece: Piece) -> str:
    """Without what stands there, which may be a value."""
    words = exc.message.partition(" at or near ")[0]
    if exc.position is None:
        return words
    line = piece.line + piece.text[: exc.position].count("\n")
    return words if line == piece.line else f"{words} in line {line}"


def _notes(script: Script, reader: _Reader) -> Iterator[str]:
    for reason in Aside:
        if lines := reader.asides.get(reason):
            yield f"set aside: {_counted(len(lines), 'statement')} {reason}, {_lines(lines)}"
    if reader.paths:
        yield f"SET search_path is not obeyed, {_lines(reader.paths)}: names are found as a new session finds them"
    if script.skipped:
        words = ", ".join(dict.fromkeys(f"\\{item.word}" for item in script.skipped[:_SHOWN]))
        more = " and others" if len(script.skipped) > _SHOWN else ""
        yield f"{_counted(len(script.skipped), 'command')} of psql passed over: {words}{more}"
    if reader.odd:
        yield f"a weight that is none, {_lines(reader.odd)}: write -- calls: 1200 or -- time: 3.5s"
    if reader.untold:
        yield f"{reader.untold:,} statements beyond the first {STATEMENTS_MAX:,} different ones are not looked at"


def _counted(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number:,} {word}s"


def _lines(lines: Iterable[int]) -> str:
    every = list(dict.fromkeys(lines))
    some = ", ".join(map(str, every[:_SHOWN]))
    if len(every) == 1:
        return f"line {some}"
    return f"lines {some}" + (" and others" if len(every) > _SHOWN else "")
