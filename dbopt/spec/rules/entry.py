"""What one entry says about itself: is it complete, does it contradict itself, is it still wanted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from dbopt import grammar
from dbopt.spec.finding import Finding, Severity, about
from dbopt.spec.model import IndexSpec, State
from dbopt.spec.words import listed, plain

# Keys of an entry that its `sql` says already.
DEFINITION_FIELDS = {
    "keys": "keys",
    "include": "include",
    "where": "where",
    "unique": "unique",
    "method": "method",
    "with_": "with",
    "tablespace": "tablespace",
}
_PLANNED = {"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"}


def check(entry: IndexSpec, today: date) -> Iterator[Finding]:
    yield from _definition(entry)
    yield from _serves(entry)
    if entry.why is None or not entry.why.strip():
        hint = "Add `why`: the access path that needs it, or what replaced it."
        yield about(entry, "", Severity.INFO, "why-missing", "`why` is missing", hint=hint)
    if entry.expires is not None and entry.expires < today:
        message = f"expired on {entry.expires.isoformat()}"
        hint = "Set `state: absent`, or a later day."
        yield about(entry, "expires", Severity.WARNING, "expired", message, hint=hint)
    if entry.guard is not None and entry.state is not State.ABSENT:
        message = "`guard` is for drops, and this index is to be present"
        yield about(entry, "guard", Severity.WARNING, "guard-without-absent", message)
    if entry.partitions is not None and "{leaf}" not in entry.partitions.name:
        message = "`partitions.name` has no {leaf}, the name of the leaf table"
        yield about(entry, "partitions.name", Severity.ERROR, "leaf-missing", message)


def _definition(entry: IndexSpec) -> Iterator[Finding]:
    given = [alias for field, alias in DEFINITION_FIELDS.items() if field in entry.model_fields_set]
    if entry.state is State.ABSENT:
        if entry.sql is not None:
            given.append("sql")
        if given:
            message = f"an absent index needs no {listed(f'`{key}`' for key in given)}"
            yield about(entry, given[0], Severity.WARNING, "absent-with-definition", message)
    elif entry.sql is not None and given:
        message = f"`sql` is the whole definition, yet there is {listed(f'`{key}`' for key in given)}"
        yield about(entry, given[0], Severity.ERROR, "sql-and-fields", message, hint="Keep one of the two forms.")
    elif entry.sql is None and not entry.keys:
        yield about(entry, "keys", Severity.ERROR, "no-definition", "neither `keys` nor `sql` is given")


def _serves(entry: IndexSpec) -> Iterator[Finding]:
    for n, serve in enumerate(entry.serves):
        path = f"serves.{n}.query"
        try:
            statement = grammar.parse_one(serve.query)
        except grammar.GrammarError as exc:
            yield about(entry, path, Severity.ERROR, "serves-syntax", f"`{path}`: {plain(exc.message)}")
            continue
        if statement.WhichOneof("node") not in _PLANNED:
            message = f"`{path}` is not a statement that PostgreSQL plans"
            hint = "Give a SELECT, INSERT, UPDATE, DELETE or MERGE."
            yield about(entry, path, Severity.ERROR, "serves-syntax", message, hint=hint)
