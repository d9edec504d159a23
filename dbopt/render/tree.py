"""A tree of blocked sessions, drawn for people or as plain values for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbopt.health.blocking import PREPARED_PID
from dbopt.render.escape import visible
from dbopt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.blocking import Member, Tree

_STATEMENT_MAX = 100  # characters; JSON has the whole
_OTHER_BLOCKERS_MAX = 3
MEMBERS_MAX = 40  # a screen; of a longer tree the rest is counted


def tree_lines(tree: Tree, *, members_max: int = MEMBERS_MAX) -> list[str]:
    """The root first, who waits for it below, and the statement that ends it.

    pid 4711  app@orders (worker)  idle in transaction for 12 min 03 s
    │  holds RowExclusiveLock on public.orders
    │  UPDATE public.orders SET state = ? WHERE id = ?
    └─ pid 4712  app@orders  waits 12 min 01 s for ShareLock on transaction 745 for a row of public.orders
          UPDATE public.orders SET state = ? WHERE id = ?
    1 session waits, the longest for 12 min 01 s
    SELECT pg_catalog.pg_terminate_backend(4711);
    """
    lines: list[str] = []
    for member, below, stem in _stems(tree.members[:members_max]):
        first, *more = map(visible, _member_lines(member, tree))
        lines.append(stem + first)
        lines += [below + line for line in more]
    left = len(tree.members) - members_max
    if left > 0:
        lines.append(f"... and {left} more")
    longest = tree.longest_wait_seconds
    count = len(tree.victims)
    waiting = f"{count} session waits" if count == 1 else f"{count} sessions wait"
    lines.append(waiting if longest is None else f"{waiting}, the longest for {format_duration(longest)}")
    lines.append(tree.remedy)
    return lines


def _stems(members: Sequence[Member]) -> Iterator[tuple[Member, str, str]]:
    """Each with what stands left of its further lines, and left of its first."""
    last_of_level = _last(members)
    open_levels: list[bool] = []  # by depth: whether a sibling is still to come
    for index, member in enumerate(members):
        del open_levels[max(member.depth - 1, 0) :]
        before = "".join("│  " if is_open else "   " for is_open in open_levels)
        has_children = index + 1 < len(members) and members[index + 1].depth > member.depth
        if member.depth == 0:
            yield member, "│  " if has_children else "   ", ""
            continue
        is_last = last_of_level[index]
        open_levels.append(not is_last)
        below = before + ("   " if is_last else "│  ") + ("│  " if has_children else "   ")
        yield member, below, before + ("└─ " if is_last else "├─ ")


def _last(members: Sequence[Member]) -> list[bool]:
    """Of each, whether it is the last below its parent."""
    last: list[bool] = []
    seen: list[bool] = []  # from the end: by depth, whether this parent has had one
    for member in reversed(members):
        del seen[member.depth + 1 :]
        seen += [False] * (member.depth + 1 - len(seen))
        last.append(not seen[member.depth])
        seen[member.depth] = True
    return last[::-1]


def _member_lines(member: Member, tree: Tree) -> Iterator[str]:
    words = [member.name, _who(member)]
    if member.state is not None and member.state != "active":
        words.append(_since(member.state, member.state_seconds))
    elif member.pid == PREPARED_PID and member.xact_seconds is not None:
        words.append(f"prepared {format_duration(member.xact_seconds)} ago")
    elif member.depth == 0 and member.state is not None:
        words.append(_since(member.state, member.xact_seconds))
    if member.waits_for is not None:
        wait = member.waits_for
        time = f" {format_duration(wait.seconds)}" if wait.seconds is not None else ""
        at = f" (since {wait.since:%H:%M:%S})" if wait.since is not None else ""
        words.append(f"waits{time}{at} for {wait.mode} on {wait.object}")
    yield "  ".join(word for word in words if word)
    if member.holds:
        more = member.holds_count - len(member.holds)
        yield f"holds {', '.join(member.holds)}{f' and {more} more locks' if more > 0 else ''}"
    others = _other_blockers(member, tree)
    if others:
        yield others
    if member.statement:
        text = member.statement
        yield text if len(text) <= _STATEMENT_MAX else text[: _STATEMENT_MAX - 3].rstrip() + "..."


def _who(member: Member) -> str:
    who = f"{member.usename or member.backend_type or ''}{f'@{member.datname}' if member.datname else ''}"
    who += f" ({member.application_name})" if member.application_name else ""
    return who + (f" from {member.client}" if member.client else "")


def _since(state: str, seconds: float | None) -> str:
    return f"{state} for {format_duration(seconds)}" if seconds is not None else state


def _other_blockers(member: Member, tree: Tree) -> str | None:
    """Whom it waits for beside the one that it stands below."""
    index = tree.members.index(member)
    parent = next((m for m in reversed(tree.members[:index]) if m.depth == member.depth - 1), None)
    names = [f"pid {pid}" for pid in member.blocked_by if pid != PREPARED_PID]
    names += [f"prepared {gid}" for gid in member.blocked_by_prepared]
    names = [name for name in names if parent is None or name != parent.name]
    if not names:
        return None
    more = len(names) - _OTHER_BLOCKERS_MAX
    return f"also behind {', '.join(names[:_OTHER_BLOCKERS_MAX])}{f' and {more} more' if more > 0 else ''}"


def tree_document(tree: Tree) -> dict[str, Any]:
    """Its members in the order of the drawing, the root first; `depth` and `blocked_by` say how they hang together."""
    return {
        "root": tree.root.name,
        "victims": len(tree.victims),
        "longest_wait_seconds": tree.longest_wait_seconds,
        "remedy": tree.remedy,
        "sessions": [_document(member) for member in tree.members],
    }


def _document(member: Member) -> dict[str, Any]:
    wait = member.waits_for
    return {
        "depth": member.depth,
        "pid": member.pid or None,
        "gid": member.gid,
        "datname": member.datname,
        "usename": member.usename,
        "application_name": member.application_name,
        "client": member.client,
        "backend_type": member.backend_type,
        "state": member.state,
        "state_seconds": member.state_seconds,
        "xact_seconds": member.xact_seconds,
        "statement": member.statement,
        "holds": list(member.holds),
        "waits_for": wait and {"mode": wait.mode, "object": wait.object, "since": wait.since, "seconds": wait.seconds},
        "blocked_by": list(member.blocked_by),
        "blocked_by_prepared": list(member.blocked_by_prepared),
    }
