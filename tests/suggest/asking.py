"""Statements of a test's database as subjects, and its tables as the costs know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.connect import connect
from dbopt.postgres.server import inspect
from dbopt.suggest.model import Candidate, Item, Key, Probe, Subject, Table, Writes
from dbopt.workload.explain import Planner
from dbopt.workload.model import Planned
from dbopt.workload.plan import root
from dbopt.workload.scene import scenes_facts

if TYPE_CHECKING:
    from server import Database

    from dbopt.suggest.model import Name

# Plans in several processes depend on the machine.
SETTINGS = {"max_parallel_workers_per_gather": "0", "jit": "off"}


class World:
    """`conn`: read-only, in autocommit, as dbopt's own."""

    def __init__(self, database: Database, conninfo: str | None = None) -> None:
        self.database = database
        self.conn = connect(conninfo or database.conninfo, command="test", read_only=True, settings=SETTINGS)
        self.server = inspect(self.conn)
        self._planner = Planner(self.conn, self.server)

    def subject(self, query: str, role: str | None = None) -> Subject:
        """`role`: who runs it."""
        userid = None
        if role is not None:
            [(userid,)] = self.database.sql("SELECT oid::int8 FROM pg_roles WHERE rolname = %s", [role])
        planned = self._planner.plan(query, userid)
        assert isinstance(planned, Planned), planned
        return Subject(item=Item(number=1, query=query, shown=query, calls=1), planned=planned, accesses=())

    def tables(self, *names: str) -> dict[Name, Table]:
        """By what a plan of all their rows names; of partitioned ones with their leaves."""
        plans = [root(self.subject(f"SELECT * FROM {name}").planned.documents[0]) for name in names]
        relations = scenes_facts(self.conn, self.server, [plan for plan in plans if plan is not None]).relations
        named = {key: item for key, item in relations.items() if key[0]}
        return {
            key: Table(
                relation=item,
                writes=Writes(),
                leaves=tuple(sorted(name for name, part in named.items() if part.parent == key)),
            )
            for key, item in named.items()
            if item.parent is None
        }


def candidate(table: str, *keys: str | Key, where: str = "", method: str = "btree", include: str = "") -> Candidate:
    """`keys`: columns, or whole keys; `include`: columns with spaces between."""
    schema, _, name = table.rpartition(".")
    made = tuple(Key(column=key) if isinstance(key, str) else key for key in keys)
    return Candidate((schema or "public", name), made, tuple(include.split()), where, method)


def values(*literals: str) -> Probe:
    return Probe(name="common", values=dict(enumerate(literals, 1)))
