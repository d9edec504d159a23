"""An anchor: Extend, as "Magic mirror in my hand, which is the best in the land?" (PVLDB 13, 2020) evaluates it.

Grow a list from nothing: of all new indexes of one column and all that are there with one column more, take the one
that saves most per byte, until nothing is saved or the budget is used up. Plain btrees, costs and sizes by HypoPG.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from _suggest_measure import Case

WIDTH_MAX = 4  # columns
LEAST_SAVED = 0.003  # of what the workload costs at that step: min_cost_improvement of 1.003 in their program

_COLUMNS = """
    SELECT a.attrelid::regclass::text, c.relname, a.attname
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      JOIN pg_opclass o ON o.opcintype = a.atttypid AND o.opcdefault
      JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
     WHERE c.relkind = 'r' AND c.relnamespace <> 'pg_catalog'::regnamespace AND a.attnum > 0
       AND pg_table_is_visible(c.oid)
     UNION
    SELECT a.attrelid::regclass::text, c.relname, a.attname
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
     WHERE c.relkind = 'r' AND a.attnum > 0 AND pg_table_is_visible(c.oid)
       AND (t.typtype = 'e' OR t.typname IN ('varchar', 'text'))
     ORDER BY 1, 3
"""
Index = tuple[str, tuple[str, ...]]  # the table as regclass writes it, columns


@dataclass(slots=True)
class _Query:
    name: str
    calls: float
    parameters: int
    columns: dict[str, tuple[str, ...]]  # by table, those that it names behind its first FROM
    cost: float = 0.0


class Extend:
    """`conn` in autocommit. `explains`: how often the planner was asked."""

    def __init__(self, conn: psycopg.Connection[Any], cases: Sequence[Case]) -> None:
        self.conn = conn
        self.explains = 0
        self.queries: list[_Query] = []
        conn.prepare_threshold = None
        conn.execute("SET plan_cache_mode = force_generic_plan")
        columns: dict[str, tuple[str, list[str]]] = {}
        for table, name, column in conn.execute(_COLUMNS).fetchall():
            columns.setdefault(table, (name, []))[1].append(column)
        for case in cases:
            if case.reads:
                words = set(re.findall(r"\w+", case.query))
                behind = set(re.findall(r"\w+", case.query.split("FROM", 1)[1]))
                named = {
                    table: tuple(column for column in known if column in behind)
                    for table, (name, known) in columns.items()
                    if name in words
                }
                conn.execute(sql.SQL("PREPARE {} AS {}").format(sql.Identifier(case.name), sql.SQL(case.query)))
                parameters = max(map(int, re.findall(r"\$(\d+)", case.query)), default=0)
                self.queries.append(_Query(case.name, case.calls, parameters, named))

    def advise(self, budget_bytes: int | None) -> list[str]:
        """CREATE INDEX statements."""
        self.conn.execute("SELECT hypopg_reset()")
        chosen: dict[Index, tuple[int, int]] = {}  # HypoPG's number and size
        for query in self.queries:
            query.cost = self._cost(query)
        used = 0
        while True:
            total = sum(query.calls * query.cost for query in self.queries)
            best: tuple[float, Index, Index | None, int, list[tuple[_Query, float]]] | None = None
            for index, grown in self._options(chosen):
                found = self._tried(index, grown, chosen)
                if found is None:
                    continue
                saved, size, costs = found
                more = size - (chosen[grown][1] if grown else 0)
                if saved < LEAST_SAVED * total or (budget_bytes is not None and used + more > budget_bytes):
                    continue
                ratio = saved / max(more, 1)
                if best is None or ratio > best[0]:
                    best = ratio, index, grown, more, costs
            if best is None:
                break
            _, index, grown, more, costs = best
            if grown:
                self._drop(chosen.pop(grown)[0])
            made = self._make(index)
            assert made is not None
            chosen[index] = made
            used += more
            for query, cost in costs:
                query.cost = cost
        self.conn.execute("SELECT hypopg_reset()")
        return [self._statement(index) for index in sorted(chosen)]

    def _options(self, chosen: dict[Index, tuple[int, int]]) -> list[tuple[Index, Index | None]]:
        columns: dict[str, set[str]] = {}
        for query in self.queries:
            for table, named in query.columns.items():
                columns.setdefault(table, set()).update(named)
        new = [(table, (column,)) for table, all_ in sorted(columns.items()) for column in sorted(all_)]
        first = [(index, None) for index in new if index not in chosen]
        longer = [
            ((table, (*keys, column)), (table, keys))
            for table, keys in sorted(chosen)
            if len(keys) < WIDTH_MAX
            for column in sorted(columns[table] - set(keys))
        ]
        return [*first, *longer]

    def _tried(
        self, index: Index, grown: Index | None, chosen: dict[Index, tuple[int, int]]
    ) -> tuple[float, int, list[tuple[_Query, float]]] | None:
        table, keys = index
        asked = [query for query in self.queries if set(keys) <= set(query.columns.get(table, ()))]
        if not asked:
            return None
        if grown:  # those which lose the shorter one
            asked = [query for query in self.queries if set(grown[1]) & set(query.columns.get(table, ()))]
            self._drop(chosen[grown][0])
        made = self._make(index)
        found = None
        if made is not None:
            costs = [(query, self._cost(query)) for query in asked]
            self._drop(made[0])
            found = sum(query.calls * (query.cost - cost) for query, cost in costs), made[1], costs
        if grown:
            again = self._make(grown)
            assert again is not None
            chosen[grown] = again
        return found

    def _make(self, index: Index) -> tuple[int, int] | None:
        import psycopg

        try:
            row = self.conn.execute(
                "SELECT indexrelid, hypopg_relation_size(indexrelid) FROM hypopg_create_index(%s)",
                [self._statement(index)],
            ).fetchone()
        except psycopg.Error:
            return None
        return row

    def _drop(self, number: int) -> None:
        self.conn.execute("SELECT hypopg_drop_index(%s)", [number])

    def _cost(self, query: _Query) -> float:
        """By its generic plan, which has to be made anew to see what is new."""
        self.explains += 1
        self.conn.execute("DISCARD PLANS")
        arguments = sql.SQL(", ").join([sql.SQL("NULL")] * query.parameters)
        execute = sql.SQL("EXECUTE {}({})") if query.parameters else sql.SQL("EXECUTE {}{}")
        row = self.conn.execute(
            sql.SQL("EXPLAIN (FORMAT JSON) {}").format(execute.format(sql.Identifier(query.name), arguments))
        ).fetchone()
        assert row is not None
        return row[0][0]["Plan"]["Total Cost"]

    def _statement(self, index: Index) -> str:
        table, keys = index
        columns = sql.SQL(", ").join(map(sql.Identifier, keys)).as_string(self.conn)
        return f"CREATE INDEX ON {table} ({columns})"
