"""What stats found, in each format. Lists are cut to `limit` by whoever asked for it; what is left out is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render import json
from dbopt.render.output import Format
from dbopt.render.records import write_data
from dbopt.render.stats_records import document, records
from dbopt.stats.choice import What

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.render.output import Output
    from dbopt.stats.choice import Choice
    from dbopt.stats.survey import Survey


def write_surveys(
    output: Output, surveys: Sequence[Survey], choice: Choice, *, limit: int | None, several: bool
) -> None:
    """`limit` None: everything. `several`: of several targets, be they all there or not."""
    match output.format:
        case Format.TABLE:
            from dbopt.render.stats_table import write_table

            write_table(output.out, surveys, choice, limit=limit, several=several)
            return
        case Format.JSON:
            documents = [document(survey, choice.what, limit) for survey in surveys]
            content = {"targets": documents} if several else documents[0]
            json.write_document(output.out, json.document("stats", **content))
            return
        case Format.PROMETHEUS:
            from dbopt.render.stats_prometheus import exposition

            output.out.write(exposition(surveys, choice.what, limit=limit))
        case _:
            columns, rows = records(surveys, choice.what, limit)
            write_data(output, columns, rows)
            if choice.what is What.OVERVIEW:
                output.note("one record a table or index: dbopt stats tables, dbopt stats indexes")
    for survey in surveys:
        for note in survey.window.notes:
            output.note(f"note: {note}")
        if choice.what in (What.TABLES, What.INDEXES, What.SCHEMAS) and limit is not None:
            more = len(getattr(survey, choice.what)) - limit
            if more > 0:
                output.note(more_than(limit, more))


def more_than(limit: int, more: int) -> str:
    """`and 1,980 more: --limit 2000`."""
    return f"and {more:,} more: --limit {limit + more}"
