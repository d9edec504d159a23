"""The checks, one a file, found by themselves. A file's name is its check's id with `_` for `-`."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbopt.health.check import Check


def check_ids() -> list[str]:
    """Without loading any of them."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


@cache
def load(check_id: str) -> Check[Any]:
    """The check of that id. Raises ModuleNotFoundError for none."""
    check: Check[Any] = import_module(f"{__name__}.{check_id.replace('-', '_')}").CHECK
    return check


def all_checks() -> tuple[Check[Any], ...]:
    """Every check, by group, then by id."""
    from dbopt.health.check import Group

    order = list(Group)
    return tuple(sorted(map(load, check_ids()), key=lambda check: (order.index(check.group), check.id)))
