"""How much of what the specs ask for is there: the plan, counted by entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import tenants
from dbopt.optimize.plan import make_plan
from dbopt.optimize.steps import Action
from dbopt.spec.model import State
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.optimize.steps import Plan
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.model import IndexSpec, SpecSet


@dataclass(frozen=True, slots=True)
class Standing:
    """An entry with `state: present`. `why`: what keeps its index from being in place; None: it is."""

    entry: str  # domain/name
    schema: str
    table: str
    index: str
    why: str | None


def standing(conn: Connection, server: Server, specs: SpecSet) -> list[Standing]:
    """Of each entry; of one whose schema is a pattern, of each schema that it means. Raises as make_plan does."""
    entries, _ = tenants.expand(conn, server, specs.indexes)
    return of_plan(make_plan(conn, server, specs), [entry for entry in entries if entry.state is State.PRESENT])


def of_plan(plan: Plan, entries: list[IndexSpec]) -> list[Standing]:
    refused = {(item.schema, item.index): item.error for item in plan.refused}
    to_do: dict[tuple[str, str], set[Action]] = {}
    for step in plan.steps:
        if step.index is not None:
            to_do.setdefault((step.schema, step.index), set()).add(step.action)
    # Where a part of a partition tree is missing, its steps are on the parts; the last has the proof of the whole.
    for step in plan.steps:
        for proof in step.proofs:
            to_do.setdefault((proof.schema, proof.index), set()).add(step.action)
    found = []
    for entry in entries:
        key = (entry.schema_name, entry.name)
        # Another text is no other index; what is left behind beside it keeps it from nothing.
        actions = to_do.get(key, set()) - {Action.COMMENT}
        why = None if not actions else f"dbopt optimize would {' and '.join(sorted(actions))} it"
        if key in refused:
            why = refused[key] or "refused"
        found.append(Standing(f"{entry.domain}/{entry.name}", entry.schema_name, entry.table.name, entry.name, why))
    return found


def names(specs: SpecSet) -> dict[str, list[IndexSpec]]:
    """The entries of present indexes by their names."""
    found: dict[str, list[IndexSpec]] = {}
    for entry in specs.indexes:
        if entry.state is State.PRESENT:
            found.setdefault(entry.name, []).append(entry)
    return found


def entry_of(by_name: dict[str, list[IndexSpec]], schema: str, index: str) -> str | None:
    """domain/name of the entry that asks for an index of this name in this schema."""
    for entry in by_name.get(index, ()):
        if tenants.is_meant(entry, schema):
            return f"{entry.domain}/{entry.name}"
    return None
