"""What `dbopt plan` costs, as a process, for up to 5,000 entries on a database of ten indexes for each.

Every entry is on a table of its own, the most work there can be. Three fifths are as the database has them, a fifth has
another definition, a fifth is missing; among them expressions, predicates, unique and covering indexes. Then one entry
for 1,000 schemas, with how many statements that takes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import (
    DBOPT,
    Figure,
    Run,
    is_statement,
    logged,
    median,
    note,
    options,
    report,
    run,
    server,
    server_cpu_seconds,
)
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.embedded import EmbeddedServer

ENTRIES = (500, 1_000, 2_000, 5_000)  # and as many tables, each with ten indexes
SECONDS_WANTED, PEAK_MB_WANTED = 10.0, 250.0  # of the most entries
TENANTS, TENANTS_SECONDS_WANTED = 1_000, 10.0
TABLES_A_TRANSACTION = 100  # each with its indexes holds 14 locks, of some 6,400 that the server has room for
ENTRIES_A_FILE = 100

TABLE = """
CREATE TABLE {schema}.{table} (
    id bigint PRIMARY KEY, account_id bigint NOT NULL, status text NOT NULL, email text, amount numeric(12, 2),
    title varchar(200), note text, due_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz, tags text[], data jsonb
);
CREATE INDEX {table}_by_account ON {schema}.{table} (account_id, created_at DESC);
CREATE UNIQUE INDEX {table}_email ON {schema}.{table} (lower(email));
CREATE INDEX {table}_open ON {schema}.{table} (due_at) WHERE status IN ('open', 'overdue');
CREATE INDEX {table}_amounts ON {schema}.{table} (status, updated_at) INCLUDE (amount);
CREATE INDEX {table}_created ON {schema}.{table} (created_at);
CREATE INDEX {table}_title ON {schema}.{table} (title text_pattern_ops);
CREATE INDEX {table}_notes ON {schema}.{table} (account_id) WHERE note IS NOT NULL;
CREATE INDEX {table}_tags ON {schema}.{table} USING gin (tags);
CREATE INDEX {table}_data ON {schema}.{table} USING gin (data jsonb_path_ops) WITH (fastupdate = off);
INSERT INTO {schema}.{table} (id, account_id, status, email)
    SELECT n, n % 7, 'open', 'user' || n || '@example.com' FROM generate_series(1, 20) AS n;
"""

# Four of the lines of the table above again, then with another definition, then something new: YAML without its name.
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
    "keys: [tags, id], method: btree",
)
NAMES = ("by_account", "email", "open", "amounts")


def main() -> None:
    chosen = options(__doc__, runs=(3, "plans of each spec"))
    with server() as private, tempfile.TemporaryDirectory(prefix="dbopt-bench-") as folder:
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            version = conn.info.parameter_status("server_version")
            conn.execute("CREATE DATABASE bench")
            conn.execute("CREATE DATABASE tenants")
        figures = [
            *of_many_entries(private, Path(folder), chosen.runs),
            *of_many_schemas(private, Path(folder), chosen.runs),
        ]
    report("plan", figures, as_json=chosen.json, server_version=version)


def of_many_entries(private: EmbeddedServer, folder: Path, times: int) -> Iterator[Figure]:
    """On a database that grows with the entries."""
    conninfo = make_conninfo(private.conninfo, dbname="bench")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA app")
    seconds: dict[int, float] = {}
    made = 0
    for count in ENTRIES:
        note(f"making {count} tables")
        fill(conninfo, [("app", f"t{number}") for number in range(made, count)])
        made = count
        specs = write_specs(folder / str(count), count)
        first = plan(specs, conninfo)
        before = server_cpu_seconds(private.pid)
        runs = [plan(specs, conninfo) for _ in range(times)]
        after = server_cpu_seconds(private.pid)
        seconds[count] = median(runs, "seconds")
        wanted = (SECONDS_WANTED, PEAK_MB_WANTED) if count == ENTRIES[-1] else (None, None)
        yield Figure(f"{count} entries, the first plan", first.seconds, "s", wanted[0])
        yield Figure(f"{count} entries, again", seconds[count], "s", wanted[0])
        yield Figure(f"{count} entries, CPU time of dbopt", median(runs, "cpu_seconds"), "s")
        if before is not None and after is not None:
            yield Figure(f"{count} entries, CPU time of the server", (after - before) / times, "s")
        yield Figure(f"{count} entries, peak memory", median(runs, "peak_mb"), "MB", wanted[1])
    few, many = ENTRIES[0], ENTRIES[-1]
    yield Figure(f"seconds an entry, of {many} / of {few}", (seconds[many] / many) / (seconds[few] / few), "times", 1.0)


def of_many_schemas(private: EmbeddedServer, folder: Path, times: int) -> Iterator[Figure]:
    conninfo = make_conninfo(private.conninfo, dbname="tenants")
    note(f"making {TENANTS} schemas")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for number in range(TENANTS):
            conn.execute(f"CREATE SCHEMA tenant_{number}")
    fill(conninfo, [(f"tenant_{number}", "orders") for number in range(TENANTS)])
    spec = folder / "tenants.yaml"
    form = (
        "where: \"status IN ('open', 'late')\", keys: [{expr: lower(email)}, due_at], why: An access path of the bench"
    )
    table = "table: {schema: 'tenant_*', name: orders}"
    spec.write_text(f"spec: 1\ndomain: bench\nindexes:\n  - {{name: orders_late, {table}, {form}}}\n")
    first = plan(spec, conninfo)
    runs = [plan(spec, conninfo) for _ in range(times)]
    lines = logged(private, lambda: plan(spec, conninfo))
    yield Figure(f"1 entry for {TENANTS} schemas, the first plan", first.seconds, "s", TENANTS_SECONDS_WANTED)
    yield Figure(f"1 entry for {TENANTS} schemas, again", median(runs, "seconds"), "s", TENANTS_SECONDS_WANTED)
    yield Figure(f"1 entry for {TENANTS} schemas, peak memory", median(runs, "peak_mb"), "MB")
    yield Figure(f"1 entry for {TENANTS} schemas, statements", sum(map(is_statement, lines)), "")


def fill(conninfo: str, tables: list[tuple[str, str]]) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for first in range(0, len(tables), TABLES_A_TRANSACTION):
            some = tables[first : first + TABLES_A_TRANSACTION]
            conn.execute("".join(TABLE.format(schema=schema, table=table) for schema, table in some))
        conn.execute("VACUUM ANALYZE")


def plan(specs: Path, conninfo: str) -> Run:
    return run([DBOPT, "plan", str(specs), "-d", conninfo, "--format", "json"])


def write_specs(folder: Path, count: int) -> Path:
    folder.mkdir()
    for first in range(0, count, ENTRIES_A_FILE):
        lines = ["spec: 1", f"domain: bench{first}", "defaults: {schema: app}", "indexes:"]
        lines += [f"  - {{{', '.join(entry(n))}}}" for n in range(first, min(first + ENTRIES_A_FILE, count))]
        (folder / f"bench{first}.yaml").write_text("\n".join(lines) + "\n")
    return folder


def entry(number: int) -> Iterator[str]:
    """One entry. Kind and state go round with different periods, so that each meets each."""
    kind, state = number % 4, number % 5
    forms, suffix = (EQUAL, "") if state < 3 else (CHANGED, "") if state == 3 else (MISSING, "_new")
    yield f"name: t{number}_{NAMES[kind]}{suffix}"
    yield f"table: t{number}"
    yield forms[kind]
    yield "why: An access path of the bench"


if __name__ == "__main__":
    main()
