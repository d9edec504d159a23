"""Promises against evidence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.demo.proof.promises import PROMISES
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.demo.proof.promises import Figure, Promise
    from dbopt.demo.proof.values import Evidence


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kept` None: there was nothing to judge, and the figure's note says why."""

    promise: Promise
    app: str
    figure: Figure
    kept: bool | None


def judge(found: Sequence[Evidence], promises: Sequence[Promise] = PROMISES) -> tuple[Verdict, ...]:
    """In the order of the promises; of an application that was not measured nothing is said."""
    return tuple(
        _verdict(promise, evidence) for promise in promises for evidence in found if evidence.app in promise.apps
    )


def _verdict(promise: Promise, evidence: Evidence) -> Verdict:
    figure = promise.measure(evidence)
    return Verdict(promise, evidence.app, figure, None if figure.value is None else _kept(promise, figure))


def _kept(promise: Promise, figure: Figure) -> bool:
    assert figure.value is not None
    enough = promise.least is None or figure.value >= promise.least
    little = promise.most is None or figure.value <= promise.most
    return figure.counts and enough and little
