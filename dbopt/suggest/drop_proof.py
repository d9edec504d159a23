"""Whether statements suffer without an index: the planner is asked, in one of three ways.

Plans that do not use it: the best plan among all stays the best when what it does not use is gone. Where one does use
it, a plan without it has to be made: with HypoPG 1.4 and newer, which hides indexes; or on a copy of the database
(drop_copy.py).
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, LiteralString

import psycopg
from psycopg import sql

from dbopt.postgres.hypopg import INSTALLED
from dbopt.suggest.model import Basis
from dbopt.suggest.proof import is_dearer
from dbopt.values import dataclass
from dbopt.workload.plan import root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.cost.costing import Costing
    from dbopt.suggest.cost.installed import HypoPG
    from dbopt.suggest.drop_evidence import Case
    from dbopt.suggest.model import Candidate, Costed, Name, Subject, Table

_HIDE: LiteralString = "/* dbopt: as if an index were not there */ SELECT {}.hypopg_hide_index(%s::oid)"
_SHOW: LiteralString = "/* dbopt: it is there again */ SELECT {}.hypopg_unhide_index(%s::oid)"
UNTRIED = "no planner has tried: that takes a copy of the database (--scratch), or HypoPG 1.4"
_HIDES_SINCE = (1, 4)  # https://github.com/HypoPG/hypopg/releases/tag/1.4.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`suffers`: a statement costs more without it; None: nobody has tried. `how`: by what it was proved, or why not.
    `used`: a plan has it.
    """

    suffers: bool | None
    how: str
    used: bool = False


def by_plans(
    asked: Costing, subjects: Sequence[Subject], chosen: frozenset[Candidate], cases: Sequence[Case]
) -> dict[Name, Verdict]:
    """Those that no plan uses can go. With HypoPG the plans are those that there will be with the new list."""
    told = chosen if asked.basis is Basis.HYPOPG else frozenset()
    pairs = [(subject, probe) for subject in subjects for probe in subject.probes]
    answers = asked.ask([(subject, told, probe) for subject, probe in pairs])
    # What was reckoned, and not planned, tells nothing of the indexes that there are.
    again = [at for at, answer in enumerate(answers) if answer is not None and answer.plan is None]
    for at, answer in zip(again, asked.ask([(pairs[at][0], frozenset(), pairs[at][1]) for at in again]), strict=True):
        answers[at] = answer
    used = {name for answer in answers if answer is not None for name in answer.indexes}
    unknown = {
        name
        for (subject, _), answer in zip(pairs, answers, strict=True)
        if answer is None
        for name in relations_of(subject)
    }
    unused = Verdict(suffers=False, how=f"plans of {counted(subjects)}, none of which uses it")
    return {
        case.name: Verdict(suffers=None, how=UNTRIED, used=True)
        if case.name in used
        else Verdict(suffers=None, how="a statement on its table could not be planned")
        if case.table in unknown
        else unused
        for case in cases
    }


def counted(subjects: Sequence[Subject]) -> str:
    return f"{len(subjects)} statement{'s' * (len(subjects) != 1)}"


def relations_of(subject: Subject) -> frozenset[Name]:
    """All tables in its plan."""
    roots = [node for document in subject.planned.documents if (node := root(document)) is not None]
    return subject.relations | {name for top in roots for node in top.walk() if (name := node.relation) is not None}


def suffering(before: Sequence[Costed | None], after: Sequence[Costed | None]) -> bool | None:
    """Whether one costs more; None: one could not be planned."""
    pairs = list(zip(before, after, strict=True))
    if any(old is not None and new is not None and is_dearer(old.cost, new.cost) for old, new in pairs):
        return True
    return None if any(old is None or new is None for old, new in pairs) else False


def hiding(conn: Connection, server: Server) -> HypoPG | None:
    """Where HypoPG hides indexes, if it does here."""
    from dbopt.suggest.cost.installed import HypoPG

    found = INSTALLED.rows(conn, server.version)[0]
    if found.schema is None or found.version is None or not found.may_execute or not found.may_use:
        return None
    version = tuple(int(part) for part in re.findall(r"\d+", found.version))
    return HypoPG(found.schema, found.version) if version >= _HIDES_SINCE else None


def by_hiding(
    conn: Connection,
    server: Server,
    tables: Mapping[Name, Table],
    subjects: Sequence[Subject],
    chosen: frozenset[Candidate],
    cases: Sequence[Case],
    where: HypoPG,
) -> dict[Name, Verdict]:
    """One index after the other; those of which nothing suffers stay hidden, for two may stand in for each other. All
    hypothetical indexes of the session are gone afterwards.
    """
    from dbopt.suggest.cost.hypothetical import Hypothetical

    hide, show = (sql.SQL(text).format(sql.Identifier(where.schema)) for text in (_HIDE, _SHOW))
    questions = [(subject, chosen, probe) for subject in subjects for probe in subject.probes]
    found: dict[Name, Verdict] = {}
    hidden: list[Case] = []
    try:
        with Hypothetical(conn, server, tables, where) as planner:
            before = planner.ask(questions)
        for case in cases:
            with conn.transaction():
                conn.execute(hide, [case.oid])
            hidden.append(case)
            with Hypothetical(conn, server, tables, where) as planner:
                suffers = suffering(before, planner.ask(questions))
            found[case.name] = Verdict(
                suffers=suffers, how=f"plans of {counted(subjects)} with it hidden by HypoPG", used=True
            )
            if suffers is not False:
                conn.execute(show, [hidden.pop().oid])
    except psycopg.Error:
        if conn.closed:
            raise
    finally:
        for case in hidden:
            with contextlib.suppress(psycopg.Error):
                conn.execute(show, [case.oid])
    return found
