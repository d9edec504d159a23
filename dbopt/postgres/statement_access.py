"""What stands between this session and pg_stat_statements, and what the latter hides from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.postgres.query import Query
from dbopt.postgres.statement_counters import OLDEST_COUNTED, PLANNING_COUNTED
from dbopt.postgres.statements import EXTENSION
from dbopt.values import dataclass

if TYPE_CHECKING:
    from typing import LiteralString

    from dbopt.postgres.query import Version


@dataclass(frozen=True, slots=True)
class StatementAccess:
    """A row of STATEMENT_ACCESS. `*_source` as pg_settings has it; None where that did not have to be asked."""

    libraries: str | None  # shared_preload_libraries of the running server; None: hidden from this role
    libraries_source: str | None
    awaits_restart: bool | None  # another shared_preload_libraries stands in the configuration; None: hidden
    alters_system: bool  # 17+: somebody else manages the configuration where not
    is_offered: bool  # the server's files have the extension; not asked where it is loaded and created
    track: str | None
    track_source: str | None
    computes_ids: bool
    ids_source: str | None
    denied: list[str]  # its functions that this role may not execute, as GRANT takes them


_ACCESS: LiteralString = """
        /* dbopt: what stands in the way of pg_stat_statements */
        SELECT CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
                    THEN pg_catalog.current_setting('shared_preload_libraries') END AS libraries,
               CASE WHEN NOT here.loaded THEN (SELECT s.source FROM pg_catalog.pg_settings AS s
                                              WHERE s.name = 'shared_preload_libraries') END AS libraries_source,
               CASE WHEN NOT here.loaded THEN (SELECT s.pending_restart FROM pg_catalog.pg_settings AS s
                                              WHERE s.name = 'shared_preload_libraries') END AS awaits_restart,
               COALESCE(pg_catalog.current_setting('allow_alter_system', true), 'on') = 'on' AS alters_system,
               -- All settings, and the folder of extensions, are read only where something is amiss.
               CASE WHEN here.loaded AND here.created THEN true
                    ELSE EXISTS (SELECT 1 FROM pg_catalog.pg_available_extensions AS a
                                  WHERE a.name = 'pg_stat_statements') END AS is_offered,
               here.track,
               CASE WHEN here.track = 'none' THEN (SELECT s.source FROM pg_catalog.pg_settings AS s
                                                  WHERE s.name = 'pg_stat_statements.track') END AS track_source,
"""
_IDS_13: LiteralString = "true AS computes_ids, NULL AS ids_source,"
_IDS_14: LiteralString = """
               -- Where it is off, another module may compute them.
               here.ids <> 'off' OR (SELECT a.query_id FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())
                                       AS a) IS NOT NULL AS computes_ids,
               CASE WHEN here.ids = 'off' THEN (SELECT s.source FROM pg_catalog.pg_settings AS s
                                               WHERE s.name = 'compute_query_id') END AS ids_source,
        """
_ACCESS_FROM: LiteralString = """
               ARRAY(SELECT pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                                              pg_catalog.oidvectortypes(p.proargtypes))
                       FROM pg_catalog.pg_extension AS e
                       JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
                       JOIN pg_catalog.pg_proc AS p ON p.pronamespace = e.extnamespace
                        AND p.proname IN ('pg_stat_statements', 'pg_stat_statements_info')
                      WHERE e.extname = 'pg_stat_statements'
                        AND NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
                      ORDER BY p.proname) AS denied
          FROM (SELECT pg_catalog.current_setting('pg_stat_statements.save', true) IS NOT NULL AS loaded,
                       pg_catalog.current_setting('pg_stat_statements.track', true) AS track,
                       pg_catalog.current_setting('compute_query_id', true) AS ids,
                       EXISTS (SELECT 1 FROM pg_catalog.pg_extension AS e
                                WHERE e.extname = 'pg_stat_statements') AS created) AS here
"""

# Sent without parameters: by the extended protocol, some servers do not show a statement's id.
STATEMENT_ACCESS = Query(
    "statement-access",
    StatementAccess,
    {
        (13,): _ACCESS + _IDS_13 + _ACCESS_FROM,
        (14,): _ACCESS + _IDS_14 + _ACCESS_FROM,
    },
)


@dataclass(frozen=True, slots=True)
class ConfiguredLibraries:
    """What shared_preload_libraries will be after the next start, as far as the configuration files say."""

    setting: str


# Superusers may ask. What is not yet applied is an error to this view.
CONFIGURED_LIBRARIES = Query(
    "configured-libraries",
    ConfiguredLibraries,
    {
        (13,): """
        /* dbopt: shared_preload_libraries as the configuration files have it */
        SELECT f.setting
          FROM pg_catalog.pg_file_settings AS f
         WHERE f.name = 'shared_preload_libraries' AND f.setting IS NOT NULL
         ORDER BY f.seqno DESC
         LIMIT 1
        """
    },
)


@dataclass(frozen=True, slots=True)
class HiddenStatements:
    """What this role may not see of others' statements: what they are. How often and how long they ran, it may."""

    entries: int
    calls: int
    total_exec_time_ms: float
    whole_exec_time_ms: float  # of all, those that it sees among them

    @property
    def share(self) -> float | None:
        """Of the time of all, 0..1."""
        return self.total_exec_time_ms / self.whole_exec_time_ms if self.whole_exec_time_ms > 0 else None


_HIDDEN: LiteralString = """
        /* dbopt: what is hidden of others' statements */
        SELECT pg_catalog.count(*) FILTER (WHERE s.queryid IS NULL) AS entries,
               COALESCE(pg_catalog.sum(s.calls) FILTER (WHERE s.queryid IS NULL), 0)::int8 AS calls,
"""
_HIDDEN_FROM: LiteralString = """
          FROM {schema}.pg_stat_statements(false) AS s
          JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
         WHERE d.datname = ANY (COALESCE(%(datnames)s::text[], ARRAY[pg_catalog.current_database()::text]))
"""

# Of the databases named, or with NULL of this one. What functions ran is part of the statement that called them.
HIDDEN_STATEMENTS = Query(
    "hidden-statements",
    HiddenStatements,
    {
        OLDEST_COUNTED: _HIDDEN
        + """
               COALESCE(pg_catalog.sum(s.total_time) FILTER (WHERE s.queryid IS NULL), 0)::float8
                   AS total_exec_time_ms,
               COALESCE(pg_catalog.sum(s.total_time), 0)::float8 AS whole_exec_time_ms
        """
        + _HIDDEN_FROM,
        PLANNING_COUNTED: _HIDDEN
        + """
               COALESCE(pg_catalog.sum(s.total_exec_time) FILTER (WHERE s.queryid IS NULL), 0)::float8
                   AS total_exec_time_ms,
               COALESCE(pg_catalog.sum(s.total_exec_time), 0)::float8 AS whole_exec_time_ms
        """
        + _HIDDEN_FROM,
        (1, 9): _HIDDEN
        + """
               COALESCE(pg_catalog.sum(s.total_exec_time) FILTER (WHERE s.queryid IS NULL AND s.toplevel), 0)::float8
                   AS total_exec_time_ms,
               COALESCE(pg_catalog.sum(s.total_exec_time) FILTER (WHERE s.toplevel), 0)::float8 AS whole_exec_time_ms
        """
        + _HIDDEN_FROM,
    },
    example={"datnames": None},
    extension=EXTENSION,
)


RESET_OF_ONE: Version = (1, 7)  # of one user, database or statement


@dataclass(frozen=True, slots=True)
class ForeignEncoding:
    oid: int
    datname: str
    encoding: str


FOREIGN_ENCODINGS = Query(
    "foreign-encodings",
    ForeignEncoding,
    {
        (13,): """
        /* dbopt: databases in another encoding than this one's */
        SELECT d.oid::int8 AS oid, d.datname::text AS datname,
               pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding
          FROM pg_catalog.pg_database AS d
         WHERE d.encoding <> (SELECT h.encoding FROM pg_catalog.pg_database AS h
                               WHERE h.datname = pg_catalog.current_database())
         ORDER BY d.datname
        """
    },
)
