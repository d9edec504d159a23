"""Suggestions as text, in each format: `pytest --update-snapshots` writes the snapshots anew."""

from __future__ import annotations

import csv
import io
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from rich.cells import cell_len

from dbopt.errors import UsageError
from dbopt.metrics.measurement import About
from dbopt.render import suggest_schema
from dbopt.render.output import Format
from dbopt.render.suggest import write_suggestions
from dbopt.render.suggest_words import without_values
from dbopt.suggest.model import Candidate, Costed, Key, Report
from dbopt.workload.plan import root
from tests.suggest import reports

from .values import HOSTILE, Memory

SNAPSHOTS = Path(__file__).parent / "suggest_snapshots"
DOCS = Path(__file__).parents[2] / "docs"
MAIN = About(name="main", place="db1:5432/app", dbname="app", server_version="15.4 (Debian 15.4-1)")
WINDOW = "the last 58 min, by readings in the store"
FULL = replace(reports.FULL, hypopg_version="1.3.1")
REPORTS = {"full": FULL, "nothing": reports.NOTHING, "reckoned": reports.RECKONED}
ONE = reports.LATEST_ORDERS.name


def call(command: str, *words: str) -> str:
    return shlex.join(["dbopt", command, "-t", "main", *words])


def shown(report: Report, format: Format = Format.TABLE, width: int = 90, **more: Any) -> Memory:
    streams = {name: more.pop(name) for name in ("color", "terminal", "quiet") if name in more}
    memory = Memory(format, width=width, **streams)
    write_suggestions(memory.output, report, **{"about": MAIN, "call": call, "window": WINDOW, **more})
    return memory


def compare(name: str, text: str, update: bool) -> None:
    path = SNAPSHOTS / name
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    with path.open(encoding="utf-8", newline="") as file:
        assert text == file.read()


@pytest.mark.parametrize("format", [Format.TABLE, Format.MARKDOWN, Format.LINES])
@pytest.mark.parametrize("name", REPORTS)
def test_lists(name: str, format: Format, update_snapshots: bool) -> None:
    memory = shown(REPORTS[name], format)
    compare(f"{name}.{format}.txt", memory.out + memory.err, update_snapshots)


@pytest.mark.parametrize("format", [Format.TABLE, Format.MARKDOWN, Format.LINES])
def test_one_in_depth(format: Format, update_snapshots: bool) -> None:
    compare(f"explain.{format}.txt", shown(FULL, format, explain=ONE).out, update_snapshots)


def test_without_a_planner_what_comes_after_is_told() -> None:
    said = shown(reports.RECKONED, explain="docs_body_trgm_idx").out
    assert "plan before, cost 900" in said
    assert "no plan with it, as no planner has seen it: by statistics the cost would go 900 -> 30" in said
    assert "plan with all" not in said


def test_an_index_of_some_values_only() -> None:
    outcome = FULL.outcomes[0]
    report = replace(FULL, outcomes=(replace(outcome, after=replace(outcome.after, used=frozenset())),))
    said = shown(report, width=200, explain=ONE).out
    assert "cost 13,402 -> 8.44: the index is in its plan for some values of the parameters" in said


@pytest.mark.parametrize("format", [Format.TABLE, Format.JSON, Format.MARKDOWN])
def test_nobodys_values_are_shown(format: Format) -> None:
    plans = shown(FULL, format, width=200, explain="orders_shop_id_idx").out
    for text in (plans, shown(FULL, format).out):
        assert "north" not in text
        assert "shop_id = 7" not in text
    if format is not Format.MARKDOWN:
        assert "((status = ?::text) AND (shop_id = ?))" in plans


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("((a = 'x''y'::text) AND (n > 5))", "((a = ?::text) AND (n > ?))"),
        ("((a = (InitPlan 1).col1) AND (hashed SubPlan 2))", "((a = (InitPlan 1).col1) AND (hashed SubPlan 2))"),
        ("((a = 'InitPlan 7') AND (b = (InitPlan 1)))", "((a = ?) AND (b = (InitPlan ?)))"),
        ("(a = $1)", "(a = $1)"),
    ],
)
def test_conditions_without_values(text: str, expected: str) -> None:
    assert without_values(text) == expected


def test_a_bitmap_of_a_hypothetical_index_has_the_name_that_is_suggested() -> None:
    document = {
        "Node Type": "Bitmap Heap Scan",
        "Relation Name": "orders",
        "Schema": "public",
        "Alias": "orders",
        "Total Cost": 9.0,
        "Plans": [{"Node Type": "Bitmap Index Scan", "Index Name": "<1>btree_orders_shop_id", "Total Cost": 4.0}],
    }
    plan = root({"Plan": document})
    used = frozenset({reports.BY_SHOP, reports.BY_CUSTOMER})
    outcome = replace(FULL.outcomes[0], after=Costed(cost=9.0, planner_cost=9.0, plan=plan, used=used))
    said = shown(replace(FULL, outcomes=(outcome,)), explain=ONE).out
    assert "Bitmap Index Scan using orders_shop_id_idx" in said


def test_a_name_that_is_not_suggested() -> None:
    with pytest.raises(UsageError, match="no index orders_customer_id_created_idx is suggested") as caught:
        shown(FULL, explain="orders_customer_id_created_idx")
    assert caught.value.detail is not None
    assert "users_lower_email_idx" in caught.value.detail
    assert caught.value.hint == f"Did you mean {ONE}?"
    with pytest.raises(UsageError) as caught:
        shown(reports.NOTHING, explain="x")
    assert caught.value.hint == "dbopt suggest says why there is none."


def test_one_name_in_two_schemas() -> None:
    other = replace(
        reports.LATEST_ORDERS, candidate=reports.BY_CUSTOMER._replace(relation=("shop", "orders")), helped=()
    )
    report = replace(FULL, suggestions=(reports.LATEST_ORDERS, other))
    with pytest.raises(UsageError, match="in several schemas") as caught:
        shown(report, explain=ONE)
    assert caught.value.hint == f"Name one of them: public.{ONE}, shop.{ONE}."
    assert "on shop.orders" in shown(report, explain=f"shop.{ONE}").out


def strict(schema: Any) -> Any:
    """The schema as a reader has it who knows every key there is."""
    if isinstance(schema, dict):
        closed = {key: strict(value) for key, value in schema.items()}
        is_object = schema.get("type") == "object" and "properties" in schema and "oneOf" not in schema
        return {**closed, "additionalProperties": False} if is_object and "description" in schema else closed
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", REPORTS)
def test_json_is_as_its_schema_says(name: str) -> None:
    document = json.loads(shown(REPORTS[name], Format.JSON).out)
    Draft202012Validator(suggest_schema.schema()).validate(document)
    for one in REPORTS[name].suggestions:
        in_depth = json.loads(shown(REPORTS[name], Format.JSON, explain=one.name).out)
        Draft202012Validator(suggest_schema.schema()).validate(in_depth)
        for key, properties in (("suggestion", suggest_schema.schema()["oneOf"][1]["properties"]["suggestion"]),):
            assert set(in_depth[key]) == set(properties["properties"])
    known = suggest_schema.schema()["oneOf"][0]["properties"]
    assert set(document) - {"schema_version", "command"} == set(known)
    for key in ("suggestions", "drops", "statistics", "statements", "unread", "lacks"):
        for item in document[key]:
            assert set(item) == set(known[key]["items"]["properties"])


def test_the_schema_in_the_documentation_is_the_one() -> None:
    Draft202012Validator.check_schema(suggest_schema.schema())
    assert (DOCS / suggest_schema.FILE_NAME).read_text(encoding="utf-8") == suggest_schema.text()


def test_json_has_raw_numbers_and_entries_of_specs() -> None:
    document = json.loads(shown(FULL, Format.JSON).out)
    first = document["suggestions"][0]
    assert (first["size_bytes"], first["benefit"], first["build_seconds"]) == (22_020_096, 0.613, 3.2)
    assert first["statements"][0]["queryids"] == ["1111"]
    assert first["spec"]["keys"] == ["customer_id", {"column": "created_at", "order": "desc"}]
    assert document["size_bytes"] is None  # of one it is not known
    assert document["cost_after"] == pytest.approx(
        0.6 * 8.44 / 13_402 + 0.1 * 12.25 / 13_001 + 0.1 * 40 / 5200 + 0.15 * 8.3 / 402 + 0.05 * 30 / 900
    )
    assert [one["reason"] for one in document["unread"]] == [one.reason for one in FULL.unread]
    plan = json.loads(shown(FULL, Format.JSON, explain=ONE).out)["suggestion"]["statements"][0]
    assert plan["plan_after"]["Index Name"] == ONE
    assert plan["plan_before"]["Plans"][0]["Node Type"] == "Seq Scan"


def test_csv_has_one_record_an_index() -> None:
    rows = list(csv.DictReader(io.StringIO(shown(FULL, Format.CSV).out, newline="")))
    assert [row["action"] for row in rows] == ["add"] * 4 + ["drop"] * 2
    assert rows[0]["queryids"] == "1111,22,-23"
    assert rows[4]["index"] == "orders_note_idx"
    one = list(csv.DictReader(io.StringIO(shown(FULL, Format.CSV, explain=ONE).out, newline="")))
    assert [row["queryid"] for row in one] == ["1111", "22"]


def test_quiet_and_pipes() -> None:
    memory = shown(FULL, Format.LINES, quiet=True)
    assert memory.err == ""
    assert len(memory.out.splitlines()) == 6
    table = shown(FULL, width=1_000_000).out
    assert "\x1b" not in table
    assert "on public.orders btree (customer_id, created_at DESC) INCLUDE (id, status)\n" in table
    colored = shown(FULL, color=True, terminal=True).out
    assert "\x1b[1m" in colored


def test_what_to_type_next() -> None:
    assert "dbopt plan -t main new.yaml --prune-foreign" in shown(FULL, written="new.yaml").out
    assert "-o suggested.yaml" not in shown(FULL, written="new.yaml").out
    assert "dbopt suggest" not in shown(FULL, call=None).out
    assert "dbopt" not in shown(reports.NOTHING).out.splitlines()[-1]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (replace(reports.NOTHING, outcomes=()), "no index is suggested: there is no statement in the workload"),
        (
            replace(reports.NOTHING, outcomes=(), unread=FULL.unread),
            "no index is suggested: none of the 3 statements could be analyzed",
        ),
        (replace(reports.NOTHING, budget_bytes=8192), "and fits into the budget of 8192B"),
        (reports.NOTHING, "indexes that are there serve it"),
    ],
)
@pytest.mark.parametrize("format", [Format.TABLE, Format.LINES, Format.JSON, Format.MARKDOWN])
def test_why_nothing_is_suggested(report: Report, expected: str, format: Format) -> None:
    memory = shown(report, format, width=1_000_000)
    assert expected in memory.out + memory.err


def hostile(name: str) -> Report:
    candidate = Candidate((name, name), (Key(name), Key(expression=f'lower("{name}")')), include=(name,), where=name)
    item = replace(reports.LATEST, shown=f"SELECT '{name}'")
    suggestion = replace(
        reports.LATEST_ORDERS,
        candidate=candidate,
        name=name,
        reason=name,
        helped=tuple(replace(one, item=item) for one in reports.LATEST_ORDERS.helped),
    )
    return replace(
        FULL,
        suggestions=(suggestion,),
        drops=(replace(reports.UNUSED, schema=name, table=name, name=name, detail=name, how=name),),
        unread=(replace(FULL.unread[0], item=item, reason=name, hint=name),),
        statistics=(replace(reports.MENDING, relation=(name, name), columns=(name, name), why=name),),
        notes=(name,),
        lacks=((name, name),),
    )


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("width", [40, 80])
def test_foreign_text_steers_no_terminal(name: str, width: int) -> None:
    report = hostile(name)
    for explain in (None, name):
        for format in (Format.TABLE, Format.MARKDOWN, Format.LINES):
            memory = shown(report, format, width=width, explain=explain)
            text = memory.out + memory.err
            assert not {char for char in text if char != "\n" and char != "\t" and ord(char) < 32}
            assert "\u202e" not in text or format is Format.LINES
        said = shown(report, width=width, explain=explain).out
        for line in said.splitlines():
            is_pasted = line.lstrip().startswith(("dbopt", "CREATE", "ANALYZE", "->", "SELECT", "U&", "E'", "'"))
            assert is_pasted or cell_len(line) <= width, line
        json.loads(shown(report, Format.JSON, explain=explain).out)
    assert yaml.safe_load(json.dumps(json.loads(shown(report, Format.JSON).out)["suggestions"][0]["spec"]))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_longer_than_the_screen(width: int) -> None:
    longest = replace(reports.LATEST_ORDERS, name="n" * 63)
    for report in (replace(FULL, suggestions=(longest, *FULL.suggestions[1:])), *REPORTS.values()):
        for line in shown(report, width=width).out.splitlines():
            assert cell_len(line) <= width or line.lstrip().startswith(("dbopt", "CREATE", "ANALYZE", "->")), line


def test_reasons_why_statements_were_not_analyzed_are_counted() -> None:
    unread = [replace(FULL.unread[1], reason=f"reason {n}") for n in range(7)]
    said = shown(replace(FULL, unread=tuple(unread))).out
    assert "reason 4" in said
    assert "reason 5" not in said
    assert "2 statements for other reasons (--format json has all)" in said


def test_an_old_terminal() -> None:
    memory = Memory(Format.TABLE, width=80)
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    output = replace(memory.output, out=replace(memory.output.out, file=file))
    write_suggestions(output, FULL, about=MAIN, call=call, window=WINDOW)
    write_suggestions(output, FULL, about=MAIN, call=call, explain=ONE)
    file.flush()
    text = file.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "17.3 M -> 11,230" in text
