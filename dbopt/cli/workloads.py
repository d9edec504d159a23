"""One call of `dbopt slow-queries`: the statements of each target that is looked at."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Self

import psycopg

from dbopt.cli import as_error
from dbopt.cli.observed import Observed
from dbopt.errors import Error
from dbopt.store.aside import Aside, Needed
from dbopt.store.location import NONE
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.cli.observed import Wishes
    from dbopt.cli.session import Session
    from dbopt.metrics.measurement import About
    from dbopt.workload.model import Workload

_UNKEPT = "earlier readings are not looked at, and this one is not kept"
_FIRST_SECONDS = 1.0  # until the first look of --watch: nobody looks at an empty screen for longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A target that could not be looked at, beside others."""

    about: About
    error: Error


Look = tuple["About", "Workload"] | Unseen


class Workloads:
    """The sessions stay open for as many looks as are asked for."""

    def __init__(self, session: Session, wishes: Wishes) -> None:
        self._wishes = wishes
        url = session.settings.store.value if wishes.uses_store else NONE
        aside = Aside(url, _UNKEPT)
        store = Needed(url) if wishes.looks_back else aside
        self.sources = [Observed(session, target, wishes, store, aside) for target in session.targets_with_replicas]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for source in self.sources:
            source.close()

    def once(self) -> list[Look]:
        """A look at each. Of several targets, one that fails hides no other one."""
        found: dict[Observed, Look] = {}
        waiting = [source for source in self.sources if self._wishes.looks_twice and source.previous is None]
        for source in waiting:
            with self._failing(source, found):
                source.begin()
        if waiting:
            self.wait()
        for source in self.sources:
            if source not in found:
                with self._failing(source, found):
                    found[source] = source.look()
        return [found[source] for source in self.sources]

    def wait(self) -> None:
        """Between the first two readings."""
        if self._wishes.interval is not None:
            time.sleep(self._wishes.interval.total_seconds())
        else:
            time.sleep(min(_FIRST_SECONDS, (self._wishes.every or 0.0) / 2))

    @contextlib.contextmanager
    def _failing(self, source: Observed, found: dict[Observed, Look]) -> Iterator[None]:
        try:
            yield
        except (Error, psycopg.Error) as exc:
            about = source.about
            source.close()
            if len(self.sources) == 1:
                raise
            found[source] = Unseen(about=about, error=as_error(exc))
