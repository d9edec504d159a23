from __future__ import annotations

import dataclasses
import json

import pytest

from dbopt.render.findings import write_findings
from dbopt.render.output import Format

from .values import FINDINGS, HOSTILE, Memory

TEXT = """\
indexes/billing.yaml:30:5: error: unknown key "tabel" [unknown-key]
  30 |     tabel: orders
     |     ^
  hint: Did you mean "table"?
indexes/billing.yaml:12:5: warning: orders_a is a prefix of orders_ab [prefix-redundant]
  12 |   - name: orders_a
     |     ^
  hint: Remove orders_a.
info: left_over: an INVALID index of nobody [invalid-index]

1 error, 1 warning, 1 remark in 1 file, 9 indexes
"""


def lint(format: Format, findings: object = FINDINGS, **more: object) -> str:
    memory = Memory(format, **more)  # type: ignore[arg-type]
    write_findings(memory.output, findings, checked="1 file, 9 indexes")  # type: ignore[arg-type]
    assert memory.err == ""
    return memory.out


@pytest.mark.parametrize("width", [60, 100, 200])
def test_for_people_errors_come_first(width: int) -> None:
    assert lint(Format.TABLE, width=width) == TEXT


def test_nothing_found() -> None:
    assert lint(Format.TABLE, ()) == "no findings in 1 file, 9 indexes\n"
    assert lint(Format.LINES, ()) == ""
    assert json.loads(lint(Format.JSON, ()))["findings"] == []


def test_lines() -> None:
    assert lint(Format.LINES).splitlines()[0] == (
        'error\tunknown-key\torders_b\tunknown key "tabel"\tDid you mean "table"?\tindexes/billing.yaml\t30\t5'
    )
    assert lint(Format.LINES).count("\n") == 3


def test_csv() -> None:
    assert lint(Format.CSV).split("\r\n")[:2] == [
        "severity,code,index,message,hint,file,line,column",
        'error,unknown-key,orders_b,"unknown key ""tabel""","Did you mean ""table""?",indexes/billing.yaml,30,5',
    ]


def test_json() -> None:
    document = json.loads(lint(Format.JSON))
    assert {key: document[key] for key in ("schema_version", "command", "summary")} == {
        "schema_version": 1,
        "command": "lint",
        "summary": {"error": 1, "warning": 1, "info": 1},
    }
    assert document["findings"][2] == {
        "severity": "info",
        "code": "invalid-index",
        "index": "left_over",
        "message": "an INVALID index of nobody",
        "hint": None,
        "file": None,
        "line": None,
        "column": None,
    }


@pytest.mark.parametrize(
    ("source", "column", "shown", "caret"),
    [
        ("\tname: x", 2, r"\tname: x", 2),  # a tab is shown, as it is what YAML complains about
        ("日本: x", 4, "日本: x", 5),  # two cells each
        ("x" * 200, 100, "..." + "x" * 120 + "...", 63),
        ("abc", 4, "abc", 3),  # at the end of the line
    ],
)
def test_the_caret_stands_below_its_place(source: str, column: int, shown: str, caret: int) -> None:
    finding = dataclasses.replace(FINDINGS[1], source=source, column=column, line=1)
    assert lint(Format.TABLE, [finding]).splitlines()[1:3] == [f"  1 | {shown}", f"    | {' ' * caret}^"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_stays_in_its_line(name: str) -> None:
    finding = dataclasses.replace(FINDINGS[0], message=name, hint=name, file=name, source=name, code=name, index=name)
    text = lint(Format.TABLE, [finding], terminal=True)
    assert text.count("\n") == 6
    assert text.replace("\n", "").replace("\u200d", "").isprintable()
