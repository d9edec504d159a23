"""What statements cost as they are is asked again and again, and planned once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.suggest.cost.costing import Costing, Question
    from dbopt.suggest.model import Basis, Candidate, Costed


class Bases:
    """A Costing in front of another one."""

    def __init__(self, costing: Costing) -> None:
        self._costing = costing
        self._known: dict[tuple[int, str], Costed | None] = {}  # by the statement's number and the probe's name

    @property
    def explains(self) -> int:
        return self._costing.explains

    @property
    def basis(self) -> Basis:
        return self._costing.basis

    def makes(self, candidate: Candidate) -> bool:
        return self._costing.makes(candidate)

    def ask(self, questions: Sequence[Question]) -> list[Costed | None]:
        """As Costing has it."""
        keys = [None if chosen else (subject.item.number, probe.name) for subject, chosen, probe in questions]
        new = [at for at, key in enumerate(keys) if key is None or key not in self._known]
        answers: list[Costed | None] = [None] * len(questions)
        for at, answer in zip(new, self._costing.ask([questions[at] for at in new]), strict=True):
            key = keys[at]
            answers[at] = answer
            if key is not None:
                self._known[key] = answer
        for at, key in enumerate(keys):
            if key is not None:
                answers[at] = self._known[key]
        return answers
