"""Slow statements as text, in each format: `pytest --update-snapshots` writes the snapshots anew."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from rich.cells import cell_len

from dbopt.render import workload_schema, workload_words
from dbopt.render.output import Format, Output, Stream
from dbopt.render.screen import Screen
from dbopt.render.sql import one_line
from dbopt.render.statement import write_statement
from dbopt.render.workload import write_workloads
from dbopt.render.workload_markdown import escaped
from dbopt.workload.model import Advice, Counters, Flip, Kind, Others, Source, Statement, Unplanned, Workload
from dbopt.workload.statements import Sort
from tests.render.values import HOSTILE, Memory

from . import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOTS = Path(__file__).parent / "snapshots"
DOCS = Path(__file__).parents[2] / "docs"
WORKLOADS = {
    "full": shown.FULL,
    "empty": shown.EMPTY,
    "compared": shown.compared(),
    "sampled": shown.SAMPLED,
    "logged": shown.LOGGED,
}
RAN = replace(
    shown.DETAIL,
    before=shown.DAY_BEFORE,
    statement=replace(
        shown.compared().statements[0],
        planned=replace(shown.PLANNED, documents=(shown.document(True),), is_analyzed=True),
    ),
)
UNKNOWN = replace(
    shown.DETAIL,
    statement=replace(shown.HIDDEN, waits=(("IO:DataFileRead", 3),)),
    text=None,
    trend=(),
    relations=(),
    notes=(),
    lacks=shown.SAMPLED.lacks,
)
DETAILS = {"show": shown.DETAIL, "show ran": RAN, "show unknown": UNKNOWN}
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def noon_is_noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in the reader's zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def call(*words: str, target: str = "main") -> str:
    return shlex.join(["dbopt", "slow-queries", "-t", target, *words])


def listed(workload: Workload, format: Format = Format.TABLE, width: int = 80, **more: Any) -> Memory:
    memory = Memory(format, width=width)
    given = {"several": False, "literals": False, "call": call, **more}
    write_workloads(memory.output, [(shown.MAIN, workload)], **given)
    return memory


def in_depth(detail: Any, format: Format = Format.TABLE, width: int = 80, **more: Any) -> Memory:
    memory = Memory(format, width=width)
    write_statement(memory.output, shown.MAIN, detail, **more)
    return memory


def with_one(statement: Statement) -> Workload:
    return replace(shown.FULL, statements=(statement,))


def is_pasted(line: str) -> bool:
    return line.endswith(";") or "dbopt slow-queries" in line


@pytest.mark.parametrize(
    ("name", "format"),
    [
        *((name, format) for name in WORKLOADS for format in (Format.TABLE, Format.MARKDOWN)),
        *((name, format) for name in ("full", "empty") for format in (Format.LINES, Format.CSV)),
    ],
)
def test_lists(name: str, format: Format, update_snapshots: bool) -> None:
    memory = listed(WORKLOADS[name], format)
    compare(f"{name}.{format}.txt", memory.out + memory.err, update_snapshots)


@pytest.mark.parametrize("format", [Format.TABLE, Format.MARKDOWN])
@pytest.mark.parametrize("name", DETAILS)
def test_one_in_depth(name: str, format: Format, update_snapshots: bool) -> None:
    compare(f"{name.replace(' ', '-')}.{format}.txt", in_depth(DETAILS[name], format).out, update_snapshots)


def compare(name: str, text: str, update: bool) -> None:
    path = SNAPSHOTS / name
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    assert text == path.read_bytes().decode()


def hostile() -> Workload:
    """Everything that names and texts can do to a screen."""
    statements = tuple(
        replace(
            shown.WORST,
            query=f'SELECT "{text}" FROM "{text}" WHERE x = $1 /* {text} */',
            users=(text, text),
            dbname=text,
            waits=((text, 1),),
            flips=(Flip(before=replace(shown.INDEX_SCAN, summary=text), after=shown.SEQ_SCAN),),
            advice=(Advice(code="a-code", message=text, why=text, hint=text, spec={"name": text, "keys": (text,)}),),
            planned=Unplanned(reason=text, hint=text),
        )
        for text in [*HOSTILE, "```\n| a | b |\n```", "`" * 5, "<b>x</b>", "wide" * 90, "界" * 200]
    )
    return replace(shown.FULL, statements=statements, notes=tuple(HOSTILE))


@pytest.mark.parametrize("width", [40, 80, 100, 140])
@pytest.mark.parametrize("workload", [*WORKLOADS.values(), hostile()], ids=[*WORKLOADS, "hostile"])
def test_no_line_of_a_table_is_longer_than_the_screen_is_wide(workload: Workload, width: int) -> None:
    for sort in Sort if width == 80 else (Sort.TOTAL,):
        lines = listed(workload, width=width, sort=sort).out.splitlines()
        rows = [line for line in lines if not is_pasted(line)]
        # Numbers fold nowhere: below some 60 columns the row itself is what is too long.
        assert [line for line in rows if cell_len(line) > max(width, 60)] == []


@pytest.mark.parametrize("detail", DETAILS.values(), ids=DETAILS)
def test_nor_one_of_a_statement_in_depth(detail: Any) -> None:
    text = in_depth(replace(detail, text=None)).out
    kept = set((detail.statement.query or "").splitlines())
    assert [
        line for line in text.splitlines() if cell_len(line) > 80 and line not in kept and not is_pasted(line)
    ] == []


class Plain(io.StringIO):
    encoding = "ascii"


def test_an_ascii_terminal_gets_ascii_of_the_same_width() -> None:
    out = Stream(file=Plain(newline=""), width=80)
    output = Output(format=Format.TABLE, out=out, err=out)
    write_workloads(output, [(shown.MAIN, shown.FULL)], several=False, literals=False, call=call)
    write_statement(output, shown.MAIN, RAN)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert text.isascii()
    for part in ("####", "+-", "`- Seq Scan on orders o", "\\u65e5"):
        assert part in text
    assert [line for line in text.splitlines() if len(line) > 80 and not is_pasted(line)] == []


def test_colour_changes_no_character() -> None:
    memory = Memory(width=80, color=True, terminal=True)
    write_workloads(
        memory.output, [(shown.MAIN, shown.FULL)], several=False, literals=False, call=call, sort=Sort.TOTAL
    )
    write_statement(memory.output, shown.MAIN, shown.DETAIL)
    assert "\x1b[1;33mslow" in memory.out
    assert STYLE.sub("", memory.out) == listed(shown.FULL).out + in_depth(shown.DETAIL).out


def test_a_file_gets_whole_texts() -> None:
    text = listed(shown.FULL, width=1_000_000).out
    assert f"   {one_line(shown.WORST.query or '')}  by app, batch  id -4418230198234234987\n" in text
    assert "..." not in text.replace("a role with a nam...", "")


@pytest.mark.parametrize(
    ("sort", "title"),
    [(Sort.WAL, "WAL"), (Sort.IO, "I/O"), (Sort.ROWS, "rows"), (Sort.VARIANCE, "±"), (Sort.READS, "read")],
)
def test_what_it_is_ranked_by_is_shown_first_of_all(sort: Sort, title: str) -> None:
    statement = replace(shown.WORST, counters=replace(shown.WORST.counters, wal_bytes=9e9))
    two = replace(shown.FULL, statements=(statement, statement))
    text = listed(two, width=70, sort=sort).out
    head = next(line for line in text.splitlines() if line.startswith("#"))
    assert title in head.split()
    assert f"by {workload_words.RANKED[sort]}" in " ".join(text.split())


def test_zero_and_not_known_are_told_apart() -> None:
    counters = Counters(calls=2.0, total_exec_time_ms=4.0, rows=0.0)
    three = replace(shown.FULL, statements=(shown.MANY, replace(shown.WORST, counters=counters), shown.HIDDEN))
    rows = [line.split() for line in listed(three, width=140).out.splitlines() if re.match(r"\d +\d+", line)]
    assert [row[-1] for row in rows] == ["3", "0", "?"]
    assert listed(with_one(replace(shown.WORST, counters=Counters(total_exec_time_ms=1e-4)))).out.count("<0.01 ms") == 1


@pytest.mark.parametrize(
    ("before", "seconds", "said"),
    [
        (Counters(), 60.0, "new: not seen in the time before"),
        (Counters(calls=10, total_exec_time_ms=100), 60.0, "x3.0 slower (10.0 ms before), x2.0 as often"),
        (Counters(calls=80, total_exec_time_ms=4800), 60.0, "x2.0 faster (60.0 ms before), x4.0 less often"),
        (Counters(calls=20, total_exec_time_ms=600), 60.0, "as fast as before (30.0 ms before), as often"),
        (Counters(calls=1, total_exec_time_ms=1), 60.0, "x30 slower (1.0 ms before), x20 as often"),
        (Counters(calls=20, total_exec_time_ms=600), None, "as fast as before (30.0 ms before)"),
    ],
)
def test_factors(before: Counters, seconds: float | None, said: str) -> None:
    statement = Statement(
        fingerprint=None,
        counters=Counters(calls=20, total_exec_time_ms=600),
        seconds=60.0,
        before=before,
        before_seconds=seconds,
    )
    assert workload_words.compared(statement) == said


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (shown.HOUR, "the last 58 min 12 s, by readings in the store (2026-11-22 02:07:12 to 03:05:24)"),
        (
            replace(shown.HOUR, seconds=1200.0),
            "20 min of the last 58 min 12 s, by readings in the store (2026-11-22 02:07:12 to 03:05:24)",
        ),
        (
            replace(shown.HOUR, source=Source.INTERVAL, seconds=10.0),
            "two readings, 10 s apart (2026-11-22 02:07:12 to 03:05:24)",
        ),
        (
            shown.EMPTY.span,
            "since the statistics were reset 3 d 4 h ago (2026-11-18 23:05:24 to 2026-11-22 03:05:24)",
        ),
        (
            replace(shown.EMPTY.span, from_at=None, seconds=None),
            "since the server began to count, which it does not date (until 2026-11-22 03:05:24)",
        ),
        (shown.SAMPLED.span, "sampled for 30 s, 295 looks (2026-11-22 03:04:54 to 03:05:24)"),
        (replace(shown.SAMPLED.span, looks=1), "sampled for 30 s, 1 look (2026-11-22 03:04:54 to 03:05:24)"),
        (shown.LOGGED.span, "log postgresql-2026-11-22.log (2026-11-22 02:07:12 to 03:05:24)"),
    ],
)
def test_every_window_says_where_it_comes_from(span: Any, said: str) -> None:
    assert workload_words.window(span) == said


def test_a_flip_says_what_is_different_and_when() -> None:
    assert workload_words.flip(shown.FLIP, shown.NOW) == (
        "plan changed 02:10 to 02:13: Index Scan using orders_customer_email on orders o -> Seq Scan on orders o"
    )
    later = shown.NOW.replace(day=25)
    assert workload_words.flip(shown.FLIP, later).startswith("plan changed 2026-11-22 02:10 to 02:13: ")
    same = replace(shown.FLIP, before=replace(shown.INDEX_SCAN, summary=shown.SEQ_SCAN.summary))
    assert workload_words.flip(same, shown.NOW).endswith("02:13: the same scans, put together in another way")
    old = replace(shown.FLIP, before=replace(shown.INDEX_SCAN, last_at=shown.NOW.replace(day=20)))
    assert "changed 2026-11-20 03:05 to 2026-11-22 02:13: " in workload_words.flip(old, shown.NOW)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT a FROM t", "SELECT a FROM t"),
        (
            "SELECT a, bbbbbbbbbbbbbbbbbbbbbbb, ccccccccccccc\nFROM t  WHERE x = $1",
            "SELECT a, ... FROM t WHERE x = $1",
        ),
        (
            "SELECT DISTINCT ((SELECT max(price) FROM u)), 'a FROM b', extract(epoch FROM now()) FROM t",
            "SELECT DISTINCT ... FROM t",
        ),
        ("SELECT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa()", "SELECT aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa()"),
        ("UPDATE t SET aaaaaaaaaaaaaaaaaaaaaaaa = bbbbbbbbbbb FROM u", None),
    ],
)
def test_what_is_selected_gives_way_to_tables_and_conditions(query: str, said: str | None) -> None:
    assert workload_words.short(query, 40) == (said or query)


def test_one_line_is_the_same_statement() -> None:
    assert one_line("SELECT  1,\n\t\"a  b\" -- why\nFROM t WHERE x = 'a\n b'  ") == (
        "SELECT 1, \"a  b\" /* why */ FROM t WHERE x = 'a\n b'"
    )


def test_what_is_left_out_is_said_in_words() -> None:
    nothing = replace(shown.EMPTY, totals=shown.TOTALS, others=Others(quick=402))
    text = listed(nothing).out
    assert "402 statements, 1.2 M calls, 19 min 44 s" in text
    assert "not shown: 402 quick or rare ones (--min-mean 0ms shows them)" in text
    assert "dbopt slow-queries" not in text, "there is none to look at"
    assert listed(shown.EMPTY).out.splitlines()[-1] == "no statement was seen in that time"


def test_of_several_targets_each_has_its_own_call() -> None:
    memory = Memory(width=80)
    other = replace(shown.MAIN, name="the reports")
    write_workloads(
        memory.output,
        [(shown.MAIN, shown.FULL), (other, shown.LOGGED), (other, shown.SAMPLED)],
        several=True,
        literals=True,
        call=call,
    )
    assert "  dbopt slow-queries -t main show -4418230198234234987\n" in memory.out
    assert "  dbopt slow-queries -t 'the reports' show a1b2c3d4e5f60718\n" in memory.out
    assert memory.out.count("dbopt slow-queries -t") == 2, "a log has no server to be asked"
    assert memory.out.endswith("look before you pass this on\n")


def test_what_an_index_would_mend_leads_to_suggest() -> None:
    """Of several targets, each has its own; where no finding comes with an index, there is nothing to lead to."""

    def suggest(*words: str, target: str = "main") -> str:
        return shlex.join(["dbopt", "suggest", "-t", target, *words])

    told = "  dbopt suggest -t main --slow-query -4418230198234234987\n"
    assert listed(shown.FULL, suggest=suggest).out.endswith(told)
    assert "dbopt suggest" not in listed(shown.FULL).out
    assert "dbopt suggest" not in listed(with_one(replace(shown.WORST, advice=())), suggest=suggest).out
    assert in_depth(shown.DETAIL, suggest=suggest).out.count(told) == 1
    unhelped = replace(shown.DETAIL, statement=replace(shown.DETAIL.statement, advice=()))
    assert "dbopt suggest" not in in_depth(unhelped, suggest=suggest).out
    memory = Memory(width=80)
    other = replace(shown.MAIN, name="the reports")
    found = [(shown.MAIN, shown.EMPTY), (other, shown.FULL)]
    write_workloads(memory.output, found, several=True, literals=False, call=call, suggest=suggest)
    assert "  dbopt suggest -t 'the reports' --slow-query -4418230198234234987\n" in memory.out


def test_many_findings_are_counted() -> None:
    many = tuple(replace(shown.SORT, code=f"code-{number}") for number in range(5))
    text = listed(with_one(replace(shown.WORST, advice=many))).out
    assert "   ! and 2 more: code-3, code-4\n" in text
    assert "! code-4: " in in_depth(replace(shown.DETAIL, statement=replace(shown.WORST, advice=many))).out


def strict(schema: Any) -> Any:
    """The schema without room for keys that it does not name, which is what readers must have and tests must not."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "oneOf" not in schema:
        if {"window", "statements"} <= schema["properties"].keys() or schema["properties"].keys() & {"targets", "plan"}:
            closed["properties"] |= {"schema_version": True, "command": True}
        closed["additionalProperties"] = False
    return closed


@pytest.mark.parametrize("workload", [*WORKLOADS.values(), hostile()], ids=[*WORKLOADS, "hostile"])
def test_json_obeys_the_schema(workload: Workload) -> None:
    document = json.loads(listed(workload, Format.JSON).out)
    assert list(document)[:3] == ["schema_version", "command", "target"]
    several = json.loads(listed(workload, Format.JSON, several=True).out)
    assert several["targets"] == [{key: document[key] for key in document if key not in ("schema_version", "command")}]
    for content in (document, several):
        Draft202012Validator(workload_schema.schema()).validate(content)
        Draft202012Validator(strict(workload_schema.schema())).validate(content)


@pytest.mark.parametrize("detail", DETAILS.values(), ids=DETAILS)
def test_json_of_one_in_depth_obeys_it_too(detail: Any) -> None:
    document = json.loads(in_depth(detail, Format.JSON).out)
    Draft202012Validator(workload_schema.schema()).validate(document)
    Draft202012Validator(strict(workload_schema.schema())).validate(document)


def test_the_schema_refuses_what_it_should() -> None:
    document = json.loads(listed(shown.FULL, Format.JSON).out)
    validator = Draft202012Validator(workload_schema.schema())
    assert not validator.is_valid({key: document[key] for key in document if key != "window"})
    document["statements"][0]["queryid"] = 12
    assert not validator.is_valid(document)


def test_the_published_schema_is_fresh() -> None:
    """`make generated` makes it anew."""
    Draft202012Validator.check_schema(workload_schema.schema())
    assert (DOCS / workload_schema.FILE_NAME).read_text(encoding="utf-8") == workload_schema.text()


def test_json_says_what_the_values_say() -> None:
    found = json.loads(listed(shown.compared(), Format.JSON, sort=Sort.CHANGE).out)
    first, _, hidden = found["statements"]
    assert (found["sort"], found["window"]["source"]) == ("change", "snapshots")
    assert [first["queryid"], *first["queryids"]] == ["-4418230198234234987", "-4418230198234234987", "77"]
    assert (first["calls"], first["rows"], first["mean_exec_time_ms"]) == (1204, 16856, 602.0)
    assert first["factors"] == {"mean_exec_time": pytest.approx(3.2, 0.01), "calls": 1204 / 1190, "is_new": False}
    assert first["findings"][0]["spec"]["keys"] == ["customer_email", {"column": "created_at", "order": "desc"}]
    assert hidden["factors"] == {"mean_exec_time": None, "calls": None, "is_new": True}
    assert (hidden["query"], hidden["rows"], hidden["no_plan"]["reason"]) == (
        *(None, None),
        "the text is hidden from this role",
    )


def test_the_plan_is_what_postgresql_said() -> None:
    assert json.loads(in_depth(shown.DETAIL, Format.JSON).out)["plan"] == [shown.document()]
    assert json.loads(in_depth(UNKNOWN, Format.JSON).out)["plan"] is None


def test_watch_writes_one_line_a_look() -> None:
    assert listed(shown.FULL, Format.JSON, event=True).out.count("\n") == 1


def test_records_are_alike_whatever_is_known() -> None:
    rows = list(csv.DictReader(io.StringIO(listed(shown.FULL, Format.CSV).out, newline="")))
    assert [row["findings"] for row in rows] == ["sequential-scan,sort-spills", "n-plus-one", "", ""]
    assert rows[0]["query"] == one_line(shown.WORST.query or "")
    assert (rows[2]["query"], rows[2]["rows"], rows[3]["rows"]) == ("", "", "0")
    for workload in (*WORKLOADS.values(), hostile()):
        lines = listed(workload, Format.LINES).out.splitlines()
        assert [len(line.split("\t")) for line in lines] == [len(rows[0])] * len(workload.statements)
    assert in_depth(shown.DETAIL, Format.CSV).out.splitlines()[1] == listed(shown.FULL, Format.CSV).out.splitlines()[1]


def blocks(text: str) -> list[tuple[str, str]]:
    """Fenced blocks as CommonMark reads them: a fence ends with a line of as many backticks, or more."""
    found: list[tuple[str, str]] = []
    fence, language, content = "", "", []
    for line in text.split("\n"):
        if fence:
            if re.fullmatch(f"{fence}`*", line):
                found.append((language, "\n".join(content)))
                fence, content = "", []
            else:
                content.append(line)
        elif match := re.match("(`{3,})(.*)", line):
            fence, language = match[1], match[2]
    assert not fence, "a fence is left open"
    return found


@pytest.mark.parametrize("workload", [shown.FULL, hostile()], ids=["full", "hostile"])
def test_nothing_breaks_out_of_markdown(workload: Workload) -> None:
    text = listed(workload, Format.MARKDOWN).out
    found = blocks(text)
    queries = [item.query for item in workload.statements if item.query is not None]
    specs = [item.spec for statement in workload.statements for item in statement.advice if item.spec is not None]
    assert [language for language, _ in found].count("sql") == len(queries)
    assert [yaml.safe_load(content)[0]["name"] for language, content in found if language == "yaml"] == [
        spec["name"] for spec in specs
    ]
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert len(rows) == len(workload.statements) + 2
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    headings = [line for line in text.split("\n") if line.startswith("#")]
    assert len(headings) == len(workload.statements) + 2


def test_markup_in_prose_is_text() -> None:
    assert escaped("a_b _c_ *d* <i> `e` | $1 [x](y) \\") == (r"a_b \_c\_ \*d\* \<i\> \`e\` \| \$1 \[x\](y) \\")


def test_a_query_in_markdown_is_the_query() -> None:
    tricky = "SELECT '```' FROM t\n```\nWHERE a = $1"
    text = listed(with_one(replace(shown.WORST, query=tricky)), Format.MARKDOWN).out
    assert ("sql", tricky) in blocks(text)


def test_screen_breaks_and_cuts_by_columns() -> None:
    screen = Screen(columns=10, encoding="utf-8", has_all=True)
    assert screen.broken("ab 日本語日本語 c", 8) == ["ab", "日本語日", "本語 c"]
    assert screen.broken("", 8) == [""]
    assert screen.cut("日本語日本語", 9) == "日本語..."
    assert screen.cut("abc", 3) == "abc"
    assert [screen.bar(share, 4) for share in (None, 0.0, 0.001, 0.5, 1.0, 1.2)] == [
        *("    ", "    ", "▏   ", "██  ", "████", "████"),
    ]
    plain = replace(screen, has_all=False, encoding="ascii")
    assert [plain.bar(share, 4) for share in (0.001, 0.5, 1.0)] == ["#   ", "##  ", "####"]
    assert plain.text("é\n") == r"\xe9\n"


def test_unknown_kinds_say_so() -> None:
    gone = replace(shown.HIDDEN, kind=Kind.UTILITY)
    assert workload_words.no_text(gone) == "(text not known: hidden from this role, or gone; utility)"
