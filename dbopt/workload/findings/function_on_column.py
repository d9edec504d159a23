"""A condition compares what a function makes of a column, and no index knows that.

`lower(email) = $1` cannot use an index on email: it knows the addresses, not what lower() makes of them. So all of the
table is read, and the function called for each row. There are two ways out.

- Leave the column alone. `date(created_at) = $1`, `created_at::date = $1`, `extract(year FROM created_at) = $1` and
  `date_trunc('day', created_at) = $1` ask for a range, and `created_at >= $1 AND created_at < $1 + 1` finds it by an
  index on created_at. `price * 2 > $1` is `price > $1 / 2`.
- Make an index on the expression, just as the statement has it. The function has to be IMMUTABLE; and the statement has
  to be written so ever after. ANALYZE the table afterwards: the planner then knows the expression's values too.

The planner knows nothing of the values of such an expression; how many rows fit is a guess (one in 200 for `=`), unless
the statement's own number of rows tells. It is named for tables from 10,000 rows or 8 MB on that are read whole.
https://www.postgresql.org/docs/current/indexes-expressional.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.postgres.literals import masked
from dbopt.workload.conditions import Condition, Kind
from dbopt.workload.expressions import is_indexable
from dbopt.workload.finding import Finding
from dbopt.workload.index_advice import advise_in
from dbopt.workload.model import Advice
from dbopt.workload.scans import WASTE_SOURCE, equal_columns, usable, whole_scans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from dbopt.workload.finding import Scene
    from dbopt.workload.scans import Scan

# An index finds these; what LIKE compares is leading-wildcard's.
_OPERATORS = ("=", "= ANY", "<", "<=", ">", ">=")
_OF_TIME = ("date", "date_trunc", "date_part", "extract", "to_char")
_TIMES = ("timestamp without time zone", "timestamp with time zone", "date")


def _look(scene: Scene) -> Iterator[Advice]:
    for scan in whole_scans(scene):
        if scan.is_wasteful:
            for item in scan.filter:
                yield from _judged(scene, scan, item)


def _judged(scene: Scene, scan: Scan, item: Condition) -> Iterator[Advice]:
    is_time = _is_time(scan, item)
    is_function = item.kind is Kind.FUNCTION or (item.kind is Kind.CAST and item.cast == "date" and is_time)
    if not is_function or item.is_join or not item.columns or item.operator not in _OPERATORS:
        return
    shown, column, table = masked(item.expression), item.columns[0], scan.target.name
    spec = None
    if is_time:
        hint, spec = _range(scene, scan, item)
    elif item.function is None and "->" in item.expression:
        hint = (
            f"Make an index on the expression with its key written out, ({column} ->> 'key'), and write it so in the"
            f" statement; or a GIN index on {column}, and ask for {column} @> jsonb_build_object('key', value)."
        )
    elif item.function is None:
        hint = f"Leave {column} alone on its side: move what is computed with it to the other one."
    elif is_indexable(item.expression, scan.relation):
        why = f"finds the rows of {table} by {shown}, which no index on the column can"
        spec = advise_in(scene, scan.relation, expression=item.expression, why=why)
        if spec is None:  # there is one, and the planner expects more of the scan
            return
        hint = f"An index on {table} ({shown}) finds them, as long as the statement is written so; then ANALYZE."
    elif item.function == "coalesce":
        hint = f"Write it without: {column} = value, with OR {column} IS NULL where that is meant."
    else:
        hint = (
            f"If {item.function} is IMMUTABLE, make an index on the expression, its constants written out; else leave"
            f" {column} alone, and change what it is compared with."
        )
    yield Advice(
        code=FINDING.code,
        message=f"reads all of {table}, {scan.read:,.0f} rows, as {shown} is compared, not {', '.join(item.columns)}"
        f" ({scan.kept_words} {'are' if scan.is_known else 'are thought to be'} kept)",
        why="No index on the column knows the result; it is computed for each row on each call.",
        hint=hint,
        spec=spec,
        nodes=scan.numbers,
    )


def _is_time(scan: Scan, item: Condition) -> bool:
    """Whether it asks for a range of time. A month of any year is none."""
    column = scan.relation.column(item.columns[0]) if len(item.columns) == 1 else None
    part = re.search(r"'(\w+)'", item.expression) if item.function in ("date_part", "extract") else None
    is_of_time = (item.function in _OF_TIME and (part is None or part[1] == "year")) or item.cast == "date"
    return is_of_time and column is not None and (column.base_type or column.type_name) in _TIMES


def _range(scene: Scene, scan: Scan, item: Condition) -> tuple[str, Mapping[str, Any] | None]:
    """How to ask for the same by the column itself, and the index that it then needs."""
    column = item.columns[0]
    if item.function in ("date", "to_char") or item.cast == "date":
        text = f"{column} >= $1 AND {column} < $1 + 1 (with $1 a date) for ="
    elif item.function == "date_trunc":
        text = f"{column} >= $1 AND {column} < $1 + interval '1 day' (or what is truncated to) for ="
    else:
        text = f"{column} >= make_date($1, 1, 1) AND {column} < make_date($1 + 1, 1, 1) for a year"
    # Not what it is good for now: it is there for the statement as it will be.
    why = f"finds the rows of {scan.target.name} of a time, once the statement asks for a range of {column}"
    others = equal_columns(usable(scan.filter))
    spec = advise_in(scene, scan.relation, equality=others, range_=(column,), why=why)
    index = "the index on it" if spec is None else "an index on it"
    return f"Ask for a range: {text}; {index} then finds them.", spec


FINDING = Finding(
    code="function-on-column",
    title="Function on a column that is searched by",
    look=_look,
    source=WASTE_SOURCE,
)
