"""The findings, one a file, found by themselves. A file's name is its finding's code with `_` for `-`."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbopt.workload.finding import Finding, Scene
    from dbopt.workload.model import Advice


def codes() -> list[str]:
    """Without loading any of them."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


@cache
def load(code: str) -> Finding:
    """The finding of that code. Raises ModuleNotFoundError for none."""
    finding: Finding = import_module(f"{__name__}.{code.replace('-', '_')}").FINDING
    return finding


def all_findings() -> tuple[Finding, ...]:
    return tuple(map(load, codes()))


def look(scene: Scene, *, on_plan: bool, found: Iterable[Advice] = ()) -> tuple[Advice, ...]:
    """What all of them say; `on_plan`: those that look at the plan, else the others. `found`: what is known already."""
    known = {advice.code for advice in found}
    return tuple(
        advice
        for finding in all_findings()
        if finding.needs_plan is on_plan and known.isdisjoint(finding.unless)
        for advice in finding.look(scene)
    )
