"""What `dbopt plan` costs, as a process, on a database of 2,000 tables and 10,000 indexes.

Of the entries, three fifths are as the database has them, a fifth has another definition, a fifth is missing; among
them expressions, predicates, unique and covering indexes. Each is on a table of its own, the most work there can be.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import DBOPT, Figure, Run, median, note, options, report, run, server, server_cpu_seconds
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.embedded import EmbeddedServer

SECONDS_WANTED, PEAK_MB_WANTED, ENTRIES = 3.0, 120.0, 500
TABLES = 2_000
TABLES_A_TRANSACTION = 100  # each with its indexes holds eleven locks, of some 6,400 that the server has room for
ENTRIES_A_FILE = 100

TABLE = """
CREATE TABLE app.{table} (
    id bigint PRIMARY KEY, account_id bigint NOT NULL, status text NOT NULL, email text, amount numeric(12, 2),
    title varchar(200), note text, due_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz, tags text[], data jsonb
);
CREATE INDEX {table}_by_account ON app.{table} (account_id, created_at DESC);
CREATE UNIQUE INDEX {table}_email ON app.{table} (lower(email));
CREATE INDEX {table}_open ON app.{table} (due_at) WHERE status IN ('open', 'overdue');
CREATE INDEX {table}_amounts ON app.{table} (status, updated_at) INCLUDE (amount);
INSERT INTO app.{table} (id, account_id, status, email)
    SELECT n, n % 7, 'open', 'user' || n || '@example.com' FROM generate_series(1, 20) AS n;
"""

# Each line of the table above again, then with another definition, then something new: YAML without its name.
EQUAL = (
    "keys: [account_id, {column: created_at, order: desc}]",
    "keys: [{expr: lower(email)}], unique: true",
    "keys: [due_at], where: \"status IN ('open', 'overdue')\"",
    "keys: [status, updated_at], include: [amount]",
)
CHANGED = (
    "keys: [account_id, {column: created_at, order: asc}]",
    "keys: [{expr: 'lower(btrim(email))'}], unique: true",
    "keys: [due_at], where: status = 'open'",
    "keys: [status, updated_at], include: [amount, note]",
)
MISSING = (
    "keys: [title, id]",
    "keys: [{expr: 'upper(title)'}]",
    "keys: [id, email], where: note IS NOT NULL",
    "keys: [tags], method: gin",
)
NAMES = ("by_account", "email", "open", "amounts")


def main() -> None:
    chosen = options(__doc__, runs=(5, "plans of each spec"))
    with server() as private, tempfile.TemporaryDirectory(prefix="dbopt-bench-") as folder:
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            version = conn.info.parameter_status("server_version")
            note(f"making {TABLES} tables")
            conn.execute("CREATE DATABASE bench")
        conninfo = make_conninfo(private.conninfo, dbname="bench")
        fill(conninfo)
        figures = list(measure(private, conninfo, Path(folder), chosen.runs))
    report("plan", figures, as_json=chosen.json, server_version=version)


def fill(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA app")
        for first in range(0, TABLES, TABLES_A_TRANSACTION):
            tables = range(first, first + TABLES_A_TRANSACTION)
            conn.execute("".join(TABLE.format(table=f"t{number}") for number in tables))
        conn.execute("VACUUM ANALYZE")


def measure(private: EmbeddedServer, conninfo: str, folder: Path, times: int) -> Iterator[Figure]:
    few, many = write_specs(folder / "few", ENTRIES), write_specs(folder / "many", TABLES)
    yield Figure(f"{ENTRIES} entries, the first plan", plan(few, conninfo).seconds, "s", SECONDS_WANTED)
    seconds = {}
    for specs, count, wanted in ((few, ENTRIES, (SECONDS_WANTED, PEAK_MB_WANTED)), (many, TABLES, (None, None))):
        before = server_cpu_seconds(private.pid)
        runs = [plan(specs, conninfo) for _ in range(times)]
        after = server_cpu_seconds(private.pid)
        seconds[count] = median(runs, "seconds")
        yield Figure(f"{count} entries, nothing changed since", seconds[count], "s", wanted[0])
        yield Figure(f"{count} entries, CPU time of dbopt", median(runs, "cpu_seconds"), "s")
        if before is not None and after is not None:
            yield Figure(f"{count} entries, CPU time of the server", (after - before) / times, "s")
        yield Figure(f"{count} entries, peak memory", median(runs, "peak_mb"), "MB", wanted[1])
    growth = (seconds[TABLES] / TABLES) / (seconds[ENTRIES] / ENTRIES)
    yield Figure(f"seconds an entry, of {TABLES} / of {ENTRIES}", growth, "times")


def plan(specs: Path, conninfo: str) -> Run:
    return run([DBOPT, "plan", str(specs), "-d", conninfo, "--format", "json"])


def write_specs(folder: Path, count: int) -> Path:
    folder.mkdir()
    for first in range(0, count, ENTRIES_A_FILE):
        lines = ["spec: 1", f"domain: bench{first}", "defaults: {schema: app}", "indexes:"]
        lines += [f"  - {{{', '.join(entry(n, count))}}}" for n in range(first, min(first + ENTRIES_A_FILE, count))]
        (folder / f"bench{first}.yaml").write_text("\n".join(lines) + "\n")
    return folder


def entry(number: int, count: int) -> Iterator[str]:
    """One entry. Kind and state go round with different periods, so that each meets each."""
    table = f"t{number * TABLES // count}"
    kind, state = number % 4, number % 5
    forms, suffix = (EQUAL, "") if state < 3 else (CHANGED, "") if state == 3 else (MISSING, "_new")
    yield f"name: {table}_{NAMES[kind]}{suffix}"
    yield f"table: {table}"
    yield forms[kind]
    yield "why: An access path of the bench"


if __name__ == "__main__":
    main()
