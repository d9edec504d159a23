"""One list of rows in the four formats."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbopt.render import lines
from dbopt.render.escape import visible
from dbopt.render.output import Format, Output
from dbopt.render.records import Column, write_records
from dbopt.units import format_bytes

from .values import HOSTILE, Memory

COLUMNS = [
    Column(name="relation"),
    Column(name="size_bytes", title="size", show=format_bytes, align="right"),
    Column(name="note"),
]
ROWS = [["app.orders", 50331648, None], ["app.a\tb", 0, "line\nbreak \\ [red]"]]


def written(format: Format, rows: list[list[object]], **more: object) -> str:
    memory = Memory(format, **more)  # type: ignore[arg-type]
    write_records(memory.output, "stats", "tables", COLUMNS, rows)
    return memory.out


def test_table() -> None:
    assert written(Format.TABLE, ROWS, width=60) == (
        "relation     size   note\n"
        "───────────────────────────────────────\n"
        "app.orders   48MB\n"
        "app.a\\tb       0B   line\\nbreak \\ [red]\n"
    )


def test_table_folds_and_never_cuts() -> None:
    sql = "SELECT 1 FROM generate_series(1, 10) " * 280  # 10 kB
    text = written(Format.TABLE, [["n" * 63, 1, sql]], width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert "".join(re.findall("n+", text.split("───")[-1])).count("n") >= 63
    assert text.count("SELECT") == 280


def test_table_in_a_file_is_as_wide_as_it_needs() -> None:
    text = written(Format.TABLE, [["n" * 63, 1, "x" * 500]])
    assert "n" * 63 + "     1B   " + "x" * 500 in text


def test_lines() -> None:
    assert written(Format.LINES, ROWS) == "app.orders\t50331648\t\napp.a\\tb\t0\tline\\nbreak \\\\ [red]\n"


def test_csv() -> None:
    assert written(Format.CSV, ROWS) == (
        'relation,size_bytes,note\r\napp.orders,50331648,\r\napp.a\tb,0,"line\nbreak \\ [red]"\r\n'
    )


def test_json() -> None:
    assert json.loads(written(Format.JSON, ROWS)) == {
        "schema_version": 1,
        "command": "stats",
        "tables": [
            {"relation": "app.orders", "size_bytes": 50331648, "note": None},
            {"relation": "app.a\tb", "size_bytes": 0, "note": "line\nbreak \\ [red]"},
        ],
    }


def test_no_rows() -> None:
    assert [written(format, []) for format in (Format.TABLE, Format.LINES)] == ["", ""]
    assert written(Format.CSV, []) == "relation,size_bytes,note\r\n"
    assert json.loads(written(Format.JSON, []))["tables"] == []


class Colour(StrEnum):
    RED = "red"


def test_raw_values() -> None:
    summer = datetime(2026, 7, 1, 12, 0, 0, 500000, tzinfo=timezone(timedelta(hours=2)))
    values = [None, True, False, 0.1, 12345678901234567890, summer, datetime(2026, 1, 1, tzinfo=UTC), Colour.RED]
    assert lines.line(values) == (
        "\ttrue\tfalse\t0.1\t12345678901234567890\t2026-07-01T10:00:00.500000Z\t2026-01-01T00:00:00Z\tred"
    )


def test_json_has_no_nan_and_no_half_characters() -> None:
    text = written(Format.JSON, [["\ud83d", float("nan"), "\ud83d\ude00"]])
    assert json.loads(text, parse_constant=pytest.fail)["tables"] == [
        {"relation": "\ufffd", "size_bytes": None, "note": "\U0001f600"}
    ]
    text.encode()


def test_json_is_utf_8_whatever_the_encoding_of_the_terminal() -> None:
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="latin-1")
    output = Output.detect(format=Format.JSON, stdout=stdout, stderr=io.StringIO(), environ={})
    write_records(output, "stats", "tables", COLUMNS[:1], [["é\U0001f600"]])
    assert json.loads(raw.getvalue().decode())["tables"] == [{"relation": "é\U0001f600"}]


@pytest.mark.parametrize("width", [60, 100, 200])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_in_its_cell(name: str, width: int) -> None:
    from rich.cells import cell_len

    text = written(Format.TABLE, [[name, 1, "end"]], width=width, terminal=True)
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]", text) is None
    assert max(map(cell_len, text.split("\n"))) <= width
    body = text.split("\n")[2:-1]
    assert sum(line.endswith("end") for line in body) == 1
    if cell_len(visible(name)) < width // 2:
        assert len(body) == 1
        assert visible(name).strip() in body[0]


def from_copy(field: str) -> str:
    """What COPY FROM makes of a field, written independently of the renderer."""
    short = {"b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
    data, position = bytearray(), 0
    while position < len(field):
        char = field[position]
        if char != "\\":
            data += char.encode()
        elif field[position + 1] == "x":
            data.append(int(field[position + 2 : position + 4], 16))
            position += 3
        else:
            following = field[position + 1]
            data += bytes([short[following]]) if following in short else following.encode()
            position += 1
        position += 1
    return data.decode()


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3)))
def test_lines_carry_any_text(rows: list[list[object]]) -> None:
    text = written(Format.LINES, rows)
    assert len(text.splitlines()) == len(rows)
    assert [[from_copy(field) for field in line.split("\t")] for line in text.splitlines()] == rows


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3)))
def test_csv_carries_any_text(rows: list[list[object]]) -> None:
    assert list(csv.reader(io.StringIO(written(Format.CSV, rows), newline=""))) == [
        ["relation", "size_bytes", "note"],
        *rows,
    ]


@given(st.lists(st.lists(st.text() | st.none() | st.integers(), min_size=3, max_size=3)))
def test_json_carries_any_text(rows: list[list[object]]) -> None:
    found = json.loads(written(Format.JSON, rows))["tables"]
    assert [[record[column.name] for column in COLUMNS] for record in found] == rows


@given(st.text())
def test_visible_is_one_line_of_plain_characters(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
