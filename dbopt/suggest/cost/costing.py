"""Whoever can say what statements would cost with candidates: the form that the search knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dbopt.suggest.model import Basis, Candidate, Costed, Probe, Subject

    Question = tuple[Subject, Collection[Candidate], Probe]


class Costing(Protocol):
    """`explains`: how many statements were planned so far."""

    @property
    def explains(self) -> int: ...

    @property
    def basis(self) -> Basis: ...

    def makes(self, candidate: Candidate) -> bool:
        """Whether anything can be said about it."""

    def ask(self, questions: Sequence[Question]) -> list[Costed | None]:
        """Each subject with these candidates there and no others, planned for these values; None: it cannot be planned
        any more (a lock, a timeout). Raises psycopg errors if the connection is lost.
        """
