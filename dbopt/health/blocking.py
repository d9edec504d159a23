"""Who waits for whom, as trees: the edges are those of pg_blocking_pids, the roots those who wait for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Literal

from dbopt.health.sessions import statement
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from dbopt.postgres.prepared import PreparedTransaction
    from dbopt.postgres.sessions import Session

PREPARED_PID = 0  # what pg_blocking_pids gives for a prepared transaction
Key = int | str  # a pid, or the gid of a prepared transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """For which lock, and since when; before PostgreSQL 14, since when the statement runs: at least as long."""

    mode: str
    object: str
    since: datetime | None
    seconds: float | None  # None: hidden from this role


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A session, or a prepared transaction (`gid`), in a tree. None is what is hidden or does not apply."""

    depth: int  # 0: the root
    pid: int
    gid: str | None = None
    datname: str | None = None
    usename: str | None = None
    application_name: str | None = None
    client: str | None = None
    backend_type: str | None = None
    state: str | None = None
    state_seconds: float | None = None
    xact_seconds: float | None = None
    statement: str | None = None
    holds: tuple[str, ...] = ()
    holds_count: int = 0
    waits_for: Wait | None = None
    blocked_by: tuple[int, ...] = ()  # pids, as pg_blocking_pids gives them, each once
    blocked_by_prepared: tuple[str, ...] = ()  # gids, where a 0 is among them

    @property
    def name(self) -> str:
        if self.pid != PREPARED_PID:
            return f"pid {self.pid}"
        return f"prepared {self.gid}" if self.gid else "prepared transaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A root and all who wait for it, directly or not, each once, below the nearest of those who block it.

    `members` begins with the root; each is followed by those below it. Where sessions wait for each other in a circle
    there is no root: then one of them is taken for it, and has a `waits_for` of its own.
    """

    members: tuple[Member, ...]

    @property
    def root(self) -> Member:
        return self.members[0]

    @property
    def victims(self) -> tuple[Member, ...]:
        return self.members[1:]

    @property
    def is_circle(self) -> bool:
        return self.root.waits_for is not None

    @property
    def waiting(self) -> Iterator[Member]:
        return (member for member in self.members if member.waits_for is not None)

    @property
    def longest(self) -> Member | None:
        """Who has waited longest, of those of whom it is known."""
        known = [(m.waits_for.seconds, m) for m in self.members if m.waits_for and m.waits_for.seconds is not None]
        return max(known, key=lambda pair: pair[0])[1] if known else None

    @property
    def longest_wait_seconds(self) -> float | None:
        longest = self.longest
        return None if longest is None or longest.waits_for is None else longest.waits_for.seconds

    @property
    def edges(self) -> frozenset[tuple[int, int]]:
        """(who waits, for whom)."""
        return frozenset((member.pid, pid) for member in self.members for pid in member.blocked_by)

    @property
    def remedy(self) -> str:
        """What ends the root's hold. Cancelling does nothing to a session that runs no statement."""
        root = self.root
        if root.pid == PREPARED_PID:
            if root.gid is None:
                return "SELECT gid, prepared, owner, database FROM pg_catalog.pg_prepared_xacts ORDER BY prepared;"
            where = f"  -- in database {root.datname}" if root.datname else ""
            return f"ROLLBACK PREPARED {Literal(root.gid).as_string()};{where}"
        if root.backend_type == "startup":
            return "-- the lock came from the primary with the WAL: end the transaction that holds it there"
        if root.state is not None and root.state.startswith("idle"):
            return f"SELECT pg_catalog.pg_terminate_backend({root.pid});"
        if root.state is None and root.backend_type is None:
            return f"SELECT pg_catalog.pg_cancel_backend({root.pid});  -- pg_terminate_backend if it is idle"
        return f"SELECT pg_catalog.pg_cancel_backend({root.pid});"


def trees(
    sessions: Sequence[Session], prepared: Iterable[PreparedTransaction], *, literals: bool = False
) -> tuple[Tree, ...]:
    """Those with most victims first. Pure."""
    graph = _Graph(sessions, prepared, literals)
    reached: set[Key] = set()
    found = [graph.tree(root, reached) for root in graph.roots()]
    # Who is left waits in a circle, or behind one.
    for key in sorted(graph.blockers, key=lambda key: (-len(graph.victims.get(key, ())), key)):
        if key not in reached:
            found.append(graph.tree(key, reached))
    return tuple(sorted(found, key=lambda tree: (-len(tree.members), tree.root.pid, tree.root.name)))


class _Graph:
    """Sessions by pid, parallel workers folded into their leader, as pg_blocking_pids has it."""

    def __init__(self, sessions: Sequence[Session], prepared: Iterable[PreparedTransaction], literals: bool) -> None:
        self.literals = literals
        self.sessions = {session.pid: session for session in sessions}
        self.prepared = {transaction.gid: transaction for transaction in prepared}
        own = {session.pid for session in sessions if session.is_own}
        self.waits: dict[int, Session] = {}  # of a leader: the one of its group that has waited longest
        self.blockers: dict[int, dict[Key, None]] = {}
        for session in sessions:
            leader = session.pid if session.leader_pid is None else session.leader_pid
            keys = [key for key in _blockers(session) if key not in own and key != leader]
            if keys:
                self.blockers.setdefault(leader, {}).update(dict.fromkeys(keys))
                before = self.waits.get(leader)
                if before is None or (session.wait_seconds or 0) > (before.wait_seconds or 0):
                    self.waits[leader] = session
        self.victims: dict[Key, list[int]] = {}
        for victim, blockers in self.blockers.items():
            for key in blockers:
                self.victims.setdefault(key, []).append(victim)

    def roots(self) -> list[Key]:
        return [key for key in self.victims if key not in self.blockers]

    def tree(self, root: Key, reached: set[Key]) -> Tree:
        """Breadth first, so that each victim stands below the blocker nearest to the root."""
        children: dict[Key, list[int]] = {}
        seen: set[Key] = {root}
        level: list[Key] = [root]
        while level:
            below: list[Key] = []
            for key in level:
                for victim in sorted(self.victims.get(key, ()), key=self._since):
                    if victim not in seen:
                        seen.add(victim)
                        children.setdefault(key, []).append(victim)
                        below.append(victim)
            level = below
        reached |= seen
        members: list[Member] = []
        stack: list[tuple[int, Key]] = [(0, root)]
        while stack:
            depth, key = stack.pop()
            members.append(self._member(depth, key))
            stack += [(depth + 1, child) for child in reversed(children.get(key, ()))]
        return Tree(members=tuple(members))

    def _since(self, pid: int) -> tuple[float, int]:
        return -(self.waits[pid].wait_seconds or 0), pid

    def _member(self, depth: int, key: Key) -> Member:
        if isinstance(key, str):
            transaction = self.prepared.get(key)
            if transaction is None:
                return Member(depth=depth, pid=PREPARED_PID, gid=key or None)
            return Member(
                depth=depth,
                pid=PREPARED_PID,
                gid=key,
                datname=transaction.datname,
                usename=transaction.owner,
                xact_seconds=transaction.age_seconds,
            )
        blockers = self.blockers.get(key, {})
        waiting = self.waits.get(key)
        wait = None
        if waiting is not None:
            wait = Wait(
                mode=waiting.wait_mode or "",
                object=waiting.wait_object or "",
                since=waiting.wait_since,
                seconds=waiting.wait_seconds,
            )
        gids = tuple(sorted(blocker for blocker in blockers if isinstance(blocker, str)))
        pids = tuple(blocker for blocker in blockers if isinstance(blocker, int))
        session = self.sessions.get(key)
        if session is None:  # it came or went while the server looked
            return Member(depth=depth, pid=key, waits_for=wait)
        return Member(
            depth=depth,
            pid=key,
            datname=session.datname,
            usename=session.usename,
            application_name=session.application_name or None,
            client=session.client,
            backend_type=session.backend_type,
            state=session.state,
            state_seconds=session.state_seconds,
            xact_seconds=session.xact_seconds,
            statement=statement(session, literals=self.literals),
            holds=tuple(session.holds or ()),
            holds_count=session.holds_count,
            waits_for=wait,
            blocked_by=(*((PREPARED_PID,) if gids else ()), *pids),
            blocked_by_prepared=tuple(gid for gid in gids if gid),
        )


# Which modes stand in each other's way: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
# Each with the weakest that it conflicts with. It does so with all the stronger ones, only that SHARE admits SHARE.
_MODES = {
    "AccessShareLock": "AccessExclusiveLock",
    "RowShareLock": "ExclusiveLock",
    "RowExclusiveLock": "ShareLock",
    "ShareUpdateExclusiveLock": "ShareUpdateExclusiveLock",
    "ShareLock": "RowExclusiveLock",
    "ShareRowExclusiveLock": "RowExclusiveLock",
    "ExclusiveLock": "RowShareLock",
    "AccessExclusiveLock": "AccessShareLock",
}


def conflict(held: str, wanted: str) -> bool:
    modes = list(_MODES)
    both_share = held == wanted == "ShareLock"
    return modes.index(held) >= modes.index(_MODES[wanted]) and not both_share


def _blockers(session: Session) -> Iterator[Key]:
    for pid in session.blocked_by or ():
        if pid != PREPARED_PID:
            yield pid
            continue
        held = zip(session.prepared_gids or (), session.prepared_modes or (), strict=True)
        gids = [gid for gid, mode in held if conflict(mode, session.wait_mode or "AccessExclusiveLock")]
        yield from gids or ("",)  # its name is not known
