"""Indexes that may go: unused, redundant, or beaten by the new list, and whether any statement suffers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.suggest.drop_evidence import cases
from dbopt.suggest.drop_proof import by_hiding, by_plans, hiding
from dbopt.suggest.model import Drop, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.cost.costing import Costing
    from dbopt.suggest.drop_evidence import Case
    from dbopt.suggest.drop_proof import Verdict
    from dbopt.suggest.model import Candidate, Name, Subject, Table


def drops(
    conn: Connection,
    server: Server,
    tables: Mapping[Name, Table],
    subjects: Sequence[Subject],
    chosen: frozenset[Candidate],
    asked: Costing,
    *,
    scratch: str | None = None,
) -> tuple[Drop, ...]:
    """The largest first, of partitioned tables none. `scratch`: connection string of a copy of the database.
    Hypothetical indexes of `asked` may be gone afterwards: it is not to be asked again.

    One that statements would suffer from is left out; so is one that a plan uses, unless a twin does the same. Raises
    psycopg errors if the connection is lost, Error where the copy is none.
    """
    found = cases(conn, server, tables, chosen)
    if not found:
        return ()
    verdicts = by_plans(asked, subjects, chosen, found)
    if scratch is not None:
        from dbopt.suggest.drop_copy import on_copy

        tried = on_copy(scratch, conn, server, tables, subjects, chosen, found)
        for name, one in tried.items():
            if one.suffers is not None:
                verdicts[name] = one
            elif verdicts[name].suffers is None:
                verdicts[name] = replace(verdicts[name], how=one.how)
    else:
        used = [case for case in found if verdicts[case.name].used]
        where = hiding(conn, server) if used else None
        if where is not None:
            verdicts |= by_hiding(conn, server, tables, subjects, chosen, used, where)
    return tuple(_listed(found, verdicts))


def _listed(found: Sequence[Case], verdicts: Mapping[Name, Verdict]) -> Iterator[Drop]:
    gone: set[int] = set()
    for case in found:
        verdict = verdicts[case.name]
        # Nobody else may do the work of one that goes itself.
        if verdict.suffers or case.keeper in gone:
            continue
        if verdict.suffers is None and not case.twin and (verdict.used or case.evidence is not Evidence.UNUSED):
            continue
        gone.add(case.oid)
        (schema, name), (_, table) = case.name, case.table
        yield Drop(
            schema=schema,
            table=table,
            name=name,
            evidence=case.evidence,
            detail=case.detail,
            size_bytes=case.size_bytes,
            proved=verdict.suffers is False,
            how=verdict.how,
        )
