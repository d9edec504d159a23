"""A candidate as its CREATE INDEX, by the same hands that write what `dbopt optimize` runs later.

Identifiers are quoted by psycopg, expressions and predicates go through PostgreSQL's grammar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import sql

    from dbopt.suggest.model import Candidate, Key, Name

_NAME = "dbopt_suggested"  # of something that is never made


def create_index(candidate: Candidate, relation: Name, *, name: str = _NAME) -> sql.Composed:
    """On the candidate's table, or on a partition of it. Raises SpecError for what is not an expression."""
    from dbopt.optimize import statement
    from dbopt.spec.model import IndexSpec

    schema, table = relation
    entry = IndexSpec.model_validate(
        {
            "name": name,
            "table": {"schema": schema, "name": table},
            "method": candidate.method,
            "keys": [_key(key) for key in candidate.keys],
            "include": list(candidate.include),
            "where": candidate.where or None,
            "with": dict(candidate.parameters),
        }
    )
    return statement.create_index(entry, schema=schema, name=name, concurrently=False)


def _key(key: Key) -> dict[str, str]:
    found = {"column": key.column} if key.column else {"expr": key.expression}
    if key.opclass:
        found["opclass"] = key.opclass
    if key.descending:
        found["order"] = "desc"
    if key.nulls_first != key.descending:  # NULLs are larger than everything else, unless it is said
        found["nulls"] = "first" if key.nulls_first else "last"
    return found
