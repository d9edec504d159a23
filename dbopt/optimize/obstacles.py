"""What a statement has to wait for before it is sent at all.

A concurrent build that is cancelled while it waits leaves an INVALID index, and what it waited for can keep that from
being removed. So those whom it would wait for are looked at first, and waited for while nothing has been started. Not
for all who come meanwhile, on a busy table there is always somebody: for the transactions that are there at first, as
the build itself does, and for those that have become old.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from dbopt.optimize import partition_drop, progress, proof, waits
from dbopt.optimize.events import Notice, Waiting
from dbopt.optimize.failures import Again, Failure
from dbopt.optimize.kinds import Kind
from dbopt.optimize.worker import FIRST_POLL_SECONDS, POLL_SECONDS, Outcome, Pause, of_progress
from dbopt.postgres.identifiers import qualified, text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from dbopt.optimize.events import Event
    from dbopt.optimize.patience import Patience
    from dbopt.optimize.schedule import Task
    from dbopt.optimize.sessions import Sessions
    from dbopt.optimize.steps import Blocker, Step

OLD_SECONDS = 1.0  # a transaction of this age may well stay
_SAME_START_SECONDS = 0.05  # two looks at one transaction's age differ by less; two transactions of a session by more


class Obstacles:
    def __init__(
        self,
        sessions: Sessions,
        patience: Patience,
        interrupted: Callable[[], int | None],
        clear: Callable[[tuple[Blocker, ...]], Iterator[Event]],
    ) -> None:
        self._sessions = sessions
        self._patience = patience
        self._interrupted = interrupted
        self._clear = clear

    def pass_by(
        self, task: Task, what: Kind, index: str | None, limit_seconds: float | None
    ) -> Generator[Event | Pause, None, Outcome]:
        """Wait until the way is free. An Outcome that gave up, was interrupted, or neither. `index`: of a drop."""
        started = time.monotonic()
        first: dict[int | str | None, float] | None = None
        while self._interrupted() is None:
            found = self._standing(task, what, index)
            begun = {who.gid or who.pid: time.monotonic() - (who.xact_age_seconds or 0.0) for who in found}
            first = begun if first is None else first
            stays = [who for who in found if _is_same(begun, first, who.gid or who.pid)]
            blockers = tuple(who for who in found if is_old(who))
            if not stays and not blockers:
                return Outcome(None)
            if not blockers:
                yield Pause(FIRST_POLL_SECONDS)
                continue
            waited = time.monotonic() - started
            hopeless = [who for who in blockers if self._patience.has_given_up_on(who, task.round)]
            if hopeless or (limit_seconds is not None and waited > limit_seconds):
                self._patience.give_up_on(blockers, task.round)
                # Another step has spent the time for this one.
                spent = max(waited, self._patience.seconds or 0.0) if hopeless else waited
                return Outcome(None, gave_up=True, blockers=blockers, waited_seconds=spent)
            yield Waiting(
                step=task.step,
                phase=blockers[0].phase,
                blockers=blockers,
                waited_seconds=waited,
                limit_seconds=limit_seconds,
            )
            yield from self._clear(blockers)
            yield Pause(POLL_SECONDS)
        return Outcome(None, interrupted=self._interrupted())

    def let_it_be_built(
        self, step: Step, name: str, limit_seconds: float | None
    ) -> Generator[Event | Pause, None, Failure | None]:
        """Where a build of this index is under way, one that an earlier run had started and could not end, say: watch
        it to its end. `limit_seconds` bounds each phase in which it waits for others; it works for as long as it takes.
        """
        conn, server = self._sessions.control, self._sessions.server
        table = text(qualified(step.schema, step.table))
        started = time.monotonic()
        waiting_since: float | None = None
        told = False
        while (found := proof.find_index(conn, server, step.schema, step.table, name)) is not None:
            pid = found.build_pid
            if pid is None or pid in self._sessions.pids:
                return None
            if self._interrupted() is not None:
                return Failure(
                    f"could not await the build of {name}: interrupted",
                    f"The server builds it on (pid {pid}): run dbopt optimize again.",
                )
            if not told:
                yield Notice(step=step, message=f"pid {pid} builds it already: it is awaited, not built twice")
                told = True
            state = progress.look(conn, server, pid)
            now = time.monotonic()
            if state is not None and state.is_waiting:
                waiting_since = waiting_since or now
                blockers = progress.blockers(conn, server, pid, state.phase, table)
                waited = now - waiting_since
                if limit_seconds is not None and waited > limit_seconds:
                    return Failure(
                        f"could not await the build of {name}: its pid {pid} waits itself ({state.phase})",
                        "The server goes on with it: run dbopt optimize again when it has ended.",
                        Again.LATER,
                    )
                yield Waiting(
                    step=step,
                    phase=state.phase or "waiting for a lock",
                    blockers=blockers,
                    waited_seconds=waited,
                    limit_seconds=limit_seconds,
                )
                yield from self._clear(blockers)
            elif state is not None:
                waiting_since = None
                yield of_progress(step, state, progress.done_ratio(state), now - started)
            yield Pause(POLL_SECONDS)
        return None

    def _standing(self, task: Task, what: Kind, index: str | None) -> tuple[Blocker, ...]:
        """Builds of others on the table first. A statement that stands in their queue holds a snapshot, for which such
        a build will wait in its last phase: a deadlock, whose victim is the build, which is further ahead.
        """
        conn, server, ours = self._sessions.control, self._sessions.server, self._sessions.pids
        step = task.step
        try:
            found = waits.other_builds(conn, server, step.schema, step.table, ours=ours)
            if not found and what is Kind.DROP_TREE:
                return partition_drop.standing(conn, server, step.schema, step.table)
            if found or what not in (Kind.BUILD, Kind.DROP):
                return found
            drops = what is Kind.DROP
            found = waits.standing(
                conn,
                server,
                step.schema,
                step.table,
                drop=drops,
                old_seconds=0.0,
                ours=ours,
                index=index if drops else None,
            )
            if found or drops:
                return found
            # A snapshot matters at the end of a build only, and may be gone by then. Not so one that an earlier try has
            # waited for in vain: this one would end in the same place.
            snapshots = waits.snapshots(conn, server, old_seconds=OLD_SECONDS, ours=ours)
            if task.round > 1:
                return snapshots
            return tuple(who for who in snapshots if self._patience.has_given_up_on(who, task.round))
        except psycopg.Error:
            return ()  # whoever sends the statement next sees that the session is lost


def is_old(who: Blocker) -> bool:
    """Whether it is likely to stay. Of a prepared transaction nobody knows; another build has many transactions."""
    return who.gid is not None or who.phase == waits.OTHER_BUILD or (who.xact_age_seconds or 0.0) >= OLD_SECONDS


def _is_same(
    begun: Mapping[int | str | None, float], first: Mapping[int | str | None, float], key: int | str | None
) -> bool:
    return key in first and abs(begun[key] - first[key]) < _SAME_START_SECONDS
