"""`slow-queries --log`: what a server log says."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dbopt.errors import Error
from dbopt.grammar import parse_expression
from dbopt.workload import plan
from dbopt.workload.log import LogStatement, LogWorkload, read, tally
from dbopt.workload.model import Kind
from tests.workload.logs import PLANNED, SECRET, Logging, logging, ordinary, planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from dbopt import embedded

PREFIXES = {
    "default": "%m [%p] ",
    "debian": "%m [%p] %q%u@%d ",
    "usual": "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
    "rds": "%t:%r:%u@%d:[%p]: ",
    "azure": "%t-%c-",
    "numbered": "%n [%p]: [%l-1] db=%d,user=%u ",
}


@pytest.fixture(scope="module")
def server(server_binaries: embedded.Binaries) -> Iterator[Logging]:
    with logging(server_binaries) as running:
        yield running


@pytest.fixture(scope="module")
def plain(server: Logging) -> dict[str, Path]:
    """Durations only."""
    return server.written("plain", ordinary, **{"auto_explain.log_min_duration": "-1"})


@pytest.fixture(scope="module")
def explained(server: Logging) -> dict[str, dict[str, Path]]:
    """Plans only, by auto_explain's formats."""
    settings = {"auto_explain.log_min_duration": "0", "auto_explain.log_nested_statements": "on"}
    settings |= {"auto_explain.log_analyze": "on", "log_min_duration_statement": "-1"}
    return {
        form: server.written(f"plans_{form}", planned, **settings, **{"auto_explain.log_format": form})
        for form in ("text", "json", "yaml", "xml")
    }


def calls(workload: LogWorkload) -> dict[str, float]:
    return {statement.query: statement.counters.calls for statement in workload.statements}


def statement(workload: LogWorkload, part: str) -> LogStatement:
    [found] = [item for item in workload.statements if part in item.query]
    return found


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "log"
    path.write_text(text, newline="")
    return path


# What a real server writes.


def test_formats_agree(plain: dict[str, Path]) -> None:
    readings = {form: read(path) for form, path in plain.items()}
    assert [reading.format for reading in readings.values()] == list(plain)
    counted = calls(readings["stderr"])
    assert all(calls(reading) == counted for reading in readings.values())
    assert len({reading.entries for reading in readings.values()}) == 1
    assert len({tuple(reading.skipped.items()) for reading in readings.values()}) == 1
    assert {query: number for query, number in counted.items() if query.startswith(("SELECT", "UPDATE"))} == {
        "SELECT * FROM orders WHERE status = $1 AND id > $2": 3,
        "SELECT total FROM orders WHERE id = $1 AND status <> $2": 7,
        "UPDATE orders SET status = $1 WHERE id = $2": 1,
        "SELECT count(*) FROM orders WHERE status = $1": 2,  # what EXECUTE ran
    }


def test_a_statement_has_what_the_log_knows_of_it(plain: dict[str, Path]) -> None:
    reading = read(plain["csvlog"])
    found = statement(reading, "SELECT *")
    assert found.kind is Kind.SELECT
    assert found.relations == ("orders",)
    assert (found.users, found.dbnames) == (("postgres",), ("postgres",))
    counters = found.counters
    assert counters.rows is None
    assert counters.mean_exec_time_ms is not None
    assert counters.mean_exec_time_ms <= found.max_exec_time_ms <= counters.total_exec_time_ms
    assert counters.sum_squares_ms2 is not None
    assert found.max_exec_time_ms**2 <= counters.sum_squares_ms2 <= counters.total_exec_time_ms**2
    assert found.first_at is not None
    assert found.last_at is not None
    assert reading.from_at is not None
    assert reading.to_at is not None
    assert reading.from_at <= found.first_at <= found.last_at <= reading.to_at
    assert reading.from_at.utcoffset() is not None


@pytest.mark.pg(">= 14")
def test_the_ids_of_pg_stat_statements(server: Logging, plain: dict[str, Path]) -> None:
    ids = {statement(read(path), "SELECT total").queryids for form, path in plain.items() if form != "stderr"}
    assert len(ids) == 1
    assert [len(found) for found in ids] == [1]


@pytest.mark.parametrize("name", PREFIXES)
def test_prefixes(server: Logging, plain: dict[str, Path], name: str) -> None:
    settings = {"log_line_prefix": PREFIXES[name], "auto_explain.log_min_duration": "-1"}
    reading = read(server.written(name, ordinary, log_min_duration_statement="0", **settings)["stderr"])
    assert calls(reading) == calls(read(plain["stderr"]))
    knows_session = "%u" in PREFIXES[name]
    found = statement(reading, "SELECT total")
    assert (found.users, found.dbnames) == ((("postgres",), ("postgres",)) if knows_session else ((), ()))
    assert reading.from_at is not None
    assert abs((datetime.now(UTC) - reading.from_at).total_seconds()) < 3600


def test_what_was_canceled_is_told_to_those_who_ask(server: Logging) -> None:
    """It has no duration, and never reaches pg_stat_statements."""

    def stopped(conn: Connection) -> None:
        conn.execute("SET statement_timeout = '20ms'")
        for number in range(3):
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                conn.execute(f"SELECT pg_sleep({60 + number})\nFROM orders WHERE status <> '{SECRET}'")
        with contextlib.suppress(psycopg.Error):
            conn.execute(f"SELECT nothing FROM orders WHERE status = '{SECRET}'")

    files = server.written("stopped", stopped, log_min_duration_statement="-1")
    for path in files.values():
        reading = read(path, canceled=True)
        [found] = reading.canceled
        assert found.query == "SELECT pg_sleep($1) FROM orders WHERE status <> $2"
        assert (found.counters.calls, found.counters.total_exec_time_ms) == (3, 0)
        assert (found.relations, reading.statements) == (("orders",), ())
        assert SECRET not in repr(reading)
        assert read(path, dbname="elsewhere", canceled=True).canceled == () or not found.dbnames
        with pytest.raises(Error, match="no duration of any statement"):
            read(path)


def test_no_value_leaves(plain: dict[str, Path], explained: dict[str, dict[str, Path]]) -> None:
    for path in (*plain.values(), *(path for files in explained.values() for path in files.values())):
        assert SECRET in path.read_text()
        assert SECRET not in repr(read(path))
    asked = read(plain["stderr"], literals=True)
    assert SECRET in (statement(asked, "SELECT *").raw or "")


@pytest.mark.parametrize("form", ["text", "json", "yaml"])
def test_plans_however_they_are_written(explained: dict[str, dict[str, Path]], form: str) -> None:
    """Text, read back, has what JSON says."""
    wanted = _plans(read(explained["json"]["csvlog"]))
    assert len(wanted) > len(PLANNED)
    for path in explained[form].values():
        found = _plans(read(path))
        assert found.keys() == wanted.keys()
        for query, document in found.items():
            _compare(document["Plan"], wanted[query]["Plan"], query)


def _plans(workload: LogWorkload) -> dict[str, Any]:
    return {found.query: found.document for found in workload.statements if found.document is not None}


# What EXPLAIN says as text only where it is not nothing, or not at all, or in other words; and what two executions of
# one statement have not in common. Under an INSERT, UPDATE or DELETE of 13 the parent relationship is "Member".
_LEFT_OUT = {
    *(
        "Async Capable",
        "Disabled",
        "Inner Unique",
        "Single Copy",
        "Storage",
        "Maximum Storage",
        "Window",
        "Target Tables",
    ),
    *("Actual Startup Time", "Actual Total Time", "Original Hash Buckets", "Original Hash Batches", "Subplans Removed"),
    *("Full-sort Groups", "Cache Hits", "Cache Misses", "Cache Evictions", "Cache Overflows", "I/O Read Time"),
    *("Shared Hit Blocks", "Shared Read Blocks", "Shared Dirtied Blocks", "Shared Written Blocks", "Presorted Key"),
    *("Local Hit Blocks", "Local Read Blocks", "Local Dirtied Blocks", "Local Written Blocks", "Peak Memory Usage"),
}


def _compare(found: dict[str, Any], wanted: dict[str, Any], query: str) -> None:
    for key, value in wanted.items():
        if key not in _LEFT_OUT | {"Plans"} and (key in found or value):
            assert found.get(key) == value, (query, key)
    assert not found.keys() - wanted.keys() - _LEFT_OUT
    assert len(found.get("Plans", ())) == len(wanted.get("Plans", ())), query
    for one, other in zip(found.get("Plans", ()), wanted.get("Plans", ()), strict=True):
        _compare(one, other, query)


def test_plans_are_nodes(explained: dict[str, dict[str, Path]]) -> None:
    shapes = []
    for form in ("text", "json"):
        document = statement(read(explained[form]["stderr"]), "lower(status)").document
        assert document is not None
        node = plan.root(document)
        assert node is not None
        shapes.append((plan.shape(node), plan.summary(node)))
        [scan] = [item for item in node.walk() if item.relation is not None]
        assert scan.actual_rows is not None
        assert scan.filter is not None
        parse_expression(scan.filter)  # values are parameters
    assert shapes[0] == shapes[1]
    assert shapes[0][1] == "Seq Scan on orders o"


def test_values_in_plans_are_parameters_and_types_are_not(explained: dict[str, dict[str, Path]]) -> None:
    document = statement(read(explained["text"]["stderr"]), "LIKE").document
    assert document is not None
    condition = document["Plan"]["Filter"]
    assert "numeric(12,3)" in condition
    assert "character varying(20)" in condition
    assert "1.5" not in condition
    parse_expression(condition)


def test_plans_alone_are_executions(explained: dict[str, dict[str, Path]]) -> None:
    """With auto_explain as the only one that logs durations."""
    counted = {form: calls(read(files["stderr"])) for form, files in explained.items()}
    assert counted["text"] == counted["json"] == counted["yaml"] == counted["xml"]
    assert counted["text"]["SELECT id FROM orders ORDER BY id DESC LIMIT $1"] == 1
    reading = read(explained["xml"]["stderr"])
    assert any(f"{len(reading.statements)} plans cannot be read" in note for note in reading.notes)
    assert all(found.document is None for found in reading.statements)


def test_plans_beside_durations_are_not_counted_twice(server: Logging) -> None:
    settings = {"auto_explain.log_min_duration": "0", "auto_explain.log_format": "text"}
    files = server.written("both", ordinary, log_min_duration_statement="0", **settings)
    reading = read(files["csvlog"])
    found = statement(reading, "SELECT total")
    assert found.counters.calls == 7
    assert found.document is not None
    # Its own duration is that of declaring it; auto_explain knows how long the rows of the cursor took.
    [cursor] = [item for item in reading.statements if item.query == "SELECT id FROM orders WHERE status <> $1"]
    assert cursor.kind is Kind.SELECT
    assert cursor.counters.calls == 1


def test_statements_of_functions(explained: dict[str, dict[str, Path]]) -> None:
    reading = read(explained["text"]["stderr"])
    assert statement(reading, "price::text").document is not None
    assert any("in functions" in note for note in reading.notes)


def test_log_statement_writes_the_text_first(server: Logging) -> None:
    settings = {"log_statement": "mod", "auto_explain.log_min_duration": "-1", "log_min_duration_statement": "0"}
    for path in server.written("announced", ordinary, **settings).values():
        found = statement(read(path), "UPDATE")
        assert found.counters.calls == 1
        assert found.counters.total_exec_time_ms > 0


# What a real server cannot be made to write, or not easily: fragments.

BEGINNING = "2026-11-22 10:15:33.871 UTC"


def line(message: str, *, pid: int = 7, at: str = BEGINNING, prefix: str = "app@shop", severity: str = "LOG") -> str:
    return f"{at} [{pid}] {prefix} {severity}:  {message}\n"


def executed(statement: str, ms: float = 12.5, **options: Any) -> str:
    return line(f"duration: {ms:.3f} ms  statement: {statement}", **options)


def of(text: str, **options: Any) -> LogWorkload:
    return read(io.StringIO(text), **options)


def test_sessions_write_between_each_other() -> None:
    log = (
        line("duration: 5.000 ms  statement: EXECUTE a(1)", pid=1)
        + executed("SELECT b\n\tFROM t", 3.0, pid=2)
        + line("prepare: PREPARE a (int) AS SELECT a\n\tFROM t WHERE id = $1", pid=1, severity="DETAIL")
        + line("SELECT unlike FROM t", pid=2, severity="STATEMENT")
        + executed("SELECT c FROM t", pid=1)
    )
    assert calls(of(log)) == {"SELECT b FROM t": 1, "SELECT a FROM t WHERE id = $1": 1, "SELECT c FROM t": 1}


def test_a_cursor_that_is_read_bit_by_bit_is_one_call() -> None:
    log = "".join(
        line(f"duration: {ms:.3f} ms  {phase} C_1: SELECT * FROM t")
        for phase, ms in (
            ("parse", 1),
            ("bind", 2),
            ("execute", 30),
            ("execute fetch from", 40),
            ("execute fetch from", 50),
        )
    )
    reading = of(log)
    assert statement(reading, "SELECT").counters.calls == 1
    assert statement(reading, "SELECT").counters.total_exec_time_ms == 120
    assert reading.skipped["parsing and binding, not execution"] == 2


def test_durations_that_do_not_say_of_what() -> None:
    """log_duration alone; with log_statement the text comes first."""
    reading = of(
        line("statement: SELECT a FROM t", pid=1)
        + line("execute s_1/p: SELECT b FROM t", pid=2)
        + line("duration: 1.000 ms", pid=3)
        + line("duration: 20.000 ms", pid=2)
        + line("duration: 30.000 ms", pid=1)
        + line("duration: 40.000 ms", pid=1)
    )
    assert {item.query: item.counters.total_exec_time_ms for item in reading.statements} == {
        "SELECT a FROM t": 30,
        "SELECT b FROM t": 20,
    }
    assert (reading.textless.calls, reading.textless.total_exec_time_ms) == (2, 41)
    assert any(note.startswith("2 durations do not say") for note in reading.notes)


def test_function_calls_of_the_protocol_are_left_out() -> None:
    reading = of(executed("SELECT 1") + line('duration: 9.000 ms  fastpath function call: "lo_open" (OID 952)'))
    assert reading.skipped["fast-path function calls"] == 1
    assert list(calls(reading)) == ["SELECT $1"]


@pytest.mark.parametrize(
    "cut", ["SELECT gone FROM", "SELECT gone FROM a\n\tWHERE"], ids=["in its first line", "in a further line"]
)
def test_the_last_line_is_cut_off(cut: str) -> None:
    reading = of(executed("SELECT a FROM t") + executed(cut).removesuffix("\n"))
    assert calls(reading) == {"SELECT a FROM t": 1}
    assert reading.skipped["entries that are cut off"] == 1


def test_endless_words_are_no_trouble() -> None:
    word = "x" * 600_000
    reading = of(word + "\n" + executed(f"SELECT '{word}' FROM t") + executed("SELECT 'a' FROM t") + "\t" + word + "\n")
    assert sum(calls(reading).values()) == 2
    assert reading.skipped == {"lines that belong to no entry": 1}


def test_a_log_that_begins_in_the_middle() -> None:
    log = "\tWHERE id = 1\n\t  ->  Seq Scan on a  (cost=0.00..1.00 rows=1 width=1)\n" + executed("SELECT a FROM t")
    assert calls(of(log)) == {"SELECT a FROM t": 1}


def test_two_statements_that_run_into_each_other() -> None:
    """Where a full disk swallowed what stood between them, values are outside of quotes."""
    first, second = (
        executed(f"SELECT a FROM t WHERE b = '{SECRET}'"),
        executed(f"SELECT a FROM t WHERE c = '{SECRET}' OR d = 'e"),
    )
    reading = of(first[:-5] + second + first)
    assert calls(reading) == {"SELECT a FROM t WHERE b = $1": 1}
    assert SECRET not in repr(reading)
    assert reading.skipped["entries that are cut off"] == 1


def csv(message: str, user: str = '"app"') -> str:
    return (
        f'{BEGINNING},{user},"shop",7,"[local]",6b02c0c5.7,1,"SELECT",{BEGINNING},0/0,0,LOG,00000,"{message}",'
        ',,,,,,,,"","client backend",,-4711\n'
    )


def test_csvlog_goes_on_after_a_cut() -> None:
    """A crash in the middle of a record, a rotation in the middle of another: the rest is not one long field."""
    long = csv("duration: 3.000 ms  statement: SELECT b\n  FROM t\n WHERE c = '\"\"x'")
    reading = of(
        long[120:]
        + csv("duration: 1.000 ms  statement: SELECT a FROM t")
        + long[:-70].rstrip("\n")
        + "\n"
        + long
        + long[:150]
    )
    assert reading.format == "csvlog"
    assert calls(reading) == {"SELECT a FROM t": 1, "SELECT b FROM t WHERE c = $1": 1}
    assert reading.skipped["entries that are cut off"] == 2
    assert reading.statements[0].queryids == (-4711,)
    assert "x" not in "".join(item.query for item in reading.statements)


def test_jsonlog_that_is_cut_off() -> None:
    entry = {"timestamp": BEGINNING, "pid": 7, "error_severity": "LOG"}
    log = json.dumps({**entry, "message": "duration: 1.000 ms  statement: SELECT 1"}) + "\n"
    reading = of(log[40:] + log + log[:90])
    assert (reading.format, calls(reading)) == ("jsonlog", {"SELECT $1": 1})
    assert reading.skipped["entries that are cut off"] == 2


CARRIED = {
    "syslog": "Nov 22 10:15:33 db1 postgres[7]: [{seq}-{chunk}] ",
    "rsyslog": "2026-11-22T10:15:33.871+00:00 db1 postgres[7]: [{seq}-{chunk}] ",
    "containers": "2026-11-22T10:15:33.871123456Z stderr F ",
    "compose": "db-1  | ",
}


@pytest.mark.parametrize("carrier", CARRIED)
def test_what_carries_logs_writes_something_before_each_line(carrier: str) -> None:
    entries = [executed("SELECT a\n\tFROM t", 1.0), executed("SELECT b FROM t", 2.0)]
    if carrier.endswith("syslog"):  # cuts long lines, and writes tabs in its own way
        entries[1] = entries[1].replace(" FROM t", "\n FROM t")
    log = ""
    for seq, entry in enumerate(entries, 1):
        for chunk, part in enumerate(entry.splitlines(), 1):
            escaped = part.replace("\t", "#011") if carrier.endswith("syslog") else part
            log += CARRIED[carrier].format(seq=seq, chunk=chunk) + escaped + "\n"
    reading = of(log)
    assert calls(reading) == {"SELECT a FROM t": 1, "SELECT b FROM t": 1}
    assert statement(reading, "SELECT a").dbnames == ("shop",)
    assert statement(reading, "SELECT a").first_at == datetime(2026, 11, 22, 10, 15, 33, 871000, UTC)


def test_line_ends_and_bytes_of_other_systems(tmp_path: Path) -> None:
    text = executed("SELECT 'a\n\tb' FROM caf\u00e9") + executed("SELECT 1")
    path = tmp_path / "log"
    path.write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    assert calls(read(path)) == {"SELECT $1 FROM caf\ufffd": 1, "SELECT $1": 1}


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
def test_compressed_logs(tmp_path: Path, compress: Any) -> None:
    path = tmp_path / "log.1"  # by what it holds, not by its name
    path.write_bytes(compress(executed("SELECT 1").encode()))
    assert calls(read(path)) == {"SELECT $1": 1}
    path.write_bytes(compress((executed("SELECT 1") * 20_000).encode())[:-10])
    reading = read(path)
    assert reading.statements[0].counters.calls > 0
    assert any("ends early" in note for note in reading.notes)


def test_standard_input(tmp_path: Path) -> None:
    path = written(tmp_path, executed("SELECT 1"))
    with path.open() as stream:
        assert calls(read(stream)) == {"SELECT $1": 1}


def test_times_are_in_any_zone() -> None:
    zones = {"UTC": 0, "CET": 1, "-03": -3, "+0530": 5.5}
    for zone, hours in zones.items():
        found = of(executed("SELECT 1", at=f"2026-11-22 10:00:00.000 {zone}")).from_at
        assert found == datetime(2026, 11, 22, 10, tzinfo=UTC) - timedelta(hours=hours)
    unknown = of(executed("SELECT 1", at="2026-11-22 10:00:00.000 QQQ"))
    assert unknown.from_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert any("QQQ" in note for note in unknown.notes)


def test_filters() -> None:
    log = (
        executed("SELECT early", at="2026-11-22 09:59:59.999 UTC")
        + executed("SELECT a FROM t", at="2026-11-22 10:00:00.000 UTC")
        + executed("SELECT b FROM t", prefix="app@stock")
        + executed("SELECT c FROM t", prefix="ann@shop")
    )
    reading = of(log, dbname="shop", user="app", since=datetime(2026, 11, 22, 10, tzinfo=UTC))
    assert calls(reading) == {"SELECT a FROM t": 1}
    assert reading.from_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert reading.skipped == {
        "before the time asked for": 1,
        "of another database": 1,
        "of another user": 1,
    }
    unattributed = of(executed("SELECT 1", prefix=""), dbname="shop")
    assert calls(unattributed) == {"SELECT $1": 1}
    assert any("%u and %d" in note for note in unattributed.notes)


def test_what_is_not_logged_is_said() -> None:
    assert of(executed("SELECT 1", 512.3)).shortest_ms == 512.3
    assert any("512 ms, quicker ones are missing" in note for note in of(executed("SELECT 1", 512.3)).notes)


def test_more_statements_than_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "STATEMENTS_MAX", 3)
    reading = of("".join(executed(f"SELECT c{number} FROM t{number}x", 2.0) for number in (1, 2, 3, 4, 5, 1)))
    assert len(reading.statements) == 3
    assert (reading.others.calls, reading.others.total_exec_time_ms) == (2, 4.0)
    assert any(note.startswith("2 executions of statements beyond") for note in reading.notes)


def test_texts_that_differ_in_values_and_comments_are_one() -> None:
    texts = [
        "id = 1 /* a */",
        "id = 22 -- b 'c",
        "id = 3",
        "id = -4.5e+7",
        "id = 'it''s'",
        "id = E'a\\'b'",
        "id = $$a$$",
    ]
    reading = of("".join(executed(f"SELECT a1 FROM t2 WHERE \"1\" = 'x' AND {text}") for text in texts))
    assert [item.counters.calls for item in reading.statements] == [len(texts)]


def test_names_with_values_in_them_are_names() -> None:
    assert len(of(executed('SELECT "a\'1"') + executed('SELECT "a\'2"') + executed("SELECT c3, c4")).statements) == 3


def test_a_plan_in_the_values_of_a_statement_is_not_its_plan() -> None:
    inner = "Seq Scan on inner_one  (cost=0.00..1.00 rows=1 width=1)"
    reading = of(
        line(
            f"duration: 3.000 ms  plan:\n\tQuery Text: INSERT INTO plans VALUES ('\n\t{inner}\n\t')\n"
            "\tInsert on plans  (cost=0.00..0.01 rows=0 width=0)\n\t  ->  Result  (cost=0.00..0.01 rows=1 width=36)"
        )
    )
    [found] = reading.statements
    assert found.query == "INSERT INTO plans VALUES ($1)"
    assert found.document is not None
    assert found.document["Plan"]["Node Type"] == "ModifyTable"
    assert "inner_one" not in repr(reading)


def test_plans_that_were_not_run() -> None:
    """auto_explain.log_analyze is off as it comes: estimates only."""
    text = (
        "Query Text: SELECT * FROM t\n\tSeq Scan on public.t  (cost=0.00..1.00 rows=1 width=1)\n\t  Output: a, (b + 1)"
    )
    document = of(line(f"duration: 3.000 ms  plan:\n\t{text}")).statements[0].document
    assert document is not None
    assert document["Plan"]["Schema"] == "public"
    assert document["Plan"]["Output"] == ["a", "(b + $1)"]
    node = plan.root(document)
    assert node is not None
    assert node.actual_rows is None


# What cannot be read.


def refusal(source: Path | io.StringIO, **options: Any) -> Error:
    with pytest.raises(Error) as caught:
        read(source, **options)
    return caught.value


def test_files_that_are_no_logs(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert refusal(path).detail == "No such file or directory"
    assert "is a folder" in refusal(tmp_path).message
    path.write_bytes(b"")
    assert "is empty" in refusal(path).message
    path.write_bytes(b"\x7fELF\0\0\0")
    assert "is not a text file" in refusal(path).message
    path.write_bytes(b"\x28\xb5\x2f\xfd\0")
    assert "zstd -dc" in (refusal(path).hint or "")
    path.write_text("one\ntwo\n")
    assert "is not a log of PostgreSQL" in refusal(path).message
    path.write_bytes(gzip.compress(b""))
    assert "is empty" in refusal(path).message


def test_a_log_without_durations() -> None:
    error = refusal(io.StringIO(line("checkpoint starting: time") * 3))
    assert error.message == "no duration of any statement in standard input"
    assert "log_min_duration_statement = '500ms'" in (error.hint or "")


@pytest.mark.parametrize(
    "message",
    [
        "Dauer: 0.100 ms  Anweisung: SELECT 4711",
        "dur\u00e9e : 0.100 ms, instruction : SELECT 4711",
        "\u6267\u884c\u65f6\u95f4\uff1a0.100 ms  \u8bed\u53e5: SELECT 4711",
    ],
    ids=["German", "French", "Chinese"],
)
def test_a_log_in_another_language(message: str) -> None:
    severity = "LOG" if message.isascii() else "\u65e5\u5fd7"
    error = refusal(io.StringIO(line(message, severity=severity)))
    assert "not in English" in error.message
    assert "lc_messages = 'C'" in (error.hint or "")
    assert "4711" not in f"{error.message} {error.detail} {error.hint}"
    mixed = of(line(message, severity=severity) + executed("SELECT 1"))
    assert calls(mixed) == {"SELECT $1": 1}
    assert any("lc_messages" in note for note in mixed.notes)


def test_lines_without_a_time() -> None:
    log = "LOG:  duration: 1.000 ms  statement: SELECT 1\n"
    assert of(log).from_at is None
    assert calls(of(log)) == {"SELECT $1": 1}
    assert "have no time" in refusal(io.StringIO(log), since=datetime(2026, 1, 1, tzinfo=UTC)).message
