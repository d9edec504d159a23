"""Access paths: the statements that users of an application wait for, and how long they take.

A path says how to choose its parameters from the data; nothing about it is known beforehand, every number is measured.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import field
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from dbopt.errors import Error
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbopt.postgres.connect import Connection

WARM_UP_RUNS = 2  # caches filled, as they are in an application that runs all day
MIN_RUNS, MAX_RUNS = 3, 100
CAP_SECONDS = 0.2  # for the counted runs of one path, so that a slow path is not run a hundred times
SLOW_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Effort:
    """How often a path is run: up to `most` times while `cap_seconds` last, and `least` times in any case."""

    least: int = MIN_RUNS
    most: int = MAX_RUNS
    cap_seconds: float = CAP_SECONDS


_USUAL = Effort()


@dataclass(frozen=True, slots=True)
class Typical:
    """Parameters from a table: the values that a typical row has, so that large owners count as often as they are met.

    Of all rows, sorted by how many share their values, the one in the middle. `columns` maps parameters to columns.
    """

    table: str
    columns: Mapping[str, str]

    def query(self) -> sql.Composed:
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns.values()))
        known = sql.SQL(" AND ").join(
            sql.SQL("{} IS NOT NULL").format(sql.Identifier(column)) for column in self.columns.values()
        )
        return sql.SQL(
            """
            /* dbopt demo: typical parameters */
            SELECT {columns}
              FROM (SELECT {columns}, sum(count(*)) OVER (ORDER BY count(*), {columns}) AS reached,
                           sum(count(*)) OVER () AS total
                      FROM {table} WHERE {known} GROUP BY {columns}) AS owners
             WHERE reached * 2 >= total
             ORDER BY reached
             LIMIT 1
            """
        ).format(columns=columns, known=known, table=sql.Identifier(self.table))


@dataclass(frozen=True, slots=True)
class AccessPath:
    """`name` is what the user does. `sql` is as the application's ORM sends it, with %(name)s parameters."""

    name: str
    sql: LiteralString
    typical: Typical | None = None
    constants: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BoundPath:
    """A path with its parameters chosen, so that it is asked the same before and after."""

    path: AccessPath
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """`milliseconds` is the median over `runs`, from sending the statement to having its whole result; 95 of 100 runs
    took `p95_milliseconds` at most.
    """

    path: AccessPath
    milliseconds: float
    p95_milliseconds: float
    runs: int
    rows: int
    plan_node: str  # the scan that takes the time, and the sort above it if there is one
    buffers: int  # shared buffers touched, hit or read


def bind(conn: Connection, paths: Iterable[AccessPath]) -> tuple[BoundPath, ...]:
    """Choose the parameters of each path from the data. Raises Error if the tables hold no row to choose."""
    chosen: dict[tuple[str, tuple[str, ...]], Sequence[Any]] = {}
    bound = []
    for path in paths:
        parameters = dict(path.constants)
        if path.typical is not None:
            key = (path.typical.table, tuple(path.typical.columns.values()))
            if key not in chosen:
                row = conn.execute(path.typical.query()).fetchone()
                if row is None:
                    raise Error(f'no parameters for access path "{path.name}"', detail=f"{key[0]} has no row for it")
                chosen[key] = row
            parameters |= zip(path.typical.columns, chosen[key], strict=True)
        bound.append(BoundPath(path, parameters))
    return tuple(bound)


def measure(conn: Connection, paths: Iterable[BoundPath], effort: Effort = _USUAL) -> Iterator[Measurement]:
    """One measurement a path, each when it is there."""
    for bound in paths:
        yield _measure(conn, bound, effort)


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that is not below this share of them (nearest rank); of three the 95th is the greatest.

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _measure(conn: Connection, bound: BoundPath, effort: Effort) -> Measurement:
    with conn.cursor() as cursor:
        for _ in range(WARM_UP_RUNS):
            cursor.execute(bound.path.sql, bound.parameters)
        rows = cursor.rowcount
        times: list[float] = []
        while len(times) < effort.least or (len(times) < effort.most and sum(times) < effort.cap_seconds):
            started = time.perf_counter()
            cursor.execute(bound.path.sql, bound.parameters)
            times.append(time.perf_counter() - started)
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + bound.path.sql, bound.parameters)
        (top,) = cursor.fetchall()[0][0]
    plan = top["Plan"]
    return Measurement(
        path=bound.path,
        milliseconds=statistics.median(times) * 1000,
        p95_milliseconds=percentile(times, SLOW_SHARE) * 1000,
        runs=len(times),
        rows=rows,
        plan_node=plan_node(plan),
        buffers=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
    )


def plan_node(plan: Mapping[str, Any]) -> str:
    """The scan that touches the most buffers, in EXPLAIN's words, and whether its rows are sorted afterwards."""
    nodes = list(_nodes(plan))
    scans = [node for node in nodes if "Relation Name" in node]
    if not scans:
        return str(plan["Node Type"])
    scan = max(scans, key=lambda node: node["Shared Hit Blocks"] + node["Shared Read Blocks"])
    sort = next((f" + {node['Node Type']}" for node in nodes if node["Node Type"].endswith("Sort")), "")
    return _scan(scan) + sort


def _scan(node: Mapping[str, Any]) -> str:
    """`Seq Scan on Campaign`, `Index Scan Backward using X`, `Bitmap Heap Scan using X, Y`."""
    kind = str(node["Node Type"])
    if node.get("Parallel Aware"):
        kind = f"Parallel {kind}"
    if node.get("Scan Direction") == "Backward":
        kind += " Backward"
    indexes = [below["Index Name"] for below in _nodes(node) if "Index Name" in below]
    return f"{kind} using {', '.join(indexes)}" if indexes else f"{kind} on {node['Relation Name']}"


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
