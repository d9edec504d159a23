"""Advice: what the settings allow all sessions to use may be more than the memory of the machine.

Counted are shared_buffers, max_connections times work_mem times hash_mem_multiplier (one sort or hash each; a statement
may have several), and autovacuum_max_workers times autovacuum_work_mem or maintenance_work_mem. Real use is mostly far
below, so this is advice and no alarm: look before work_mem or max_connections is raised. Seen by superusers only, who
may read /proc/meminfo and the limit of the container through the server.
https://www.postgresql.org/docs/current/runtime-config-resource.html#RUNTIME-CONFIG-RESOURCE-MEMORY
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Unit, above
from dbopt.health.configuration import READS_FILES, memory_bytes
from dbopt.postgres.settings import SERVER_FILES, SETTINGS, Setting, by_name
from dbopt.units import format_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dbopt.health.scene import Scene


@dataclass(frozen=True, slots=True)
class Demand:
    memory_bytes: int
    shared: float
    sessions: float
    autovacuum: float
    detail: str

    @property
    def share(self) -> float:
        return (self.shared + self.sessions + self.autovacuum) / self.memory_bytes


def _demand(rows: Sequence[Setting], scene: Scene) -> Iterator[Demand]:
    memory = memory_bytes(scene)
    amounts = {name: setting.amount for name, setting in by_name(rows).items() if name in _COUNTED}
    per_session = amounts["work_mem"] * amounts["hash_mem_multiplier"]
    sessions = amounts["max_connections"] * per_session
    yield Demand(memory, amounts["shared_buffers"], sessions, _autovacuum(amounts), _words(amounts, memory))


_COUNTED = (
    "shared_buffers",
    "max_connections",
    "work_mem",
    "hash_mem_multiplier",
    "autovacuum_max_workers",
    "autovacuum_work_mem",
    "maintenance_work_mem",
)


def _autovacuum(amounts: Mapping[str, float]) -> float:
    own = amounts["autovacuum_work_mem"]
    return amounts["autovacuum_max_workers"] * (amounts["maintenance_work_mem"] if own == -1 else own)


def _words(amounts: Mapping[str, float], memory: int) -> str:
    return (
        f"{format_bytes(memory)} of memory; shared_buffers {format_bytes(amounts['shared_buffers'])},"
        f" {amounts['max_connections']:.0f} connections with work_mem {format_bytes(amounts['work_mem'])}"
        f" times {amounts['hash_mem_multiplier']:g}, {format_bytes(_autovacuum(amounts))} for autovacuum"
    )


CHECK: Check[Demand] = Check(
    id="memory-overcommitted",
    title="Settings that allow more memory than there is",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    also=(SERVER_FILES,),
    unit=Unit.RATIO,
    thresholds=above(warning=1.0, critical=None, source="our own reasoning: more than all of it"),
    subject=lambda _: "work_mem",
    measure=lambda demand: demand.share,
    detail=lambda demand: demand.detail,
    remedy=lambda _: "-- lower work_mem, or max_connections with a pooler before the server",
    rows=_demand,
    needs=(READS_FILES,),
    advice=True,
)
