"""Slow statements in each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import json
from dbopt.render.output import Format
from dbopt.render.records import write_data
from dbopt.workload.statements import Sort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbopt.metrics.measurement import About
    from dbopt.render.output import Output
    from dbopt.workload.model import Workload


def write_workloads(
    output: Output,
    found: Sequence[tuple[About, Workload]],
    *,
    several: bool,
    literals: bool,
    call: Callable[..., str] | None,
    suggest: Callable[..., str] | None = None,
    sort: Sort = Sort.TOTAL,
    event: bool = False,
) -> None:
    """`several`: of several targets, be they all there or not. `literals`: texts hold values. `call`: a call of
    slow-queries with these words, as it can be pasted; `suggest`: of suggest, where that can look at them. `sort`: by
    what they are ranked. `event`: JSON on one line.
    """
    match output.format:
        case Format.TABLE:
            from dbopt.render.workload_table import write_table

            write_table(output.out, found, several=several, literals=literals, call=call, suggest=suggest, sort=sort)
            return
        case Format.MARKDOWN:
            from dbopt.render.workload_markdown import page

            output.out.write(page(found, literals=literals, sort=sort))
            return
        case Format.JSON:
            from dbopt.render.workload_json import document

            content = document(found, several=several, literals=literals, sort=sort)
            (json.write_event if event else json.write_document)(output.out, content)
            return
    from dbopt.render.workload_records import COLUMNS, records
    from dbopt.render.workload_words import left_out, textless

    write_data(output, COLUMNS, records(found))
    if literals and found:
        output.note("note: texts hold values (--show-literals): look before you pass this on")
    for about, workload in found:
        named = f"{about.label}: " if several else ""
        others = list(left_out(workload.others))
        for note in (*workload.span.breaks, *workload.notes, *filter(None, (textless(workload.others),))):
            output.note(f"note: {named}{note}")
        if others:
            output.note(f"note: {named}not shown: {', '.join(others)}")
        for reason, hint in workload.lacks:
            output.note(f"note: {named}not known: {reason}" + (f" ({hint})" if hint else ""))
