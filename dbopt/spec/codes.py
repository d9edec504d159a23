"""The codes of all findings, each with one sentence and its severity: `python -m dbopt.spec.codes` writes them into
docs/findings.md.

A code, once published, keeps its meaning: people filter and search by it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dbopt.spec.finding import Severity

LOADER = {
    "no-spec-files": "A folder that was given holds no *.yaml or *.yml file.",
    "unreadable-file": "A spec file is missing, no regular file, or not readable.",
    "file-too-large": "A spec file is larger than 5 MiB; it was not read.",
    "bad-encoding": "A file is not UTF-8, or holds a character that YAML or PostgreSQL cannot store.",
    "yaml-syntax": "The file is not YAML.",
    "yaml-duplicate-key": "A mapping gives the same key twice; YAML readers would silently take the last.",
    "yaml-merge-key": "`<<` is used; the format has no merge keys.",
    "yaml-key": "A key is a list, a mapping or an alias instead of a word.",
    "yaml-tag": "A value carries a YAML tag such as !!str; every value is text already.",
    "yaml-alias": "An alias has no anchor, or stands inside its own anchor.",
    "yaml-several-documents": "A file holds more than one YAML document.",
    "yaml-too-deep": "The file is nested deeper than any spec can be.",
    "yaml-too-large": "The file holds too many values, counted with what its aliases stand for.",
    "unknown-key": "A key is none of the format's.",
    "missing-key": "A key that has to be there is not.",
    "invalid-value": "A value is not what its key takes.",
    "duplicate-domain": "Two files use one domain, so marks on indexes could not tell them apart.",
}

LINT = {
    "duplicate-name": "Two entries name the same index of the same schema.",
    "names-meet": "Two names become the same when the server cuts them to 63 bytes.",
    "name-too-long": "A name has more than 63 bytes; the server would cut it, and dbopt never find it again.",
    "nul-character": "A name or SQL text holds a NUL character, which PostgreSQL cannot store.",
    "name-is-table": "An index is named like a table of its schema; both share one set of names.",
    "leftover-name": "An index is named like what a failed REINDEX CONCURRENTLY leaves behind.",
    "was-own-name": "`was` contains the entry's own name.",
    "was-conflict": "A former name in `was` is wanted by another entry as well.",
    "name-looks-qualified": "`table` is a text with a dot; it is one name, not schema and table.",
    "column-looks-like-expression": "A text in `keys` or `include` looks like SQL, but is taken as a column's name.",
    "expr-is-column": "An `expr` is just a column.",
    "repeated-column": "A column comes twice in one index.",
    "unknown-method": "The access method is none of PostgreSQL's own; an extension may bring it.",
    "method-cannot": "The access method does not support what the entry asks for.",
    "too-many-columns": "An index has more than 32 columns, included ones counted.",
    "unknown-parameter": "The access method has no such storage parameter.",
    "parameter-value": "The value of a storage parameter is out of its range.",
    "duplicate-definition": "Two entries define the same index under different names.",
    "redundant-prefix": "An index is covered by another one whose keys begin with the same columns.",
    "expression-syntax": "`expr` or `where` is not exactly one expression.",
    "aggregate": "An expression contains an aggregate; an index looks at one row at a time.",
    "window-function": "An expression contains a window function; an index looks at one row at a time.",
    "subquery": "An expression contains a subquery; an index looks at one row at a time.",
    "parameter": "An expression contains a parameter such as $1.",
    "not-immutable": "An expression uses something whose result changes with time or settings.",
    "sql-syntax": "`sql` is not exactly one CREATE INDEX.",
    "sql-other-table": "`sql` is about another table than `table`.",
    "sql-other-name": "`sql` names another index than `name`.",
    "sql-on-only": "`sql` says ON ONLY, which leaves the index of a partitioned table invalid.",
    "sql-and-fields": "An entry has `sql` and also keys that say the same in another form.",
    "sql-redundant-words": "`sql` says CONCURRENTLY or IF NOT EXISTS; dbopt decides about both.",
    "no-definition": "A present index has neither `keys` nor `sql`.",
    "absent-with-definition": "An absent index has a definition, which means nothing.",
    "guard-without-absent": "`guard` is for drops, and the entry is present.",
    "why-missing": "Nobody wrote down why the index is there.",
    "expired": "The day in `expires` has passed.",
    "serves-syntax": "A query in `serves` is not exactly one statement that PostgreSQL could plan.",
    "leaf-missing": "`partitions.name` has no {leaf}, so all leaf indexes would have one name.",
}

ONLINE = {
    # The table and its columns.
    "missing-table": "The table does not exist; the hint names near ones, and other schemas that have it.",
    "not-a-table": "`table` is a view, a foreign table, a sequence or the like, which cannot have indexes.",
    "not-a-user-table": "`table` is a system catalog or a temporary table.",
    "not-partitioned": "`partitions` is given for a table that has none.",
    "no-tenant": "No schema that the pattern means has the table.",
    "missing-column": "A column does not exist; the hint names near ones.",
    # What the definition needs of the server.
    "missing-extension": "An extension in `needs` is not installed in this database; dbopt never creates one.",
    "missing-object": "An operator class, collation, access method, type or tablespace does not exist.",
    "missing-function": "An expression calls a function that does not exist for these types.",
    "wrong-value": "A literal is no value of the column's type, such as an enum label that does not exist.",
    "wrong-type": "An expression has another type than its place needs.",
    "bad-parameter": "The server refuses a storage parameter or its value.",
    "syntax-error": "The server cannot parse the definition, though the grammar that dbopt brings along can.",
    "not-supported-by-server": "This server cannot do it: its version, the access method or the kind of table.",
    "invalid-definition": "The server refuses the definition for another reason; the message has its words.",
    "unique-needs-partition-key": "A unique index over partitions has to contain the partition key.",
    # Rights, and who else is there.
    "not-owner": "Only the table's owner can make an index on it; the hint is the GRANT.",
    "not-permitted": "The role lacks a right; the hint is the GRANT.",
    "name-taken": "Another relation of the schema has the name, or an index that dbopt cannot replace.",
    "invalid-part": "The index of a partition tree is INVALID in a way that only a person can mend; the hint says how.",
    "being-built": "Somebody builds an index of this name right now.",
    "table-locked": "Somebody holds an exclusive lock on the table, so its expressions could not be compared.",
    # Budgets.
    "over-budget": "The index or its build, or with it the indexes of its file or table, would be more than the budget "
    "allows.",
    "budget-unknown": "There is a budget for the index, but no estimate of its size: the hint says what is missing.",
    "build-time-unknown": "There is a budget for the time of the build, but no past build that could tell how long.",
    "not-enough-disk": "The server runs on this machine, and its disks have no room for the build.",
    # Drops and replacements that are not done.
    "needed-by-constraint": "A constraint, foreign key, replica identity or partition tree needs the index.",
    "foreign-index": "The index to be dropped does not carry the mark of this domain.",
    "guarded": "A guard keeps the index: it is used, nobody can know that it is not, or it is the last of its kind.",
    # What is there besides.
    "duplicate-of-unique": "A unique index with the same keys is there already.",
    "duplicate-of-existing": "An index with the same keys is there already.",
    "prefix-of-existing": "The keys are the first keys of an index that is there.",
    "led-by-unique": "The first keys are unique already, so the others cannot narrow a search.",
    "makes-redundant": "An index that is there becomes a prefix of this one.",
    "extra-index": "`extras: report`: an index on a table of the spec is in no spec.",
    "invalid-index": "An INVALID index that is in no spec: it slows writes and serves no query.",
    # What `serves` expects.
    "serves-not-planned": "The server cannot plan a statement of `serves`.",
    "never-analyzed": "The index is in place, and somebody else's; its expressions have no statistics before ANALYZE.",
    "not-used": "The index is in place; a statement in `serves` is planned without it, or with it and should not.",
    "sorts": "The index is in place; a statement in `serves` is planned with a sort, or without and should.",
}

CODES = LOADER | LINT | ONLINE

# An error unless it stands here. Some codes are worse in one place than in another.
_WARNING, _INFO, _ERROR = (Severity.WARNING,), (Severity.INFO,), (Severity.ERROR,)
_MILDER: dict[str, tuple[Severity, ...]] = {
    "leftover-name": _WARNING,
    "was-own-name": _WARNING,
    "name-looks-qualified": _INFO,
    "column-looks-like-expression": _INFO,
    "expr-is-column": _INFO,
    "repeated-column": _WARNING,
    "unknown-method": _ERROR + _INFO,  # one that differs from PostgreSQL's own in letter case alone is an error
    "duplicate-definition": _WARNING,
    "redundant-prefix": _WARNING,
    "not-immutable": _ERROR + _WARNING,  # a function that people often wrap under its own name is a warning
    "sql-redundant-words": _INFO,
    "absent-with-definition": _WARNING,
    "guard-without-absent": _WARNING,
    "why-missing": _INFO,
    "expired": _WARNING,
    "not-partitioned": _WARNING,
    "no-tenant": _WARNING,
    "budget-unknown": _WARNING,
    "build-time-unknown": _INFO,
    "duplicate-of-unique": _WARNING,
    "duplicate-of-existing": _WARNING,
    "prefix-of-existing": _WARNING,
    "led-by-unique": _WARNING,
    "makes-redundant": _INFO,
    "extra-index": _INFO,
    "invalid-index": _WARNING,
    "serves-not-planned": _WARNING,
    "never-analyzed": _INFO,
    "not-used": _WARNING,
    "sorts": _WARNING,
}


def severities(code: str) -> tuple[Severity, ...]:
    """How severe a finding of this code is, the worst first. Raises KeyError for a code that does not exist."""
    CODES[code]
    return _MILDER.get(code, _ERROR)


_HEAD = """\
# Findings

<!-- Made by `python -m dbopt.spec.codes`. -->

Every finding of `dbopt lint`, `plan` and `optimize` has a code, printed in brackets behind its message and as `code`
in `--format json`. **error**: the item is not applied; **warning**: it is, and somebody should look; **info**: worth
knowing. Two severities mean that it depends on the case.
"""

_PARTS = (
    ("Reading a spec", "The file cannot be used as it stands. Every problem of every file is told at once.", LOADER),
    ("Looking at specs", "`dbopt lint` says these without a server.", LINT),
    (
        "Asking the database",
        "`dbopt lint --online`, `plan` and `optimize` say these.",
        ONLINE,
    ),
)


def page() -> str:
    """docs/findings.md."""
    lines = [_HEAD]
    for title, sentence, codes in _PARTS:
        lines += [f"## {title}", "", sentence, "", "| code | severity | meaning |", "|---|---|---|"]
        lines += [f"| `{code}` | {', '.join(severities(code))} | {meaning} |" for code, meaning in codes.items()]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / "findings.md").write_text(page(), encoding="utf-8")
