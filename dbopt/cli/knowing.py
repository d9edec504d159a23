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
    from collections.abc import Callable, Collection, Iterable, Sequence

    from dbopt.snapshot.model import Part
    from dbopt.snapshot.texts import Fetched
    from dbopt.store.aside import Aside, Needed
    from dbopt.store.plain import Session as Kept
    from dbopt.workload.statements import Entry

# Of so many that cost most it is known what they are, as far as they are no longer than this together: to take apart
# 16 kB takes 20 ms. The others stand each by itself.
KNOWN_MAX = 1000
KNOWN_BYTES_MAX = 1_000_000
_SHOWN_BYTES_MAX = 50_000_000
# Of all time: less is no reason to have the server read its texts.
_LEAST_SHARE = 0.01
_LEAST_SHARE_OF_TABLE = 0.001  # where it is by its text that a statement is wanted
# Fingerprints that are kept: of one whose text was too much, and of the statement that has texts read.
_NOT_TOLD = ""
_LOOK = "texts"


class Knowledge:
    """Of one target, for one call. By queryid."""

    def __init__(self, store: Aside | Needed, fetch: Callable[[Collection[int], int], Fetched]) -> None:
        """`fetch`: normalized texts of the server, so many bytes."""
        self._store = store
        self._ask = fetch
        self.target_id: int | None = None
        self.traits: dict[int, Traits] = {}
        self.texts: dict[int, str] = {}
        self._alone: set[int] = set()  # nobody has taken them apart
        self.gone: set[int] = set()  # pg_stat_statements has no text any more, or hides it

    @property
    def is_refused(self) -> bool:
        """The server was asked for texts, and gave none at all."""
        return bool(self.gone) and not self.texts and not self.traits

    def recall(self, kept: Kept, target_id: int) -> None:
        """The traits that are kept."""
        self.target_id = target_id
        for queryid, row in keeping.traits(kept, target_id).items():
            if row.fingerprint == _NOT_TOLD:
                self._alone.add(queryid)
            else:
                self.traits[queryid] = Traits(row.fingerprint, Kind(row.kind), row.relations)

    def learn(
        self, found: Sequence[Entry], first: Collection[int], *, thoroughly: bool = False, cost_ms: float = 0.0
    ) -> None:
        """The traits of what costs most. `first`: those that would be shown. `thoroughly`: of less, too. `cost_ms`: of
        finding out; what has cost less by itself is not asked for.
        """
        ranked = sorted(found, key=lambda entry: -entry.counters.total_exec_time_ms)
        costs: dict[int, float] = {}
        for entry in ranked:
            costs[entry.queryid] = costs.get(entry.queryid, 0.0) + entry.counters.total_exec_time_ms
        known = self.traits.keys() | self.gone
        shown = [queryid for queryid in first if queryid not in known and costs.get(queryid, 0.0) >= cost_ms]
        missing = [queryid for queryid in list(costs)[:KNOWN_MAX] if queryid not in known | self._alone]
        least = (_LEAST_SHARE_OF_TABLE if thoroughly else _LEAST_SHARE) * sum(costs.values())
        if shown or (missing and sum(costs[queryid] for queryid in missing) >= max(least, cost_ms)):
            wanted = list(dict.fromkeys([*shown, *missing]))
            self._fetch(wanted, KNOWN_BYTES_MAX, keep=wanted[: texts.TOP])

    def cost_ms(self, part: Part) -> float:
        """What it has cost the server to read its texts, on average; 0: not known."""
        looks = {str(queryid) for queryid, known in self.traits.items() if known.fingerprint == _LOOK}
        calls, total = part.counts.index("calls"), part.counts.index("total_exec_time_ms")
        counts = [subject.counts for subject in part.subjects.values() if subject.name in looks]
        number = sum(item[calls] or 0.0 for item in counts)
        return sum(item[total] or 0.0 for item in counts) / number if number else 0.0

    def unread(self, queryids: Iterable[int]) -> set[int]:
        """Those of which nobody has asked what they are."""
        return set(queryids) - self.traits.keys() - self._alone - self.gone

    def read(self, queryids: Collection[int]) -> None:
        """The texts of these."""
        missing = [queryid for queryid in queryids if queryid not in self.texts]
        target_id = self.target_id
        if missing and target_id is not None:
            self.texts |= (
                self._store.attempt(lambda kept: keeping.texts_of(kept, target_id, missing), reading=True) or {}
            )
        missing = [queryid for queryid in missing if queryid not in self.texts and queryid not in self.gone]
        if missing:
            self._fetch(missing, _SHOWN_BYTES_MAX, keep=missing)

    def _fetch(self, queryids: Sequence[int], bytes_max: int, *, keep: Collection[int]) -> None:
        """`keep`: those whose texts are kept as well; of the others, what they are is enough."""
        from dbopt.workload.fingerprint import traits

        found = self._ask(queryids, bytes_max)
        self._alone |= found.passed_over
        self.gone |= set(queryids) - found.texts.keys() - found.passed_over
        self.texts |= found.texts
        made = {queryid: traits(text) for queryid, text in found.texts.items()}
        if found.look is not None:
            made[found.look] = Traits(_LOOK, Kind.OWN, ())
        self.traits |= made
        target_id = self.target_id
        if target_id is None:
            return
        rows = {
            queryid: keeping.KeptTraits(item.fingerprint, str(item.kind), item.relations)
            for queryid, item in made.items()
        }
        rows |= {queryid: keeping.KeptTraits(_NOT_TOLD, str(Kind.UNKNOWN), ()) for queryid in found.passed_over}
        kept_texts = {queryid: found.texts[queryid] for queryid in keep if queryid in found.texts}

        def leave(kept: Kept) -> None:
            from dbopt.store import snapshots

            keeping.keep_traits(kept, target_id, rows)
            snapshots.keep_texts(kept, target_id, kept_texts)

        if rows:
            self._store.attempt(leave, reading=False)
