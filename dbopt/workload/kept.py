"""A plan and what was found on it as plain values, for the store, and back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbopt.values import dataclass
from dbopt.workload.model import Advice, Planned, Unplanned

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Look:
    """What planning a statement came to, and what was found on the plan."""

    planned: Planned | Unplanned
    advice: tuple[Advice, ...] = ()


def content(look: Look) -> dict[str, Any]:
    planned = look.planned
    if isinstance(planned, Unplanned):
        return {"reason": planned.reason, "hint": planned.hint, "is_lasting": planned.is_lasting}
    return {
        "query": planned.query,
        "documents": list(planned.documents),
        "planned_at": planned.planned_at.isoformat(),
        "parameter_types": list(planned.parameter_types),
        "search_path": None if planned.search_path is None else list(planned.search_path),
        "advice": [
            {
                "code": item.code,
                "message": item.message,
                "why": item.why,
                "hint": item.hint,
                "spec": item.spec,
                "nodes": list(item.nodes),
            }
            for item in look.advice
        ],
    }


def look(kept: Mapping[str, Any]) -> Look:
    """What `content` was made of."""
    if "reason" in kept:
        return Look(Unplanned(reason=kept["reason"], hint=kept["hint"], is_lasting=kept["is_lasting"]))
    planned = Planned(
        query=kept["query"],
        documents=tuple(kept["documents"]),
        planned_at=datetime.fromisoformat(kept["planned_at"]),
        parameter_types=tuple(kept["parameter_types"]),
        search_path=None if kept["search_path"] is None else tuple(kept["search_path"]),
    )
    advice = tuple(Advice(**{**item, "nodes": tuple(item["nodes"])}) for item in kept["advice"])
    return Look(planned, advice)
