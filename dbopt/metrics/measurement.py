"""What one look at one database comes to: a value that is rendered, and computed by nothing above."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.snapshot.model import Family
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from dbopt.errors import Error
    from dbopt.metrics.breakdown import Breakdown
    from dbopt.metrics.figures import Figure
    from dbopt.metrics.window import Window
    from dbopt.snapshot.model import Part


class Basis(StrEnum):
    READINGS = "two readings"
    STORE = "stored readings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The real time that figures are about. `seconds` is what was watched of it. `shorter`: families that were watched
    for less, with how long.
    """

    basis: Basis
    from_at: datetime
    to_at: datetime
    seconds: float
    breaks: tuple[str, ...] = ()
    shorter: Mapping[str, float]

    @classmethod
    def of(cls, window: Window, basis: Basis) -> Span:
        own = window.intervals[Family.SERVER]
        shorter = {
            str(family): window.seconds(family)
            for family in Family
            if family in window.intervals and abs(window.seconds(family) - own.seconds) > max(1.0, own.seconds * 0.05)
        }
        return cls(
            basis=basis,
            from_at=own.from_at,
            to_at=own.to_at,
            seconds=own.seconds,
            breaks=tuple(_breaks(window)),
            shorter=shorter,
        )


def _breaks(window: Window) -> Iterator[str]:
    """What interrupted the counting, and of what."""
    own = {str(family): window.intervals[family] for family in Family if family in window.intervals}
    for text in dict.fromkeys(text for interval in own.values() for text in interval.breaks):
        families = [family for family, interval in own.items() if text in interval.breaks]
        yield text if len(families) == len(own) else f"{text} ({', '.join(families)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A database: `name` is that of its target in the configuration."""

    name: str | None
    place: str
    dbname: str | None = None
    server_version: str | None = None
    system_identifier: str | None = None
    in_recovery: bool | None = None
    role: str | None = None

    @property
    def label(self) -> str:
        return self.name or self.place


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """`error`: why nothing of it is known. `parts`: the present reading."""

    about: About
    span: Span | None = None
    before: Span | None = None
    figures: tuple[Figure, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    parts: Mapping[str, Part]
    notes: tuple[str, ...] = ()
    error: Error | None = None
