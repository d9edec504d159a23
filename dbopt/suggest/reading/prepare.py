"""A statement of the workload as one that can be planned, with the plan that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt import grammar
from dbopt.postgres.normalized import repaired
from dbopt.suggest.model import Unread
from dbopt.suggest.reading.select_form import NoSelectForm, select_form
from dbopt.values import dataclass
from dbopt.workload import unplanned
from dbopt.workload.model import Planned, Unplanned
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from dbopt.suggest.model import Item, Name
    from dbopt.suggest.reading.written_names import WrittenName
    from dbopt.workload.explain import Planner
    from dbopt.workload.plan import Node

# A plan as if there were no index: each table is read whole, so that all its conditions stand beside it; rows are
# joined by hash, so that what they have in common stands beside the join; each order that is wanted is a Sort. With
# next to no memory a correlated subquery stays one, and says by what.
BARE = {
    "enable_seqscan": "on",
    "enable_sort": "on",
    "enable_hashagg": "on",
    "enable_hashjoin": "on",
    "enable_partitionwise_join": "off",
    "enable_partitionwise_aggregate": "off",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
    "enable_mergejoin": "off",
    "enable_nestloop": "off",
    "enable_incremental_sort": "off",
    "max_parallel_workers_per_gather": "0",
    "work_mem": "64kB",
}
# Before 16 a plan leaves out the partitions that NULL, which stands for every parameter, is not in.
_ALL_PARTITIONS = {"enable_partition_pruning": "off"}
SYSTEM = ("pg_catalog", "information_schema", "pg_toast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """`root`: of the plan as the server has it. `bare`: of what it would be if there were no index, which tells what
    is wanted. `written`: what the statement itself would write. `reads` False: it does nothing else, and the plan only
    names its table.
    """

    item: Item
    planned: Planned
    root: Node
    bare: Node
    written: tuple[WrittenName, ...] = ()
    reads: bool = True

    @property
    def relations(self) -> tuple[Name, ...]:
        """The tables in its plans, leaves of partitioned ones among them."""
        nodes = (*self.root.walk(), *self.bare.walk())
        return tuple(sorted({name for node in nodes if (name := node.relation) is not None}))

    def candidates(self, written: WrittenName) -> tuple[Name, ...]:
        """What a name may mean: the first of them that there is."""
        schemas = (written.schema,) if written.schema else self.planned.search_path or ("public",)
        return tuple((schema, written.name) for schema in schemas)


def prepared(item: Item, planner: Planner) -> Prepared | Unread:
    """What changes rows is planned as the SELECT of those rows. Raises psycopg errors if the connection is lost."""
    answer: tuple[Planned, Planned | None] | Unplanned
    try:
        query = repaired(item.query)
        tree = grammar.parse_one(query)
        form = select_form(query, tree)
        answer = planner.plan_both(form.query, item.userid, BARE)
        if isinstance(answer, Unplanned) and form.by_place:  # rows of a view have no place
            form = select_form(query, tree, by_place=False)
            answer = planner.plan_both(form.query, item.userid, BARE)
    except grammar.GrammarError as exc:
        answer = unplanned.unread(exc)
    except NoSelectForm as exc:
        answer = Unplanned(reason=str(exc))
    if isinstance(answer, Unplanned):
        return Unread(item=item, reason=answer.reason, hint=answer.hint)
    planned, bare = answer
    plan, bare_plan = _root(planned), _root(bare)
    if plan is None:
        return Unread(item=item, reason="it has no plan")
    if bare_plan is not None and _is_pruned(bare_plan):
        again = planner.plan_both(form.query, item.userid, {**BARE, **_ALL_PARTITIONS})
        bare_plan = (None if isinstance(again, Unplanned) else _root(again[1])) or bare_plan
    bare_plan = bare_plan or plan
    reason = _needless(bare_plan, writes=bool(form.written))
    if reason is not None:
        return Unread(item=item, reason=reason)
    return Prepared(item=item, planned=planned, root=plan, bare=bare_plan, written=form.written, reads=form.reads)


def _root(planned: Planned | None) -> Node | None:
    return None if planned is None or not planned.documents else root(planned.documents[0])


def _is_pruned(plan: Node) -> bool:
    return any(node.raw.get("Subplans Removed") for node in plan.walk())  # in JSON it says 0, too


def _needless(plan: Node, *, writes: bool) -> str | None:
    """Why no index could help it."""
    schemas = {name[0] for node in plan.walk() if (name := node.relation) is not None}
    if any(schema.startswith("pg_temp") for schema in schemas):
        return "it reads a temporary table"
    if writes or not schemas <= set(SYSTEM):
        return None
    return "it reads the system's catalogs alone" if schemas else "it reads no table"
