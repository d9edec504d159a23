"""What `dbopt health` costs beside other tools at the same work, and what each of them finds.

Three databases: the fixture of 12 tables with planted problems, 2,000 tables with 10,000 indexes, and with --huge
20,000 tables with 100,000 indexes. On each, all tools run in turns, as processes; then once more with the server's log
telling connections and statements. A planted problem counts as found when a tool's complaint names its object.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _health_peers import Peer, peers
from _measure import (
    DBOPT,
    PYTHON,
    Figure,
    Run,
    environment,
    in_turns,
    is_statement,
    logged,
    median,
    note,
    options,
    report,
    server,
)
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.embedded import EmbeddedServer

BESIDE_INTERPRETER_WANTED, PROCESS_WANTED = 0.150, 0.5
LARGE, LARGE_WANTED, PEAK_MB_WANTED = 2_000, 1.0, 80.0
HUGE, HUGE_WANTED = 20_000, 8.0
TABLES_A_TRANSACTION = 100  # each with its indexes holds some ten locks, of 6,400 that the server has room for


@dataclass(frozen=True, slots=True)
class Problem:
    """`names`: one of them in a complaint is enough."""

    what: str
    plant: str
    names: tuple[str, ...]


PROBLEMS = (
    Problem(
        "duplicate index",
        "CREATE INDEX twice_a ON accounts (region); CREATE INDEX twice_b ON accounts (region)",
        ("twice_a", "twice_b"),
    ),
    Problem(
        "index that is a prefix of another",
        "CREATE INDEX short_one ON orders (state); CREATE INDEX long_one ON orders (state, placed_at)",
        ("short_one",),
    ),
    Problem(
        "false friend: another collation",
        """CREATE INDEX friend_a ON accounts (label); CREATE INDEX friend_b ON accounts (label COLLATE "C")""",
        (),
    ),
    Problem(
        "invalid index",
        "CREATE INDEX broken_one ON orders (amount);"
        " UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken_one'::regclass",
        ("broken_one",),
    ),
    Problem(
        "foreign key without index",
        "ALTER TABLE orders ADD CONSTRAINT lonely_fkey FOREIGN KEY (account_id) REFERENCES accounts",
        ("lonely_fkey",),
    ),
    Problem(
        "sequence at 95 % of its column's type",
        "CREATE TABLE tickets (id smallserial, text text); SELECT setval('tickets_id_seq', 31129)",
        ("tickets_id_seq",),
    ),
    Problem(
        "bigint sequence behind an integer column",
        "CREATE SEQUENCE wide_seq; CREATE TABLE narrow (id int DEFAULT nextval('wide_seq'), text text);"
        " SELECT setval('wide_seq', 2040109465)",
        ("wide_seq",),
    ),
    Problem(
        "constraint that was never validated",
        "ALTER TABLE orders ADD CONSTRAINT unproved_check CHECK (amount >= 0) NOT VALID",
        ("unproved_check",),
    ),
    Problem("autovacuum switched off for a table", "ALTER TABLE quiet SET (autovacuum_enabled = false)", ("quiet",)),
    Problem("dead tuples, 45 %", "DELETE FROM halfdead WHERE id % 100 < 45", ("halfdead",)),
    Problem("bloated table", "DELETE FROM bloated WHERE id % 10 > 2; VACUUM bloated", ("bloated",)),
    Problem(
        "bloated index", "DELETE FROM swollen WHERE id % 10 > 0; VACUUM swollen", ("swollen_pkey", "swollen_other")
    ),
)

FIXTURE = """
CREATE TABLE accounts (id bigint PRIMARY KEY, region int, label text);
CREATE TABLE orders (id bigint PRIMARY KEY, account_id bigint, state text, amount numeric, placed_at timestamptz);
CREATE TABLE quiet (id bigint PRIMARY KEY, body text);
CREATE TABLE halfdead (id bigint PRIMARY KEY, body text) WITH (autovacuum_vacuum_threshold = 2000000000);
CREATE TABLE bloated (id bigint PRIMARY KEY, body text) WITH (vacuum_truncate = off);
CREATE TABLE swollen (id bigint PRIMARY KEY, other bigint);
CREATE INDEX swollen_other ON swollen (other);
INSERT INTO accounts SELECT n, n % 50, 'account ' || n FROM generate_series(1, 20000) AS n;
INSERT INTO orders SELECT n, n % 20000 + 1, 'open', n, now() FROM generate_series(1, 100000) AS n;
INSERT INTO quiet SELECT n, repeat('x', 50) FROM generate_series(1, 20000) AS n;
INSERT INTO halfdead SELECT n, repeat('x', 50) FROM generate_series(1, 100000) AS n;
INSERT INTO bloated SELECT n, repeat('x', 500) FROM generate_series(1, 300000) AS n;
INSERT INTO swollen SELECT n, n FROM generate_series(1, 6000000) AS n;
"""

TABLE = """
CREATE TABLE app.{table} (id bigint PRIMARY KEY, account_id bigint NOT NULL, status text NOT NULL, due_at timestamptz,
                          created_at timestamptz NOT NULL DEFAULT now(), tags text[]);
CREATE INDEX {table}_by_account ON app.{table} (account_id, created_at DESC);
CREATE INDEX {table}_open ON app.{table} (due_at) WHERE status = 'open';
CREATE UNIQUE INDEX {table}_state ON app.{table} (status, id);
CREATE INDEX {table}_lower ON app.{table} (lower(status));
INSERT INTO app.{table} (id, account_id, status) SELECT n, n % 7, 'open' FROM generate_series(1, 20) AS n;
"""


def main() -> None:
    chosen = options(
        __doc__,
        flags={"huge": "the database of 20,000 tables too: takes many minutes to make"},
        paths={"peers": "folder of a virtual environment with pg-perf-check, pgsteward, pg-diag"},
        runs=(5, "runs of each tool"),
    )
    figures: list[Figure] = []
    with (
        server(shared_preload_libraries="pg_stat_statements", log_line_prefix="%p ") as private,
        tempfile.TemporaryDirectory(prefix="dbopt-bench-") as folder,
    ):
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            version = conn.info.parameter_status("server_version")
        sizes: list[tuple[str, int]] = [("fixture", 0), ("large", LARGE), *([("huge", HUGE)] if chosen.huge else [])]
        for name, tables in sizes:
            note(f"making the database: {name}")
            conninfo = make(private, name, tables)
            others = list(peers(chosen.peers, conninfo, Path(folder))) if name != "huge" else []
            tools = [
                Peer("dbopt health", f"{DBOPT} health -d '{conninfo}' --fail-on never", lambda text: text),
                *others,
            ]
            figures += measure(private, name, tools, chosen.runs)
            if name == "fixture":
                found(tools, as_json=chosen.json)
    report("health", figures, as_json=chosen.json, server_version=version)


def make(private: EmbeddedServer, name: str, tables: int) -> str:
    with psycopg.connect(private.conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    conninfo = make_conninfo(private.conninfo, dbname=name)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        if not tables:
            conn.execute(FIXTURE)
            conn.execute("VACUUM ANALYZE")
            for problem in PROBLEMS:
                for statement in problem.plant.split("; "):
                    conn.execute(statement)
            return conninfo
        conn.execute("CREATE SCHEMA app")
        for first in range(0, tables, TABLES_A_TRANSACTION):
            conn.execute("".join(TABLE.format(table=f"t{n}") for n in range(first, first + TABLES_A_TRANSACTION)))
        conn.execute("VACUUM ANALYZE")
    return conninfo


def measure(private: EmbeddedServer, name: str, tools: Sequence[Peer], times: int) -> Iterator[Figure]:
    process, peak = {
        "fixture": (PROCESS_WANTED, None),
        "large": (LARGE_WANTED, PEAK_MB_WANTED),
        "huge": (HUGE_WANTED, None),
    }[name]
    start = {"interpreter": [PYTHON, "-c", "pass"]}
    runs: dict[str, list[Run]] = in_turns({**start, **{tool.name: tool.arguments for tool in tools}}, times)
    interpreter = median(runs.pop("interpreter"), "seconds")
    own = median(runs["dbopt health"], "seconds")
    for tool in tools:
        seconds = median(runs[tool.name], "seconds")
        is_ours = tool.name == "dbopt health"
        yield Figure(f"{name}: {tool.name}", seconds, "s", process if is_ours else None)
        if is_ours and name == "fixture":
            yield Figure(f"{name}: {tool.name}, besides the interpreter", seconds - interpreter, "s")
            yield Figure(f"{name}: {tool.name}, the look itself", look_seconds(tool), "s", BESIDE_INTERPRETER_WANTED)
        if not is_ours:
            yield Figure(f"{name}: {tool.name} / dbopt health", seconds / own, "times")
        yield Figure(f"{name}: {tool.name}, peak", median(runs[tool.name], "peak_mb"), "MB", peak if is_ours else None)
        connections, statements = counted(private, tool)
        yield Figure(f"{name}: {tool.name}, connections", connections, "", 1 if is_ours else None)
        yield Figure(f"{name}: {tool.name}, statements", statements, "", 30 if is_ours else None)


def look_seconds(tool: Peer) -> float:
    """From connecting to the last judgement, as dbopt says itself."""
    text = output(Peer(tool.name, f"{tool.command} --format json", tool.complaints))
    match = re.search(r'^  "seconds": ([0-9.e-]+)', text, re.MULTILINE)
    return float(match[1]) if match else float("nan")


def counted(private: EmbeddedServer, tool: Peer) -> tuple[int, int]:
    """Connections and statements of one run, by the server's log."""
    lines = logged(private, lambda: output(tool))
    return sum("connection authorized" in line for line in lines), sum(map(is_statement, lines))


def found(tools: Sequence[Peer], *, as_json: bool) -> None:
    """Which planted problem each tool complains of."""
    complaints = {tool.name: tool.complaints(output(tool)) for tool in tools}
    if as_json:
        return
    width = max(len(problem.what) for problem in PROBLEMS)
    for problem in PROBLEMS:
        names = problem.names or ("friend_a", "friend_b")
        who = [tool for tool, text in complaints.items() if any(re.search(rf"\b{name}\b", text) for name in names)]
        print(f"  {problem.what:<{width}}  {', '.join(who) or 'nobody'}")


def output(tool: Peer) -> str:
    return subprocess.run(tool.arguments, capture_output=True, text=True, check=False, env=environment()).stdout


if __name__ == "__main__":
    main()
