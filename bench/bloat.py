"""How near `dbopt health` comes to what tables and indexes really waste.

The truth is what VACUUM FULL or REINDEX gives back; what pgstattuple reads (dead and free bytes of a table, the density
of an index's leaves) stands beside it, as do the estimate, and the measurement of --exact. The shapes are those of the
tests. Needs a server with pgstattuple.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import Figure, note, options, report, server
from psycopg.conninfo import make_conninfo

from dbopt.health.checks import load
from dbopt.health.judge import scene_of
from dbopt.health.run import Wishes, look
from dbopt.postgres.connect import connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.health.bloat_shapes import SHAPES  # beside this folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.health.bloat import Bloat
    from tests.health.bloat_shapes import Shape

MEAN_WANTED, WORST_WANTED = 5.0, 15.0  # percentage points
COUNTED_SECONDS = 2  # before 15 the counters of a session come that late
FILLFACTOR = 90  # of a btree, where it has none of its own


@dataclass(frozen=True, slots=True)
class Outcome:
    shape: Shape
    truth: float
    pgstattuple: float
    estimated: float
    measured: float


def main() -> None:
    chosen = options(__doc__)
    with server(autovacuum="off") as private:
        with psycopg.connect(private.conninfo, autocommit=True) as conn:
            version = conn.info.parameter_status("server_version")
            if not conn.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pgstattuple'").fetchall():
                note("bloat: this server has no pgstattuple, name another in DBOPT_TEST_PG; nothing measured")
                return
            conn.execute("CREATE DATABASE shapes")
        outcomes = compare(make_conninfo(private.conninfo, dbname="shapes"))
    for outcome in outcomes:
        numbers = (outcome.truth, outcome.pgstattuple, outcome.estimated, outcome.measured)
        note(f"{outcome.shape.name:<32}" + "".join(f"{number * 100:9.1f}" for number in numbers))
    report("bloat", figures(outcomes), as_json=chosen.json, server_version=version)


def compare(conninfo: str) -> list[Outcome]:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION pgstattuple")
        for shape in SHAPES:
            conn.execute(shape.statements.encode())
            conn.execute(shape.statistics.encode())
    time.sleep(COUNTED_SECONDS)
    estimated, measured = looked_at(conninfo, exact=False), looked_at(conninfo, exact=True)
    note(f"{'% of waste':<32}{'truth':>9}{'tuples':>9}{'estimate':>9}{'--exact':>9}")
    outcomes = []
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for shape in SHAPES:
            read = by_pgstattuple(conn, shape)
            before = size_of(conn, shape)
            rewrite = f"REINDEX INDEX {shape.relation}" if shape.is_index else f"VACUUM FULL {shape.table}"
            conn.execute(rewrite.encode())
            truth = 1 - size_of(conn, shape) / before
            name = f"public.{shape.relation}"
            outcomes.append(Outcome(shape, truth, read, estimated[name].ratio, measured[name].ratio))
    return outcomes


def looked_at(conninfo: str, *, exact: bool) -> dict[str, Bloat]:
    checks = [load("table-bloat"), load("index-bloat")]
    limits = {check.id: {"min_size": 0.0} for check in checks}
    wishes = Wishes(checks=checks, limits=limits, exact=exact)
    _, facts = look(functools.partial(connect, conninfo, command="health"), name=None, place="bench", wishes=wishes)
    if facts is None:
        raise SystemExit("the server is gone")
    return {
        bloat.relation: bloat
        for check in checks
        for bloat in check.rows(facts.rows[check.query], scene_of(check, facts, limits=limits[check.id]))
    }


def size_of(conn: psycopg.Connection, shape: Shape) -> int:
    row = conn.execute(
        "SELECT pg_relation_size(c.oid) + COALESCE(pg_relation_size(NULLIF(c.reltoastrelid, 0)), 0)"
        " FROM pg_class AS c WHERE c.oid = %s::regclass",
        [shape.relation],
    ).fetchone()
    return int(row[0]) if row else 0


def by_pgstattuple(conn: psycopg.Connection, shape: Shape) -> float:
    if shape.is_index:
        query = f"""
            SELECT 1 - leaf_pages * COALESCE(NULLIF(avg_leaf_density, 'NaN'), 0) / COALESCE((
                       SELECT option_value::float8 FROM pg_class AS c, pg_options_to_table(c.reloptions)
                        WHERE c.oid = %(name)s::regclass AND option_name = 'fillfactor'), {FILLFACTOR})
                     / GREATEST(leaf_pages + empty_pages + deleted_pages, 1)
              FROM pgstatindex(%(name)s)"""
    else:
        query = """
            SELECT (sum(s.dead_tuple_len) + sum(s.free_space))::float8 / sum(s.table_len)
              FROM pg_class AS c, unnest(ARRAY[c.oid, NULLIF(c.reltoastrelid, 0)]) AS part(oid),
                   pgstattuple(part.oid::regclass) AS s
             WHERE c.oid = %(name)s::regclass AND part.oid IS NOT NULL"""
    row = conn.execute(query.encode(), {"name": shape.relation}).fetchone()
    return max(float(row[0]), 0.0) if row else 0.0


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    found = [Figure("shapes", len(outcomes), "")]
    for name, errors in (
        ("estimate, from the truth", [abs(one.estimated - one.truth) for one in outcomes]),
        ("estimate, from pgstattuple", [abs(one.estimated - one.pgstattuple) for one in outcomes]),
        ("--exact, from the truth", [abs(one.measured - one.truth) for one in outcomes]),
    ):
        is_judged = name == "estimate, from the truth"
        found += [
            Figure(f"{name}: mean", statistics.mean(errors) * 100, "%", MEAN_WANTED if is_judged else None),
            Figure(f"{name}: worst", max(errors) * 100, "%", WORST_WANTED if is_judged else None),
        ]
    return [*found, Figure("least estimate, never negative", min(one.estimated for one in outcomes) * 100, "%")]


if __name__ == "__main__":
    main()
