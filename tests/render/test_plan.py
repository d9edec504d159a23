from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import pytest

from dbopt.optimize.steps import Blocker, Item, ItemStatus, Plan
from dbopt.render import words
from dbopt.render.output import Format
from dbopt.render.plan import write_plan
from dbopt.spec.finding import Finding, Severity

from .values import ANALYZE, BLOCKER, CREATE, FINDINGS, HOSTILE, PLAN, TARGET, UNCHANGED, Memory

REST = """\

      SET maintenance_work_mem = '2GB';
      CREATE INDEX CONCURRENTLY "orders_open" ON "app"."orders" ("customer_id") WHERE (status = 'open'::text);
      COMMENT ON INDEX "app"."orders_open" IS E'Open orders\\n[dbopt:1 billing/orders_open sha=1f]';
      RESET maintenance_work_mem;

2. analyze app.orders
   reason     the table has never been analyzed

      ANALYZE "app"."orders";

refused orders_old on app.orders: the constraint orders_pkey needs it

indexes/billing.yaml:30:5: error: unknown key "tabel" [unknown-key]
  30 |     tabel: orders
     |     ^
  hint: Did you mean "table"?
indexes/billing.yaml:12:5: warning: orders_a is a prefix of orders_ab [prefix-redundant]
  12 |   - name: orders_a
     |     ^
  hint: Remove orders_a.
info: left_over: an INVALID index of nobody [invalid-index]

To apply: dbopt optimize -d app
"""

WIDE = """\
1 to create, 1 to analyze, 1 refused, 31 unchanged on app, PostgreSQL 18.6

1. create orders_open on app.orders  (billing)
   reason     no index of app.orders is equal to it
   hazard     transactions that are older than the build delay it until they end
   estimate   build 2 min 05 s, size 50MB
   waits for  pid 4711 (user web, application checkout, idle in transaction, for 3 min 02 s)
"""

NARROW = """\
1 to create, 1 to analyze, 1 refused, 31 unchanged on app, PostgreSQL 18.6

1. create orders_open on app.orders  (billing)
   reason     no index of app.orders is equal to it
   hazard     transactions that are older than the build
              delay it until they end
   estimate   build 2 min 05 s, size 50MB
   waits for  pid 4711 (user web, application checkout, idle
              in transaction, for 3 min 02 s)
"""


def shown(format: Format, plan: Plan = PLAN, **more: object) -> str:
    memory = Memory(format, **more)  # type: ignore[arg-type]
    write_plan(memory.output, plan, next_command="dbopt optimize -d app")
    return memory.out


def test_somebody_who_is_waited_for_is_told_with_slot_and_statement() -> None:
    statement = "SELECT " + "a_long_column, " * 20
    who = dataclasses.replace(BLOCKER, slot="copy\x1b", query=statement)
    begin = "pid 4711 (user web, application checkout, idle in transaction, for 3 min 02 s, slot copy\\x1b): "
    assert words.blocker(who) == begin + "SELECT " + "a_long_column, " * 3 + "a_long_…"
    assert words.blocker(Blocker(phase="", pid=1, query="ROLLBACK")) == "pid 1: ROLLBACK"
    assert words.blocker(Blocker(phase="", gid="g")) == "prepared transaction g"


def test_on_a_narrow_terminal_prose_folds_and_sql_does_not() -> None:
    assert shown(Format.TABLE, width=60, terminal=True) == NARROW + REST


@pytest.mark.parametrize("width", [100, 200, 1_000_000])
def test_for_people(width: int) -> None:
    assert shown(Format.TABLE, width=width) == WIDE + REST


def test_colour_changes_no_word() -> None:
    coloured = shown(Format.TABLE, width=100, terminal=True, color=True)
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert re.sub(" +$", "", plain, flags=re.MULTILINE) == WIDE + REST


def test_nothing_to_do_is_one_line() -> None:
    plan = Plan(target=TARGET, unchanged=UNCHANGED)
    assert shown(Format.TABLE, plan) == "nothing to do: 31 indexes unchanged on app, PostgreSQL 18.6\n"
    assert shown(Format.LINES, plan) == ""


def test_lines_are_the_steps_and_what_was_refused() -> None:
    create, analyze, refused = shown(Format.LINES).splitlines()
    assert create.split("\t")[:7] == [
        "create",
        "orders_open",
        "app.orders",
        "billing",
        "no index of app.orders is equal to it",
        "transactions that are older than the build delay it until they end",
        "4711",
    ]
    assert create.split("\t")[7].startswith(r"SET maintenance_work_mem = '2GB';\nCREATE INDEX CONCURRENTLY ")
    assert analyze.split("\t")[:3] == ["analyze", "", "app.orders"]
    assert refused.split("\t")[:5] == ["refused", "orders_old", "app.orders", "", "the constraint orders_pkey needs it"]


def test_csv() -> None:
    header, *rows = csv.reader(io.StringIO(shown(Format.CSV), newline=""))
    assert header == ["action", "index", "table", "domain", "reason", "hazards", "waits_for", "statements"]
    assert [row[0] for row in rows] == ["create", "analyze", "refused"]


def test_findings_of_lines_go_to_stderr_and_only_errors_when_quiet() -> None:
    loud, quiet = Memory(Format.LINES), Memory(Format.LINES, quiet=True)
    write_plan(loud.output, PLAN)
    write_plan(quiet.output, PLAN)
    assert loud.err.count("indexes/billing.yaml:") == 2
    assert quiet.err.startswith("indexes/billing.yaml:30:5: error:")
    assert quiet.err.count("indexes/billing.yaml:") == 1
    assert quiet.out == loud.out


def test_json_has_the_shape_that_programs_rely_on() -> None:
    document = json.loads(shown(Format.JSON))
    assert (document["schema_version"], document["command"]) == (1, "plan")
    assert document["target"] == {
        "dbname": "app",
        "server_version": "18.6",
        "system_identifier": "7430000000000000001",
    }
    create = document["steps"][0]
    assert create["statements"] == list(CREATE.statements)  # exactly what is run
    assert {key: create[key] for key in create if key != "statements"} == {
        "action": "create",
        "index": "orders_open",
        "table": "app.orders",
        "settings": {"maintenance_work_mem": "2GB"},
        "reason": "no index of app.orders is equal to it",
        "hazards": ["transactions that are older than the build delay it until they end"],
        "domain": "billing",
        "estimate": {"build_seconds": 125.0, "size_bytes": 52428800.0},
        "waits_for": [
            {
                "phase": "waiting for writers before build",
                "pid": 4711,
                "gid": None,
                "usename": "web",
                "application_name": "checkout",
                "state": "idle in transaction",
                "xact_age_seconds": 182.0,
                "idle_seconds": None,
                "slot": None,
                "query": None,
            }
        ],
    }
    assert document["steps"][1]["estimate"] is None
    assert document["steps"][1]["waits_for"] == []
    assert document["findings"][0] == {
        "severity": "error",
        "code": "unknown-key",
        "index": "orders_b",
        "message": 'unknown key "tabel"',
        "hint": 'Did you mean "table"?',
        "file": "indexes/billing.yaml",
        "line": 30,
        "column": 5,
    }
    assert document["refused"] == [
        {"index": "orders_old", "table": "app.orders", "reason": "the constraint orders_pkey needs it"}
    ]
    assert document["summary"] == {
        "unchanged": 31,
        "create": 1,
        "adopt": 0,
        "replace": 0,
        "rename": 0,
        "repair": 0,
        "attach": 0,
        "drop": 0,
        "comment": 0,
        "analyze": 1,
        "refused": 1,
    }


def hostile(name: str) -> Plan:
    quoted = name.replace('"', '""')
    step = dataclasses.replace(
        CREATE,
        index=name,
        schema=name,
        table=name,
        reason=name,
        hazards=(name,),
        domain=name,
        settings={},
        statements=(f'ANALYZE "{quoted}"',),
        waits_for=(dataclasses.replace(CREATE.waits_for[0], usename=name, application_name=name, state=name),),
    )
    finding = dataclasses.replace(FINDINGS[0], message=name, file=name, source=name)
    return dataclasses.replace(PLAN, steps=(step, ANALYZE), findings=(finding,))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("width", [60, 100, 200])
def test_hostile_names_steer_nothing(name: str, width: int) -> None:
    text = shown(Format.TABLE, hostile(name), width=width, terminal=True)
    assert text.replace("\n", "").replace("\u200d", "").isprintable()
    assert shown(Format.LINES, hostile(name)).count("\n") == 3


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_reach_programs_whole(name: str) -> None:
    document = json.loads(shown(Format.JSON, hostile(name)))
    assert document["steps"][0]["index"] == name
    assert document["steps"][0]["table"] == f"{name}.{name}"


def test_hazards_of_several_steps_are_said_once() -> None:
    steps = tuple(
        dataclasses.replace(
            CREATE, index=f"i{n}", waits_for=(), hazards=("delays VACUUM", "alone") if n == 2 else ("delays VACUUM",)
        )
        for n in range(5)
    )
    text = shown(Format.TABLE, dataclasses.replace(PLAN, steps=steps))
    assert text.count("delays VACUUM") == 1
    assert "hazard of steps 1-5: delays VACUUM\n" in text
    assert "   hazard     alone\n" in text


def test_an_entry_that_an_error_refuses_is_told_once() -> None:
    finding = Finding(severity=Severity.ERROR, code="missing-table", index="a", message="no such table")
    item = Item(index="a", schema="s", table="t", status=ItemStatus.REFUSED, error="no such table")
    text = shown(Format.TABLE, dataclasses.replace(PLAN, steps=(), refused=(item,), findings=(finding,)))
    assert text.count("no such table") == 1


def test_an_estimate_in_words_leaves_out_what_is_for_programs() -> None:
    known = {"size_bytes": 48 * 2**20, "rows": 1_200_000, "table_bytes": 2**30, "build_seconds": 72.0}
    assert words.estimate(known) == "size 48MB, rows 1,200,000, build 1 min 12 s"
