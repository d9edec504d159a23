"""What the checks on tables share: whose tables are looked at, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.health.check import Limit, Need, Unit

if TYPE_CHECKING:
    from dbopt.postgres.tables import TableState

ON_PRIMARY = Need(
    met=lambda scene: not scene.server.in_recovery,
    reason="a standby has what its primary has, and only the primary can change it",
    hint=lambda _scene: "Run dbopt health on the primary.",
)
GRACE = Limit(
    "grace",
    600,
    Unit.SECONDS,
    "our own: ten rounds of autovacuum (autovacuum_naptime is 1min); where it has been, it will be again",
)


def is_ours(table: TableState) -> bool:
    """A user's own, not the catalogs' nor a session's."""
    return not table.is_system and not table.is_temporary
