"""A plan as a value: what would be done, why, with which SQL.

`apply` runs just what stands here, `render` prints it, a plan file holds it: nothing is decided afterwards.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from dbopt.spec.finding import Finding, Severity
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.optimize.canonical import Definition


# Codes of findings about an index that is in place and does not do what the spec expects of it (serves.py).
NOT_USED, SORTS = "not-used", "sorts"


class Action(StrEnum):
    CREATE = "create"
    ADOPT = "adopt"  # the server builds it right now, for a dbopt that is gone: watched to its end, not built twice
    REPLACE = "replace"  # the definition changed: build beside, swap names, drop the old one
    RENAME = "rename"
    REPAIR = "repair"  # an INVALID leftover is removed, and built anew where the spec wants it
    ATTACH = "attach"  # partition trees
    DROP = "drop"
    COMMENT = "comment"  # ownership mark or human text
    ANALYZE = "analyze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The database a plan is for. `system_identifier` is a string: it exceeds what JSON readers hold exactly."""

    dbname: str
    server_version: str
    system_identifier: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Somebody a concurrent build would wait for. A prepared transaction has a `gid` and no `pid`.

    `slot`: the replication slot that a walsender of this pid serves. `query` is without literals, None where it may not
    be seen. `idle_seconds`: how long it has been idle in its transaction, None for those that work.
    """

    phase: str  # as pg_stat_progress_create_index spells it
    pid: int | None = None
    gid: str | None = None
    usename: str | None = None
    application_name: str | None = None
    state: str | None = None
    xact_age_seconds: float | None = None
    idle_seconds: float | None = None
    slot: str | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What has to be true after a step: this index, on this table, valid, ready, live and of this definition."""

    schema: str
    index: str
    table: str
    definition: Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `statements` are run in order, each as its own message; together they can be pasted into psql.

    `index` is the name in the spec; `settings` are set for the session before the statements and reset after them.
    `group`: steps of one group run one after another; it is the table, of a partition tree its top. `requires`: what
    earlier steps have to have achieved; where it does not hold, none of its statements runs.
    """

    action: Action
    index: str | None  # None for analyze, which concerns a table
    schema: str
    table: str
    statements: tuple[str, ...]
    reason: str
    hazards: tuple[str, ...] = ()
    domain: str | None = None
    # Of the index that it builds: `size_bytes`, `rows`, `build_seconds`; what is not known is left out.
    estimate: Mapping[str, int | float] | None = None
    waits_for: tuple[Blocker, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()
    group: str = ""
    requires: tuple[Proof, ...] = ()

    @property
    def builds(self) -> bool:
        """Whether it makes an index. A replacement whose new index an earlier run has built only swaps names."""
        return any(statement.startswith("CREATE ") for statement in self.statements)


class ItemStatus(StrEnum):
    APPLIED = "applied"
    FAILED = "failed"
    LEFT = "left"  # not started: no time was left for it, or a replica lags
    REFUSED = "refused"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What became of one index of the spec."""

    index: str
    schema: str
    table: str
    status: ItemStatus
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in the order of running. `unchanged` and `refused` are the spec's entries that need no step or get none.

    `state` is a digest of the catalog rows of `concerns` (schema, table) that the plan was made from: a plan file
    runs only on just that state.
    """

    target: Target
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    unchanged: tuple[Item, ...] = ()
    refused: tuple[Item, ...] = ()
    concerns: tuple[tuple[str, str], ...] = ()
    state: str = ""

    @property
    def drifted(self) -> bool:
        """Whether the database is other than the specs say, cannot be made so, or disappoints what they expect."""
        return bool(self.steps or self.refused) or any(
            finding.severity is Severity.ERROR or finding.code in (NOT_USED, SORTS) for finding in self.findings
        )

    def summary(self) -> dict[str, int]:
        counts = Counter(step.action for step in self.steps)
        return {"unchanged": len(self.unchanged), **{action.value: counts[action] for action in Action}}
