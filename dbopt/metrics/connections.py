"""Who is connected, and what the sessions do with their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.metrics.metric import Goal, Group, Metric, Unit
from dbopt.snapshot.model import Family

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.metrics.window import Window


def _session_lacks(window: Window) -> str:
    if window.sum(Family.SERVER, "session_time", "database") is None:
        return "counted from PostgreSQL 14 on"
    return "no session of this database was at rest or ended: only then its time is counted"


def _at_most(name: str) -> Callable[[Window], str | None]:
    """Beside a mean of several looks, the greatest."""

    def remark(window: Window) -> str | None:
        mean, greatest = window.level(name), window.greatest(name)
        return None if greatest is None or greatest == mean else f"at most {greatest:g}"

    return remark


def _share(window: Window) -> float | None:
    used, most = window.level("connections"), window.level("connections_max")
    return None if used is None or not most else used / most


def _of_session_time(name: str) -> Callable[[Window], float | None]:
    def value(window: Window) -> float | None:
        whole, part = (window.sum(Family.SERVER, item, "database") for item in ("session_time", name))
        # The time of a session is counted when it goes idle or ends, and the parts of it with it.
        return None if whole is None or part is None or whole <= 0 else min(1.0, part / whole)

    return value


def _ended_badly(window: Window) -> float | None:
    names = ("sessions_abandoned", "sessions_fatal", "sessions_killed")
    amounts = [window.sum(Family.SERVER, name, "database") for name in names]
    return None if any(amount is None for amount in amounts) else sum(amount or 0.0 for amount in amounts)


def _level(name: str, title: str, meaning: str, *, greatest: bool = False, unit: Unit = Unit.COUNT) -> Metric:
    def value(window: Window) -> float | None:
        return window.greatest(name) if greatest else window.level(name)

    return Metric(
        name=name,
        title=title,
        group=Group.CONNECTIONS,
        unit=unit,
        meaning=meaning,
        families=(Family.SERVER,),
        value=value,
        remark=None if greatest else _at_most(name),
        hidden=name != "connections",
    )


METRICS = (
    _level(
        "connections", "Connections", "Sessions of clients on this server, in all databases; the mean of the looks."
    ),
    Metric(
        name="connections_used_ratio",
        title="Share of the maximum",
        group=Group.CONNECTIONS,
        unit=Unit.RATIO,
        meaning="Sessions of clients as a share of max_connections less the slots reserved for superusers.",
        families=(Family.SERVER,),
        value=_share,
        goal=Goal(target=0.8, alert=0.9, below=True, source="the guide: connection pool use"),
    ),
    _level("connections_active", "Active", "Sessions that are running a statement."),
    _level("connections_idle", "Idle", "Sessions that wait for their client, outside of a transaction."),
    _level(
        "connections_idle_in_transaction",
        "Idle in transaction",
        "Sessions that wait for their client with a transaction open: it holds its locks and VACUUM back.",
    ),
    _level("connections_waiting", "Waiting for a lock", "Sessions that wait until somebody else gives a lock free."),
    _level(
        "oldest_xact_seconds",
        "Oldest transaction",
        "How long the oldest transaction of a client had been open, the worst of the looks.",
        greatest=True,
        unit=Unit.SECONDS,
    ),
    Metric(
        name="sessions_per_second",
        title="New sessions",
        group=Group.CONNECTIONS,
        unit=Unit.PER_SECOND,
        meaning="Sessions that were opened on this database (14+). Each costs the server a process: a pool saves them.",
        families=(Family.SERVER,),
        value=lambda window: window.rate(Family.SERVER, "sessions", "database"),
        lacks=_session_lacks,
    ),
    Metric(
        name="sessions_lost",
        title="Sessions lost",
        group=Group.CONNECTIONS,
        unit=Unit.COUNT,
        meaning="Sessions of this database that ended by a broken connection, a fatal error or an operator (14+).",
        families=(Family.SERVER,),
        value=_ended_badly,
        adds_up=True,
        lacks=_session_lacks,
    ),
    Metric(
        name="session_busy_ratio",
        title="Session time at work",
        group=Group.CONNECTIONS,
        unit=Unit.RATIO,
        meaning="The share of its sessions' time in which this database ran statements (14+). The rest is idle.",
        families=(Family.SERVER,),
        value=_of_session_time("active_time"),
        lacks=_session_lacks,
    ),
    Metric(
        name="session_idle_in_transaction_ratio",
        title="Session time idle in transaction",
        group=Group.CONNECTIONS,
        unit=Unit.RATIO,
        meaning="The share of its sessions' time spent waiting for the client with a transaction open (14+).",
        families=(Family.SERVER,),
        value=_of_session_time("idle_in_transaction_time"),
        lacks=_session_lacks,
    ),
)
