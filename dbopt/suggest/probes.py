"""Values of parameters to plan statements with, beside the plan for any values: common ones, typical ones, rare ones.

A plan for any values takes each value to be as common as the average, a range to let through a third, and LIMIT to be a
tenth of what there is. What a statement really does often is another plan. The values are those that ANALYZE keeps:
people's data. They are planned with, and go nowhere else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import sql

from dbopt import grammar
from dbopt.postgres.column_values import COLUMN_VALUES
from dbopt.suggest.cost.prepared import used
from dbopt.suggest.model import GENERIC, Probe
from dbopt.suggest.typical import Level, is_decisive, value
from dbopt.suggest.uses import uses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.postgres.column_values import ColumnValues
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.model import Name, Subject, Table
    from dbopt.suggest.uses import Use

    Known = Mapping[tuple[Name, str], ColumnValues]

_LEVELS = (Level.TYPICAL, Level.COMMON, Level.RARE)
# Leaves whose values stand for a partitioned table's that was not analyzed as a whole: the middle one, the last, the
# first; autovacuum analyzes leaves alone.
_LEAVES = (0.5, 1.0, 0.0)


def all_probes(
    conn: Connection, server: Server, subjects: Sequence[Subject], tables: Mapping[Name, Table]
) -> list[Subject]:
    """The subjects with their probes, the plan for any values first. One statement for all. Raises psycopg errors."""
    used_by = [uses(subject) for subject in subjects]
    columns = sorted({use.column for found in used_by for use in found.values() if use.column is not None})
    known = _values(conn, server, [column for column in columns if column[0] in tables], tables)
    return [
        replace(subject, probes=(GENERIC, *_probes(subject, found, known, tables)))
        for subject, found in zip(subjects, used_by, strict=True)
    ]


def probes(conn: Connection, server: Server, subject: Subject, tables: Mapping[Name, Table]) -> tuple[Probe, ...]:
    """Of one statement."""
    return all_probes(conn, server, [subject], tables)[0].probes


def _values(
    conn: Connection, server: Server, columns: Sequence[tuple[Name, str]], tables: Mapping[Name, Table]
) -> Known:
    if not columns:
        return {}
    places = [(name, column, place) for name, column in columns for place in (name, *_some_leaves(tables[name]))]
    parameters = {
        "schemas": [place[0] for _, _, place in places],
        "names": [place[1] for _, _, place in places],
        "columns": [column for _, column, _ in places],
    }
    found: dict[tuple[Name, str], ColumnValues] = {}
    for row in COLUMN_VALUES.rows(conn, server.version, parameters):
        name, column, _ = places[row.number - 1]
        found.setdefault((name, column), row)
    return found


def _some_leaves(table: Table) -> list[Name]:
    last = len(table.leaves) - 1
    return list(dict.fromkeys(table.leaves[round(share * last)] for share in _LEAVES)) if table.leaves else []


def _probes(subject: Subject, found: Mapping[int, Use], known: Known, tables: Mapping[Name, Table]) -> list[Probe]:
    """None unless every parameter can have a value, and one of them matters."""
    try:
        numbers = sorted(used(subject.planned.query))
    except grammar.GrammarError:
        return []
    types = subject.planned.parameter_types
    if not numbers or numbers[-1] > len(types):
        return []
    asked = [use for number in numbers if (use := found.get(number)) is not None]
    if any(use.column is not None and use.column not in known for use in asked):
        return []  # never analyzed, or not for us to see
    if not any(is_decisive(use, known.get(use.column) if use.column else None) for use in asked):
        return []
    made: dict[tuple[tuple[int, str], ...], Probe] = {}
    for level in _LEVELS:
        values = {}
        for number in numbers:
            literal = _literal(level, found.get(number), known, types[number - 1], tables)
            if literal is None:
                return []
            values[number] = literal
        made.setdefault(tuple(values.items()), Probe(name=level.value, values=values))
    return list(made.values())


def _literal(level: Level, use: Use | None, known: Known, type_name: str, tables: Mapping[Name, Table]) -> str | None:
    values = column_type = None
    if use is not None and use.column is not None:
        name, column_name = use.column
        column = tables[name].relation.column(column_name)
        values = known[use.column]
        column_type = None if column is None else column.base_type or column.type_name
    text = value(level, use, values, type_name, column_type or "")
    if text is None or "\x00" in text:
        return None
    return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(type_name)).as_string(None).strip()
