"""Verdicts again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

from dbopt.render import json
from dbopt.render.health import write_verdicts
from dbopt.render.health_json import document
from dbopt.render.output import Format
from dbopt.render.redraw import redraw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbopt.health.verdict import Verdict
    from dbopt.render.output import Output


def watch(
    output: Output,
    seconds: float,
    look: Callable[[], Sequence[Verdict]],
    *,
    advice: bool = False,
    all_checks: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Until somebody interrupts."""

    def write(inside: Output, verdicts: Sequence[Verdict]) -> None:
        if inside.format is Format.JSON:
            json.write_event(inside.out, document(verdicts))
        else:
            write_verdicts(inside, verdicts, advice=advice, all_checks=all_checks)

    redraw(output, seconds, look, write, sleep=sleep)
