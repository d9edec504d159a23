"""Figures by what they are made of: sessions by state, I/O by kind of process, slow statements one by one. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dbopt.metrics import io, latency
from dbopt.metrics.metric import Group, Unit
from dbopt.snapshot.model import Family
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbopt.metrics.window import Window
    from dbopt.postgres.counters import Activity
    from dbopt.postgres.pgbouncer import Pool

_HIDDEN = "(hidden)"
_IO = (
    ("reads", "reads", Unit.PER_SECOND),
    ("read_bytes", "read", Unit.BYTES_PER_SECOND),
    ("writes", "writes", Unit.PER_SECOND),
    ("write_bytes", "written", Unit.BYTES_PER_SECOND),
    ("extend_bytes", "grown", Unit.BYTES_PER_SECOND),
)


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    title: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Row:
    subject: str
    values: tuple[float | None, ...]
    text: str | None = None  # of a statement, masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """`subject` names what the rows are: state, queryid. The greatest come first."""

    name: str
    title: str
    group: Group
    subject: str
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]


def sessions(activity: Sequence[Activity]) -> Iterator[Breakdown]:
    """Of all clients of the server, as they are now."""
    for name, attribute in (
        ("state", "state"),
        ("application", "application_name"),
        ("user", "usename"),
        ("database", "datname"),
    ):
        counted: Counter[str] = Counter()
        for row in activity:
            value = getattr(row, attribute)
            counted[_HIDDEN if value is None else value] += row.sessions
        yield Breakdown(
            name=f"connections_by_{name}",
            title=f"Connections by {name}",
            group=Group.CONNECTIONS,
            subject=name,
            measures=(Measure("sessions", "sessions", Unit.COUNT),),
            rows=by_size(Row(subject, (number,)) for subject, number in counted.items()),
        )


def pools(found: Sequence[Pool]) -> Breakdown:
    return Breakdown(
        name="pools",
        title="Pools of PgBouncer",
        group=Group.POOL,
        subject="pool",
        measures=(
            Measure("used", "lent out", Unit.COUNT),
            Measure("size", "size", Unit.COUNT),
            Measure("clients", "clients served", Unit.COUNT),
            Measure("waiting", "waiting", Unit.COUNT),
            Measure("wait_seconds", "longest wait", Unit.SECONDS),
        ),
        rows=by_size(
            Row(pool.name, (pool.used, pool.size, pool.clients, pool.waiting, pool.wait_seconds)) for pool in found
        ),
    )


def by_process(window: Window) -> Breakdown | None:
    """Reads and writes of tables and indexes by kind of process. None: not counted."""
    names = [name for name, _, _ in _IO]
    if not window.counts(Family.IO, names[0]):
        return None
    sums: dict[str, list[float]] = {}
    for change, amounts in window.changes(Family.IO, *names):
        if io.of_relations(change.key):
            kind = change.key.split("/")[0]
            sums[kind] = [one + more for one, more in zip(sums.get(kind, [0.0] * len(names)), amounts, strict=True)]
    seconds = window.seconds(Family.IO)
    return Breakdown(
        name="io_by_process",
        title="I/O by kind of process",
        group=Group.IO,
        subject="process",
        measures=tuple(Measure(f"{name}_per_second", title, unit) for name, title, unit in _IO),
        rows=by_size(Row(kind, tuple(amount / seconds for amount in found)) for kind, found in sums.items()),
    )


def slow_statements(window: Window, texts: Mapping[int, str]) -> Breakdown | None:
    """`texts` by queryid, as far as they are known, with no values in them. None: not counted."""
    if not window.counts(Family.STATEMENTS, "calls"):
        return None
    return Breakdown(
        name="slow_statements",
        title=f"Statements over {window.slow_ms:g} ms on average",
        group=Group.LATENCY,
        subject="queryid",
        measures=(
            Measure("calls", "calls", Unit.COUNT),
            Measure("mean_ms", "mean", Unit.MILLISECONDS),
            Measure("total_ms", "in total", Unit.MILLISECONDS),
        ),
        rows=tuple(
            Row(item.queryid, (item.calls, item.mean_ms, item.total_exec_time_ms), texts.get(int(item.queryid)))
            for item in latency.slow(window)
        ),
    )


def by_size(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: (tuple(-(value or 0.0) for value in row.values), row.subject)))
