"""From statements, wherever they were seen, to the items of a workload: each once, the heaviest first. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.suggest.model import Item, Origin, Unread
from dbopt.values import dataclass
from dbopt.workload.model import Kind, Unplanned
from dbopt.workload.statements import fits_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.workload.log import LogStatement
    from dbopt.workload.model import Statement

# Our own: what is beyond is a thousandth of the time and a hundredth of the calls, in mostly very many statements.
TIME_SHARE = 0.999
CALLS_SHARE = 0.99
STATEMENTS_MAX = 500  # our own: planned some twenty times each, they take the planner some seconds
_CATALOGS = ("pg_catalog", "information_schema")


class Aside(StrEnum):
    """Why a statement is no part of the workload, in the words of a note."""

    UTILITY = "without a plan (utility)"
    OWN = "of dbopt's own"
    CATALOGS = "on system catalogs alone"
    NO_TABLE = "that read no table"
    FILTERED = "left out by --table and --min-calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A statement as one source has it; its item has no number yet. `unread`: why it cannot be analyzed, and what to
    type. `rows`: that all its calls gave or changed; None: not counted.
    """

    item: Item
    kind: Kind
    relations: tuple[str, ...] = ()
    rows: float | None = None
    unread: tuple[str, str | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """`items`, `unread`: numbered together, the heaviest first."""

    items: tuple[Item, ...] = ()
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Tables stand with their schema or without, and may hold * and ?."""

    tables: tuple[str, ...] = ()
    min_calls: float = 0.0
    everything: bool = False  # whatever they carry: somebody has asked for just these


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`taken`: those that carry the workload, the heaviest first. `left`: those that do not. `asides`: what is no part
    of it, in statements.
    """

    taken: tuple[Found, ...]
    left: tuple[Found, ...] = ()
    asides: Mapping[Aside, int] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not looked at."""
        notes = [_aside_note(self.asides)] if self.asides else []
        return (*notes, *([_left_note(self.left, (*self.taken, *self.left))] if self.left else []))


def aside(kind: Kind, relations: Sequence[str], query: str | None) -> Aside | None:
    """None: it is part of the workload, as far as its text tells."""
    if kind is Kind.OWN:
        return Aside.OWN
    if kind is Kind.UTILITY:
        return Aside.UTILITY
    if relations:
        return Aside.CATALOGS if all(map(_is_of_catalogs, relations)) else None
    # A function may read tables; where it is inlined, the plan tells.
    return Aside.NO_TABLE if kind.has_plan and query is not None and "(" not in query else None


def _is_of_catalogs(name: str) -> bool:
    """Of a table as a statement writes it."""
    schema, dot, _ = name.rpartition(".")
    return schema in _CATALOGS if dot else name.startswith("pg_")


def of_statement(statement: Statement | LogStatement, origin: Origin, *, factor: float = 1.0) -> Found:
    """`factor`: of its calls and time, where it was watched for another time than the others."""
    counters = statement.counters
    shown = statement.query or ""
    ids = getattr(statement, "userids", ())  # a log has names
    item = Item(
        number=0,
        query=shown,
        shown=shown,
        calls=counters.calls * factor,
        time_ms=counters.total_exec_time_ms * factor,
        queryids=statement.queryids,
        fingerprint=statement.fingerprint,
        userid=next(iter(ids), None),
        origin=origin,
    )
    planned = getattr(statement, "planned", None)
    unread = (planned.reason, planned.hint) if isinstance(planned, Unplanned) else None
    rows = None if counters.rows is None else counters.rows * factor
    return Found(item=item, kind=statement.kind, relations=statement.relations, rows=rows, unread=unread)


def merged(sources: Iterable[Iterable[Found]]) -> list[Found]:
    """Each statement once. Of one that several sources have seen, the one that saw most time of it says how often it
    ran: adding would count the same calls twice. The text is that of the first that has all of it.
    """
    found: dict[str, Found] = {}
    for item in (item for source in sources for item in source):
        key = item.item.fingerprint or f"{item.item.queryids} {item.item.shown}"
        found[key] = _of_two(found[key], item) if key in found else item
    return list(found.values())


def _of_two(one: Found, other: Found) -> Found:
    readable = one if one.unread is None else other
    weightier = other if _time(other) > _time(one) else one
    calls, time_ms, rows = weightier.item.calls, weightier.item.time_ms, weightier.rows
    if one.item.origin is other.item.origin:  # other calls of it, under another id
        calls, time_ms = one.item.calls + other.item.calls, _time(one) + _time(other)
        rows = None if one.rows is None or other.rows is None else one.rows + other.rows
    queryids = tuple(dict.fromkeys((*one.item.queryids, *other.item.queryids)))
    userid = one.item.userid if one.item.userid is not None else other.item.userid
    item = replace(
        readable.item,
        calls=calls,
        time_ms=time_ms,
        origin=weightier.item.origin,
        queryids=queryids,
        userid=userid,
    )
    return replace(readable, item=item, rows=rows)


def chosen(found: Iterable[Found], wanted: Wanted) -> Chosen:
    """Those that carry the workload, as far as it is known what they are: of some of them the text may be told later
    (`numbered`).
    """
    asides: Counter[Aside] = Counter()
    kept: list[Found] = []
    for one in found:
        reason = _aside(one)
        if reason is None and not _is_wanted(one, wanted):
            reason = Aside.FILTERED
        if reason is None:
            kept.append(one)
        else:
            asides[reason] += 1
    kept.sort(key=_rank)
    taken = _carrying(kept, everything=wanted.everything)
    left = tuple(one for place, one in enumerate(kept) if place not in taken)
    return Chosen(taken=tuple(kept[place] for place in sorted(taken)), left=left, asides=asides)


def told(choice: Chosen, texts: Callable[[Sequence[Found]], Iterable[Found]]) -> Chosen:
    """With texts for those that have none yet, as far as `texts` gives them; what these say may set them aside."""
    mute = [place for place, one in enumerate(choice.taken) if not one.item.shown]
    taken = dict(enumerate(choice.taken))
    taken |= zip(mute, texts([choice.taken[place] for place in mute]), strict=True)
    asides = Counter(choice.asides)
    kept = []
    for one in merged([taken.values()]):
        reason = _aside(one)
        if reason is None:
            kept.append(one)
        else:
            asides[reason] += 1
    return Chosen(taken=tuple(sorted(kept, key=_rank)), left=choice.left, asides=asides)


def numbered(choice: Chosen, whole_ms: float | None = None) -> Inputs:
    """`whole_ms`: of all statements, those that are set aside among them; None: of those that are not."""
    if whole_ms is None:
        whole_ms = _sum((*choice.taken, *choice.left), _time)
    items: list[Item] = []
    unread: list[Unread] = []
    for number, one in enumerate(choice.taken, start=1):
        item = replace(one.item, number=number)
        why = one.unread if item.shown else (one.unread or ("its text is not known", None))
        if why is None:
            items.append(item)
        else:
            share = None if item.time_ms is None or whole_ms <= 0 else min(1.0, item.time_ms / whole_ms)
            unread.append(Unread(item=item, reason=why[0], hint=why[1], share=share))
    return Inputs(items=tuple(items), unread=tuple(unread))


def _aside(one: Found) -> Aside | None:
    return None if one.unread is not None else aside(one.kind, one.relations, one.item.shown or None)


def _is_wanted(one: Found, wanted: Wanted) -> bool:
    if one.item.calls < wanted.min_calls:
        return False
    return not wanted.tables or any(fits_table(name, wanted.tables) for name in one.relations)


def _carrying(kept: Sequence[Found], *, everything: bool) -> set[int]:
    """Places in a ranked list: of what makes nearly all of the time, or of the calls, and of what nobody has measured;
    no more than STATEMENTS_MAX.
    """
    places = {place for place, one in enumerate(kept) if everything or one.item.time_ms is None}
    if not everything:
        places |= {*_most(kept, _time, TIME_SHARE), *_most(kept, _calls, CALLS_SHARE)}
    if len(places) > STATEMENTS_MAX:
        time_ms, calls = _sum(kept, _time) or 1.0, _sum(kept, _calls) or 1.0

        def share(place: int) -> float:
            return max(_time(kept[place]) / time_ms, _calls(kept[place]) / calls)

        places = set(sorted(places, key=lambda place: (-share(place), place))[:STATEMENTS_MAX])
    return places


def _most(kept: Sequence[Found], amount: Callable[[Found], float], share: float) -> list[int]:
    enough = share * _sum(kept, amount)
    taken: list[int] = []
    seen = 0.0
    for place in sorted(range(len(kept)), key=lambda place: (-amount(kept[place]), place)):
        if seen >= enough or amount(kept[place]) <= 0:
            break
        taken.append(place)
        seen += amount(kept[place])
    return taken


def _rank(one: Found) -> tuple[object, ...]:
    item = one.item
    return (-(item.time_ms or 0.0), -item.calls, item.shown, item.query, item.queryids)


def _time(one: Found) -> float:
    return one.item.time_ms or 0.0


def _calls(one: Found) -> float:
    return one.item.calls


def _sum(found: Iterable[Found], amount: Callable[[Found], float]) -> float:
    return sum(map(amount, found))


def _aside_note(asides: Mapping[Aside, int]) -> str:
    parts = [f"{asides[reason]:,} {reason}" for reason in Aside if asides.get(reason)]
    return f"statements set aside: {', '.join(parts)}"


def _left_note(left: Sequence[Found], kept: Sequence[Found]) -> str:
    shares = []
    for amount, what in ((_time, "time"), (_calls, "calls")):
        if whole := _sum(kept, amount):
            shares.append(f"{_percent(_sum(left, amount) / whole)} of the {what}")
    return f"{len(left):,} statements left out as they make {' and '.join(shares) or 'nothing'}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
