"""The store itself: how it stands, and what a prune did."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dbopt.render.escape import visible
from dbopt.render.output import Format
from dbopt.render.records import Column, write_records
from dbopt.render.words import plural
from dbopt.units import format_bytes

if TYPE_CHECKING:
    from datetime import datetime

    from dbopt.render.output import Output
    from dbopt.store.location import Location
    from dbopt.store.prune import Pruned
    from dbopt.store.repository import Status
    from dbopt.store.retention import Policy
    from dbopt.store.space import Contents

# What people call the rows of each table.
_WORDS = {
    "targets": ("database", "databases"),
    "runs": ("run", "runs"),
    "steps": ("step", "steps"),
    "health_runs": ("health run", "health runs"),
    "health_checks": ("verdict", "verdicts"),
    "health_findings": ("finding", "findings"),
    "health_samples": ("sample", "samples"),
    "snapshot_heads": ("last reading", "last readings"),
    "intervals": ("interval", "intervals"),
    "marks": ("mark", "marks"),
    "mark_parts": ("reading at a mark", "readings at marks"),
    "statement_texts": ("text", "texts"),
    "statements": ("statement", "statements"),
    "statement_traits": ("statement's traits", "statements' traits"),
    "statement_plans": ("plan", "plans"),
    "plan_shapes": ("plan's time", "plans' times"),
    "suggestions": ("suggestion", "suggestions"),
}


def write_status(output: Output, status: Status, found: Contents | None, size: int | None, policy: Policy) -> None:
    """`found` None: its tables are not of this version. `size` None: there is nothing yet."""
    fields: dict[str, Any] = {
        "store": status.store,
        "state": status.state,
        "revision": status.revision,
        "head": status.head,
        "runs": status.runs,
        "targets": None if found is None else found.rows["targets"],
        "oldest": None if found is None else found.oldest,
        "newest": None if found is None else found.newest,
        "size_bytes": size,
        "used_bytes": None if found is None else found.used_bytes,
        "retention_age_seconds": _limit(policy.age_seconds),
        "retention_size_bytes": _limit(policy.size_bytes),
    }
    if output.format is Format.TABLE:
        output.out.write("".join(f"{name:<11}{value}\n" for name, value in _for_people(fields, found)))
        return
    columns = [Column(name=name) for name in fields]
    more = {"tables": {} if found is None else found.rows}
    write_records(output, "store", "stores", columns, [list(fields.values())], more=more)


def _for_people(fields: dict[str, Any], found: Contents | None) -> list[tuple[str, str]]:
    revision = f"revision {fields['revision']}" if fields["revision"] else "no tables yet"
    if fields["revision"] != fields["head"]:
        revision += f"; this dbopt works with {fields['head']}"
    lines = [("store", visible(fields["store"])), ("state", f"{fields['state']}: {revision}")]
    if fields["size_bytes"] is not None:
        unused = fields["size_bytes"] - (fields["used_bytes"] or fields["size_bytes"])
        words = f", {format_bytes(unused)} of it for rows to come" if unused > fields["size_bytes"] / 10 else ""
        lines.append(("size", format_bytes(fields["size_bytes"]) + words))
    if found is not None:
        if found.oldest is not None and found.newest is not None:
            lines.append(("reaches", f"from {_shown(found.oldest)} to {_shown(found.newest)}"))
        counted = [_count(table, count) for table, count in found.rows.items() if count]
        lines.append(("holds", ", ".join(counted) or "nothing yet"))
    lines.append(("keeps", _policy(fields["retention_age_seconds"], fields["retention_size_bytes"])))
    return lines


def write_pruned(output: Output, location: Location, done: Pruned, *, dry_run: bool, before: datetime | None) -> None:
    fields: dict[str, Any] = {
        "store": str(location),
        "dry_run": dry_run,
        "before": before,
        "rows": sum(done.rows.values()),
        "before_bytes": done.before_bytes,
        "after_bytes": done.after_bytes,
    }
    if output.format is not Format.TABLE:
        columns = [Column(name=name) for name in fields]
        write_records(output, "store", "pruned", columns, [list(fields.values())], more={"tables": dict(done.rows)})
        return
    if done.rows:
        what = ", ".join(_count(table, count) for table, count in done.rows.items())
        output.out.write(f"{'would go' if dry_run else 'dropped'}: {what}\n")
    else:
        output.out.write(f"nothing {'would go' if dry_run else 'went'}\n")
    becomes = "would have about" if dry_run else "has"
    before_size, after_size = format_bytes(done.before_bytes), format_bytes(done.after_bytes)
    output.out.write(f"{visible(fields['store'])} had {before_size}, {becomes} {after_size}\n")


def _count(table: str, count: int) -> str:
    return plural(count, *_WORDS.get(table, (table, table)))


def _policy(age_seconds: float | None, size_bytes: float | None) -> str:
    age = "" if age_seconds is None else f"{age_seconds / 86400:g} days"
    size = "" if size_bytes is None else f"at most {format_bytes(size_bytes)}"
    return ", ".join(filter(None, (age, size))) or "everything"


def _limit(value: float) -> float | None:
    return round(value) if math.isfinite(value) else None


def _shown(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M}"
