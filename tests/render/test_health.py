"""Verdicts as table, lines, csv and JSON; the list of checks, and one explained."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dbopt.errors import UsageError
from dbopt.health.blocking import Member, Tree, Wait
from dbopt.health.check import Result, Status
from dbopt.health.checks import all_checks, load
from dbopt.health.verdict import FailOn, Verdict
from dbopt.render import health_page, health_schema
from dbopt.render.health import write_verdicts
from dbopt.render.health_checks import write_explanation, write_list
from dbopt.render.output import Format

from .values import HOSTILE, Memory
from .verdicts import GRANT, HEALTHY, TROUBLED, UNREACHABLE, every_check_found, finding, hostile, result, verdict

DOCS = Path(__file__).parents[2] / "docs"
ALL = [HEALTHY, TROUBLED, UNREACHABLE]


def written(format: Format, *verdicts: Verdict, **more: Any) -> str:
    memory = Memory(format)
    write_verdicts(memory.output, verdicts, **more)
    return memory.out


def test_table() -> None:
    """Problems, then what hides some; what merely has no answer yet is named, what is well only counted."""
    assert written(Format.TABLE, TROUBLED) == (
        "locks\n"
        "  critical  prepared-transaction  gid one: facts\n"
        "      SELECT 1;\n"
        "  warning   prepared-transaction  gid two: facts\n"
        "      SELECT 1;\n"
        "\n"
        "workload\n"
        "  warning   cache-hit-ratio  app: facts\n"
        "      SELECT 1;\n"
        "\n"
        "could not be judged\n"
        "  unknown   table-bloat, index-bloat: pg_stats is hidden\n"
        f"      {GRANT}\n"
        "\n"
        "no answer yet: unused-index (--all says why)\n"
        "note: an ignore entry matches nothing\n"
        "health: 1 critical, 1 warning, 3 unknown, 2 ok, 1 skipped, 1 finding ignored"
        " · app on PostgreSQL 18.4 · 80.0 ms\n"
    )


def test_table_in_full() -> None:
    text = written(Format.TABLE, TROUBLED, all_checks=True, advice=True)
    for part in (
        "no answer yet\n  unknown   unused-index: statistics were reset 2 s ago\n",
        "advice\n  advice    timeouts-unset  lock_timeout: facts\n",
        "set aside\n  ignored   prepared-transaction  gid three: facts (known to the team)\n",
        "skipped\n  skipped   replication-lag  this is a primary\n",
        "  ok        connection-slots  Connections running out\n      max_connections: 41 of 97\n",
    ):
        assert part in text


def test_a_healthy_database_is_one_line() -> None:
    assert written(Format.TABLE, HEALTHY) == "health: 2 ok · app on PostgreSQL 18.4 · 80.0 ms\n"


def test_one_check_alone_says_why_it_has_no_answer() -> None:
    alone = verdict(result("unused-index", Status.UNKNOWN, reason="statistics were reset 2 s ago"))
    assert "statistics were reset 2 s ago" in written(Format.TABLE, alone)


def test_no_connection_is_told_once() -> None:
    text = written(Format.TABLE, UNREACHABLE)
    assert text.count("cannot-connect") == 1
    assert "no connection" not in text
    assert text.endswith("health: 1 critical, 1 unknown · db1:5432/app · 80.0 ms\n")


def test_several_databases_each_have_their_line() -> None:
    text = written(Format.TABLE, verdict(result("connection-slots"), name="main"), UNREACHABLE)
    assert [line for line in text.splitlines() if line.startswith("health:")] == [
        "health: 1 ok · main: app on PostgreSQL 18.4 · 80.0 ms",
        "health: 1 critical, 1 unknown · db1:5432/app · 80.0 ms",
    ]


def test_several_databases_each_have_a_head() -> None:
    text = written(Format.TABLE, HEALTHY, TROUBLED)
    assert text.startswith("app on PostgreSQL 18.4\n\nhealth: ")
    assert "\n\napp on PostgreSQL 18.4\n\nlocks\n" in text


def test_a_word_stands_beside_each_colour() -> None:
    memory = Memory(color=True, terminal=True, width=60)
    write_verdicts(memory.output, [TROUBLED])
    assert re.search(r"\x1b\[1;31mcritical", memory.out)
    assert re.sub(r"\x1b\[[0-9;]*m", "", memory.out) == written(Format.TABLE, TROUBLED)


def blocked(subject_wait: float) -> Result:
    root = Member(
        depth=0, pid=11, usename="web", datname="app", state="idle in transaction", state_seconds=subject_wait
    )
    wait = Wait(mode="ShareLock", object="transaction 745", since=None, seconds=subject_wait)
    tree = Tree(members=(root, Member(depth=1, pid=12, waits_for=wait, blocked_by=(11,))))
    check = load("blocked-sessions")
    status = check.thresholds.judge(subject_wait)
    found = (finding(check, "pid 11", status, subject_wait, remedy=tree.remedy),) if status.is_problem else ()
    return Result(check=check, status=status, findings=found, trees=(tree,), judged=True)


def test_a_tree_stands_below_its_finding() -> None:
    text = written(Format.TABLE, verdict(blocked(90.0)))
    assert re.search(r"warning   blocked-sessions  pid 11: facts\n      pid 11 .*\n( .*\n)?      └─ pid 12", text)
    assert text.count("SELECT pg_catalog.pg_terminate_backend(11);") == 1


def test_a_tree_that_is_no_problem_is_shown_to_who_asks_for_it() -> None:
    young = blocked(2.0)
    assert "pid 12" in written(Format.TABLE, verdict(young))
    assert "pid 12" not in written(Format.TABLE, verdict(young, result("connection-slots")))
    assert "pid 12" in written(Format.TABLE, verdict(young, result("connection-slots")), all_checks=True)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("format", [Format.TABLE, Format.NAGIOS])
def test_hostile_names_steer_no_terminal(name: str, format: Format) -> None:
    text = written(format, hostile(name), all_checks=True)
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text) is None
    assert len(text.splitlines()) == len(written(format, hostile("name"), all_checks=True).splitlines())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_their_field(name: str) -> None:
    lines = written(Format.LINES, hostile(name)).splitlines()
    assert [len(line.split("\t")) for line in lines] == [10, 10, 10]


def test_lines_have_a_record_of_each_check() -> None:
    records = [line.split("\t") for line in written(Format.LINES, TROUBLED).splitlines()]
    assert {len(record) for record in records} == {10}
    assert [record[:8] for record in records] == [
        ["ok", "connections", "connection-slots", "max_connections", "0.42", "ratio", "41 of 97", ""],
        ["critical", "locks", "prepared-transaction", "gid one", "4000.5", "seconds", "facts", "SELECT 1;"],
        ["warning", "locks", "prepared-transaction", "gid two", "301.0", "seconds", "facts", "SELECT 1;"],
        ["ignored", "locks", "prepared-transaction", "gid three", "400.0", "seconds", "facts", ""],
        ["unknown", "storage", "table-bloat", "", "", "", "pg_stats is hidden", GRANT],
        ["unknown", "indexes", "index-bloat", "", "", "", "pg_stats is hidden", GRANT],
        ["unknown", "indexes", "unused-index", "", "", "", "statistics were reset 2 s ago", ""],
        ["skipped", "replication", "replication-lag", "", "", "", "this is a primary", ""],
        ["ok", "configuration", "timeouts-unset", "", "", "", "", ""],
        ["advice", "configuration", "timeouts-unset", "lock_timeout", "1", "count", "facts", ""],
        ["warning", "workload", "cache-hit-ratio", "app", "0.93", "ratio", "facts", "SELECT 1;"],
    ]
    assert {tuple(record[8:]) for record in records} == {("db1:5432/app", "2026-01-31T12:00:00Z")}


def test_a_check_that_was_judged_in_part_has_both() -> None:
    partly = result("table-bloat", Status.WARNING, ("public.t", Status.WARNING, 0.4), reason="hidden: public.u")
    statuses = [line.split("\t")[0] for line in written(Format.LINES, verdict(partly)).splitlines()]
    assert statuses == ["unknown", "warning"]


def test_csv_has_the_same_records_and_a_header() -> None:
    rows = list(csv.reader(io.StringIO(written(Format.CSV, TROUBLED), newline="")))
    assert rows[0] == [
        *("status", "group", "check", "subject", "measure", "unit", "detail", "remedy", "target", "collected_at"),
    ]
    assert rows[1:] == [line.split("\t") for line in written(Format.LINES, TROUBLED).splitlines()]


def test_notes_of_data_go_to_stderr() -> None:
    memory = Memory(Format.LINES)
    write_verdicts(memory.output, [TROUBLED])
    assert memory.err == "dbopt: note: an ignore entry matches nothing\n"


def test_json_has_the_published_shape() -> None:
    document = json.loads(written(Format.JSON, TROUBLED))
    assert list(document)[:3] == ["schema_version", "command", "target"]
    assert (document["status"], document["exit_code"], document["seconds"]) == ("critical", 2, 0.08)
    assert document["collected_at"] == "2026-01-31T12:00:00Z"
    check = document["checks"][1]
    assert {key: check[key] for key in ("id", "group", "title", "status", "reason", "hint")} == {
        "id": "prepared-transaction",
        "group": "locks",
        "title": "Forgotten prepared transactions",
        "status": "critical",
        "reason": None,
        "hint": None,
    }
    assert check["findings"][0] == {
        "subject": "gid one",
        "status": "critical",
        "measure": 4000.5,
        "unit": "seconds",
        "detail": "facts",
        "remedy": "SELECT 1;",
    }
    assert check["ignored"][0]["reason"] == "known to the team"


def test_json_of_several_databases() -> None:
    document = json.loads(written(Format.JSON, HEALTHY, TROUBLED))
    assert (document["status"], document["exit_code"]) == ("critical", 2)
    one = json.loads(written(Format.JSON, TROUBLED))
    assert document["targets"][1] == {key: one[key] for key in one if key not in ("schema_version", "command")}


def test_the_exit_code_in_json_is_the_one_of_the_process() -> None:
    calm = verdict(*TROUBLED.results, fail_on=FailOn.NEVER)
    assert json.loads(written(Format.JSON, calm))["exit_code"] == 0


def strict(schema: Any) -> Any:
    """The schema without room for keys that it does not name, which is what readers must have and tests must not."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(part) for key, part in schema.items()}
    names = set(schema.get("properties", ()))
    if names and "oneOf" not in schema:
        closed["properties"] |= {} if "target" not in names and "targets" not in names else _HEAD
        closed["additionalProperties"] = False
    return closed


_HEAD: dict[str, Any] = {"schema_version": True, "command": True}


@pytest.mark.parametrize(
    "verdicts",
    [*([one] for one in ALL), ALL, [every_check_found()], [hostile(HOSTILE[4])], [verdict(blocked(90.0))]],
    ids=["healthy", "troubled", "unreachable", "several", "every check", "hostile", "blocked"],
)
def test_json_obeys_the_schema(verdicts: list[Verdict]) -> None:
    document = json.loads(written(Format.JSON, *verdicts))
    Draft202012Validator(health_schema.schema()).validate(document)
    Draft202012Validator(strict(health_schema.schema())).validate(document)


def test_the_schema_refuses_what_it_should() -> None:
    document = json.loads(written(Format.JSON, TROUBLED))
    validator = Draft202012Validator(health_schema.schema())
    assert not validator.is_valid({**document, "status": "fine"})
    assert not validator.is_valid({key: document[key] for key in document if key != "checks"})
    document["checks"][0]["findings"] = [{"subject": "x"}]
    assert not validator.is_valid(document)


def test_the_published_schema_and_the_list_of_checks_are_fresh() -> None:
    """`make generated` makes them anew."""
    Draft202012Validator.check_schema(health_schema.schema())
    assert (DOCS / health_schema.FILE_NAME).read_text(encoding="utf-8") == health_schema.text()
    assert (DOCS / health_page.FILE_NAME).read_text(encoding="utf-8") == health_page.page()


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.id)
def test_every_check_can_be_explained(check: Any) -> None:
    memory = Memory()
    write_explanation(memory.output, check, sql=True)
    text = memory.out
    assert text.startswith(f"{check.id}: {check.title}\n\n{check.documentation}\n")
    assert re.search(rf"^source +{re.escape(check.thresholds.source)}$", text, re.M)
    assert all(f"since {query.extension or 'PostgreSQL'}" in text for query in check.queries)
    for limit in check.limits:
        assert re.search(rf"^{limit.name} +\S+ \({re.escape(limit.source)}\)$", text, re.M)


def test_an_explanation_in_a_pipe_is_a_text() -> None:
    texts = []
    for format in (Format.TABLE, Format.LINES):
        memory = Memory(format)
        write_explanation(memory.output, load("prepared-transaction"))
        texts.append(memory.out)
    assert texts[0] == texts[1]


def test_explanation_as_data() -> None:
    memory = Memory(Format.JSON)
    write_explanation(memory.output, load("prepared-transaction"))
    check = json.loads(memory.out)["check"]
    assert (check["id"], check["unit"], check["warning"], check["critical"]) == (
        *("prepared-transaction", "seconds", 300, 1800),
    )
    assert check["documentation"].startswith("Transactions that were prepared")


def test_list() -> None:
    checks = [load("prepared-transaction"), load("cache-hit-ratio"), load("invalid-index")]
    memory = Memory()
    write_list(memory.output, checks)
    rows = [re.split(r"  +", line) for line in memory.out.splitlines()]
    assert rows[2] == ["prepared-transaction", "locks", "Forgotten prepared transactions", "from 5min", "from 30min"]
    assert rows[3][-2:] == ["95% or less", "90% or less"]
    assert rows[4][-1] == "any"
    data = Memory(Format.LINES)
    write_list(data.output, checks[:1])
    assert data.out == (
        "prepared-transaction\tlocks\tForgotten prepared transactions\tseconds\t300\t1800\tfalse\tfalse\n"
    )


@pytest.mark.parametrize("format", [Format.PROMETHEUS, Format.NAGIOS])
def test_lists_have_no_form_for_monitors(format: Format) -> None:
    with pytest.raises(UsageError, match=f"no {format} form"):
        write_list(Memory(format).output, all_checks())
