"""How the rows of each query become Subjects: which columns count, which are gauges, what tells two things apart."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from dbopt.postgres.counters import IO_COUNTERS
from dbopt.postgres.relation_counters import INDEX_COUNTERS, MEASURED_MAX, RELATION_TOTALS, TABLE_COUNTERS
from dbopt.postgres.statement_counters import STATEMENT_COUNTERS
from dbopt.snapshot.continuity import gaps
from dbopt.snapshot.model import Family, Part, Subject
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbopt.postgres.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A family whose rows are its subjects."""

    family: Family
    query: Query[Any]
    key: Callable[[Any], str]
    name: Callable[[Any], str]
    counts: tuple[str, ...]
    gauges: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()  # of a family with one subject: how things stand
    since: Callable[[Any], Any]
    identity: Callable[[Any], str] = lambda _: ""
    has_own_since: Callable[[Any], bool] = lambda _: False
    # Of the whole family, as each row has it; without them, what the server says of the database.
    whole_since: Callable[[Any], Any] | None = None
    evictions: Callable[[Any], int | None] = lambda _: None
    source: Callable[[Any], str] = lambda _: ""
    uncounted: Callable[[Any], tuple[str, ...]] = lambda _: ()  # columns of `counts` that this version does not have
    parameters: Mapping[str, object] | None = None

    def part(self, rows: Iterable[Any], server: Part) -> Part:
        """`server`: of the same moment."""
        rows = tuple(rows)
        first = rows[:1]
        absent = next(map(self.uncounted, first), ())
        names = tuple(name for name in self.counts if name not in absent)
        counts, gauges = _values(names), _values(self.gauges)
        subjects: dict[str, Subject] = {}
        for row in rows:
            key = self.key(row)
            subject = Subject(key, self.name(row), counts(row), gauges(row), self.since(row), self.identity(row))
            known = subjects.get(key)
            subjects[key] = subject if known is None else _together(known, subject)
        return Part(
            family=self.family,
            taken_at=server.taken_at,
            lineage=server.lineage,
            counts=names,
            gauges=self.gauges,
            subjects=subjects,
            of_database=server.of_database,
            levels={name: getattr(row, name) for row in first for name in self.levels},
            has_own_since=any(map(self.has_own_since, first)),
            since=server.since if self.whole_since is None else next(map(self.whole_since, first), None),
            remembers=server.remembers,
            evictions=next(map(self.evictions, first), None),
            source=next(map(self.source, first), ""),
            database_oid=server.database_oid,
            machine=server.machine,
            asked_at=server.asked_at,
        )


def _together(one: Subject, other: Subject) -> Subject:
    """Of one key: an old version of an extension does not say what tells them apart."""
    sums = tuple(a if b is None else b if a is None else a + b for a, b in zip(one.counts, other.counts, strict=True))
    return replace(one, counts=sums, gauges=(None,) * len(one.gauges))


def _statements_source(row: Any) -> str:
    """What tells entries apart, and when they began, as the versions of pg_stat_statements have it. 1.8 only counts
    more than those before it.
    """
    return "1.11" if row.has_own_since else "1.8" if row.reset_since is None else "1.9"


def _statements_uncounted(row: Any) -> tuple[str, ...]:
    return ("plans", "total_plan_time_ms", "wal_bytes") if row.plans is None else ()


def _values(names: Sequence[str]) -> Callable[[Any], tuple[float | None, ...]]:
    """The fields of a row as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda row: tuple(getattr(row, name) for name in names)


DEFINITIONS: Mapping[Family, Definition] = {
    definition.family: definition
    for definition in (
        Definition(
            family=Family.RELATIONS,
            query=RELATION_TOTALS,
            key=lambda _: "all",
            name=lambda _: "all tables and indexes",
            counts=(
                "heap_blks_hit",
                "heap_blks_read",
                "idx_blks_hit",
                "idx_blks_read",
                "seq_scan",
                "seq_tup_read",
                "idx_scan",
                "idx_tup_fetch",
                "vacuum_count",
                "autovacuum_count",
                "analyze_count",
                "autoanalyze_count",
            ),
            gauges=("relations", "n_dead_tup"),
            levels=("relations", "n_dead_tup"),
            since=attrgetter("stats_since"),
            identity=lambda row: gaps(row.oids),
        ),
        Definition(
            family=Family.IO,
            query=IO_COUNTERS,
            key=lambda row: f"{row.backend_type}/{row.object}/{row.context}",
            name=lambda row: f"{row.backend_type}, {row.object}, {row.context}",
            counts=(
                "reads",
                "read_bytes",
                "read_time",
                "writes",
                "write_bytes",
                "write_time",
                "extends",
                "extend_bytes",
                "hits",
                "evictions",
                "reuses",
                "fsyncs",
            ),
            since=attrgetter("stats_since"),
        ),
        Definition(
            family=Family.STATEMENTS,
            query=STATEMENT_COUNTERS,
            key=lambda row: f"{row.queryid}/{row.userid}/{int(row.toplevel)}",
            name=lambda row: str(row.queryid),
            counts=(
                "calls",
                "total_exec_time_ms",
                "sum_squares_ms2",
                "plans",
                "total_plan_time_ms",
                "rows",
                "shared_blks_hit",
                "shared_blks_read",
                "shared_blks_dirtied",
                "shared_blks_written",
                "temp_blks_read",
                "temp_blks_written",
                "blk_read_time_ms",
                "blk_write_time_ms",
                "wal_bytes",
            ),
            gauges=("max_exec_time_ms", "min_exec_time_ms"),
            since=attrgetter("counted_since"),
            has_own_since=attrgetter("has_own_since"),
            whole_since=attrgetter("reset_since"),
            evictions=attrgetter("evictions"),
            source=_statements_source,
            uncounted=_statements_uncounted,
        ),
        Definition(
            family=Family.TABLES,
            query=TABLE_COUNTERS,
            key=lambda row: str(row.relation_oid),
            name=attrgetter("relation"),
            counts=(
                "seq_scan",
                "seq_tup_read",
                "tup_fetched",
                "n_tup_ins",
                "n_tup_upd",
                "n_tup_del",
                "n_tup_hot_upd",
                "heap_blks_hit",
                "heap_blks_read",
                "vacuum_count",
                "autovacuum_count",
                "analyze_count",
                "autoanalyze_count",
            ),
            gauges=("rows", "n_dead_tup", "heap_bytes", "toast_bytes"),
            since=attrgetter("stats_since"),
            identity=attrgetter("birth"),
            parameters={"measured_max": MEASURED_MAX},
        ),
        Definition(
            family=Family.INDEXES,
            query=INDEX_COUNTERS,
            key=lambda row: str(row.index_oid),
            name=attrgetter("index"),
            counts=("idx_scan", "idx_tup_read", "idx_tup_fetch", "idx_blks_hit", "idx_blks_read"),
            gauges=("size_bytes",),
            since=attrgetter("stats_since"),
            identity=attrgetter("birth"),
            parameters={"measured_max": MEASURED_MAX},
        ),
    )
}
