"""--show-config: each setting with where it came from. Whoever calls has masked the secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.records import Column, write_records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbopt.render.output import Output

_COLUMNS = [Column(name="name"), Column(name="value"), Column(name="origin")]


def write_config(output: Output, settings: Iterable[tuple[str, object, str]]) -> None:
    """`settings` are (name, value, origin)."""
    write_records(output, "config", "settings", _COLUMNS, list(settings))
