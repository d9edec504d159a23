"""Prometheus' text format: families of series, each with its help and type.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


class Family:
    """A gauge or a counter, and its series. Those of several databases stand together."""

    def __init__(self, name: str, help_text: str, kind: Literal["gauge", "counter"] = "gauge") -> None:
        self._head = f"# HELP {name} {_escape(help_text)}\n# TYPE {name} {kind}\n"
        self._name = name
        self._series: dict[str, float] = {}

    def add(self, labels: Mapping[str, str], value: float) -> None:
        """The first one counts where a series comes again: findings stand with the worst first."""
        pairs = ",".join(f'{label}="{_escape(text, quoted=True)}"' for label, text in labels.items())
        self._series.setdefault(f"{self._name}{{{pairs}}}", value)

    def text(self) -> str:
        lines = [f"{series} {_number(value)}\n" for series, value in self._series.items()]
        return self._head + "".join(lines) if lines else ""


def _escape(text: str, *, quoted: bool = False) -> str:
    # A lone half of a surrogate pair cannot be written as UTF-8.
    text = text.encode("utf-8", "replace").decode()
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quoted else text


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
