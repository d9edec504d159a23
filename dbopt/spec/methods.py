"""What PostgreSQL's own index access methods can do, as data: true of 13 to 18 alike.

Sources: the `am...` flags of each method's handler, and reloptions.c for storage parameters and their limits. Methods
of extensions (bloom, hnsw, rum) are not here; the server judges those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dbopt.spec.model import FALSE_WORDS, TRUE_WORDS
from dbopt.values import dataclass

_WHOLE = re.compile(r"\+?[0-9]+")
_DECIMAL = re.compile(r"\+?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")

KEYS_MAX = 32  # INDEX_MAX_KEYS: keys and included columns together


@dataclass(frozen=True, slots=True)
class Number:
    low: int
    high: int
    whole: bool = True

    def problem(self, value: str) -> str | None:
        kind, form = ("a whole number", _WHOLE) if self.whole else ("a number", _DECIMAL)
        if form.fullmatch(value) is None or not self.low <= float(value) <= self.high:
            return f"expected {kind} from {self.low} to {self.high}"
        return None


@dataclass(frozen=True, slots=True)
class Switch:
    def problem(self, value: str) -> str | None:
        return None if value in ("on", "off") else "expected on or off"


@dataclass(frozen=True, slots=True)
class Choice:
    words: tuple[str, ...]

    def problem(self, value: str) -> str | None:
        return None if value.lower() in self.words else f"expected one of {', '.join(self.words)}"


Parameter = Number | Switch | Choice
_FILLFACTOR = {"fillfactor": Number(10, 100)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    parameters: Mapping[str, Parameter]
    unique: bool = False
    order: bool = False
    include: bool = False
    several_keys: bool = True


METHODS: Mapping[str, Method] = {
    "btree": Method(
        unique=True,
        order=True,
        include=True,
        parameters=_FILLFACTOR
        | {
            "deduplicate_items": Switch(),
            "vacuum_cleanup_index_scale_factor": Number(0, 10_000_000_000, whole=False),  # gone in 14
        },
    ),
    "hash": Method(several_keys=False, parameters=_FILLFACTOR),
    "gist": Method(include=True, parameters=_FILLFACTOR | {"buffering": Choice(("on", "off", "auto"))}),
    "spgist": Method(include=True, several_keys=False, parameters=_FILLFACTOR),  # INCLUDE since 14
    "gin": Method(parameters={"fastupdate": Switch(), "gin_pending_list_limit": Number(64, 2_147_483_647)}),
    "brin": Method(parameters={"pages_per_range": Number(1, 131_072), "autosummarize": Switch()}),
}

_SWITCHES = {
    name
    for method in METHODS.values()
    for name, parameter in method.parameters.items()
    if isinstance(parameter, Switch)
}


def normalised(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Storage parameters with `on` and `off` where the file says yes or no in another word."""
    return {name: _switch(value) if name.lower() in _SWITCHES else value for name, value in parameters.items()}


def _switch(value: Any) -> Any:
    word = value.lower() if isinstance(value, str) else None
    if word in TRUE_WORDS | {"1"}:
        return "on"
    return "off" if word in FALSE_WORDS | {"0"} else value
