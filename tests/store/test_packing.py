"""Readings and intervals as bytes, and back."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dbopt.snapshot.model import Change, Family, Interval, Level, Part, Subject
from dbopt.store.packing import pack_interval, pack_part, unpack_interval, unpack_part

AT = datetime(2026, 3, 29, 0, 30, 0, 123456, tzinfo=UTC)
PART = Part(
    family=Family.INDEXES,
    taken_at=AT,
    lineage="7001/1",
    counts=("idx_scan", "idx_tup_read"),
    gauges=("size_bytes",),
    subjects={
        "16390": Subject("16390", 'app."odd.näme"', (2**53, None), (8192,), AT, "731 16384"),
        "16391": Subject("16391", "b", (0, 0.1), (None,)),
    },
    of_database=(1, 2.5, None),
    levels={"connections": 3.0},
    has_own_since=True,
    since=AT - timedelta(days=1),
    remembers=AT,
    evictions=0,
    source="1.11",
    database_oid=5,
    machine=(AT, None),
    asked_at=1774744200.25,
)
INTERVAL = Interval(
    family=Family.INDEXES,
    from_at=AT,
    to_at=AT + timedelta(minutes=5),
    seconds=300.0,
    counts=("idx_scan",),
    gauges=("size_bytes",),
    changes={
        "1": Change("1", "a", (2.0,), (-8192.0,)),
        "2": Change("2", "b", (None,), (None,), 12.5),
        "3": Change("3", "c", (7.0,), (0.0,), 300.0, (7.0,), "9"),
    },
    levels={"connections": Level(6.0, 2, 4.0)},
    breaks=("the clock went backwards",),
    uncounted={"idx_scan": 60.0},
)


def test_a_reading_comes_back_as_it_was():
    assert unpack_part(PART.family, pack_part(PART)) == PART


def test_an_interval_comes_back_as_it_was():
    assert unpack_interval(INTERVAL.family, pack_interval(INTERVAL)) == INTERVAL


def test_times_of_another_zone_are_the_same_moments():
    summer = Part(family="x", taken_at=AT.astimezone(timezone(timedelta(hours=2))), lineage="", counts=())
    found = unpack_part("x", pack_part(summer))
    assert found is not None
    assert found.taken_at == AT


def _spoiled(packed: bytes):
    document = json.loads(zlib.decompress(packed))
    yield b""
    yield packed[:-1]
    yield packed[:20] + b"\x00\x00" + packed[22:]
    for value in (None, [], 7, "text"):
        yield zlib.compress(json.dumps(value).encode())
        for name in document:
            yield zlib.compress(json.dumps({**document, name: [value] if value == 7 else value}).encode())
    for name in document:
        yield zlib.compress(json.dumps({key: value for key, value in document.items() if key != name}).encode())


@pytest.mark.parametrize(
    ("packed", "unpack"),
    [(pack_part(PART), unpack_part), (pack_interval(INTERVAL), unpack_interval)],
    ids=["reading", "interval"],
)
def test_whatever_is_wrong_with_it_is_no_error(packed, unpack):
    for spoiled in _spoiled(packed):
        unpack("indexes", spoiled)
    assert unpack("indexes", packed[:-1]) is None
