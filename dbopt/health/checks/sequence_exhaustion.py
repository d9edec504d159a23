"""Sequences that have used most of the values which they, or the columns that draw from them, can have.

When the last value is taken every INSERT fails. The end is the least of the sequence's own maximum (or minimum, where
it counts down) and the greatest value of each column that takes its values: smallint ends at 32,767, integer at
2,147,483,647, whatever the sequence may count to. All columns count that draw from it: by a default of nextval(), as
identity, or as its owner; several tables may share one.

A sequence with CYCLE begins again by itself and is let pass, unless a column that cannot count as far draws from it, or
one that has to be unique. How many days are left is told from the second run on, by the values taken since the oldest
run of the last day. A sequence nobody has drawn from since it was set or restarted counts with the value it was set to.
On a server with more sequences than half its lock table has room for, those with the least room are read.
https://www.postgresql.org/docs/current/sql-createsequence.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg.sql import SQL, Identifier

from dbopt.health.check import Check, Gap, Group, Unit, above
from dbopt.health.deltas import Counters
from dbopt.postgres.sequences import SEQUENCES, SequenceState
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_DAY = 86_400.0
_BOUNDS = {"smallint": 2**15 - 1, "integer": 2**31 - 1}
_KEPT_RATIO = 0.25  # from which on a sequence is noted down for the next run


@dataclass(frozen=True, slots=True)
class Exhaustion:
    sequence: SequenceState
    gap: Gap | None = None
    seconds_left: float | None = None  # at the rate of the last day; None: not known, or none was taken


def _rows(rows: Sequence[SequenceState], scene: Scene) -> Iterator[Exhaustion]:
    for row in rows:
        # Before a cycling sequence ends it begins anew, if every column can follow it to there.
        if row.cycles and row.limit_column is None and not row.feeds_unique:
            continue
        found = Exhaustion(row, _gap(row, scene))
        yield found if found.gap else replace(found, seconds_left=_seconds_left(row, scene))


def _gap(row: SequenceState, scene: Scene) -> Gap | None:
    if row.used is not None:
        return None
    if not row.is_readable:
        return Gap("their last values are hidden", _grants(row, scene), blind=True)
    if row.is_locked:
        return Gap("locked by another session", "Run dbopt health --only blocked-sessions.", blind=True)
    return Gap("there are more sequences than can be read at a time", "Raise max_locks_per_transaction.")


def _grants(row: SequenceState, scene: Scene) -> str:
    if scene.server.has_read_all_data:
        return scene.server.grant("pg_read_all_data")
    schemas = SQL(", ").join(map(Identifier, row.hidden_schemas or [row.schema]))
    return scene.server.grant(f"SELECT ON ALL SEQUENCES IN SCHEMA {schemas.as_string()}")


def _seconds_left(row: SequenceState, scene: Scene) -> float | None:
    earlier, seconds = scene.earlier.get(row.relation), scene.seconds_since
    if earlier is None or row.used is None:
        return None
    taken = row.used - earlier.values.get("used", row.used)
    return (row.total - row.used) / taken * seconds if taken > 0 and seconds > 0 else None


def _counters(rows: Sequence[SequenceState]) -> Iterator[Counters]:
    for row in rows:
        if row.used is not None and row.used_ratio >= _KEPT_RATIO:
            yield Counters(row.relation, None, {"used": row.used})


def _detail(row: Exhaustion) -> str:
    sequence = row.sequence
    left = max(sequence.total - (sequence.used or 0), 0)
    end = f"of {sequence.limit_value:,.0f}" if abs(sequence.limit_value) < 2**53 else "of a bigint's values"
    words = [f"at {sequence.last_value:,} {end}, {sequence.used_ratio:.0%} used, {left:,.0f} left"]
    if sequence.limit_column is not None:
        words.append(f"limited by {sequence.limit_column} ({sequence.limit_type})")
    elif sequence.columns:
        named = [".".join(names) for names in zip(sequence.relations, sequence.columns, strict=True)]
        words.append(f"drawn from by {', '.join(named[:3])}")
    if row.seconds_left is not None:
        words.append(f"{row.seconds_left / _DAY:,.1f} days left at the rate of late")
    if sequence.cycles:
        words.append("CYCLE")
    return ", ".join(words)


def _remedy(row: Exhaustion) -> str:
    sequence = row.sequence
    columns = zip(sequence.relations, sequence.columns, sequence.types, strict=True)
    widen = [
        f"ALTER TABLE {relation} ALTER COLUMN {column} TYPE bigint;"
        for relation, column, type_ in columns
        if type_ in _BOUNDS
    ]
    # Its own bound moves along with the type, if it is the type's.
    bound = "MAXVALUE" if sequence.increment > 0 else "MINVALUE"
    is_given = (sequence.seqmax if sequence.increment > 0 else -1 - sequence.seqmin) != _BOUNDS.get(sequence.seqtypid)
    changes = [
        # An identity column takes its sequence along.
        *(["AS bigint"] if sequence.seqtypid in _BOUNDS and not (sequence.has_identity and widen) else []),
        *([f"NO {bound}"] if is_given and sequence.limit_column is None else []),
    ]
    lines = [f"ALTER SEQUENCE {sequence.relation} {' '.join(changes)};"] if changes else []
    if widen:
        lines = [
            "-- rewrites the table while nobody can read it; if it is large, fill a new column in batches instead",
            *lines,
            *widen,
        ]
    elif sequence.limit_column is not None:
        lines.append(f"-- {sequence.limit_column} needs a type that holds more than {sequence.limit_type}")
    return "\n".join(lines)


CHECK: Check[Exhaustion] = Check(
    id="sequence-exhaustion",
    title="Sequences running out of values",
    group=Group.STORAGE,
    query=SEQUENCES,
    unit=Unit.RATIO,
    thresholds=above(warning=0.75, critical=0.9, source="our own: a quarter left is time enough to widen a column"),
    rows=_rows,
    gap=lambda row: row.gap,
    counters=_counters,
    slow=True,
    subject=lambda row: row.sequence.relation,
    measure=lambda row: row.sequence.used_ratio,
    detail=_detail,
    remedy=_remedy,
)
