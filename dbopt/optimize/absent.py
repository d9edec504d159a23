"""Entries that shall not be there, and marked indexes that no spec names any more: what is dropped, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.optimize import check, decide, guard, refusals
from dbopt.optimize.refusals import error
from dbopt.postgres import index_catalog
from dbopt.spec import mark
from dbopt.spec.model import Extras

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.optimize.draft import Draft
    from dbopt.postgres.catalog import Table
    from dbopt.postgres.index_catalog import Index, Marked
    from dbopt.spec.model import IndexSpec, SpecFile


class Absent:
    """`prunable`: the indexes that `extras: prune` lets go, each with its domain."""

    def __init__(self, draft: Draft, files: Sequence[SpecFile]) -> None:
        self.draft = draft
        self.window: guard.Window | None = None  # asked for when the first guard is met
        self.prunable = self._prunable(files)

    def decide(self, entry: IndexSpec, table: Table) -> None:
        """Add the drop of one entry's index to the draft, or settle or refuse it."""
        index = self.draft.actual.find(table, entry.name)
        if index is None:
            self.draft.settle(entry)
            return
        needed = check.why_needed(index)
        if needed is None and index.relkind == "I":
            needed = "it spans a partition tree, and the server drops no such index concurrently"
        foreign = not mark.owned(index.comment, entry.domain)
        if needed is not None:
            message = f"{entry.name} cannot be dropped: {needed}"
            hint = "Drop it by a migration in a quiet moment, or take the entry out of the spec."
            self.draft.refuse(entry, error(entry, "needed-by-constraint", message, hint=hint))
        elif foreign and index.indisvalid and not self.draft.options.prune_foreign:
            message = f"{entry.name} is not marked as an index of dbopt's domain {entry.domain}"
            hint = "If it is yours to drop, say so with --prune-foreign."
            self.draft.refuse(entry, error(entry, "foreign-index", message, hint=hint))
        elif (objection := self._guarded(entry, index)) is not None:
            message = f"the guard keeps {entry.name}: {objection}"
            hint = "Wait, or take the guard out of the spec if you know better."
            self.draft.refuse(entry, error(entry, "guarded", message, at="guard", hint=hint))
        elif (why := refusals.not_owner(self.draft.server, entry, table)) is not None:
            self.draft.refuse(entry, why)
        else:
            reason = entry.why or "the spec says that it shall be absent"
            self.draft.leaving.add((index.schema, index.index))
            self.draft.steps.append(decide.drop(table.schema, table.table, index.index, entry.domain, reason))

    def _guarded(self, entry: IndexSpec, index: Index) -> str | None:
        if entry.guard is None or entry.guard.unused_for is None or not index.indisvalid:
            return None
        if self.window is None:
            self.window = guard.window(self.draft.conn, self.draft.server)
        return guard.objection(index, entry.guard.unused_for, self.window)

    def _prunable(self, files: Sequence[SpecFile]) -> list[tuple[Marked, str]]:
        """`extras: prune`: indexes that carry a domain's mark and that its spec no longer names, with the domain."""
        domains = {file.domain for file in files if file.defaults.extras is Extras.PRUNE}
        if not domains:
            return []
        # On any table: those that the specs no longer name were not read yet.
        oids = list({marked.table_oid for marked in self.draft.actual.marked})
        needed = {
            index.oid
            for index in index_catalog.INDEXES.rows(self.draft.conn, self.draft.server.version, {"oids": oids})
            if check.why_needed(index) is not None
        }
        found = []
        for marked in self.draft.actual.marked:
            owner = mark.read(marked.comment)[1]
            named = (marked.schema, marked.index) in self.draft.named
            if owner is None or owner.domain not in domains or named or marked.relkind == "I" or marked.oid in needed:
                continue
            found.append((marked, owner.domain))
        return found

    def prune(self) -> None:
        """Add the drops of `extras: prune`."""
        for marked, domain in self.prunable:
            name = (marked.schema, marked.index)
            if name in self.draft.leaving:
                continue
            reason = f"the spec of domain {domain} no longer names it (extras: prune)"
            self.draft.leaving.add(name)
            self.draft.steps.append(decide.drop(marked.table_schema, marked.table, marked.index, domain, reason))
