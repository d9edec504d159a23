"""What the checks on transaction IDs and on multixacts have in common: two counters of 32 bits that run out alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.sql import Identifier

from dbopt.health.check import Status, above
from dbopt.postgres.tables import TABLE_STATE, TableState
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dbopt.health.scene import Scene
    from dbopt.postgres.databases import DatabaseState

# Half of the 4 billion are the past, half the future; the server stops 3 million before the end.
IDS = 2**31
THRESHOLDS = above(
    warning=500_000_000,
    critical=1_500_000_000,
    source="of 2,147,483,648; autovacuum starts at 200 million, and hurries from 1,600 million on (vacuum_failsafe_age,"
    " https://www.postgresql.org/docs/current/runtime-config-vacuum.html)",
)
_NAMED = 3  # tables named in the remedy of their database


@dataclass(frozen=True, slots=True)
class Aged:
    """A database, or a table of the one that is connected to."""

    subject: str
    what: str  # is counted: transactions or multixacts
    age: int
    freeze_max_age: int
    datname: str
    allows_connections: bool
    is_current: bool
    on_standby: bool
    table: TableState | None = None
    by_toast: bool = False
    oldest: tuple[str, ...] = ()  # tables of a database, those that autovacuum should have been at


@dataclass(frozen=True, slots=True)
class Counted:
    """One of the two counters: its name, and where databases and tables have their ages of it."""

    what: str
    database_age: Callable[[DatabaseState], int | None]
    database_max_age: Callable[[DatabaseState], int]
    table_age: Callable[[TableState], int]
    toast_age: Callable[[TableState], int | None]
    table_max_age: Callable[[TableState], int]

    def rows(self, databases: Sequence[DatabaseState], scene: Scene) -> Iterator[Aged]:
        """Every database, as they are measured always; of tables those that are problems."""
        tables = [self._table(table, scene) for table in scene.rows(TABLE_STATE)]
        for row in databases:
            age = self.database_age(row)
            if row.datname is not None and age is not None:
                yield Aged(
                    subject=row.datname,
                    what=self.what,
                    age=age,
                    freeze_max_age=self.database_max_age(row),
                    datname=row.datname,
                    allows_connections=row.allows_connections,
                    is_current=row.is_current,
                    on_standby=scene.server.in_recovery,
                    oldest=_oldest(tables) if row.is_current else (),
                )
        yield from (table for table in tables if scene.thresholds.judge(table.age).is_problem)

    def _table(self, row: TableState, scene: Scene) -> Aged:
        age, toast = self.table_age(row), self.toast_age(row) or 0
        return Aged(
            subject=row.relation,
            what=self.what,
            age=max(age, toast),
            freeze_max_age=self.table_max_age(row),
            datname=scene.server.dbname,
            allows_connections=True,
            is_current=True,
            on_standby=scene.server.in_recovery,
            table=row,
            by_toast=toast > age,
        )


def _oldest(aged: list[Aged]) -> tuple[str, ...]:
    late = [item for item in aged if item.table is not None and not item.table.is_temporary]
    return tuple(item.subject for item in sorted(late, key=lambda item: (-item.age, item.subject))[:_NAMED])


def grade(row: Aged) -> Status | None:
    """Where the server is told to let tables grow old, being old is not late, short of the critical age."""
    patient = row.freeze_max_age > (THRESHOLDS.warning or 0)
    if patient and row.age < min(row.freeze_max_age, THRESHOLDS.critical or 0):
        return Status.OK
    return None


def detail(row: Aged) -> str:
    words = [f"{row.age:,} {row.what} old, {row.age / IDS:.0%} of what there is"]
    if row.age > row.freeze_max_age:
        words.append(f"autovacuum should have come at {row.freeze_max_age:,}")
    if row.by_toast:
        words.append("its TOAST table is the oldest part")
    if row.table is not None and row.table.is_temporary:
        words.append("a temporary table, which autovacuum cannot help")
    if row.table is None and not row.allows_connections:
        words.append("allows no connections")
    return ", ".join(words)


def remedy(row: Aged) -> str:
    return f"-- on the primary:\n{_remedy(row)}" if row.on_standby else _remedy(row)


def _remedy(row: Aged) -> str:
    if row.table is not None and row.table.is_temporary:
        return f"-- Only its own session can vacuum {row.subject}: end that session, or drop the table."
    if row.table is not None:
        return f"VACUUM (FREEZE, VERBOSE) {row.subject};"
    if row.is_current:
        worst = row.oldest or ("",)
        return "\n".join(f"VACUUM (FREEZE, VERBOSE){' ' if name else ''}{name};" for name in worst)
    name = Identifier(row.datname).as_string()
    vacuum = f"-- connected to database {name}:\nVACUUM (FREEZE, VERBOSE);"
    if row.allows_connections:
        return vacuum
    return (
        f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true;\n{vacuum}\n"
        f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false;"
    )
