"""Readings and intervals as bytes: JSON with its columns named once, compressed by zlib.

Columns are named so that an older or newer dbopt takes what it knows. What cannot be read is of no use, and never an
error: a reading is replaced by the next one, an interval is a gap.
"""

from __future__ import annotations

import json
import re
import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbopt.snapshot.model import Change, Interval, Level, Part, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable

_FAST, _SMALL = 1, 6  # a reading is written anew each time, an interval stays

_CHANGES = '"changes":['
_row_at = json.JSONDecoder().raw_decode


def pack_part(part: Part) -> bytes:
    since = _text(part.since)  # of most subjects too, and spelling it out is dear
    rows = [
        [
            item.key,
            item.name,
            item.identity,
            since if item.since == part.since else _text(item.since),
            item.counts,
            item.gauges,
        ]
        for item in part.subjects.values()
    ]
    document = {
        "taken_at": part.taken_at.isoformat(),
        "lineage": part.lineage,
        "counts": part.counts,
        "gauges": part.gauges,
        "levels": part.levels,
        "has_own_since": part.has_own_since,
        "of_database": part.of_database,
        "since": since,
        "remembers": _text(part.remembers),
        "evictions": part.evictions,
        "source": part.source,
        "database_oid": part.database_oid,
        "asked_at": part.asked_at,
        "machine": [_text(at) for at in part.machine],
        "subjects": rows,
    }
    return _packed(document, _FAST)


def unpack_part(family: str, packed: bytes) -> Part | None:
    try:
        document = _unpacked(packed)
        return Part(
            family=family,
            taken_at=datetime.fromisoformat(document["taken_at"]),
            lineage=document["lineage"],
            counts=tuple(document["counts"]),
            gauges=tuple(document["gauges"]),
            levels=document["levels"],
            has_own_since=document["has_own_since"],
            of_database=tuple(document["of_database"]),
            since=_moment(document["since"]),
            remembers=_moment(document["remembers"]),
            evictions=document["evictions"],
            source=document["source"],
            database_oid=document["database_oid"],
            asked_at=document["asked_at"],
            machine=tuple(map(_moment, document["machine"])),
            subjects={
                row[0]: Subject(row[0], row[1], tuple(row[4]), tuple(row[5]), _moment(row[3]), row[2])
                for row in document["subjects"]
            },
        )
    except (zlib.error, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def pack_interval(interval: Interval) -> bytes:
    rows = [
        [item.key, item.name, item.lost_seconds, item.counts, item.gauges]
        # Seldom there.
        + ([item.untimed, item.was] if item.untimed or item.was else [])
        for item in interval.changes.values()
    ]
    document = {
        "from_at": interval.from_at.isoformat(),
        "to_at": interval.to_at.isoformat(),
        "seconds": interval.seconds,
        "counts": interval.counts,
        "gauges": interval.gauges,
        "levels": {name: [item.total, item.samples, item.greatest] for name, item in interval.levels.items()},
        "breaks": interval.breaks,
        "uncounted": interval.uncounted,
        "changes": rows,
    }
    return _packed(document, _SMALL)


def only(*, keys: Iterable[str] = (), key_starts: Iterable[str] = (), names: Iterable[str] = ()) -> re.Pattern[str]:
    """The changes of some subjects, for `unpack_interval`: of thousands that cost a millisecond each time."""
    ways = [re.escape(json.dumps(key)[1:]) + "," for key in keys]
    ways += [re.escape(json.dumps(start)[1:-1]) for start in key_starts]
    ways += [rf'[^"]*",{re.escape(json.dumps(name))},' for name in names]
    return re.compile(rf'\["(?:{"|".join(ways)})')


def unpack_interval(family: str, packed: bytes, wanted: re.Pattern[str] | None = None) -> Interval | None:
    """`wanted`: only the changes of these subjects are read."""
    try:
        document = _unpacked(packed) if wanted is None else _partly(packed, wanted)
        return Interval(
            family=family,
            from_at=datetime.fromisoformat(document["from_at"]),
            to_at=datetime.fromisoformat(document["to_at"]),
            seconds=document["seconds"],
            counts=tuple(document["counts"]),
            gauges=tuple(document["gauges"]),
            levels={name: Level(*values) for name, values in document["levels"].items()},
            breaks=tuple(document["breaks"]),
            uncounted=document["uncounted"],
            changes={
                row[0]: Change(
                    row[0], row[1], tuple(row[3]), tuple(row[4]), row[2], *(tuple(row[5]), row[6]) if row[5:] else ()
                )
                for row in document["changes"]
            },
        )
    except (zlib.error, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def _packed(document: dict[str, Any], level: int) -> bytes:
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), level)


def _unpacked(packed: bytes) -> dict[str, Any]:
    document = json.loads(zlib.decompress(packed))
    if not isinstance(document, dict):
        raise TypeError("not a packed value")
    return document


def _partly(packed: bytes, wanted: re.Pattern[str]) -> dict[str, Any]:
    text = zlib.decompress(packed).decode()
    at = text.find(_CHANGES)  # they come last; within a string, the quotes would be escaped
    if at < 0:
        return _unpacked(packed)
    document: dict[str, Any] = json.loads(f"{text[:at]}{_CHANGES}]}}")
    document["changes"] = [_row_at(text, match.start())[0] for match in wanted.finditer(text, at)]
    return document


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
