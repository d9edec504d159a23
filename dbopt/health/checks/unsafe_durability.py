"""Settings that trade data for speed, or look away from damage.

    fsync = off                    a crash of the machine may destroy the whole cluster
    full_page_writes = off         a crash may leave pages half old and half new; safe on file systems that write whole
                                   pages only (ZFS, btrfs): leave it out there with an ignore entry in dbopt.yaml
    zero_damaged_pages = on        a damaged page is emptied instead of reported, its rows are gone
    ignore_checksum_failure = on   damaged pages are read as if they were whole
    ignore_invalid_pages = on      recovery goes on though pages are missing

The last three are for rescuing data, once. They count too where a single role or database has them.

A server that was started with one of the first two on its command line, less than a day ago, is taken for a server of
tests or of a bulk load: nothing is reported, but the check is not `ok` either. synchronous_commit = off is nobody's
fault: it may lose the last commits, and never damages data.
https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-FSYNC
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Gap, Group, Limit, Status, Unit, presence
from dbopt.health.configuration import described, set_right, switched_on
from dbopt.postgres.settings import SETTINGS, Setting, by_name
from dbopt.units import format_duration
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_SAFE = {
    "fsync": "on",
    "full_page_writes": "on",
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
    "ignore_invalid_pages": "off",
}
_FOR_TESTS = ("fsync", "full_page_writes")


@dataclass(frozen=True, slots=True)
class Unsafe:
    setting: Setting
    gap: Gap | None = None


def _unsafe(rows: Sequence[Setting], scene: Scene) -> Iterator[Unsafe]:
    settings = by_name(rows)
    up = (scene.surroundings.now - scene.surroundings.postmaster_started).total_seconds()
    for name, safe in _SAFE.items():
        setting = settings.get(name)
        if setting is None:
            continue
        if setting.value != safe or (safe == "off" and switched_on(setting)):
            for_tests = setting.source == "command line" and name in _FOR_TESTS and up < scene.limits["test_server"]
            yield Unsafe(setting, _taken_for_tests(up) if for_tests else None)


def _taken_for_tests(up: float) -> Gap:
    reason = f"off on the command line of a server started {format_duration(up)} ago: taken for one of tests"
    return Gap(reason, "Leave it out of the command line where data shall outlive a crash.")


CHECK: Check[Unsafe] = Check(
    id="unsafe-durability",
    title="Settings that put data at risk",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING, source="https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-FSYNC"
    ),
    limits=(Limit("test_server", 86_400, Unit.SECONDS, "our own reasoning: tests and loads are over within a day"),),
    subject=lambda unsafe: unsafe.setting.name,
    measure=lambda _: 1,
    detail=lambda unsafe: described(unsafe.setting),
    remedy=lambda unsafe: set_right(unsafe.setting, _SAFE[unsafe.setting.name]),
    gap=lambda unsafe: unsafe.gap,
    rows=_unsafe,
)
