"""One call: the statements read, candidates thought of, the best list searched for and proved."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from dbopt.postgres.named_relations import TAKEN_NAMES
from dbopt.suggest import extended
from dbopt.suggest.assembling import assembled
from dbopt.suggest.candidates.generate import candidates, with_patterns
from dbopt.suggest.cost.bases import Bases
from dbopt.suggest.cost.choosing import costing
from dbopt.suggest.drops import drops
from dbopt.suggest.model import Report, Subject, Unread
from dbopt.suggest.probes import all_probes
from dbopt.suggest.proof import is_dearer, prove
from dbopt.suggest.reading.accesses import accesses, written
from dbopt.suggest.reading.prepare import prepared
from dbopt.suggest.search.problem import Problem, main_probes
from dbopt.suggest.search.search import Limits, Search
from dbopt.suggest.sizes import Sizer
from dbopt.suggest.tables import tables
from dbopt.suggest.weights import weights
from dbopt.suggest.writes import write_cost
from dbopt.workload.explain import Planner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.cost.choosing import Chosen
    from dbopt.suggest.cost.costing import Costing
    from dbopt.suggest.model import Candidate, Drop, Item, Name, Table, WriteCost
    from dbopt.suggest.options import Options
    from dbopt.suggest.proof import Proof
    from dbopt.suggest.reading.prepare import Prepared
    from dbopt.suggest.tables import Tables

    Progress = Callable[[str], None]

_MENDING_MAX = 20  # lists that are proved anew, each without an index that made a statement dearer


def suggest(
    conn: Connection,
    server: Server,
    items: Sequence[Item],
    options: Options,
    *,
    unread: Sequence[Unread] = (),
    seconds: float | None = None,
    scratch: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """The indexes worth having for these statements. Nothing is changed: the session only reads.

    `unread`: statements that whoever found them could not read. `seconds`: the time in which `items` were called so
    often; None: not known. `scratch`: connection string of a copy of the database in which an index may be dropped, in
    a transaction that is rolled back, to see what suffers. `conn` is in autocommit. Raises psycopg errors if the
    connection is lost, Error where the copy is none.
    """
    started = time.monotonic()
    say = progress or (lambda _: None)
    say("reading statements")
    read, others = _read(conn, server, items, deadline=started + options.time_limit_seconds)
    return _Call(conn, server, options, started, seconds, scratch, say).report(read, [*unread, *others])


def _read(
    conn: Connection, server: Server, items: Sequence[Item], *, deadline: float
) -> tuple[list[Prepared], list[Unread]]:
    planner = Planner(conn, server)
    found: list[Prepared] = []
    unread: list[Unread] = []
    for item in items:
        if time.monotonic() >= deadline:
            unread.append(Unread(item=item, reason="there was no time left", hint="Give more with --time-limit."))
            continue
        answer = prepared(item, planner)
        if isinstance(answer, Unread):
            unread.append(answer)
        else:
            found.append(answer)
    return found, unread


class _Call:
    """What one call knows, step by step."""

    def __init__(
        self,
        conn: Connection,
        server: Server,
        options: Options,
        started: float,
        seconds: float | None,
        scratch: str | None,
        say: Progress,
    ) -> None:
        self._conn = conn
        self._server = server
        self._options = options
        self._started = started
        self._deadline = started + options.time_limit_seconds
        self._seconds = seconds
        self._scratch = scratch
        self._say = say

    def report(self, read: Sequence[Prepared], unread: Sequence[Unread]) -> Report:
        found = tables(self._conn, self._server, read, seconds=self._seconds)
        subjects = [
            Subject(
                item=one.item,
                planned=one.planned,
                accesses=accesses(one, found.tables),
                written=written(one, found.tables),
            )
            for one in read
        ]
        subjects = all_probes(self._conn, self._server, subjects, found.tables)
        sizer = Sizer(self._conn, self._server, found.tables)
        sizer.foresee(subjects)
        with costing(self._conn, self._server, found.tables, sizer) as chosen_costing:
            return self._searched(chosen_costing, subjects, found, sizer, unread)

    def _searched(
        self,
        chosen_costing: Chosen,
        subjects: Sequence[Subject],
        found: Tables,
        sizer: Sizer,
        unread: Sequence[Unread],
    ) -> Report:
        asked = Bases(chosen_costing.costing)
        subjects, unplanned = _plannable(asked, subjects)
        limits = self._limits(found.tables)
        weighed = _weighed(asked, subjects)
        subjects = _with_shares(subjects, weighed)
        self._say(f"thinking of indexes, statements: {len(subjects)}")
        thought_of = with_patterns([candidates(subject, found.tables, found.extensions) for subject in subjects])
        possible = [tuple(item for item in made if asked.makes(item)) for made in thought_of]
        sizer.prepare(sorted({item for made in possible for item in made}))
        writes = self._writes(found.tables, sizer)
        problem = Problem(subjects, asked, weighed, size=sizer.size, writes=writes, deadline=self._deadline)
        search = Search(problem, possible, found.tables, limits, self._say)
        chosen, proof = self._proved(search, asked, subjects)
        self._say("writing down what was found")
        suggestions = assembled(
            chosen,
            subjects,
            found.tables,
            proof,
            problem,
            taken=self._taken(chosen),
            writes=writes,
            is_proved=chosen_costing.is_proved,
        )
        return Report(
            basis=asked.basis,
            hypopg_version=chosen_costing.hypopg_version,
            suggestions=suggestions,
            # Not by way of what is remembered: indexes are hidden meanwhile.
            drops=self._drops(found.tables, subjects, chosen, chosen_costing.costing),
            outcomes=proof.outcomes,
            unread=(*unread, *unplanned),
            statistics=extended.statistics(
                self._conn, self._server, subjects, found.tables, chosen=chosen, expressions=sizer.expressions()
            ),
            lacks=(*found.lacks, *chosen_costing.lacks),
            seconds=time.monotonic() - self._started,
            explains=asked.explains,
            complete=search.is_complete,
            budget_bytes=limits.budget_bytes,
            heap_bytes=sum(table.relation.size_bytes for table in found.tables.values()),
        )

    def _limits(self, known: Mapping[Name, Table]) -> Limits:
        options = self._options
        budget = options.budget_bytes
        if options.budget_share is not None:
            budget = int(options.budget_share * sum(table.relation.size_bytes for table in known.values()))
        return Limits(budget_bytes=budget, max_indexes=options.max_indexes)

    def _writes(self, known: Mapping[Name, Table], sizer: Sizer) -> Callable[[Candidate], WriteCost]:
        kept: dict[Candidate, WriteCost] = {}

        def writes(item: Candidate) -> WriteCost:
            if item not in kept:
                weight = self._options.write_weight
                kept[item] = write_cost(item, known[item.relation], sizer.size(item), weight=weight)
            return kept[item]

        return writes

    def _proved(
        self, search: Search, asked: Costing, subjects: Sequence[Subject]
    ) -> tuple[frozenset[Candidate], Proof]:
        """A list with which no statement costs more. What makes one dearer is left out, and the rest searched anew."""
        chosen = search.run()
        proof = prove(asked, subjects, chosen)
        for _ in range(_MENDING_MAX):
            blamed = sorted({item for regression in proof.regressions for item in regression.blamed})
            if not blamed:
                break
            for item in _guilty(asked, proof, chosen) or blamed:
                search.ban(item)
                chosen -= {item}
            chosen = search.bettered(chosen)
            proof = prove(asked, subjects, chosen)
        else:
            chosen = frozenset()
            proof = prove(asked, subjects, chosen)
        return chosen & frozenset(itertools.chain.from_iterable(proof.used)), proof

    def _drops(
        self, known: Mapping[Name, Table], subjects: Sequence[Subject], chosen: frozenset[Candidate], asked: Costing
    ) -> tuple[Drop, ...]:
        if not self._options.drop:
            return ()
        return drops(self._conn, self._server, known, subjects, chosen, asked, scratch=self._scratch)

    def _taken(self, chosen: frozenset[Candidate]) -> Mapping[str, list[str]]:
        schemas = sorted({item.relation[0] for item in chosen})
        taken: dict[str, list[str]] = defaultdict(list)
        for row in TAKEN_NAMES.rows(self._conn, self._server.version, {"schemas": schemas}):
            taken[row.nspname].append(row.relname)
        return taken


def _plannable(asked: Costing, subjects: Sequence[Subject]) -> tuple[list[Subject], list[Unread]]:
    """Those that can be planned as they are, with the probes for which they can."""
    questions = [(subject, probe) for subject in subjects for probe in subject.probes]
    answers = asked.ask([(subject, frozenset(), probe) for subject, probe in questions])
    probes = defaultdict(list)
    for (subject, probe), answer in zip(questions, answers, strict=True):
        if answer is not None:
            probes[subject.item.number].append(probe)
    kept = [
        replace(subject, probes=tuple(probes[subject.item.number]))
        for subject in subjects
        if probes[subject.item.number]
    ]
    lost = [
        Unread(
            item=subject.item, reason="it could not be planned: a lock, or it took too long", hint="Try again later."
        )
        for subject in subjects
        if not probes[subject.item.number]
    ]
    return kept, lost


def _weighed(asked: Costing, subjects: Sequence[Subject]) -> list[float]:
    answers = asked.ask([(subject, frozenset(), main_probes(subject)[-1]) for subject in subjects])
    return weights(
        [subject.item.calls for subject in subjects],
        [subject.item.time_ms for subject in subjects],
        [0.0 if answer is None else answer.planner_cost for answer in answers],
    )


def _with_shares(subjects: Sequence[Subject], weighed: Sequence[float]) -> list[Subject]:
    whole = sum(weighed)
    return [
        replace(subject, weight=weight / whole if whole > 0 else 0.0)
        for subject, weight in zip(subjects, weighed, strict=True)
    ]


def _guilty(asked: Costing, proof: Proof, chosen: frozenset[Candidate]) -> list[Candidate]:
    """Of the indexes in dearer plans, those without which each by itself is dearer no more."""
    found: dict[Candidate, None] = {}
    questions = [(regression, item) for regression in proof.regressions for item in sorted(regression.blamed)]
    answers = asked.ask([(regression.subject, chosen - {item}, regression.probe) for regression, item in questions])
    for (regression, item), answer in zip(questions, answers, strict=True):
        if answer is not None and not is_dearer(regression.before, answer.cost):
            found[item] = None
    return list(found)
