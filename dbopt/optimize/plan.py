"""What would have to be done so that the database has the indexes that the specs ask for.

collect (what is there) -> twins (what is asked for, in the server's words) -> decide, entry by entry -> a Plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import canonical, check, order, refusals, tenants, twin
from dbopt.optimize.absent import Absent
from dbopt.optimize.budget import Budgets
from dbopt.optimize.canonical import Definition
from dbopt.optimize.collect import collect, require_primary
from dbopt.optimize.disk import Disk
from dbopt.optimize.draft import Draft, PlanOptions
from dbopt.optimize.estimate import Estimator
from dbopt.optimize.pace import Pace
from dbopt.optimize.present import Present
from dbopt.optimize.refusals import finding
from dbopt.optimize.steps import Plan, Target
from dbopt.spec.finding import Severity
from dbopt.spec.lint import lint
from dbopt.spec.model import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.postgres.catalog import Table
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.spec.finding import Finding
    from dbopt.spec.model import IndexSpec, SpecFile, SpecSet

    Broken = Mapping[tuple[str | None, str | None], Finding]  # entries that lint calls wrong, by file and name
    Wanted = dict[tuple[str, str], Definition]

__all__ = ["PlanOptions", "make_plan", "online_findings", "target"]


def make_plan(conn: Connection, server: Server, specs: SpecSet, *, options: PlanOptions | None = None) -> Plan:
    """Compare specs and server. Changes nothing: the twins live in transactions that are rolled back.

    Raises ServerUnfit on a standby, NotPermitted without the TEMPORARY right.
    """
    require_primary(conn, server)
    entries, findings = tenants.expand(conn, server, specs.indexes)
    draft = Draft(conn, server, collect(conn, server, entries), entries, options or PlanOptions(), findings)
    broken = _broken(specs)
    admitted = [(entry, table) for entry in entries if (table := _admit(draft, broken, entry)) is not None]
    wanted = _ask(draft, [(entry, table) for entry, table in admitted if entry.state is State.PRESENT])
    absent = Absent(draft, specs.files)
    pruned = {(marked.schema, marked.index) for marked, _ in absent.prunable}
    estimator = Estimator(conn, server, draft.actual, draft.options.pace or Pace())
    estimator.prepare(_candidates(draft, admitted, wanted))
    present = Present(draft, estimator, Budgets(specs.files, entries, draft.actual, pruned, Disk(conn, server)))
    # What goes, goes first: it leaves room in the budgets.
    admitted.sort(key=lambda pair: (pair[0].state is State.PRESENT, pair[0].priority, pair[1].relpages))
    for entry, table in admitted:
        if entry.state is State.ABSENT:
            absent.decide(entry, table)
        elif (form := wanted.get((entry.schema_name, entry.name))) is not None:
            present.decide(entry, table, form)
    absent.prune()
    _look_around(draft, specs.files, admitted, wanted)
    return Plan(
        target=target(server),
        steps=order.with_waits(conn, server, draft.actual, order.ordered(draft.steps, draft.actual, draft.analyze)),
        findings=tuple(draft.findings),
        unchanged=tuple(draft.unchanged),
        refused=tuple(draft.refused),
        concerns=tuple(sorted({(entry.schema_name, entry.table.name) for entry in entries})),
        state=draft.actual.digest(),
    )


def online_findings(conn: Connection, server: Server, specs: SpecSet) -> list[Finding]:
    """What the server has to say about specs, for `lint --online`: a plan's findings. Raises as make_plan does."""
    return list(make_plan(conn, server, specs).findings)


def target(server: Server) -> Target:
    return Target(
        dbname=server.dbname, server_version=server.server_version, system_identifier=server.system_identifier
    )


def _admit(draft: Draft, broken: Broken, entry: IndexSpec) -> Table | None:
    """The entry's table, or None when the entry is settled already: refused, or absent from an absent table."""
    if (wrong := broken.get((entry.source.file, entry.name))) is not None:
        draft.refuse(entry, wrong)
        return None
    table = draft.actual.tables.get((entry.schema_name, entry.table.name))
    if table is None:
        if entry.state is State.ABSENT:
            draft.settle(entry)
        else:
            draft.refuse(entry, refusals.missing_table(draft.conn, draft.server, entry))
        return None
    if entry.state is State.ABSENT:
        return table
    if entry.partitions is not None and table.relkind != "p":
        message = f"{entry.schema_name}.{entry.table.name} is not partitioned: `partitions` means nothing for it"
        draft.findings.append(finding(entry, Severity.WARNING, "not-partitioned", message, at="partitions"))
    problem = refusals.before_asking(draft.server, draft.actual, entry, table)
    if problem is not None:
        draft.refuse(entry, problem)
        return None
    return table


def _ask(draft: Draft, pairs: list[tuple[IndexSpec, Table]]) -> Wanted:
    """What each entry means in the server's words, by schema and name; what it does not take is refused."""
    asked = [twin.Asked(entry=e, table=t, columns=draft.actual.columns.get(t.oid, ())) for e, t in pairs]
    wanted = {}
    for (entry, table), answer in zip(pairs, twin.definitions(draft.conn, draft.server, asked), strict=True):
        if isinstance(answer, Definition):
            wanted[entry.schema_name, entry.name] = answer
        else:
            draft.refuse(entry, refusals.refused(draft.conn, draft.server, entry, table, answer))
    return wanted


def _candidates(
    draft: Draft, admitted: list[tuple[IndexSpec, Table]], wanted: Wanted
) -> Iterator[tuple[Table, Definition]]:
    """Tables with the indexes that may have to be built on them; more rather than fewer."""
    for entry, table in admitted:
        form = wanted.get((entry.schema_name, entry.name))
        here = draft.actual.find(table, entry.name)
        if form is None or (
            here is not None
            and here.indisvalid
            and canonical.same(form, draft.actual.definition(here), tablespace=False)
        ):
            continue
        for member in draft.actual.trees.get(table.oid, ()):
            if member.is_leaf and (leaf := draft.actual.tables.get((member.schema, member.table))) is not None:
                yield leaf, form
        if table.relkind != "p":
            yield table, form


def _look_around(
    draft: Draft, files: Sequence[SpecFile], admitted: list[tuple[IndexSpec, Table]], wanted: Wanted
) -> None:
    """Findings about what is there besides: redundancy, extras, somebody's INVALID indexes."""
    names = frozenset(name for _, name in draft.leaving)
    forms = {
        oid: [(index, draft.actual.definition(index)) for index in indexes]
        for oid, indexes in draft.actual.indexes.items()
        if oid not in draft.actual.locked
    }
    for entry, table in admitted:
        form = wanted.get((entry.schema_name, entry.name))
        if form is not None:
            others = [pair for pair in forms.get(table.oid, []) if (table.schema, pair[0].index) not in draft.named]
            draft.findings += check.redundant(entry, form, others, names)
    settled = draft.named | frozenset(draft.leaving)
    draft.findings += check.extra(files, draft.actual, settled)
    draft.findings += check.invalid(draft.actual.tables, draft.actual, settled)


# What lint says of PostgreSQL's own rules, from what is known of 13 to 18: here the server itself is asked.
_JUDGED_BY_THE_SERVER = {
    "aggregate",
    "method-cannot",
    "not-immutable",
    "parameter-value",
    "subquery",
    "too-many-columns",
    "unknown-parameter",
    "window-function",
}


def _broken(specs: SpecSet) -> Broken:
    """The entries that cannot be asked for at all, by file and name, with lint's error."""
    return {
        (found.file, found.index): found
        for found in lint(specs)
        if found.severity is Severity.ERROR and found.code not in _JUDGED_BY_THE_SERVER
    }
