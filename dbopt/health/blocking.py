"""Who waits for whom, as trees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A session and those that wait for it."""

    pid: int
