"""What a log could not tell, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dbopt.errors import Error
from dbopt.units import format_duration
from dbopt.workload.log.files import LINE_MAX_BYTES
from dbopt.workload.log.tally import STATEMENTS_MAX

LOCALIZED = "durations in another language than English"
TOO_EARLY = "before the time asked for"
OTHER_DATABASE = "of another database"
OTHER_USER = "of another user"
PREPARING = "parsing and binding, not execution"
FASTPATH = "fast-path function calls"

# A server that logs all it does has statements below it.
EVERYTHING_BELOW_MS = 1.0


@dataclass(slots=True)
class Seen:
    """Counts of entries. `unattributed`: without the database or user that was asked for. `canceled`: where those were
    asked for.
    """

    entries: int = 0
    durations: int = 0
    localized: int = 0
    unattributed: int = 0
    plans: int = 0
    nested: int = 0  # plans of statements in functions
    unreadable: int = 0  # plans
    canceled: int = 0


def nothing(name: str, seen: Seen) -> Error:
    """There are entries, and none says how long a statement took."""
    if seen.localized:
        return Error(
            f"the durations in {name} are not in English",
            detail=f"{seen.localized} entries look like durations in another language",
            hint="ALTER SYSTEM SET lc_messages = 'C'; SELECT pg_reload_conf(); then log anew.",
        )
    return Error(
        f"no duration of any statement in {name}",
        detail=f"{seen.entries} entries, none of them a `duration: ... ms`",
        hint="ALTER SYSTEM SET log_min_duration_statement = '500ms'; SELECT pg_reload_conf(); then log anew.",
    )


def of(
    seen: Seen,
    *,
    shortest_ms: float | None,
    others: int,
    textless: int,
    zones: set[str],
    clipped: int,
    damage: str | None,
) -> Iterator[str]:
    if shortest_ms is not None:
        missing = f"the shortest execution took {format_duration(shortest_ms / 1000)}, quicker ones are missing"
        is_all = shortest_ms < EVERYTHING_BELOW_MS
        yield f"only what was logged is counted: {'it seems to be all' if is_all else missing}"
    if seen.nested:
        yield (
            f"{seen.nested} of {seen.plans} plans are of statements in functions, whose time is that of the calling"
            " statements, too"
        )
    if seen.unreadable:
        yield (
            f"{seen.unreadable} plans cannot be read (XML, or cut off): auto_explain.log_format = 'json' writes them so"
            " that they can"
        )
    if textless:
        yield (
            f"{textless} durations do not say of which statement (log_duration): log_min_duration_statement logs both"
            " at once"
        )
    if others:
        yield f"{others} executions of statements beyond the first {STATEMENTS_MAX:,} different ones are not told apart"
    if seen.unattributed:
        yield (
            f"{seen.unattributed} durations without user or database were counted, whosever they are: log_line_prefix"
            " needs %u and %d"
        )
    if seen.localized:
        yield f"{seen.localized} durations are not in English and not counted: SET lc_messages = 'C' on the server"
    if zones:
        yield f"times in {', '.join(sorted(zones))} were taken for UTC: no such time zone is known here"
    if clipped:
        yield f"of {clipped} lines only the first {LINE_MAX_BYTES // 1024**2} MB was read"
    if damage is not None:
        yield f"the log ends early: {damage}"
