"""Extended statistics that would mend the planner's estimates: columns that depend on each other.

Of two columns that are compared together the planner multiplies what each lets through. Where one follows from the
other, or few of the possible combinations exist, it expects far too few rows, and joins them as if they were few:
https://www.postgresql.org/docs/current/planner-stats.html#PLANNER-STATS-EXTENDED. How many combinations there are, some
pages of the table tell (sizes/together.py). An expression of which it knows nothing it takes to have 200 values.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from dbopt.optimize.estimate import LOCK_TIMEOUT_MS
from dbopt.postgres import catalog
from dbopt.postgres.connect import set_in_transaction
from dbopt.postgres.extended_statistics import EXTENDED_STATISTICS
from dbopt.postgres.statistics import EXPRESSION_STATISTICS
from dbopt.sizes import together
from dbopt.suggest.candidates.existing import finds_one_row, normal
from dbopt.suggest.candidates.expressions import may_be_key
from dbopt.suggest.estimating import SAMPLED_ROWS
from dbopt.suggest.model import Statistics
from dbopt.values import dataclass
from dbopt.workload.conditions import Kind
from dbopt.workload.index_advice import distinct_values, is_large, is_ours

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.model import Access, Candidate, Name, Subject, Table
    from dbopt.suggest.sizes import ExpressionValues

    Expressions = Mapping[tuple[Name, str], ExpressionValues]

WEIGHT_LEAST = 0.01  # of the workload: what costs less is not worth another thing to look after. Our own.
TIMES_OFF = 5.0  # so many times more rows than the planner expects, and it may choose another plan. Our own.
ROWS_LEAST = 10.0  # of a combination: of fewer any plan does
_TOGETHER_MAX, _COLUMNS_MAX = 3, 4
_FOLLOWS = 1.1  # so few combinations for each value of the one column that the others follow from it
_LISTED = 100  # most common values that ANALYZE keeps: default_statistics_target
_DISTINCT = 200.0  # DEFAULT_NUM_DISTINCT in selfuncs.h
_STATEMENT_TIMEOUT_MS = 2_000
_LETTERS = {"ndistinct": "d", "dependencies": "f", "mcv": "m"}


@dataclass(frozen=True, slots=True)
class _Wish:
    """`grouped`: they are grouped by, else compared."""

    name: Name
    columns: tuple[str, ...]
    grouped: bool


def statistics(
    conn: Connection,
    server: Server,
    subjects: Sequence[Subject],
    tables: Mapping[Name, Table],
    *,
    chosen: Collection[Candidate] = (),
    expressions: Expressions | None = None,
) -> tuple[Statistics, ...]:
    """Those that costly statements on large tables would gain by, each column of them once. `chosen`: indexes that
    are suggested; one on an expression brings its statistics along. Raises psycopg errors if the connection is lost.
    """
    costly = [
        (access, subject) for subject in subjects if subject.weight >= WEIGHT_LEAST for access in subject.accesses
    ]
    known = {name: table for name, table in tables.items() if _matters(table)}
    wishes = list(dict.fromkeys(wish for access, _ in costly for wish in _wishes(access, known)))
    found = list(_dependent(conn, server, wishes, known)) if wishes else []
    return (*found, *_unknown(conn, server, [access for access, _ in costly], known, chosen, expressions or {}))


def _matters(table: Table) -> bool:
    relation = table.relation
    return is_ours(relation) and not table.leaves and is_large(relation) and bool(relation.rows)


def _wishes(access: Access, tables: Mapping[Name, Table]) -> Iterator[_Wish]:
    table = tables.get(access.relation)
    if table is None:
        return
    equal = sorted(
        {
            condition.columns[0]
            for condition in access.conditions
            if condition.kind is Kind.EQUALITY and len(condition.columns) == 1 and not condition.is_join
        }
    )
    if not finds_one_row(table.relation, equal):
        for size in range(2, _TOGETHER_MAX + 1):
            for columns in itertools.combinations(equal[:_COLUMNS_MAX], size):
                yield _Wish(access.relation, columns, grouped=False)
    if 1 < len(access.group) <= _TOGETHER_MAX and not finds_one_row(table.relation, access.group):
        yield _Wish(access.relation, tuple(sorted(access.group)), grouped=True)


def _dependent(
    conn: Connection, server: Server, wishes: Sequence[_Wish], tables: Mapping[Name, Table]
) -> Iterator[Statistics]:
    names = sorted({wish.name for wish in wishes})
    parameters = {"schemas": [schema for schema, _ in names], "tables": [name for _, name in names]}
    places = {(row.schema, row.table): row for row in catalog.TABLES.rows(conn, server.version, parameters)}
    created: dict[int, list[tuple[set[str], set[str]]]] = defaultdict(list)
    oids = {"oids": [row.oid for row in places.values()]}
    for row in EXTENDED_STATISTICS.rows(conn, server.version, oids):
        created[row.table_oid].append((set(row.columns), set(row.kinds)))
    for name in names:
        if name not in places:
            continue
        place, own = places[name], [wish for wish in wishes if wish.name == name]
        columns = sorted({column for wish in own for column in wish.columns})
        rows = _sample(conn, place, columns)
        done: list[set[str]] = []
        for wish in sorted(own, key=lambda wish: (wish.grouped, len(wish.columns), wish.columns)):
            if not wish.grouped and any(other <= set(wish.columns) for other in done):
                continue
            chosen = [(page, [values[columns.index(column)] for column in wish.columns]) for page, values in rows]
            combinations = together.combinations(chosen, place.relpages) if chosen else None
            one = None if combinations is None else _judged(wish, tables[name], combinations)
            if one is None:
                continue
            done += [] if wish.grouped else [set(wish.columns)]
            letters = {_LETTERS[kind] for kind in one.kinds}
            if not any(set(wish.columns) <= of and letters <= kinds for of, kinds in created[place.oid]):
                yield one


def _judged(wish: _Wish, table: Table, combinations: float) -> Statistics | None:
    """None: the estimate is good enough, or no kind of statistics would mend it."""
    relation = table.relation
    columns = [relation.column(name) for name in wish.columns]
    distinct = [None if column is None else distinct_values(relation, column) for column in columns]
    if relation.rows is None or any(number is None for number in distinct):
        return None
    product = 1.0
    for number in distinct:
        product *= max(number or 1.0, 1.0)
    said = " and ".join((", ".join(wish.columns[:-1]), wish.columns[-1]))
    if wish.grouped:
        expected = min(product, relation.rows)
        if expected < TIMES_OFF * combinations:
            return None
        why = f"of {said}, which are grouped by, there are about {combinations:,.0f} combinations, not {expected:,.0f}"
        return Statistics(relation=wish.name, columns=wish.columns, kinds=("ndistinct",), why=why)
    real, expected = relation.rows / combinations, max(relation.rows / product, 1.0)
    kinds = (
        *(("dependencies",) if combinations <= _FOLLOWS * max(number or 1.0 for number in distinct) else ()),
        *(("mcv",) if combinations <= _LISTED else ()),
    )
    if real < ROWS_LEAST or real < TIMES_OFF * expected or not kinds:
        return None
    why = (
        f"{said} depend on each other: the planner expects {expected:,.0f} row{'s' * (round(expected) != 1)} of a"
        f" combination, where there are about {real:,.0f}"
    )
    return Statistics(relation=wish.name, columns=wish.columns, kinds=kinds, why=why)


def _sample(conn: Connection, place: catalog.Table, columns: Sequence[str]) -> together.Sampled:
    """Nothing where the table is locked, or the role may not read it."""
    if place.reltuples <= 0:
        return ()
    try:
        with _patience(conn):
            return together.sample(conn, place, list(map(sql.Identifier, columns)), rows_max=SAMPLED_ROWS)
    except psycopg.Error:
        if conn.closed:
            raise
        return ()


@contextlib.contextmanager
def _patience(conn: Connection) -> Iterator[None]:
    with conn.transaction(force_rollback=True):
        set_in_transaction(
            conn,
            {
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "statement_timeout": str(_STATEMENT_TIMEOUT_MS),
                "row_security": "off",  # what a policy hides would be missing among the combinations
            },
        )
        yield


def _unknown(
    conn: Connection,
    server: Server,
    accesses: Iterable[Access],
    tables: Mapping[Name, Table],
    chosen: Collection[Candidate],
    expressions: Expressions,
) -> Iterator[Statistics]:
    """Expressions that are compared for equality, with far more or far fewer values than the planner takes them for."""
    compared = {
        (access.relation, condition.expression)
        for access in accesses
        for condition in access.conditions
        if access.relation in tables
        and condition.operator in ("=", "= ANY")
        and condition.kind in (Kind.FUNCTION, Kind.CAST)
        and may_be_key(condition.expression, tables[access.relation].relation)
    }
    open_ = sorted(pair for pair in compared if not _has_index(*pair, tables, chosen))
    if not open_ or not server.has_expression_statistics:
        return
    created = _created(conn, server, [tables[name].relation.oid for name, _ in open_])
    for name, expression in open_:
        relation, values = tables[name].relation, expressions.get((name, expression))
        if values is None or not values.n_distinct or not relation.rows:
            continue
        if (relation.oid, normal(expression)) in created:
            continue
        distinct = values.n_distinct if values.n_distinct > 0 else -values.n_distinct * relation.rows
        if max(distinct / _DISTINCT, _DISTINCT / max(distinct, 1.0)) >= TIMES_OFF:
            why = f"the planner takes {expression} to have {_DISTINCT:.0f} values, there are about {distinct:,.0f}"
            yield Statistics(relation=name, columns=(expression,), kinds=(), why=why)


def _has_index(name: Name, expression: str, tables: Mapping[Name, Table], chosen: Collection[Candidate]) -> bool:
    """Whole ones alone have statistics that the planner uses."""
    wanted = normal(expression)
    of_tables = (
        key.expression
        for index in tables[name].relation.indexes
        if index.predicate is None
        for key in index.keys
        if key.expression is not None
    )
    of_chosen = (key.expression for item in chosen if item.relation == name and not item.where for key in item.keys)
    return any(normal(text) == wanted for text in (*of_tables, *of_chosen) if text)


def _created(conn: Connection, server: Server, oids: Sequence[int]) -> set[tuple[int, str]]:
    try:
        with _patience(conn):
            rows = EXPRESSION_STATISTICS.rows(conn, server.version, {"oids": sorted(set(oids))})
    except psycopg.Error:
        if conn.closed:
            raise
        return set()
    return {(row.table_oid, normal(row.expression)) for row in rows}
