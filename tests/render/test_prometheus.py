"""The text format, read by Prometheus' own parser."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbopt.health.check import Finding, Result, Status
from dbopt.health.checks import all_checks, load
from dbopt.render.prometheus import exposition, metric_name

from .values import HOSTILE
from .verdicts import HEALTHY, TROUBLED, UNREACHABLE, every_check_found, hostile, result, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.health.verdict import Verdict


def series(*verdicts: Verdict) -> dict[str, list[tuple[Mapping[str, str], float]]]:
    """By family."""
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(exposition(verdicts))
    }


def test_a_database() -> None:
    where = {"target": "db1:5432/app", "database": "app"}
    found = series(TROUBLED)
    assert found["dbopt_health_up"] == [(where, 1)]
    assert found["dbopt_health_verdict"] == [(where, 2)]
    assert found["dbopt_health_collected_timestamp_seconds"] == [(where, 1769860800)]
    assert found["dbopt_health_duration_seconds"] == [(where, 0.08)]
    assert {labels["check"]: value for labels, value in found["dbopt_health_status"]} == {
        "connection-slots": 0,
        "prepared-transaction": 2,
        "table-bloat": 3,
        "index-bloat": 3,
        "unused-index": 3,
        "timeouts-unset": 0,
        "cache-hit-ratio": 1,
    }
    assert found["dbopt_health_connection_slots_ratio"] == [({**where, "subject": "max_connections"}, 0.42)]
    assert found["dbopt_health_prepared_transaction_seconds"] == [
        ({**where, "subject": "gid one"}, 4000.5),
        ({**where, "subject": "gid two"}, 301),
    ]
    assert "dbopt_health_table_bloat_ratio" not in found


def test_no_connection() -> None:
    found = series(UNREACHABLE)
    assert found["dbopt_health_up"] == [({"target": "db1:5432/app", "database": ""}, 0)]
    assert found["dbopt_health_verdict"][0][1] == 2


def test_several_databases_share_families_and_no_series_comes_twice() -> None:
    other = verdict(*TROUBLED.results, name="replica")
    text = exposition([TROUBLED, other, TROUBLED, HEALTHY])
    names = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    runs = [name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]
    assert len(runs) == len(set(runs)), "a family's series stand together"
    heads = re.findall(r"^# TYPE (\S+) gauge$", text, re.M)
    assert sorted(heads) == sorted(set(names))
    every = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(every) == len(set(every))
    assert {labels["target"] for labels, _ in series(TROUBLED, other)["dbopt_health_up"]} == {"db1:5432/app", "replica"}


def test_of_two_findings_of_one_subject_the_worse_counts() -> None:
    twice = result("table-bloat", Status.CRITICAL, ("t", Status.CRITICAL, 0.9), ("t", Status.WARNING, 0.4))
    assert [value for _, value in series(verdict(twice))["dbopt_health_table_bloat_ratio"]] == [0.9]


@pytest.mark.parametrize("name", HOSTILE)
def test_labels_carry_any_name(name: str) -> None:
    [(labels, value)] = series(hostile(name))["dbopt_health_prepared_transaction_seconds"]
    assert (labels["subject"], value) == (name, 1.5)


@pytest.mark.parametrize("measure", [math.nan, math.inf, -math.inf, 0.1, 2**63, 1e-9])
def test_numbers(measure: float) -> None:
    check = load("table-bloat")
    found = Finding(subject="t", status=Status.WARNING, measure=measure, unit=check.unit, detail="")
    one = verdict(Result(check=check, status=Status.WARNING, findings=(found,)))
    [(_, value)] = series(one)["dbopt_health_table_bloat_ratio"]
    assert value == measure or (math.isnan(value) and math.isnan(measure))


def test_names_follow_the_conventions() -> None:
    """What `promtool check metrics` looks at too: base units spelled out, no suffix of another type, each name once."""
    names = [metric_name(check) for check in all_checks()]
    assert len(set(names)) == len(names)
    taken = {"up", "verdict", "status", "collected_timestamp_seconds", "duration_seconds"}
    for name in names:
        assert re.fullmatch(r"dbopt_health_[a-z][a-z0-9_]*", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_info", "_ratio_ratio")), name
        assert name.removeprefix("dbopt_health_") not in taken
        assert not {"ms", "s", "b", "kb", "mb", "gb", "min", "h", "d", "gauge"} & set(name.split("_")), name
    assert set(names) <= set(series(every_check_found()))
