"""Whether an application's database answers, and how full its pool is.

The limits of the pool's use are those of the guide: below 80 % is the target, above 90 % an alert.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING

import sqlalchemy as sa

from dbopt.client.connections import pool
from dbopt.errors import ConnectionFailed, ConnectionLost, PoolExhausted
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.client.connections.pool import PoolFigures
    from dbopt.client.work import Work

POOL_TARGET_RATIO, POOL_ALERT_RATIO = 0.8, 0.9

_ASK = sa.text(
    """
    SELECT /* dbopt client: health */ pg_catalog.current_setting('server_version') AS server_version,
           pg_catalog.pg_is_in_recovery() AS in_recovery,
           pg_catalog.current_setting('transaction_read_only')::bool AS read_only
    """
)


class Condition(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"  # it answers, and something is above its target
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`reasons` says what is wrong, in words. None: not known. `answer_ms`: there and back, on a connection of the
    pool.
    """

    condition: Condition
    reasons: tuple[str, ...]
    answer_ms: float | None
    server_version: str | None
    in_recovery: bool | None
    read_only: bool | None
    pool: PoolFigures

    @property
    def is_ok(self) -> bool:
        return self.condition is Condition.OK


def healthcheck(work: Work) -> Health:
    """Raises nothing for a database that is down: that is what it tells. With an exhausted pool it does not wait."""
    reasons: list[str] = []
    figures = pool.figures(work.engine)
    answer_ms = version = in_recovery = read_only = None
    condition = Condition.OK
    if figures.used >= figures.size and work.within is None:
        reasons.append("the database was not asked: the pool has no free connection")
    else:
        try:
            with work.session() as session:
                session.connection()
                started = time.perf_counter()
                row = session.execute(_ASK).one()
                answer_ms = (time.perf_counter() - started) * 1000
            version, in_recovery, read_only = row
        except (ConnectionFailed, ConnectionLost, PoolExhausted) as error:
            condition = Condition.DOWN
            reasons.append(error.message + (f": {error.detail}" if error.detail else ""))
    ratio = figures.used / figures.size
    if ratio > POOL_TARGET_RATIO:
        limit = POOL_ALERT_RATIO if ratio > POOL_ALERT_RATIO else POOL_TARGET_RATIO
        reasons.append(
            f"{figures.used} of {figures.size} connections of the pool are in use, more than {limit:.0%};"
            f" {figures.waiting} callers wait"
        )
    if condition is Condition.OK and reasons:
        condition = Condition.DEGRADED
    return Health(
        condition=condition,
        reasons=tuple(reasons),
        answer_ms=answer_ms,
        server_version=version,
        in_recovery=in_recovery,
        read_only=read_only,
        pool=figures,
    )
