"""How near the sizes that plans estimate come to those of the indexes once built.

Data as applications have them (tests/optimize/estimate_set.py), more rows than ANALYZE looks at. An error is the
estimate's distance from the real size, as a share of that; a shape without an estimate counts as out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import Figure, note, options, report, server
from psycopg.conninfo import make_conninfo

from dbopt.optimize.plan import make_plan
from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.spec.load import load

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.optimize.estimate_set import BTREE_LIMIT, EXTENSIONS, HELPERS, SHAPES, TABLES, Shape  # beside this folder

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 120_000  # ANALYZE looks at 30,000
COUNTED_SECONDS = 0.7  # before 15 the counters of a session come that late


@dataclass(frozen=True, slots=True)
class Outcome:
    shape: Shape
    estimated: float | None
    built: int

    @property
    def error(self) -> float | None:
        return None if self.estimated is None else self.estimated / self.built - 1

    @property
    def is_near(self) -> bool:
        return self.error is not None and abs(self.error) <= self.shape.limit


def main() -> None:
    flags = {
        "all": "print every shape, not only those that are out",
        "room": "what builds write besides the index instead: the shares in dbopt/optimize/disk.py",
    }
    chosen = options(__doc__, flags=flags, rows=(ROWS, "a table"))
    with server(autovacuum="off") as private:
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            version = conn.info.parameter_status("server_version")
            conn.execute("CREATE DATABASE shapes")
        conninfo = make_conninfo(private.conninfo, dbname="shapes")
        shapes = prepare(conninfo, chosen.rows)
        if chosen.room:
            report("estimates", room(conninfo, shapes), as_json=chosen.json, server_version=version)
            return
        outcomes = compare(conninfo, shapes)
    for outcome in outcomes:
        if chosen.all or not outcome.is_near:
            error = "none" if outcome.error is None else f"{outcome.error * 100:+.1f}%"
            note(f"{error:>8} of {outcome.built // 1024:>8} kB{' ' if outcome.is_near else '!'} {outcome.shape}")
    report("estimates", figures(outcomes), as_json=chosen.json, server_version=version)


def prepare(conninfo: str, rows: int) -> list[Shape]:
    """The shapes that this server can have, and their tables."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        available = {name for (name,) in conn.execute("SELECT name FROM pg_available_extensions").fetchall()}
        for name in available.intersection(EXTENSIONS):
            conn.execute(f"CREATE EXTENSION {name}".encode())
        conn.execute(HELPERS)
        for statements in TABLES.values():
            conn.execute(statements.replace("{rows}", str(rows)).encode())
        conn.execute("VACUUM ANALYZE")
        major = conn.info.server_version // 10_000
        shapes = [s for s in SHAPES if s.since <= major and (s.extension is None or s.extension in available)]
        note(f"{len(shapes)} shapes, {rows} rows a table; without: {', '.join({*EXTENSIONS} - available) or 'nothing'}")
    return shapes


def compare(conninfo: str, shapes: Sequence[Shape]) -> list[Outcome]:
    estimated = plan(conninfo, shapes)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        return [Outcome(shape, estimated.get(f"x{n}"), built(conn, shape)) for n, shape in enumerate(shapes)]


def plan(conninfo: str, shapes: Sequence[Shape]) -> dict[str, float]:
    entries = [
        "  - {{why: a bench, name: x{}, table: {}, sql: '{}'}}\n".format(
            n, shape.table, shape.statement(f"x{n}").replace("'", "''")
        )
        for n, shape in enumerate(shapes)
    ]
    with tempfile.TemporaryDirectory() as folder, connect(conninfo, command="plan", read_only=True) as conn:
        path = Path(folder) / "bench.yaml"
        path.write_text("spec: 1\ndomain: bench\nindexes:\n" + "".join(entries))
        made = make_plan(conn, inspect(conn), load([path]))
    for item in made.refused:
        note(f"refused: {item.index} {item.error}")
    return {step.index: step.estimate["size_bytes"] for step in made.steps if step.index and step.estimate}


def built(conn: psycopg.Connection, shape: Shape) -> int:
    conn.execute(shape.statement("built").encode())
    row = conn.execute("SELECT pg_relation_size('built')").fetchone()
    conn.execute("DROP INDEX built")
    return int(row[0]) if row else 0


def room(conninfo: str, shapes: Sequence[Shape]) -> list[Figure]:
    """By method the median over shapes, with little memory: what goes to files of sorts, and to WAL. There are two
    sorts, one after the other: that of the build, and that of the validation, of 12 bytes a row.
    """
    shares: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for shape in [one for one in shapes if " WHERE " not in one.definition]:
        method = shape.definition.split()[1] if shape.definition.startswith("USING ") else "btree"
        before = written(conninfo)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute("SET maintenance_work_mem = '1MB'; SET max_parallel_maintenance_workers = 0")
            conn.execute(shape.statement("built").replace("INDEX ", "INDEX CONCURRENTLY ", 1).encode())
        after = written(conninfo)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            row = conn.execute("SELECT pg_relation_size('built')").fetchone()
            conn.execute("DROP INDEX built")
        size = int(row[0]) if row else 0
        sorted_bytes, logged = (int(late - early) for late, early in zip(after, before, strict=True))
        note(f"{shape}: {size // 1024} kB, sorts {sorted_bytes / size:.2f}, WAL {logged / size:.2f}")
        shares[method].append((sorted_bytes / size, logged / size))
    found = []
    for method, both in shares.items():
        for name, values in zip(("sorts", "WAL"), zip(*both, strict=True), strict=True):
            found.append(Figure(f"{method}: {name} for a byte of index", statistics.median(values), ""))
    return found


def written(conninfo: str) -> tuple[int, int]:
    """Bytes of temporary files of this database, and of WAL, so far. A session's count comes when it ends."""
    time.sleep(COUNTED_SECONDS)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        row = conn.execute(
            "SELECT temp_bytes, pg_current_wal_lsn() - '0/0' FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    found = [Figure("shapes", len(outcomes), "")]
    for name, group in (
        ("btree", [one for one in outcomes if one.shape.limit == BTREE_LIMIT]),
        ("hash, gin, gist, spgist, brin", [one for one in outcomes if one.shape.limit != BTREE_LIMIT]),
    ):
        errors = [abs(one.error) * 100 for one in group if one.error is not None]
        limit = group[0].shape.limit * 100
        found += [
            Figure(f"{name}: error, mean", statistics.mean(errors), "%", limit / 2),
            Figure(f"{name}: error, worst", max(errors), "%", limit),
            Figure(
                f"{name}: farther than {limit:.0f} %", 100 * sum(not one.is_near for one in group) / len(group), "%", 0
            ),
            Figure(f"{name}: without an estimate", sum(one.error is None for one in group), ""),
        ]
    return found


if __name__ == "__main__":
    main()
