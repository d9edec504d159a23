"""A Result after some of its findings were set aside, whyever."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbopt.health.check import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.health.check import Finding, Result


def set_aside(result: Result, field: str, chosen: Callable[[Finding], Finding | None]) -> Result:
    """`chosen` gives a finding as it is to stand in `field` (`ignored`, `known`, `pending`), or None: it counts.

    The status is that of what is left; a check that could not judge everything stays unknown.
    """
    left: list[Finding] = []
    aside: list[Finding] = []
    for finding in result.findings:
        taken = chosen(finding)
        if taken is None:
            left.append(finding)
        else:
            aside.append(taken)
    if not aside:
        return result
    nothing_left = Status.OK if result.reason is None else Status.UNKNOWN
    changes: dict[str, Any] = {
        "findings": tuple(left),
        "status": Status.worst(left, default=nothing_left),
        field: (*getattr(result, field), *aside),
    }
    if not left:
        changes["trees"] = ()
    return replace(result, **changes)
