"""Advice: nothing ends a statement, a wait for a lock or an idle transaction that lasts for ever.

Zero means no limit. Set them for the roles of the applications rather than for the server, so that dumps, VACUUM and
migrations keep theirs; a timeout that any role or database has is taken as such a decision.
https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Check, Group, Status, Unit, presence
from dbopt.postgres.settings import SETTINGS, Setting, by_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.health.scene import Scene

_EXAMPLES = {"idle_in_transaction_session_timeout": "5min", "lock_timeout": "10s", "statement_timeout": "30s"}


def _unset(rows: Sequence[Setting], _scene: Scene) -> Iterator[Setting]:
    settings = by_name(rows)
    for name in _EXAMPLES:
        if settings[name].amount == 0 and not settings[name].owners:
            yield settings[name]


CHECK: Check[Setting] = Check(
    id="timeouts-unset",
    title="Timeouts that nobody has set",
    group=Group.CONFIGURATION,
    query=SETTINGS,
    unit=Unit.COUNT,
    thresholds=presence(
        Status.WARNING,
        source="https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT",
    ),
    subject=lambda setting: setting.name,
    measure=lambda _: 1,
    detail=lambda _: "0, for no limit: not set for the server, nor for any role or database",
    remedy=lambda setting: (
        f"ALTER ROLE ... SET {setting.name} = '{_EXAMPLES[setting.name]}';  -- the role of the application"
    ),
    rows=_unset,
    advice=True,
)
