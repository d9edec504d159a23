"""Sessions that wait for others' locks, as trees: whoever blocks them all stands at the root.

Who waits for whom is what pg_blocking_pids says, all kinds of locks included: rows, tables, advisory locks, and the
queue before a lock, in which one ALTER TABLE that waits stops every reader behind it. Prepared transactions block as
sessions do. A finding is a root; its measure is the longest wait below it, counted from the beginning of the wait
(before PostgreSQL 14, from the beginning of the statement).

Ending the root frees all below it. A root that runs a statement is cancelled; one that is idle has to be terminated, as
there is nothing to cancel. `lock_timeout` for whoever changes tables keeps queues from growing.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
https://www.postgresql.org/docs/current/explicit-locking.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.blocking import PREPARED_PID, Member, Tree, trees
from dbopt.health.check import Check, Gap, Group, Unit, above
from dbopt.health.sessions import clipped
from dbopt.postgres.prepared import PREPARED_TRANSACTIONS
from dbopt.postgres.sessions import SESSIONS, Session
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Blocked:
    """A tree as far as its waits are known, or (`gap`) as far as they are not."""

    tree: Tree
    gap: Gap | None = None

    @property
    def detail(self) -> str:
        tree, root = self.tree, self.tree.root
        count = len(tree.victims)
        words = [f"blocks {count} session{'s' if count != 1 else ''}"]
        if tree.is_circle:
            words = [f"waits in a circle with {count} session{'s' if count != 1 else ''}"]
        longest = tree.longest
        if longest is not None and longest.waits_for is not None:
            wait = longest.waits_for
            words[0] += f", {longest.name} for {format_duration(wait.seconds or 0)} ({wait.mode} on {wait.object})"
        words.append(description(root))
        words += [f"holds {', '.join(root.holds)}"] if root.holds else []
        words += [clipped(root.statement)] if root.statement else []
        return "; ".join(words)


def description(member: Member) -> str:
    """Who it is and what it does."""
    if member.pid == PREPARED_PID:
        age = f" {format_duration(member.xact_seconds)} ago" if member.xact_seconds is not None else ""
        return f"prepared{age} by {member.usename or 'unknown'} in database {member.datname or 'unknown'}"
    who = f"{member.usename or member.backend_type or 'unknown'}{f'@{member.datname}' if member.datname else ''}"
    who += f" ({member.application_name})" if member.application_name else ""
    who += f" from {member.client}" if member.client else ""
    if member.state is None:
        return who
    since = f" for {format_duration(member.state_seconds)}" if member.state_seconds is not None else ""
    return f"{who} {member.state}{since}"


def _rows(sessions: Sequence[Session], scene: Scene) -> Iterator[Blocked]:
    for tree in trees(sessions, scene.rows(PREPARED_TRANSACTIONS), literals=scene.show_literals):
        if tree.longest is not None:
            yield Blocked(tree)
        if any(member.waits_for is not None and member.waits_for.seconds is None for member in tree.members):
            reason = "since when sessions of other roles wait is hidden"
            yield Blocked(tree, Gap(reason, scene.server.grant("pg_monitor"), blind=True))


CHECK: Check[Blocked] = Check(
    id="blocked-sessions",
    title="Sessions blocked by others",
    group=Group.LOCKS,
    query=SESSIONS,
    also=(PREPARED_TRANSACTIONS,),
    rows=_rows,
    gap=lambda blocked: blocked.gap,
    unit=Unit.SECONDS,
    thresholds=above(warning=60, critical=5 * 60, source="our reasoning: a minute is the patience of users and pools"),
    subject=lambda blocked: blocked.tree.root.name,
    measure=lambda blocked: blocked.tree.longest_wait_seconds or 0.0,
    detail=lambda blocked: blocked.detail,
    remedy=lambda blocked: blocked.tree.remedy,
    trees=lambda rows: tuple(dict.fromkeys(blocked.tree for blocked in rows)),
)
