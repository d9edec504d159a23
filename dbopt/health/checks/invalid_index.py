"""Indexes that are not valid: they cost every write and answer no query.

CREATE INDEX CONCURRENTLY that fails or is cancelled leaves one behind, REINDEX CONCURRENTLY its copy (`_ccnew` is the
new one, `_ccold` the one that was replaced), an interrupted DROP INDEX CONCURRENTLY the index itself. A unique one goes
on refusing rows. What is being built, rebuilt or dropped right now is left alone, and so is the index of a partitioned
table that waits for those of its partitions: their queries do not depend on it.
To do: drop the copies; build the others again, unless a valid index does their work already.
https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Status, Unit, presence
from dbopt.postgres.indexes import INDEX_SHAPES, IndexShape
from dbopt.relations.redundancy import Form, covers, is_sound
from dbopt.spec.fragment import absent, present
from dbopt.units import format_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.health.scene import Scene

_COPY = re.compile(r"_cc(new|old)[0-9]{0,3}\Z")
_DESC, _NULLS_FIRST = 1, 2  # bits of pg_index.indoption


@dataclass(frozen=True, slots=True)
class Broken:
    """`covered_by`: a valid index that does all that this one would."""

    index: IndexShape
    covered_by: IndexShape | None
    grant: str

    @property
    def copy(self) -> str | None:
        """`new` or `old` of a REINDEX CONCURRENTLY; a constraint's index is no copy, whatever its name."""
        found = _COPY.search(self.index.name)
        return found[1] if found and not self._is_needed else None

    @property
    def is_to_go(self) -> bool:
        return not self._is_needed and (
            self.copy is not None or not self.index.indislive or self.covered_by is not None
        )

    @property
    def _is_needed(self) -> bool:
        index = self.index
        return index.constraint is not None or index.is_referenced or index.indisreplident or index.is_partition


def _rows(rows: Sequence[IndexShape], scene: Scene) -> Iterator[Broken]:
    grant = scene.server.grant("pg_read_all_stats")
    for index in rows:
        if is_sound(index) or index.relkind == "I" or index.in_work:
            continue
        form = Form.of(index)
        siblings = (other for other in rows if other.table_oid == index.table_oid and is_sound(other))
        yield Broken(index, next((other for other in siblings if covers(Form.of(other), form)), None), grant)


def _gap(row: Broken) -> Gap | None:
    if not row.index.work_hidden:
        return None
    reason = "an index of its table is being built, and this role may not see whether it is this one"
    return Gap(reason, row.grant, blind=True)


def _detail(row: Broken) -> str:
    index = row.index
    size = format_bytes(index.size_bytes) + (" (estimated)" if index.is_estimated else "")
    if row.copy is not None:
        what = "left behind by a REINDEX CONCURRENTLY" + (
            " that failed" if row.copy == "new" else ", which has replaced it"
        )
    elif not index.indislive:
        what = "left behind by a DROP INDEX CONCURRENTLY that was interrupted"
    elif index.indisready:
        what = "INVALID, yet kept up to date by every write"
    else:
        what = "INVALID: its build failed or was cancelled" + (
            ", perhaps over rows that repeat a key" if index.indisunique else ""
        )
    also = f"; {row.covered_by.index} does what it would do" if row.covered_by and row.is_to_go else ""
    return f"{size} on {index.relation}, {what}{also}"


def _remedy(row: Broken) -> str:
    index = row.index
    if row.is_to_go:
        return f"DROP INDEX CONCURRENTLY {index.index};"
    concurrently = "" if index.indisexclusion else "CONCURRENTLY "  # which no exclusion constraint can
    return f"REINDEX INDEX {concurrently}{index.index};"


def _fragment(row: Broken) -> Mapping[str, object] | None:
    """An entry that `dbopt optimize` makes good by dropping it and building it again. What holds an expression cannot
    be said without a lock on the table.
    """
    index = row.index
    if index.is_toast or index.is_partition or index.constraint is not None or index.is_referenced:
        return None
    if row.is_to_go:
        return absent(index.table_schema, index.table, index.name, f"INVALID: {_remains(row)}")
    if index.expressions is not None or index.predicate is not None or index.indisreplident:
        return None
    definition: dict[str, object] = {} if index.method == "btree" else {"method": index.method}
    definition["keys"] = _keys(index)
    columns = index.columns or []
    if len(columns) > index.indnkeyatts:
        definition["include"] = columns[index.indnkeyatts :]
    if index.indisunique:
        definition["unique"] = {"nulls": "not_distinct"} if index.indnullsnotdistinct else "yes"
    if index.reloptions:
        definition["with"] = dict(option.split("=", 1) for option in index.reloptions)
    if index.tablespace is not None:
        definition["tablespace"] = index.tablespace
    definition["why"] = "it was left INVALID: somebody wanted it"
    return present(index.table_schema, index.table, index.name, definition)


def _remains(row: Broken) -> str:
    if row.covered_by is not None:
        return f"{row.covered_by.name} does what it would do"
    return "the remains of a REINDEX CONCURRENTLY" if row.copy is not None else "half dropped already"


def _keys(index: IndexShape) -> list[object]:
    columns, options = index.columns or [], index.opclass_options or [None] * index.indnkeyatts
    opclasses, collations = index.opclass_names or [], index.collation_names or []
    keys: list[object] = []
    for n in range(index.indnkeyatts):
        key: dict[str, object] = {"column": columns[n]}
        bits = index.indoption[n]
        if bits & _DESC:
            key["order"] = "desc"
        if bool(bits & _NULLS_FIRST) != bool(bits & _DESC):
            key["nulls"] = "first" if bits & _NULLS_FIRST else "last"
        if collations[n] is not None:
            key["collation"] = collations[n]
        option = options[n]
        if opclasses[n] is not None or option is not None:
            key["opclass"] = opclasses[n]
        if option is not None:
            key["opclass_options"] = dict(pair.split("=", 1) for pair in option.split(", "))
        keys.append(columns[n] if len(key) == 1 else key)
    return keys


CHECK: Check[Broken] = Check(
    id="invalid-index",
    title="Invalid indexes",
    group=Group.INDEXES,
    query=INDEX_SHAPES,
    unit=Unit.BYTES,
    thresholds=presence(Status.WARNING, source="the manual: it is not used for queries, and updated by every write"),
    subject=lambda row: row.index.index,
    measure=lambda row: row.index.size_bytes,
    detail=_detail,
    remedy=_remedy,
    fragment=_fragment,
    gap=_gap,
    rows=_rows,
)
