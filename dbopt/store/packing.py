"""Readings and intervals as bytes: JSON with its columns named once, compressed by zlib.

Columns are named so that an older or newer dbopt takes what it knows. What cannot be read is of no use, and never an
error: a reading is replaced by the next one, an interval is a gap.
"""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from typing import Any

from dbopt.snapshot.model import Change, Interval, Level, Part, Subject

_FAST, _SMALL = 1, 6  # a reading is written anew each time, an interval stays


def pack_part(part: Part) -> bytes:
    rows = [
        [item.key, item.name, item.identity, _text(item.since), item.counts, item.gauges]
        for item in part.subjects.values()
    ]
    document = {
        "taken_at": part.taken_at.isoformat(),
        "lineage": part.lineage,
        "counts": part.counts,
        "gauges": part.gauges,
        "witness": part.witness,
        "levels": part.levels,
        "has_own_since": part.has_own_since,
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
            witness=tuple(document["witness"]),
            levels=document["levels"],
            has_own_since=document["has_own_since"],
            subjects={
                row[0]: Subject(row[0], row[1], tuple(row[4]), tuple(row[5]), _moment(row[3]), row[2])
                for row in document["subjects"]
            },
        )
    except (zlib.error, ValueError, TypeError, KeyError, IndexError):
        return None


def pack_interval(interval: Interval) -> bytes:
    rows = [[item.key, item.name, item.lost_seconds, item.counts, item.gauges] for item in interval.changes.values()]
    document = {
        "from_at": interval.from_at.isoformat(),
        "to_at": interval.to_at.isoformat(),
        "seconds": interval.seconds,
        "counts": interval.counts,
        "gauges": interval.gauges,
        "levels": {name: [item.total, item.samples, item.greatest] for name, item in interval.levels.items()},
        "breaks": interval.breaks,
        "changes": rows,
    }
    return _packed(document, _SMALL)


def unpack_interval(family: str, packed: bytes) -> Interval | None:
    try:
        document = _unpacked(packed)
        return Interval(
            family=family,
            from_at=datetime.fromisoformat(document["from_at"]),
            to_at=datetime.fromisoformat(document["to_at"]),
            seconds=document["seconds"],
            counts=tuple(document["counts"]),
            gauges=tuple(document["gauges"]),
            levels={name: Level(*values) for name, values in document["levels"].items()},
            breaks=tuple(document["breaks"]),
            changes={
                row[0]: Change(row[0], row[1], tuple(row[3]), tuple(row[4]), row[2]) for row in document["changes"]
            },
        )
    except (zlib.error, ValueError, TypeError, KeyError, IndexError):
        return None


def _packed(document: dict[str, Any], level: int) -> bytes:
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), level)


def _unpacked(packed: bytes) -> dict[str, Any]:
    document = json.loads(zlib.decompress(packed))
    if not isinstance(document, dict):
        raise TypeError("not a packed value")
    return document


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
