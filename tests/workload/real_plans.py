"""Plans of a real server, as findings see them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbopt import grammar
from dbopt.postgres.connect import connect_by
from dbopt.postgres.explain import explaining
from dbopt.postgres.server import inspect
from dbopt.units import parse_bytes
from dbopt.workload import scene as scenes
from dbopt.workload.findings import load
from dbopt.workload.model import Counters, Kind, Statement
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server import Database

    from dbopt.workload.finding import Scene
    from dbopt.workload.model import Advice

_DEADLINE_SECONDS = 60.0


class Shop:
    """A database, and a session in it that asks for plans. Its settings hold for all plans but where others are given:
    plans in several processes depend on the machine.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.conn = connect_by(database.conninfo, command="tests", deadline_seconds=_DEADLINE_SECONDS)
        self.server = inspect(self.conn)

    def scene(
        self, query: str, *values: str, settings: dict[str, str] | None = None, analyze: bool = False, **of: Any
    ) -> Scene:
        """`of`: what is known of the statement besides its text."""
        kind = Kind(of.pop("kind", query.split(None, 1)[0].lower()))
        settings = {"max_parallel_workers_per_gather": "0", "jit": "off", **(settings or {})}
        with explaining(self.conn, self.server, settings) as asked:
            parameters = grammar.parameter_count(grammar.parse_one(query))
            if parameters and not analyze:
                asked.prepare(query)
            documents = asked.analyze(query, values) if analyze else asked.explain(query, parameters=parameters)
            plan = root(documents[0])
            assert plan is not None
            facts = scenes.scenes_facts(self.conn, self.server, [plan])
        statement = Statement(**{"fingerprint": "f", "query": query, "kind": kind, "counters": Counters(), **of})
        found = scenes.scene(facts, statement, plan)
        # What a plan was made with here is what every session would have there.
        return replace(found, work_mem_bytes=parse_bytes(settings.get("work_mem", found.work_mem_bytes)))

    def look(self, code: str, query: str, *values: str, **how: Any) -> list[Advice]:
        """What one finding says."""
        return list(load(code).look(self.scene(query, *values, **how)))

    def nodes(self, query: str, *values: str, **how: Any) -> list[str]:
        return [node.node_type for node in self.scene(query, *values, **how).nodes]

    def close(self) -> None:
        self.conn.close()


def keys(advice: Advice) -> Sequence[Any]:
    assert advice.spec is not None
    return list(advice.spec["keys"])
