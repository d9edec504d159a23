"""What is known of statements' texts: by the store, by this call; the rest is fetched where it matters.

Reading one text makes the server read all of them, a quarter of a second where they are long: so it is done for many
at once, and not for a trifle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.snapshot import texts
from dbopt.store import workload as keeping
from dbopt.workload.model import Kind, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from dbopt.store.aside import Aside, Needed
    from dbopt.store.plain import Session as Kept
    from dbopt.workload.statements import Entry

# Of so many that cost most it is known what they are; the others are left as they are, each by itself.
KNOWN_MAX = 1000
# Of all time: less is no reason to have the server read its texts.
_LEAST_SHARE = 0.01
_LEAST_SHARE_OF_TABLE = 0.001  # where it is by its text that a statement is wanted


class Knowledge:
    """Of one target, for one call. By queryid."""

    def __init__(self, store: Aside | Needed, fetch: Callable[[Collection[int]], Mapping[int, str]]) -> None:
        """`fetch`: normalized texts, of the server."""
        self._store = store
        self._ask = fetch
        self.target_id: int | None = None
        self.traits: dict[int, Traits] = {}
        self.texts: dict[int, str] = {}
        self._gone: set[int] = set()  # pg_stat_statements has no text any more, or hides it

    @property
    def is_refused(self) -> bool:
        """The server was asked for texts, and gave none at all."""
        return bool(self._gone) and not self.texts and not self.traits

    def recall(self, kept: Kept, target_id: int) -> None:
        """The traits that are kept."""
        self.target_id = target_id
        for queryid, row in keeping.traits(kept, target_id).items():
            self.traits[queryid] = Traits(row.fingerprint, Kind(row.kind), row.relations)

    def learn(self, found: Sequence[Entry], first: Collection[int], *, thoroughly: bool) -> None:
        """The traits of what costs most. `first`: those that are sure to be shown. `thoroughly`: of less, too."""
        ranked = sorted(found, key=lambda entry: -entry.counters.total_exec_time_ms)
        costs: dict[int, float] = {}
        for entry in ranked:
            costs[entry.queryid] = costs.get(entry.queryid, 0.0) + entry.counters.total_exec_time_ms
        known = self.traits.keys() | self._gone
        missing = [queryid for queryid in [*list(costs)[:KNOWN_MAX], *first] if queryid not in known]
        cost = sum(costs.get(queryid, 0.0) for queryid in missing)
        least = (_LEAST_SHARE_OF_TABLE if thoroughly else _LEAST_SHARE) * sum(costs.values())
        if missing and (cost >= least or any(queryid in missing for queryid in first)):
            self._fetch(missing, keep=[*missing[: texts.TOP], *first])

    def read(self, queryids: Collection[int]) -> None:
        """The texts of these."""
        missing = [queryid for queryid in queryids if queryid not in self.texts]
        target_id = self.target_id
        if missing and target_id is not None:
            self.texts |= (
                self._store.attempt(lambda kept: keeping.texts_of(kept, target_id, missing), reading=True) or {}
            )
        missing = [queryid for queryid in missing if queryid not in self.texts and queryid not in self._gone]
        if missing:
            self._fetch(missing, keep=missing)

    def _fetch(self, queryids: Sequence[int], *, keep: Collection[int]) -> None:
        """`keep`: those whose texts are kept as well; of the others, what they are is enough."""
        from dbopt.workload.fingerprint import traits

        found = self._ask(queryids)
        self._gone |= set(queryids) - found.keys()
        self.texts |= found
        made = {queryid: traits(text) for queryid, text in found.items()}
        self.traits |= made
        target_id = self.target_id
        if target_id is None or not made:
            return

        def leave(kept: Kept) -> None:
            from dbopt.store import snapshots

            rows = {
                queryid: keeping.KeptTraits(item.fingerprint, str(item.kind), item.relations)
                for queryid, item in made.items()
            }
            keeping.keep_traits(kept, target_id, rows)
            snapshots.keep_texts(kept, target_id, {queryid: found[queryid] for queryid in keep if queryid in found})

        self._store.attempt(leave, reading=False)
