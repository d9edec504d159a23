"""Settings as a new session would get them, and what the files they come from say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_BASE_UNITS = {"B": 1.0, "kB": 1024.0, "MB": 1024.0**2, "GB": 1024.0**3, "ms": 1e-3, "s": 1.0, "min": 60.0}


@dataclass(frozen=True, slots=True)
class Setting:
    """`value` is what RESET would give: our own session sets some for itself. `owners` have a value of their own, each
    the one of `owned`; they are written as ALTER takes them: `ROLE app IN DATABASE shop`.
    """

    name: str
    value: str
    unit: str | None
    source: str
    context: str
    pending_restart: bool
    owners: list[str]
    owned: list[str]

    @property
    def is_on(self) -> bool:
        return self.value == "on"

    @property
    def amount(self) -> float:
        """In bytes or seconds where it has a unit; -1 stays -1, as it always means something special."""
        number = float(self.value)
        unit = re.fullmatch(r"(\d*)(\w+)", self.unit or "")  # 8kB: a page
        if number == -1 or unit is None:
            return number
        return number * float(unit[1] or 1) * _BASE_UNITS[unit[2]]


SETTINGS = Query(
    "settings",
    Setting,
    {
        (13,): """
        /* dbopt: settings that health looks at, and all that wait for a restart */
        SELECT s.name, s.reset_val AS value, s.unit, s.source, s.context, s.pending_restart,
               COALESCE(o.owners, '{}') AS owners, COALESCE(o.owned, '{}') AS owned
          FROM pg_catalog.pg_settings AS s
          LEFT JOIN (SELECT c.name, pg_catalog.array_agg(c.owner ORDER BY c.owner) AS owners,
                            pg_catalog.array_agg(c.value ORDER BY c.owner) AS owned
                       FROM (SELECT pg_catalog.split_part(e.entry, '=', 1) AS name,
                                    pg_catalog.substr(e.entry, pg_catalog.strpos(e.entry, '=') + 1) AS value,
                                    CASE WHEN x.setrole = 0 AND x.setdatabase <> 0
                                         THEN 'DATABASE ' || pg_catalog.quote_ident(d.datname)
                                         ELSE 'ROLE ' || COALESCE(pg_catalog.quote_ident(r.rolname), 'ALL')
                                              || COALESCE(' IN DATABASE ' || pg_catalog.quote_ident(d.datname), '')
                                          END AS owner
                               FROM pg_catalog.pg_db_role_setting AS x
                              CROSS JOIN LATERAL pg_catalog.unnest(x.setconfig) AS e(entry)
                               LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = x.setrole
                               LEFT JOIN pg_catalog.pg_database AS d ON d.oid = x.setdatabase) AS c
                      GROUP BY c.name) AS o ON o.name = s.name
         WHERE s.pending_restart
            OR s.name IN ('archive_command', 'archive_library', 'archive_mode', 'autovacuum', 'autovacuum_max_workers',
                          'autovacuum_work_mem', 'checkpoint_warning', 'data_checksums', 'fsync', 'full_page_writes',
                          'hash_mem_multiplier', 'idle_in_transaction_session_timeout', 'ignore_checksum_failure',
                          'ignore_invalid_pages', 'lock_timeout', 'log_autovacuum_min_duration', 'log_checkpoints',
                          'log_lock_waits', 'log_temp_files', 'maintenance_work_mem', 'max_connections',
                          'max_slot_wal_keep_size', 'max_wal_size', 'primary_conninfo', 'recovery_min_apply_delay',
                          'restore_command', 'shared_buffers', 'statement_timeout', 'synchronous_commit',
                          'synchronous_standby_names', 'track_counts', 'transaction_timeout', 'wal_segment_size',
                          'work_mem', 'zero_damaged_pages')
         ORDER BY s.name
        """
    },
)


def by_name(settings: Iterable[Setting]) -> dict[str, Setting]:
    """A setting that this version lacks, or that this role may not see, is not among them."""
    return {setting.name: setting for setting in settings}


@dataclass(frozen=True, slots=True)
class ServerFile:
    """The server's memory, and a line of its configuration that it cannot use; `error` is None where there is none."""

    memory_bytes: int | None  # of the machine, or of the container it runs in; None: not Linux
    file: str | None
    line: int | None
    name: str | None
    error: str | None


# Both halves are for superusers: https://www.postgresql.org/docs/current/view-pg-file-settings.html
_MEMORY = r"""
        /* dbopt: the memory of the server's machine, and errors in its configuration files */
        WITH memory AS MATERIALIZED (
               SELECT LEAST(pg_catalog.substring(pg_catalog.pg_read_file('/proc/meminfo', 0, 4096, true),
                                                 'MemTotal:\s+(\d+) kB')::int8 * 1024,
                            pg_catalog.substring(pg_catalog.pg_read_file('/sys/fs/cgroup/memory.max', 0, 64, true),
                                                 '^\d+')::int8,
                            pg_catalog.substring(
                              pg_catalog.pg_read_file('/sys/fs/cgroup/memory/memory.limit_in_bytes', 0, 64, true),
                              '^\d+')::int8) AS bytes),
"""
_RULES_OF_ONE_FILE = """
             rules AS (
               SELECT pg_catalog.current_setting('hba_file') AS file, h.line_number, h.error
                 FROM pg_catalog.pg_hba_file_rules AS h),
"""
_RULES_OF_FILES = """
             rules AS (
               SELECT h.file_name AS file, h.line_number, h.error
                 FROM pg_catalog.pg_hba_file_rules AS h),
"""
_ERRORS = """
             wrong AS (
               SELECT f.sourcefile AS file, f.sourceline AS line, f.name, f.error
                 FROM pg_catalog.pg_file_settings AS f
                WHERE f.error IS NOT NULL
                  -- A new value that waits for a restart counts as one that cannot be applied.
                  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_settings AS s
                                   WHERE s.name = f.name AND s.pending_restart)
                UNION ALL
               SELECT r.file, r.line_number, NULL, r.error
                 FROM rules AS r
                WHERE r.error IS NOT NULL)
        SELECT m.bytes AS memory_bytes, w.file, w.line, w.name, w.error
          FROM memory AS m
          LEFT JOIN wrong AS w ON true
         ORDER BY w.file, w.line, w.name
"""

SERVER_FILES = Query(
    "server-files",
    ServerFile,
    {(13,): _MEMORY + _RULES_OF_ONE_FILE + _ERRORS, (16,): _MEMORY + _RULES_OF_FILES + _ERRORS},
)
