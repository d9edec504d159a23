"""The proof at a small scale: everything is measured, and the verdicts follow from the figures."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from dbopt.demo import app as apps
from dbopt.demo import schema, walkthrough
from dbopt.demo.paths import Effort, percentile
from dbopt.demo.proof import values
from dbopt.demo.proof.bill import Till
from dbopt.demo.proof.caching import caching
from dbopt.demo.proof.crowd import crowds
from dbopt.demo.proof.judge import judge
from dbopt.demo.proof.mixes import MIXES
from dbopt.demo.proof.promises import PROMISES, Figure
from dbopt.demo.proof.requests import Draw, Recorder, Request, different, identifier, stream
from dbopt.demo.proof.values import USERS, Crowd, Evidence, Scale
from dbopt.embedded.binaries import VARIABLE
from dbopt.render import benchmarks_page
from dbopt.render.proof import figure_text, limit_text, proof_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli_runner import Result
    from server import Database, Server

    from dbopt.embedded import Binaries

    from .conftest import Sample

ROWS = 2000
SMALL = Scale(effort=Effort(3, 5, 0.01), users=(2, 5), seconds=0.3, warm_up_seconds=0, reads=150)


@pytest.fixture(scope="module")
def events(server_binaries: Binaries) -> list[walkthrough.DemoEvent]:
    """A whole run, on what the test session runs on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(server_binaries.bindir))
        return list(walkthrough.run(apps.get("neonhub"), ROWS, proof=SMALL))


@pytest.fixture(scope="module")
def evidence(events: list[walkthrough.DemoEvent]) -> Evidence:
    last = events[-1]
    assert isinstance(last, walkthrough.Finished)
    assert last.evidence is not None
    return last.evidence


def document(*found: Evidence) -> Any:
    """As it is after a way through a file."""
    made = proof_document(found, judge(found), taken_at=datetime(2026, 1, 15, tzinfo=UTC), seconds=61, load=0.5)
    return json.loads(json.dumps(made, default=datetime.isoformat))


def kept(evidence: Evidence) -> dict[str, bool | None]:
    return {verdict.promise.id: verdict.kept for verdict in judge([evidence])}


def thousand(
    *, answered: int, seconds: float = 1.0, cached: bool = True, errors: int = 0, served: int = USERS
) -> Crowd:
    return Crowd(
        users=USERS,
        think_seconds=0,
        cached=cached,
        seconds=seconds,
        asked=answered + errors,
        answered=answered,
        served=served,
        p50_ms=1,
        p95_ms=2,
        errors={"PoolExhausted": errors} if errors else {},
        connections=values.CONNECTIONS,
    )


# What a run finds


def test_a_run_measures_everything(evidence: Evidence) -> None:
    assert len(evidence.comparisons) == len(apps.get("neonhub").paths)
    assert all(0 < pair.before.milliseconds <= pair.before.p95_milliseconds for pair in evidence.comparisons)
    assert [(one.users, one.cached) for one in evidence.before] == [(2, False), (5, False)]
    assert [(one.users, one.cached, one.think_seconds > 0) for one in evidence.after] == [
        (2, False, False),
        (5, False, False),
        (2, True, False),
        (5, True, False),
        (5, True, True),
    ]
    for one in (*evidence.before, *evidence.after[:-1]):
        assert one.served == one.users
        assert one.asked >= one.users
        assert one.answered <= one.asked
        assert not one.errors
        assert 1 <= one.connections <= values.CONNECTIONS
        assert one.p50_ms is not None
        assert one.p95_ms is not None
        assert 0 < one.p50_ms <= one.p95_ms
        assert (one.hit_ratio is not None) is one.cached
    found = evidence.caching
    assert (found.without.hits, found.without.misses) == (0, 0)
    assert found.with_cache.hits + found.with_cache.misses == found.reads == SMALL.reads
    assert found.with_cache.misses == found.different, "what was asked before is in the cache"
    assert found.with_writes.misses > found.with_cache.misses, "writes make answers invalid"
    assert evidence.settings.keys() >= {"server_version", "shared_buffers"}


def test_the_server_is_asked_once_a_miss(evidence: Evidence) -> None:
    """Statements by pg_stat_statements, hits by the cache: two accounts of the same work."""
    without, cached = evidence.caching.without, evidence.caching.with_cache
    assert without.bill is not None
    assert cached.bill is not None
    saved = without.bill.statements - cached.bill.statements
    assert saved >= cached.hits
    assert without.bill.exec_time_ms > 0
    assert without.bill.buffers > 0


def test_verdicts_follow_from_the_figures(evidence: Evidence) -> None:
    verdicts = judge([evidence])
    assert len(verdicts) == sum("neonhub" in promise.apps for promise in PROMISES)
    for verdict in verdicts:
        value, promise = verdict.figure.value, verdict.promise
        if value is None:
            assert (verdict.kept, bool(verdict.figure.note)) == (None, True)
        else:
            within = (promise.least is None or value >= promise.least) and (
                promise.most is None or value <= promise.most
            )
            assert verdict.kept is (within and verdict.figure.counts), promise.id


def test_what_was_not_measured_is_not_judged(evidence: Evidence) -> None:
    """No crowd of a thousand, and no table that is large."""
    found = {verdict.promise.id: verdict for verdict in judge([evidence])}
    for name in ("users", "reads-per-second", "uncached-reads-per-second", "connections"):
        assert (found[name].kept, found[name].figure.note) == (None, "no run with 1,000 users")
    assert found["index-coverage"].figure == Figure(None, "no table has more than 10,000 rows")
    no_account = replace(evidence.caching, without=replace(evidence.caching.without, bill=None))
    assert kept(replace(evidence, caching=no_account))["less-load"] is None


@pytest.mark.parametrize(
    ("crowd", "expected"),
    [
        (thousand(answered=2000), {"reads-per-second": True, "users": True, "error-ratio": True}),
        (thousand(answered=1999), {"reads-per-second": False}),
        (thousand(answered=2000, seconds=2), {"reads-per-second": False}),
        (thousand(answered=9990, errors=10, served=991), {"users": False, "error-ratio": True}),
        (thousand(answered=9989, errors=11, served=990), {"error-ratio": False}),
        (thousand(answered=2000, cached=False), {"uncached-reads-per-second": True, "reads-per-second": None}),
    ],
)
def test_a_crowd_at_the_limit(evidence: Evidence, crowd: Crowd, expected: dict[str, bool | None]) -> None:
    found = kept(replace(evidence, after=(crowd,)))
    assert {name: found[name] for name in expected} == expected


def test_a_plan_that_stays_is_no_promise_kept(evidence: Evidence) -> None:
    """However much faster it happened to be."""
    pair = next(one for one in evidence.comparisons if one.before.path.name == "High value leads")
    fast = replace(pair.before, milliseconds=pair.before.milliseconds / 100)
    stays = replace(evidence, comparisons=(replace(pair, after=fast),))
    assert kept(stays)["lead-scoring-faster"] is False
    other = replace(fast, plan_node="Index Scan using leads_score_idx")
    assert kept(replace(evidence, comparisons=(replace(pair, after=other),)))["lead-scoring-faster"] is True
    assert kept(replace(evidence, comparisons=()))["lead-scoring-faster"] is None


def test_of_several_paths_the_one_that_gained_least_decides(evidence: Evidence) -> None:
    pair = evidence.comparisons[0]
    names = ("Campaign list of an organisation: active", "Campaign list of an organisation: completed")
    pairs = tuple(
        replace(
            pair,
            before=replace(pair.before, path=replace(pair.before.path, name=name), milliseconds=factor * 1.0),
            after=replace(pair.after, milliseconds=1.0, plan_node="Index Scan using i"),
        )
        for name, factor in zip(names, (50, 5), strict=True)
    )
    found = {one.promise.id: one for one in judge([replace(evidence, app="thrive_send", comparisons=pairs)])}
    verdict = found["campaign-list-faster"]
    assert (verdict.figure.value, verdict.kept) == (5.0, False)
    assert "completed, the least of 2" in verdict.figure.note


@pytest.mark.parametrize("app", schema.APPS)
def test_every_path_that_a_promise_names_is_measured(app: str) -> None:
    """Without a comparison of that name a promise would never be judged."""
    names = {path.name for path in apps.get(app).paths}
    for promise in PROMISES:
        if app in promise.apps and promise.id.endswith("-faster"):
            closure = promise.measure.__closure__  # type: ignore[attr-defined]
            asked = {name for cell in closure for name in cell.cell_contents}
            assert asked <= names, promise.id


# What is told of it


def test_the_page_says_no_where_a_promise_is_missed(evidence: Evidence) -> None:
    missed = replace(evidence, after=(thousand(answered=100), thousand(answered=5000, cached=False)))
    text = benchmarks_page.page(document(missed))
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert "| 2,000/s or more | 100/s | no |" in lines["Queries a second, with the cache"]
    assert "| 2,000/s or more | 5,000/s | yes |" in lines["Queries a second, without the cache"]
    assert "| not measured | not measured | no table" in lines["Index coverage, rows"]


def test_the_page_has_every_figure_of_the_document(evidence: Evidence) -> None:
    run = document(evidence)
    text = benchmarks_page.page(run)
    assert text.count("\n| ") >= len(run["promises"]) + len(run["apps"][0]["paths"]) + 7 + 3
    for path in run["apps"][0]["paths"]:
        assert f"| {path['path']} | " in text
    for one in run["promises"]:
        cells = (
            f"| {limit_text(one['least'], one['most'], one['unit'])} | {figure_text(one['measured'], one['unit'])} |"
        )
        assert cells in text
    assert f"Measured on 2026-01-15 in 1 min 01 s: {run['machine']['system']}, {os.cpu_count()} cores" in text
    assert os.uname().nodename not in text


def test_the_page_is_written_from_the_file_of_a_run(evidence: Evidence, tmp_path: Any) -> None:
    run = document(evidence)
    (tmp_path / "run.json").write_text(json.dumps(run))
    benchmarks_page.main([str(tmp_path / "run.json"), str(tmp_path)])
    assert (tmp_path / "benchmarks.md").read_text() == benchmarks_page.page(run)


@pytest.mark.parametrize("format_name", ["table", "json", "lines"])
def test_demo_has_it_on_demand(
    run_cli: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    events: list[walkthrough.DemoEvent],
    evidence: Evidence,
    format_name: str,
) -> None:
    """What is made of a run; the run itself took place before."""
    asked: list[Scale | None] = []

    def replayed(app: Any, rows: int, *, keep_in: Any, proof: Scale | None) -> Iterator[walkthrough.DemoEvent]:
        asked.append(proof)
        yield from events

    monkeypatch.setattr(walkthrough, "run", replayed)
    result = run_cli("demo", "--app", "neonhub", "--proof", "--format", format_name)
    assert (result.code, asked) == (0, [values.SHORT]), result.err
    verdicts = judge([evidence])
    if format_name == "json":
        assert [one["kept"] for one in result.json["promises"]] == [verdict.kept for verdict in verdicts]
        assert len(result.json["proof"]["paths"]) == len(evidence.comparisons)
    elif format_name == "lines":
        assert [line.split("\t")[0] for line in result.out.splitlines()] == [one.promise.words for one in verdicts]
    else:
        assert "let users read again: " in result.out
        assert "Cache hit rate on repeated reads" in result.out
        assert f"of {len(verdicts)} promises kept" in result.out


def test_stop_and_proof_are_two_things(run_cli: Callable[..., Result]) -> None:
    result = run_cli("demo", "--stop", "--proof")
    assert (result.code, "--stop stands alone" in result.err) == (3, True)


# Its parts


def test_ids_are_those_that_the_data_has(sample: Sample) -> None:
    table = {"neonhub": "campaigns", "thrive_send": "Campaign"}[sample.app.name]
    ids = {row[0] for row in sample.database.sql(f'SELECT id FROM "{table}"')}
    assert {identifier(table, number) for number in range(1, len(ids) + 1)} == ids


def test_large_owners_are_asked_for_more_often_and_never_beyond_the_last() -> None:
    draw = Draw({"users": 1000}, "seed")
    numbers = [draw.number("users") for _ in range(5000)]
    assert (min(numbers), max(numbers) <= 1000) == (1, True)
    assert sum(number <= 31 for number in numbers) / len(numbers) == pytest.approx(0.5, abs=0.05)
    assert {Draw({"users": 1000}, str(seed)).number("users", among=0.001) for seed in range(50)} == {1}


@pytest.mark.parametrize("app", schema.APPS)
def test_the_same_seed_asks_the_same(app: str) -> None:
    rows = dict(apps.get(app).book(ROWS).rows)

    def asked(seed: str) -> list[object]:
        draw = Draw(rows, seed)
        return [request.ask(Recorder(), draw) for request in islice(stream(MIXES[app].reads, draw), 50)]

    assert asked("one") == asked("one") != asked("other")
    assert different(MIXES[app].reads, Draw(rows, "one"), 50) == len(set(asked("one")))


def test_every_request_of_the_mix_is_answered_and_cached(sample: Sample, pg: Server) -> None:
    mix = MIXES[sample.app.name]
    with pg.database(sample.database.name) as own:
        found = caching(own.conninfo, mix, sample.loaded.rows, 200, None)
        assert (found.with_cache.hits + found.with_cache.misses, found.with_cache.bill) == (200, None)
        assert found.writes == 2
        table = {"neonhub": "analytics", "thrive_send": '"Activity"'}[sample.app.name]
        assert own.sql(f"SELECT count(*) FROM {table}") == [(ROWS + 2,)]


def test_errors_are_counted_by_class_and_end_nobody(database: Database) -> None:
    """Every second query, and so the first of the second user, is of a table that is not there."""
    broken = sa.select(sa.table("missing", sa.column("x")))
    fine = sa.select(sa.literal(1))
    turns = iter(range(10**9))
    ask = Request("either", 1, lambda app, _: app.db.rows(broken if next(turns) % 2 else fine))
    mix = replace(MIXES["neonhub"], reads=(ask,))
    [found] = asyncio.run(crowds(database.conninfo, mix, {}, SMALL, [(3, 0)], cached=False))
    assert found.errors.keys() == {"ProgrammingError"}
    assert 1 <= found.failed < found.asked
    assert found.served < found.users
    assert found.p50_ms is not None


def test_a_bill_is_of_one_database_and_of_its_sessions_alone(database: Database, pg: Server) -> None:
    till = Till(pg.conninfo, database.name, pg.embedded.pid)
    if not till.has_statements():
        pytest.skip("this server has no pg_stat_statements")
    database.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) AS i")
    start = till.read()
    for _ in range(3):
        database.sql("SELECT count(*) FROM t")
    end = till.read()
    assert end.statements - start.statements == 3
    assert end.buffers > start.buffers
    assert end.exec_time_ms > start.exec_time_ms
    assert till.read().statements == end.statements


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.95, 4), (1, 4), (0.25, 1), (0.26, 2)])
def test_a_percentile_is_one_of_the_values(share: float, expected: int) -> None:
    assert percentile([3, 1, 4, 2], share) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
