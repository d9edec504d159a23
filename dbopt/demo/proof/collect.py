"""Evidence of one application: what its users see before and after `dbopt optimize`, and what its cache is worth."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from dbopt.demo.proof.bill import Till
from dbopt.demo.proof.caching import caching
from dbopt.demo.proof.crowd import crowds
from dbopt.demo.proof.mixes import MIXES
from dbopt.demo.proof.values import Caching, Crowd, Evidence, Scale
from dbopt.postgres.connect import connect
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.demo.app import App
    from dbopt.demo.walkthrough import Finished
    from dbopt.embedded import EmbeddedServer

THINK_SECONDS = 1.0  # of people that look at what they got, in the mean
# What decides how the server reads, beside its version.
SETTINGS = ("server_version", "shared_buffers", "effective_cache_size", "work_mem", "jit")


@dataclass(frozen=True, slots=True)
class Site:
    """Where the evidence is found."""

    app: App
    rows: Mapping[str, int]
    server: EmbeddedServer
    conninfo: str
    scale: Scale

    def before(self) -> tuple[Crowd, ...]:
        """As the application was: no index, no cache, nobody thinks."""
        return self._crowds(cached=False)

    def after(self) -> tuple[Crowd, ...]:
        """With the indexes, without the cache and with it; the largest crowd once more with time to think."""
        return self._crowds(cached=False) + self._crowds((max(self.scale.users), THINK_SECONDS), cached=True)

    def caching(self) -> Caching:
        database = conninfo_to_dict(self.conninfo)["dbname"]
        till = Till(self.server.conninfo, str(database), self.server.pid)
        known = till if till.has_statements() else None
        return caching(self.conninfo, MIXES[self.app.name], self.rows, self.scale.reads, known)

    def evidence(
        self, finished: Finished, before: tuple[Crowd, ...], after: tuple[Crowd, ...], cache: Caching
    ) -> Evidence:
        return Evidence(
            app=self.app.name,
            title=self.app.title,
            rows=self.rows,
            settings=self._settings(),
            applied=finished.result.applied,
            failed=finished.result.failed,
            comparisons=finished.comparisons,
            coverage=finished.coverage,
            before=before,
            after=after,
            caching=cache,
        )

    def _settings(self) -> dict[str, str]:
        with contextlib.closing(connect(self.conninfo, command="demo", read_only=True)) as conn:
            query = "SELECT name, pg_catalog.current_setting(name) FROM unnest(%(names)s::text[]) AS name"
            return dict(conn.execute(query, {"names": list(SETTINGS)}).fetchall())

    def _crowds(self, *more: tuple[int, float], cached: bool) -> tuple[Crowd, ...]:
        gatherings = [*((users, 0.0) for users in self.scale.users), *more]
        mix = MIXES[self.app.name]
        return asyncio.run(crowds(self.conninfo, mix, self.rows, self.scale, gatherings, cached=cached))
