"""From a proved list to what is shown: which statements each index helps, what it costs, what to be careful about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.suggest.model import GENERIC, Basis, Helped, Risk, Suggestion
from dbopt.suggest.naming import name
from dbopt.suggest.reason import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dbopt.suggest.model import Candidate, Name, Outcome, Size, Subject, Table, WriteCost
    from dbopt.suggest.proof import Proof
    from dbopt.suggest.search.problem import Problem

FEW_CALLS = 10  # our own: whoever has run a statement so seldom may have been trying something
OFTEN = 1.0  # writes of its entries a second, our own: one that is awaited by somebody all the time
LARGE_SHARE = 0.1  # of its table
_SORTS = ("Sort", "Incremental Sort")


def assembled(
    chosen: frozenset[Candidate],
    subjects: Sequence[Subject],
    tables: Mapping[Name, Table],
    proof: Proof,
    problem: Problem,
    *,
    taken: Mapping[str, Sequence[str]],
    writes: Callable[[Candidate], WriteCost],
    is_proved: Callable[[Candidate], bool],
) -> tuple[Suggestion, ...]:
    """The most beneficial first. `taken`: by schema, the names that are in use."""
    outcomes = {outcome.subject.item.number: outcome for outcome in proof.outcomes}
    whole = problem.cost(frozenset())
    every = problem.choices(chosen)
    gains = {item.candidate: problem.saving(every - {item}, every) for item in sorted(every)}
    used: set[str] = set()  # in any schema, so that one name means one suggestion
    found = []
    for item in sorted(chosen, key=lambda item: (-gains[item], item)):
        table = tables[item.relation]
        helped = _helped(item, subjects, proof, outcomes)
        own = name(item, used.union(taken.get(item.relation[0], ())))
        used.add(own)
        size, cost = problem.size(problem.choice(item)), writes(item)
        found.append(
            Suggestion(
                candidate=item,
                name=own,
                helped=tuple(one for _, one in helped),
                benefit=gains[item] / whole if whole > 0 else 0.0,
                size=size,
                writes=cost,
                risks=_risks(item, table, size, cost, [subject for subject, _ in helped], proved=is_proved(item)),
                basis=Basis.HYPOPG if is_proved(item) else Basis.STATISTICS,
                reason=reason(item, table, [subject for subject, _ in helped]),
            )
        )
    return tuple(found)


def _helped(
    item: Candidate, subjects: Sequence[Subject], proof: Proof, outcomes: Mapping[int, Outcome]
) -> list[tuple[Subject, Helped]]:
    found = []
    for subject, used in zip(subjects, proof.used, strict=True):
        outcome = outcomes.get(subject.item.number)
        if item not in used or outcome is None:
            continue
        before, after = outcome.before, outcome.after
        is_generic = outcome.probe == GENERIC.name
        is_sorted = before.plan is not None and any(node.node_type in _SORTS for node in before.plan.walk())
        sorts = after.plan is None or any(node.node_type in _SORTS for node in after.plan.walk())
        found.append(
            (
                subject,
                Helped(
                    item=subject.item,
                    before=before.cost,
                    after=after.cost,
                    uses=is_generic and item in after.used,
                    no_sort=is_generic and is_sorted and not sorts,
                    probe=outcome.probe,
                ),
            )
        )
    return sorted(found, key=lambda pair: (-pair[0].weight * _saved(pair[1]), pair[0].item.number))


def _saved(one: Helped) -> float:
    return 1 - one.after / one.before if one.before > 0 else 0.0


def _risks(
    item: Candidate,
    table: Table,
    size: Size | None,
    cost: WriteCost,
    helped: Sequence[Subject],
    *,
    proved: bool,
) -> tuple[Risk, ...]:
    relation = table.relation
    seconds = table.writes.seconds
    risks = {
        Risk.UNPROVED: not proved,
        Risk.NO_STATISTICS: relation.rows is None,
        Risk.LOST_HOT: cost.lost_hot > 0,
        Risk.WRITES: seconds is not None and seconds > 0 and cost.entries / seconds >= OFTEN,
        Risk.EXPRESSION: any(key.expression for key in item.keys),
        Risk.LARGE: size is not None and size.size_bytes >= LARGE_SHARE * max(relation.size_bytes, 1),
        Risk.FEW_CALLS: sum(subject.item.calls for subject in helped) < FEW_CALLS,
    }
    return tuple(risk for risk, applies in risks.items() if applies)
