"""The hypothetical indexes of a session: which are there, and what has to be run so that others are.

Commands are sent many at once, before the answers to the first have come. So there are two states: what will be there
when all has run that was sent, by which the next commands are chosen, and what is there by the answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql

from dbopt.errors import Error, SpecError
from dbopt.postgres.hypopg import CREATE, DROP
from dbopt.suggest.cost.definition import create_index
from dbopt.suggest.cost.session import Command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import psycopg

    from dbopt.postgres.connect import Connection
    from dbopt.suggest.model import Candidate, Name, Table

    Set = frozenset[Candidate]

METHODS = frozenset({"btree", "brin", "hash"})  # all that HypoPG knows
# Our own: on more partitions a candidate is not made, for each is another hypothetical index that planning looks at.
LEAVES_MAX = 200
_DISCARD = Command(b"DISCARD PLANS")  # those for any values that were made before an index was there, or gone


class _Made(NamedTuple):
    """`name`: in plans."""

    candidate: Candidate
    oid: int
    name: str


class _Change(NamedTuple):
    """`place`: of the index that is dropped, from 0. Neither: plans are discarded."""

    place: int | None = None
    candidate: Candidate | None = None


class Shelf:
    """A Setup. `refused`: candidates that cannot be made, and why. `tables`: by the names that candidates have."""

    def __init__(self, conn: Connection, tables: Mapping[Name, Table], schema: str) -> None:
        self.refused: dict[Candidate, str] = {}
        self._conn = conn
        self._tables = tables
        self._create, self._drop = (
            sql.SQL(text).format(schema=sql.Identifier(schema)).as_bytes(conn) for text in (CREATE, DROP)
        )
        self._known: dict[Candidate, Sequence[str]] = {}  # their texts, one a partition
        self._wanted: Sequence[tuple[Set, Collection[Name]]] = ()
        self._names: dict[int, Mapping[str, Candidate]] = {}
        # In the order in which they were made, which is that of HypoPG's own list.
        self._made: list[_Made] = []
        self._is_stale = False
        self._coming: list[Candidate] = []
        self._will_be_stale = False
        self._sent: list[_Change] = []

    def makes(self, candidate: Candidate) -> bool:
        """As far as is known before it was tried."""
        table = self._tables.get(candidate.relation)
        many = table is not None and len(table.leaves) > LEAVES_MAX
        return candidate.method in METHODS and candidate not in self.refused and not many

    def want(self, wanted: Sequence[tuple[Set, Collection[Name]]]) -> None:
        """For each question that comes: these candidates, and no others on these tables."""
        self._wanted = wanted
        self._names = {}

    def names(self, at: int) -> Mapping[str, Candidate]:
        """The candidates that were there when a question was answered, by their names in its plan."""
        return self._names.get(at, {})

    # As Setup says

    def begin(self) -> None:
        self._coming = [item.candidate for item in self._made]
        self._will_be_stale = self._is_stale
        self._sent = []

    def before(self, at: int) -> Iterator[Command]:
        wanted, tables = self._wanted[at]
        for candidate in dict.fromkeys(self._coming):
            if candidate.relation in tables and (candidate not in wanted or candidate in self.refused):
                while candidate in self._coming:
                    place = self._coming.index(candidate)
                    del self._coming[place]
                    yield self._note(_Change(place=place), Command(self._drop, (place + 1,)))
        for candidate in sorted(wanted.difference(self._coming)):
            for text in self._texts(candidate):
                self._coming.append(candidate)
                yield self._note(_Change(candidate=candidate), Command(self._create, (text,)))
        if self._will_be_stale:
            yield self._note(_Change(), _DISCARD)
            self._will_be_stale = False

    def answered(self, cursor: psycopg.Cursor[Any]) -> None:
        change = self._sent.pop(0)
        if change.place is not None:
            expected = self._made.pop(change.place)
            row = cursor.fetchone()
            if row != (expected.oid, True):
                raise Error("HypoPG has other hypothetical indexes than it was told to make", detail=expected.name)
        elif change.candidate is not None:
            oid, name = cursor.fetchone() or (0, "")
            self._made.append(_Made(change.candidate, oid, name))
        self._is_stale = change != _Change()

    def planned(self, at: int) -> None:
        wanted, _ = self._wanted[at]
        self._names[at] = {item.name: item.candidate for item in self._made if item.candidate in wanted}

    def failed(self, error: psycopg.Error) -> None:
        candidate = self._sent[0].candidate
        if candidate is None:
            raise error
        # For good, be it a lock: its statements are lost as well. What was made on other partitions goes with the next
        # attempt.
        self.refused[candidate] = error.diag.message_primary or type(error).__name__

    def _note(self, change: _Change, command: Command) -> Command:
        self._sent.append(change)
        self._will_be_stale = True
        return command

    def _texts(self, candidate: Candidate) -> Sequence[str]:
        if not self.makes(candidate):
            return ()
        if candidate not in self._known:
            table = self._tables.get(candidate.relation)
            names = (table.leaves if table is not None else ()) or (candidate.relation,)
            try:
                self._known[candidate] = [create_index(candidate, name).as_string(self._conn) for name in names]
            except (SpecError, ValueError) as exc:  # what stands in it is no expression, or no name
                self.refused[candidate] = str(exc)
                return ()
        return self._known[candidate]
