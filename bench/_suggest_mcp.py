"""Run by the Python of a virtual environment with postgres-mcp: its DTA calculator on a workload.

stdin: JSON with `conninfo`, `budget_mb` (-1: none) and `workload`, as its own server makes it from pg_stat_statements.
stdout: JSON with `statements` (CREATE INDEX), `explains`, `error`. With `mended` in the JSON, what ends its run as
shipped does not: texts come with values for $1 and keep their case, names are quoted, what it cannot read is left out,
and columns of one table are not looked for in others.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import sys
import types
import typing

import typing_extensions

typing.override = typing_extensions.override  # type: ignore[attr-defined]  # of 3.12, which it wants
# Its package starts a server on import, for which it needs what the calculator does not.
package = types.ModuleType("postgres_mcp")
found = importlib.util.find_spec("postgres_mcp")
assert found is not None
package.__path__ = list(found.submodule_search_locations or ())
sys.modules["postgres_mcp"] = package

from pglast import parse_sql  # type: ignore  # noqa: E402
from postgres_mcp.index.dta_calc import DatabaseTuningAdvisor  # type: ignore  # noqa: E402
from postgres_mcp.sql import DbConnPool, IndexDefinition, SqlDriver  # type: ignore  # noqa: E402


class Mended(DatabaseTuningAdvisor):  # type: ignore[misc]
    async def _validate_and_parse_workload(self, workload):  # type: ignore[no-untyped-def]
        valid = []
        for one in workload:
            try:
                await self.sql_driver.execute_query(f"EXPLAIN {one['query']}")
                statement = parse_sql(one["query"])[0].stmt
            except Exception as exc:  # noqa: BLE001  whatever it is, the others are read
                print(f"postgres-mcp, left out: {type(exc).__name__}: {exc}", file=sys.stderr)
                continue
            if self._is_analyzable_stmt(statement):
                valid.append({**one, "stmt": statement})
        return valid

    async def _filter_long_text_columns(self, candidates, *args, **kwargs):  # type: ignore[no-untyped-def]
        rows = await self.sql_driver.execute_query("SELECT table_name, column_name FROM information_schema.columns")
        there = {(row.cells["table_name"], row.cells["column_name"]) for row in rows}
        real = [one for one in candidates if all((one.table, column) in there for column in one.columns)]
        return await super()._filter_long_text_columns(real, *args, **kwargs)

    def _index_exists(self, *_):  # type: ignore[no-untyped-def]
        return False  # its comparison cannot read quoted names


def quoted(self: IndexDefinition) -> str:
    columns = ", ".join(f'"{column}"' for column in self.columns)
    return f'CREATE INDEX "{self.name[:63]}" ON "{self.table}" USING {self.using} ({columns})'


class Counted(SqlDriver):  # type: ignore[misc]
    explains = 0

    async def execute_query(self, query, *args, **kwargs):  # type: ignore[no-untyped-def]
        text = query if isinstance(query, str) else ""
        type(self).explains += "EXPLAIN" in text.upper()
        return await super().execute_query(query, *args, **kwargs)


async def main() -> None:
    asked = json.load(sys.stdin)
    pool = DbConnPool(asked["conninfo"])
    await pool.pool_connect()
    kind = DatabaseTuningAdvisor
    if asked["mended"]:
        kind, IndexDefinition.definition = Mended, property(quoted)
    advisor = kind(Counted(conn=pool), budget_mb=asked["budget_mb"])
    result = await advisor.analyze_workload(workload=asked["workload"], max_index_size_mb=asked["budget_mb"])
    await pool.close()
    statements = [one.definition for one in result.recommendations]
    json.dump({"statements": statements, "explains": Counted.explains, "error": result.error}, sys.stdout)


logging.disable(logging.CRITICAL)
asyncio.run(main())
