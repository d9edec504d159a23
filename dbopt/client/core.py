"""What Database and AsyncDatabase are both made of: an engine with all that listens to it, and the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.client.background import Background
from dbopt.client.cache import Cache
from dbopt.client.connections import pool
from dbopt.client.meter import Meter
from dbopt.client.publishing import Publisher
from dbopt.client.work import Work, session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import sqlalchemy as sa

    from dbopt.client.connections.holders import Holder
    from dbopt.client.meter import Metrics
    from dbopt.client.runtime import Runtime
    from dbopt.client.settings import Settings
    from dbopt.client.work import Within


class Core:
    """Nothing connects yet. `engine` is the synchronous side of an AsyncEngine, too."""

    def __init__(self, settings: Settings, engine: sa.Engine, runtime: Runtime) -> None:
        self.settings = settings
        self.engine = engine
        self.runtime = runtime
        self.meter = Meter(settings, engine)
        self.cache = Cache(settings, engine)
        publisher = Publisher(settings, engine, self.meter, self.cache)
        ticks = (publisher.publish, lambda: pool.close_idle(engine), self.cache.settle)
        ends = (lambda: self.cache.settle(at_once=True), publisher.end)
        self._background = Background(engine, ticks, ends=ends)
        self._is_closed = False

    def check_open(self) -> None:
        """Raises Closed."""
        if self._is_closed:
            raise pool.closed()

    def work(self, within: Within | None = None) -> Work:
        self.check_open()
        return Work(
            engine=self.engine,
            runtime=self.runtime,
            cache=self.cache,
            within=session_of(within),
            cursor_secrets=self.settings.cursor_secrets,
        )

    def warm(self, reads: Sequence[Callable[[], object]], concurrency: int) -> None:
        with self.cache.warming():
            self.runtime.each(reads, concurrency)

    def metrics(self) -> Metrics:
        return self.meter.metrics(pool.figures(self.engine), self.cache.figures())

    def reset_metrics(self) -> None:
        self.meter.reset(pool.figures(self.engine), self.cache.figures())

    def holders(self) -> tuple[Holder, ...]:
        return pool.holders(self.engine)

    def close(self) -> None:
        """Once more does no harm."""
        self._is_closed = True
        self._background.close()
        self.cache.close()
        pool.close(self.engine)
