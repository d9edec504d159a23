from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt import units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1),
        ("8192B", 8192),
        ("64kB", 65536),
        ("64 KB", 65536),
        ("1.5MB", 1572864),
        (" 4GB ", 4 * 1024**3),
        ("2tb", 2 * 1024**4),
        (4096, 4096),
    ],
)
def test_parse_bytes(text, expected):
    assert units.parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "4 elephants", "1e3", "4GiB", "1,5MB", "inf", "nan", "9" * 400, "٣GB", "1_0", None]
)
def test_no_bytes(text):
    with pytest.raises(ValueError, match="expected an amount of bytes such as"):
        units.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("30 sec", 30.0),
        ("5min", 300.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("60d", 5184000.0),
        ("1w", 604800.0),
        ("6mo", 15552000.0),
        ("2y", 63072000.0),
        ("250us", 0.00025),
        ("1.5h", 5400.0),
        ("0s", 0.0),
    ],
)
def test_parse_duration(text, expected):
    assert units.parse_duration(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", 5, "s", "-1s", "5 fortnights", "1h30m", "9" * 400 + "s", "infs"])
def test_no_duration(text):
    with pytest.raises(ValueError, match="expected a duration such as"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0B"),
        (8192, "8192B"),
        (65536, "64kB"),
        (1.5 * 1024**2, "1.5MB"),
        (12 * 1024**3, "12GB"),
        (2048 * 1024**4, "2048TB"),
    ],
)
def test_format_bytes(size, expected):
    assert units.format_bytes(size) == expected


@given(st.integers(0, 2**60))
def test_bytes_there_and_back(size):
    assert units.parse_bytes(units.format_bytes(size)) == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.00 ms"),
        (0.0004, "0.40 ms"),
        (0.0123, "12.3 ms"),
        (0.0995, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (3.44, "3.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (11220, "3 h 07 min"),
        (12 * 86400 + 4 * 3600, "12 d 4 h"),
    ],
)
def test_format_duration(seconds, expected):
    assert units.format_duration(seconds) == expected
