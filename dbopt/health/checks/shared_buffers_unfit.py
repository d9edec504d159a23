"""Advice: shared_buffers is far from a quarter of the machine's memory.

A quarter is the manual's starting value for a machine that serves one database; more than 40 % rarely helps, as the
operating system caches too. Seen by superusers only, who may read /proc/meminfo and the limit of the container through
the server.
https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-SHARED-BUFFERS
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Limit, Status, Unit, above
from dbopt.health.configuration import READS_FILES, memory_bytes
from dbopt.postgres.settings import SERVER_FILES, SETTINGS, Setting, by_name
from dbopt.units import format_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_RIGHT = 0.25


@dataclass(frozen=True, slots=True)
class Buffers:
    shared: float
    memory_bytes: int
    is_little: bool

    @property
    def share(self) -> float:
        return self.shared / self.memory_bytes


def _buffers(rows: Sequence[Setting], scene: Scene) -> Iterator[Buffers]:
    memory, shared = memory_bytes(scene), by_name(rows)["shared_buffers"].amount
    little = memory >= scene.limits["min_memory"] and shared / memory <= scene.limits["little"]
    yield Buffers(shared, memory, little)


CHECK: Check[Buffers] = Check(
    id="shared-buffers-unfit",
    title="Shared buffers that do not fit the memory",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    also=(SERVER_FILES,),
    unit=Unit.RATIO,
    thresholds=above(
        warning=0.4,
        critical=None,
        source="https://www.postgresql.org/docs/current/runtime-config-resource.html#GUC-SHARED-BUFFERS",
    ),
    limits=(
        Limit("little", 0.1, Unit.RATIO, "our own reasoning: well below the quarter that the manual starts with"),
        Limit("min_memory", 1024**3, Unit.BYTES, "the manual: a server with 1GB or more of memory"),
    ),
    subject=lambda _: "shared_buffers",
    measure=lambda buffers: buffers.share,
    detail=lambda buffers: f"{format_bytes(buffers.shared)} of {format_bytes(buffers.memory_bytes)} of memory",
    remedy=lambda buffers: (
        f"ALTER SYSTEM SET shared_buffers = '{buffers.memory_bytes * _RIGHT // 1024**2:.0f}MB';\n"
        "-- then restart PostgreSQL"
    ),
    grade=lambda buffers: Status.WARNING if buffers.is_little else None,
    rows=_buffers,
    needs=(READS_FILES,),
    advice=True,
)
