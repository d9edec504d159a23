"""Figures as text: for people, for programs, for Prometheus."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbopt.errors import Error
from dbopt.metrics.breakdown import Breakdown, Measure, Row
from dbopt.metrics.catalogue import METRICS
from dbopt.metrics.figures import Figure
from dbopt.metrics.measurement import About, Basis, Measurement, Span
from dbopt.metrics.metric import Group, Standing, Unit
from dbopt.render.amounts import amount
from dbopt.render.metrics import write_measurements
from dbopt.render.output import Format
from dbopt.render.sparkline import can_show, sparkline
from dbopt.snapshot.model import Family, Part, Subject
from dbopt.snapshot.server import SERVER_COUNTS, SERVER_GROUPS, SERVER_LEVELS

from .values import HOSTILE, Memory

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SPAN = Span(
    basis=Basis.STORE,
    from_at=NOON - timedelta(hours=1),
    to_at=NOON,
    seconds=3000.0,
    breaks=("the counters were started anew (io)",),
    shorter={"statements": 600.0},
)


def server() -> Part:
    subjects = {
        group: Subject(group, group, tuple(7 if name in names else None for name in SERVER_COUNTS))
        for group, names in SERVER_GROUPS.items()
    }
    return Part(
        family=Family.SERVER,
        taken_at=NOON,
        lineage="",
        counts=SERVER_COUNTS,
        subjects=subjects,
        levels=dict.fromkeys(SERVER_LEVELS, 1),
    )


IO = Part(
    family=Family.IO,
    taken_at=NOON,
    lineage="",
    counts=(
        *("reads", "read_bytes", "read_time", "writes", "write_bytes", "write_time", "extends", "extend_bytes"),
        *("hits", "evictions", "reuses", "fsyncs"),
    ),
    subjects={(key := "client backend/relation/normal"): Subject(key, key, (3, 24576, 1500.0, *(None,) * 9))},
)


def figure(name: str, value: float | None, **more: object) -> Figure:
    return Figure(metric=METRICS[name], value=value, **more)  # type: ignore[arg-type]


MEASURED = Measurement(
    about=About(name="main", place="db1/app", dbname="app", server_version="18.4 (Debian)", in_recovery=False),
    span=SPAN,
    figures=(
        figure("connections_used_ratio", 0.95, standing=Standing.ALERT),
        figure("connections_active", None, reason="hidden from this role", hint='GRANT pg_read_all_stats TO "me";'),
        figure("connections_idle", None, reason="hidden from this role", hint='GRANT pg_read_all_stats TO "me";'),
        figure("statement_time_p95_ms", 1234.5, remark="of 12 calls"),
        figure("deadlocks", 0.0),
        figure("wal_bytes_per_second", 1536.0, before=1024.0),
    ),
    breakdowns=(
        Breakdown(
            name="connections_by_application",
            title="Connections by application",
            group=Group.CONNECTIONS,
            subject="application",
            measures=(Measure("sessions", "sessions", Unit.COUNT),),
            rows=(Row("web", (9,)), Row("", (2,)), *(Row(f"job {number}", (1,)) for number in range(5))),
        ),
        Breakdown(
            name="slow_statements",
            title="Statements over 500 ms on average",
            group=Group.LATENCY,
            subject="queryid",
            measures=(Measure("calls", "calls", Unit.COUNT), Measure("mean_ms", "mean", Unit.MILLISECONDS)),
            rows=(Row("-42", (3.0, 700.0), "SELECT $1"), *(Row(str(number), (1.0, 600.0)) for number in range(11))),
        ),
    ),
    parts={Family.SERVER: server(), Family.IO: IO},
)
FAILED = Measurement(
    about=About(name="gone", place="db2/app"),
    parts={},
    error=Error("could not connect to db2", detail="no answer", hint="Start it."),
)


def written(format: Format, *measurements: Measurement, **more: object) -> str:
    memory = Memory(format, width=120)
    write_measurements(memory.output, measurements, **more)  # type: ignore[arg-type]
    return memory.out


def test_people_see_values_targets_what_is_unknown_and_the_time() -> None:
    out = written(Format.TABLE, MEASURED)
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "Share of the maximum 95 % alert < 80 %, alert > 90 %" in rows
    assert "95 %, estimated 1.2 s of 12 calls" in rows
    assert "Deadlocks 0" in rows
    assert "WAL 1536B/s 1024B/s +50 %" in rows
    assert "Connections by application: web 9, (no name) 2, job 0 1, job 1 1, job 2 1, and 2 more\n\n" in out
    assert "and 2 more: --format json has all" in out
    assert (
        '  connections_active, connections_idle: hidden from this role\n      GRANT pg_read_all_stats TO "me";\n' in out
    )
    last = out.splitlines()[-1]
    assert last.startswith("metrics: main: app on PostgreSQL 18.4 · 2026-11-22 ")
    assert last.endswith(
        "(50 min 00 s of 1 h 00 min watched, stored readings), the counters were started anew (io),"
        " statements: 10 min 00 s watched"
    )


def test_a_database_that_failed_stands_among_the_others() -> None:
    out = written(Format.TABLE, MEASURED, FAILED)
    assert "gone: db2/app\n\nerror: could not connect to db2\n  detail: no answer\n  hint: Start it.\n" in out
    lines = written(Format.LINES, FAILED).split("\t")
    assert (lines[5], lines[9], lines[10]) == ("error", "could not connect to db2: no answer", "gone")
    document = json.loads(written(Format.JSON, MEASURED, FAILED))
    assert [target["error"] is None for target in document["targets"]] == [True, False]


def test_json() -> None:
    document = json.loads(written(Format.JSON, MEASURED))
    assert (document["schema_version"], document["command"]) == (1, "metrics")
    assert document["window"]["from_at"] == "2026-11-22T11:00:00Z"
    assert document["window"]["seconds"] == 3000
    hidden = document["metrics"][1]
    assert (hidden["value"], hidden["reason"]) == (None, "hidden from this role")
    assert document["metrics"][4]["value"] == 0
    assert document["breakdowns"]["slow_statements"][0] == {
        "queryid": "-42",
        "calls": 3,
        "mean_ms": 700,
        "query": "SELECT $1",
    }
    assert written(Format.JSON, MEASURED, event=True).count("\n") == 1


def test_lines_and_csv_have_figures_and_their_parts() -> None:
    records = [line.split("\t") for line in written(Format.LINES, MEASURED).splitlines()]
    assert {len(record) for record in records} == {13}
    assert records[0][:8] == ["connections", "connections_used_ratio", "", "0.95", "ratio", "alert", "0.8", "0.9"]
    assert ["latency", "slow_statements.mean_ms", "-42", "700.0", "ms"] in [record[:5] for record in records]
    assert written(Format.CSV, MEASURED).startswith("group,name,subject,value,unit,status,goal,alert,before,reason,")


def test_prometheus_has_raw_counters_and_gauges_in_base_units() -> None:
    found = {
        family.name: family for family in text_string_to_metric_families(written(Format.PROMETHEUS, MEASURED, FAILED))
    }
    assert [sample.value for sample in found["dbopt_metrics_up"].samples] == [1, 0]
    assert found["dbopt_deadlocks"].type == "counter"
    [deadlocks] = found["dbopt_deadlocks"].samples
    assert (deadlocks.name, deadlocks.value) == ("dbopt_deadlocks_total", 7)
    assert deadlocks.labels == {"target": "main", "database": "app"}
    [reads] = found["dbopt_io_read_seconds"].samples
    assert (reads.value, reads.labels["backend_type"]) == (1.5, "client backend")
    assert found["dbopt_statement_time_p95_seconds"].samples[0].value == pytest.approx(1.2345)
    assert "dbopt_wal_bytes_per_second" not in found  # Prometheus makes it from dbopt_wal_bytes_total
    assert found["dbopt_metrics_window_seconds"].samples[0].value == 3000
    assert "dbopt_transactions" not in found  # of a group that was not asked for


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("format", [Format.TABLE, Format.LINES, Format.JSON, Format.CSV, Format.PROMETHEUS])
def test_foreign_names_break_nothing(name: str, format: Format) -> None:
    hostile = replace(
        MEASURED,
        about=replace(MEASURED.about, name=name, dbname=name),
        breakdowns=(replace(MEASURED.breakdowns[0], rows=(Row(name, (1,)),)),),
        notes=(name,),
    )
    out = written(format, hostile)
    assert "\x1b" not in out or format in (Format.CSV, Format.PROMETHEUS)  # data, as it is
    if format is Format.LINES:
        assert {line.count("\t") for line in out.split("\n")[:-1]} == {12}
    if format is Format.PROMETHEUS:
        assert list(text_string_to_metric_families(out))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, Unit.COUNT, "0"),
        (1234567.0, Unit.COUNT, "1,234,567"),
        (2.5, Unit.COUNT, "2.5"),
        (0.0333, Unit.PER_SECOND, "0.0333/s"),
        (0.0005, Unit.RATIO, "< 0.1 %"),
        (0.9999, Unit.RATIO, "99.99 %"),
        (0.0, Unit.SECONDS, "0 s"),
        (0.5, Unit.MILLISECONDS, "0.50 ms"),
        (0.956, Unit.RATIO, "95.6 %"),
        (1536.0, Unit.BYTES_PER_SECOND, "1536B/s"),
    ],
)
def test_amounts(value: float, unit: Unit, text: str) -> None:
    assert amount(value, unit) == text


def test_sparklines() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5.0, None, 5.0]) == "▁ ▁"
    assert sparkline([None]) == ""
    assert sparkline([0, 10], plain=True) == "_@"
    assert can_show("utf-8")
    assert not can_show("latin-1")
    assert not can_show("ascii")


def test_trends_stand_beside_and_keep_a_figure_that_is_gone() -> None:
    trends = {"main": {"deadlocks": "▁▁█", "connections_active": "▁█ "}}
    out = written(Format.TABLE, MEASURED, trends=trends)
    assert "▁▁█" in out
    assert "Active not known ▁█" in [" ".join(line.split()) for line in out.splitlines()]
