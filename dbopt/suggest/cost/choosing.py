"""Who says what statements would cost: the planner with HypoPG where that is to be had, else our own reckoning."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.suggest.cost.costing import Costing
    from dbopt.suggest.model import Candidate, Name, Table
    from dbopt.suggest.sizes import Sizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """`is_proved`: whether a planner has seen plans with an index. `hypopg_version` None: there is none, and `lacks`
    says why, and what to type.
    """

    costing: Costing
    is_proved: Callable[[Candidate], bool]
    hypopg_version: str | None = None
    lacks: tuple[tuple[str, str | None], ...] = ()


@contextlib.contextmanager
def costing(conn: Connection, server: Server, tables: Mapping[Name, Table], sizer: Sizer) -> Iterator[Chosen]:
    """A session that changes nothing, for as long as it is used. Raises psycopg errors."""
    from dbopt.suggest.cost.installed import Missing, installed

    where = installed(conn, server)
    if isinstance(where, Missing):
        from dbopt.suggest.cost.reckoned import Reckoned

        with Reckoned(conn, server, tables, size=sizer.size, expressions=sizer.expressions) as reckoned:
            yield Chosen(costing=reckoned, is_proved=reckoned.is_proved, lacks=((where.reason, where.hint),))
        return
    from dbopt.suggest.cost.combined import Combined

    with Combined(conn, server, tables, where, size=sizer.size, expressions=sizer.expressions) as combined:
        yield Chosen(costing=combined, is_proved=combined.is_proved, hypopg_version=where.version)
