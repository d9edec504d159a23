"""A text is searched by LIKE or by a regular expression, and all of the table is read for it.

A btree index is sorted by how values begin. It helps `LIKE 'abc%'` (where the column's collation is C, or with the
operator class text_pattern_ops), and never a pattern that begins with a wildcard (`%abc`), ILIKE, or a regular
expression without `^`. A trigram index (extension pg_trgm) knows each three letters of a text, so that it finds any
pattern with three letters in a row; shorter ones have it read whole. It is larger than the column and slows writes
down: for few and rare searches, or for words in long texts, see full text search.

Where the pattern is a parameter, nobody can tell here how it begins: what holds in which case is said.
It is named for tables from 10,000 rows or 8 MB on that are read whole, unless most of the rows are given back.
https://www.postgresql.org/docs/current/pgtrgm.html, https://www.postgresql.org/docs/current/indexes-opclass.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.literals import masked
from dbopt.workload.conditions import Condition, Kind
from dbopt.workload.expressions import is_indexable
from dbopt.workload.finding import Finding
from dbopt.workload.index_advice import advise_in
from dbopt.workload.model import Advice
from dbopt.workload.scans import WASTE_SOURCE, whole_scans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from dbopt.workload.finding import Scene
    from dbopt.workload.scans import Scan

_WORDS = {"~~": "LIKE", "~~*": "ILIKE", "~": "~", "~*": "~*"}
_PATTERN_OPS = {"text": "text_pattern_ops", "character varying": "varchar_pattern_ops"}


def _look(scene: Scene) -> Iterator[Advice]:
    for scan in whole_scans(scene):
        if scan.is_wasteful:
            for item in scan.filter:
                if item.operator in _WORDS and item.kind in (Kind.LIKE, Kind.FUNCTION) and not item.is_join:
                    yield from _judged(scene, scan, item)


def _judged(scene: Scene, scan: Scan, item: Condition) -> Iterator[Advice]:
    column = scan.relation.column(item.columns[0]) if len(item.columns) == 1 else None
    type_name = "" if column is None else column.base_type or column.type_name
    if type_name not in _PATTERN_OPS:
        return
    shown, word, table = masked(item.expression), _WORDS[item.operator or ""], scan.target.name
    subject = item.columns[0] if item.kind is Kind.LIKE else shown
    begins = _begins(item)
    expression = None if item.kind is Kind.LIKE else item.expression
    if expression is not None and not is_indexable(expression, scan.relation):
        return
    key: dict[str, Any] = {"equality": item.columns} if expression is None else {"expression": expression}
    spec: Mapping[str, Any] | None
    if begins is True:
        opclass = _PATTERN_OPS[type_name] if expression is None else "text_pattern_ops"
        spec = advise_in(scene, scan.relation, **key, opclass=opclass, why=f"finds {subject} by how it begins")
        hint = f"An index with operator class {opclass} knows how {subject} begins, whatever its collation."
    else:
        why = f"finds any part of {subject}, wherever in it the pattern begins"
        spec = advise_in(scene, scan.relation, **key, method="gin", opclass="gin_trgm_ops", why=why)
        hint = f"A trigram index on {subject} finds any pattern with three letters in a row."
        if begins is None and word == "LIKE":
            hint += (
                f" If no pattern begins with % or _, a btree index with {_PATTERN_OPS[type_name]} does, and is smaller."
            )
        if "pg_trgm" not in scene.extensions:
            hint += " It needs the extension: CREATE EXTENSION pg_trgm;"
    if spec is None:
        return
    if word == "ILIKE" or word == "~*":
        seen = "which no btree index knows, as case does not matter to it"
    elif begins is None:
        seen = "which a btree index helps only if the pattern's beginning is known"
    elif begins:
        seen = "whose beginning an index of the usual kind does not know"
    else:
        seen = "with a pattern that begins with a wildcard" if word == "LIKE" else "with a pattern that begins anywhere"
    yield Advice(
        code=FINDING.code,
        message=f"reads all of {table}, {scan.read:,.0f} rows, to search {subject} by {word}, {seen}",
        why=f"Each call holds every text against the pattern; {scan.kept_words}"
        f" {'fit' if scan.is_known else 'are thought to fit'}.",
        hint=hint,
        spec=spec,
        nodes=scan.numbers,
    )


def _begins(item: Condition) -> bool | None:
    """Whether the pattern says how the text begins; None: it is not known."""
    if item.pattern is None:
        return None
    if item.operator in ("~", "~*"):
        return item.pattern.startswith("^") and item.pattern[1:2].isalnum() and item.operator == "~"
    return item.operator == "~~" and item.pattern[:1] not in ("", "%", "_")


FINDING = Finding(
    code="leading-wildcard",
    title="Text search that reads the whole table",
    look=_look,
    source=WASTE_SOURCE,
)
