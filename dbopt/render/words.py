"""The words that plan and optimize share. Foreign names are made visible here, so callers can compose freely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize.steps import Action, ItemStatus
from dbopt.postgres.identifiers import display
from dbopt.render.escape import visible
from dbopt.spec.finding import Severity
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.optimize.steps import Blocker, Item, Step, Target

_QUERY_SHOWN = 60  # characters of somebody's statement: which one it is, not all of it

DOING = {
    Action.CREATE: "creating",
    Action.ADOPT: "awaiting",
    Action.REPLACE: "replacing",
    Action.RENAME: "renaming",
    Action.REPAIR: "repairing",
    Action.ATTACH: "attaching",
    Action.DROP: "dropping",
    Action.COMMENT: "commenting",
    Action.ANALYZE: "analyzing",
}
DONE = {
    Action.CREATE: "created",
    Action.ADOPT: "adopted",
    Action.REPLACE: "replaced",
    Action.RENAME: "renamed",
    Action.REPAIR: "repaired",
    Action.ATTACH: "attached",
    Action.DROP: "dropped",
    Action.COMMENT: "commented",
    Action.ANALYZE: "analyzed",
}
STYLES = {
    Action.CREATE: "green",
    Action.ADOPT: "green",
    Action.REPLACE: "yellow",
    Action.RENAME: "cyan",
    Action.REPAIR: "yellow",
    Action.ATTACH: "cyan",
    Action.DROP: "red",
    Action.COMMENT: "cyan",
    Action.ANALYZE: "cyan",
    ItemStatus.APPLIED: "green",
    ItemStatus.FAILED: "bold red",
    ItemStatus.LEFT: "yellow",
    ItemStatus.REFUSED: "yellow",
    ItemStatus.UNCHANGED: "",
    Severity.ERROR: "bold red",
    Severity.WARNING: "yellow",
    Severity.INFO: "cyan",
}


def relation(of: Step | Item) -> str:
    return visible(display(of.schema, of.table))


def subject(of: Step | Item) -> str:
    return relation(of) if of.index is None else f"{visible(of.index)} on {relation(of)}"


def database(target: Target) -> str:
    version = target.server_version.split(" ")[0]  # packagers add their own number behind it, in parentheses
    return f"{visible(target.dbname)}, PostgreSQL {visible(version)}"


def plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def blocker(who: Blocker) -> str:
    """`pid 4711 (user app, application web, idle in transaction, for 3 min 02 s): UPDATE posts SET author = $1`."""
    facts = [
        f"user {visible(who.usename)}" if who.usename else "",
        f"application {visible(who.application_name)}" if who.application_name else "",
        visible(who.state or ""),
        "" if who.xact_age_seconds is None else f"for {format_duration(who.xact_age_seconds)}",
        f"slot {visible(who.slot)}" if who.slot else "",
    ]
    name = f"prepared transaction {visible(who.gid)}" if who.gid is not None else f"pid {who.pid}"
    said = ", ".join(filter(None, facts))
    query = f": {visible(_clipped(who.query))}" if who.query else ""
    return f"{name} ({said}){query}" if said else f"{name}{query}"


def _clipped(query: str) -> str:
    return query if len(query) <= _QUERY_SHOWN else query[: _QUERY_SHOWN - 1].rstrip("… ") + "…"


def estimate(amounts: Mapping[str, float]) -> str:
    """`build_seconds` and `size_bytes` as `build 2 min 05 s, size 1.2GB`: the unit is the last word of each key. How
    large the table is, is said for programs only.
    """
    return ", ".join(_amount(key, value) for key, value in amounts.items() if key != "table_bytes")


def _amount(key: str, value: float) -> str:
    *name, unit = key.split("_")
    match unit:
        case "seconds":
            return " ".join([*name, format_duration(value)])
        case "bytes":
            return " ".join([*name, format_bytes(value)])
    return f"{' '.join([*name, unit])} {value:,.0f}"
