"""Why pg_stat_statements cannot be read here, with every step to where it can; and what it hides from this role.

A step is one line to paste into psql. What cannot be pasted is a comment, in words.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from psycopg.rows import class_row
from psycopg.sql import Identifier, Literal

from dbopt.postgres.statement_access import (
    CONFIGURED_LIBRARIES,
    FOREIGN_ENCODINGS,
    HIDDEN_STATEMENTS,
    RESET_OF_ONE,
    STATEMENT_ACCESS,
)
from dbopt.postgres.statement_counters import OLDEST_COUNTED, PLANNING_COUNTED
from dbopt.postgres.statements import EXTENSION
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.postgres.connect import Connection
    from dbopt.postgres.query import Version
    from dbopt.postgres.server import Server
    from dbopt.postgres.statement_access import HiddenStatements, StatementAccess
    from dbopt.postgres.surroundings import Surroundings

FALLBACK = ("--sample", "30s")  # options of `dbopt slow-queries` that do without it

_RELOAD = "SELECT pg_catalog.pg_reload_conf();"
_UPDATE = f"ALTER EXTENSION {EXTENSION} UPDATE;"
_SETTING = "shared_preload_libraries"
_BY_WHOM = "as a superuser; on a managed service, in its group of parameters"
# For whoever may see what we may not. The names stand each by itself: of a list in one pair of quotes, ALTER SYSTEM
# makes one long name, with which no server starts.
_EXTENDED = (
    "SELECT 'ALTER SYSTEM SET shared_preload_libraries = ' || pg_catalog.concat_ws(', ', NULLIF((SELECT f.setting FROM"
    " pg_catalog.pg_file_settings AS f WHERE f.name = 'shared_preload_libraries' ORDER BY f.seqno DESC LIMIT 1), ''),"
    " 'pg_stat_statements') "
)


class Bar(StrEnum):
    NOT_INSTALLED = "not_installed"  # the server's files do not have it
    NOT_LOADED = "not_loaded"
    AWAITS_RESTART = "awaits_restart"  # configured, and not yet loaded
    NOT_CREATED = "not_created"  # in this database
    TOO_OLD = "too_old"
    NO_USAGE = "no_usage"  # of the schema that it was created in
    NO_EXECUTE = "no_execute"  # of its functions
    TRACKS_NOTHING = "tracks_nothing"
    NO_IDS = "no_ids"


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """`bars`: all that is in the way, what one meets first being first; message and detail are about that one. `steps`:
    past all of them, in order.
    """

    bars: tuple[Bar, ...]
    message: str
    detail: str | None
    steps: tuple[str, ...]

    @property
    def stands_still(self) -> bool:
        """It can be read, and counts nothing any more: what it says is from before."""
        return all(bar in (Bar.TRACKS_NOTHING, Bar.NO_IDS) for bar in self.bars)


def look(conn: Connection, server: Server, surroundings: Surroundings) -> Barred | None:
    """None: it can be read, and counts. `conn`: a read-only session in autocommit."""
    [access] = STATEMENT_ACCESS.rows(conn, server.version)
    configured = None
    if surroundings.is_superuser and not _is_loaded(surroundings, access):
        found = CONFIGURED_LIBRARIES.rows(conn, server.version)
        configured = found[0].setting if found else None
    return barred(server, surroundings, access, configured)


def barred(
    server: Server, surroundings: Surroundings, access: StatementAccess, configured: str | None = None
) -> Barred | None:
    """`configured`: shared_preload_libraries as the configuration files have it, where this role may read them."""
    obstacles = list(_obstacles(server, surroundings, access, configured))
    if not obstacles:
        return None
    first = obstacles[0]
    return Barred(
        bars=tuple(item.bar for item in obstacles),
        message=first.message,
        detail=first.detail,
        steps=tuple(dict.fromkeys(step for item in obstacles for step in item.steps)),
    )


def hidden(
    conn: Connection, surroundings: Surroundings, datnames: Sequence[str] | None = None
) -> HiddenStatements | None:
    """What this role may not see of others' statements in these databases, else in this one; None: it sees all."""
    if surroundings.reads_all_stats:
        return None
    schema, version = surroundings.extension(EXTENSION)
    with conn.cursor(row_factory=class_row(HIDDEN_STATEMENTS.row)) as cursor:
        cursor.execute(HIDDEN_STATEMENTS.composed(version, schema), {"datnames": datnames})
        [row] = cursor.fetchall()
    return row if row.entries else None


def lacks(
    server: Server, surroundings: Surroundings, concealed: HiddenStatements | None = None
) -> tuple[tuple[str, str | None], ...]:
    """What cannot be had though it can be read: reason, what to type. `concealed`: what `hidden` has found."""
    found = []
    if concealed is not None:
        share = "" if concealed.share is None else f", {_percent(concealed.share)} of the time,"
        are = "statement of others{} is" if concealed.entries == 1 else "statements of others{} are"
        grant = server.grant("pg_read_all_stats")
        found.append((f"{concealed.entries:,} {are.format(share)} hidden from {server.usename}", grant))
    _, version = surroundings.extension(EXTENSION)
    if version < PLANNING_COUNTED:
        found.append((f"{EXTENSION} {_words(version)} counts neither planning nor WAL", _UPDATE))
    return tuple((reason, _where(server, step)) for reason, step in found)


def untold(conn: Connection, server: Server, surroundings: Surroundings) -> tuple[str, str | None]:
    """Why the server refuses all texts with CharacterNotInRepertoire or UntranslatableCharacter: one is enough, of any
    database, that has no equivalent in this one's encoding. And what to type.
    """
    rows = FOREIGN_ENCODINGS.rows(conn, server.version)
    places = ", ".join(f"{row.datname} ({row.encoding})" for row in rows) or "a database that was dropped"
    schema, version = surroundings.extension(EXTENSION)
    reset = f"SELECT {Identifier(schema).as_string()}.{EXTENSION}_reset"
    step = None
    if rows and version >= RESET_OF_ONE:
        step = " ".join(f"{reset}(0, {row.oid}, 0);" for row in rows) + " -- forgets what was counted there"
    return f"the server cannot convert a text of {places}, and so gives none", step


@dataclass(frozen=True, slots=True)
class _Obstacle:
    bar: Bar
    message: str
    detail: str | None
    steps: tuple[str, ...]


def _obstacles(
    server: Server, surroundings: Surroundings, access: StatementAccess, configured: str | None
) -> Iterator[_Obstacle]:
    if not _is_loaded(surroundings, access):
        yield _not_loaded(server, surroundings, access, configured)
    schema = surroundings.statements_schema
    if schema is None:
        yield _Obstacle(
            Bar.NOT_CREATED,
            f"{EXTENSION} was not created in database {server.dbname}",
            "It is created in each database from which it is to be read; whether another one has it cannot be seen"
            " from here.",
            (_where(server, f"CREATE EXTENSION {EXTENSION};", surroundings, f"in database {server.dbname}"),),
        )
        return
    _, version = surroundings.extension(EXTENSION)
    if version < OLDEST_COUNTED:
        yield _Obstacle(
            Bar.TOO_OLD,
            f"{EXTENSION} {_words(version)} is too old to be read",
            f"Versions from {_words(OLDEST_COUNTED)} on are read; an update of the server leaves the extension as it"
            " was.",
            (_where(server, _UPDATE, surroundings, f"in database {server.dbname}"),),
        )
    if not surroundings.reads_statements:
        name = Identifier(schema).as_string()
        yield _Obstacle(
            Bar.NO_USAGE,
            f"role {server.usename} may not use the schema of {EXTENSION}",
            f"It was created in schema {name}.",
            (_where(server, server.grant(f"USAGE ON SCHEMA {name}"), surroundings),),
        )
    if access.denied:
        yield _Obstacle(
            Bar.NO_EXECUTE,
            f"role {server.usename} may not execute the functions of {EXTENSION}",
            "The right was revoked from PUBLIC: " + ", ".join(access.denied),
            tuple(_where(server, server.grant(f"EXECUTE ON FUNCTION {name}"), surroundings) for name in access.denied),
        )
    yield from _switched_off(server, access)


def _not_loaded(
    server: Server, surroundings: Surroundings, access: StatementAccess, configured: str | None
) -> _Obstacle:
    restart = f"-- then restart PostgreSQL, which ends every session: {_SETTING} is read at its start"
    running = access.libraries
    detail = None if running is None else f"{_SETTING} is {running!r}." if running else f"{_SETTING} is empty."
    if not access.is_offered:
        package = f"-- install PostgreSQL {server.version[0]}'s package of additional modules, postgresql-contrib"
        message = f"{EXTENSION} is not installed on the server"
        return _Obstacle(Bar.NOT_INSTALLED, message, detail, (package, *_load(surroundings, access, running), restart))
    if configured is not None and access.libraries_source != "command line":
        if _names(configured, EXTENSION):
            detail = f"{_SETTING} names it in the configuration, and PostgreSQL was not restarted since."
            return _Obstacle(Bar.AWAITS_RESTART, f"{EXTENSION} is not yet loaded", detail, (restart,))
        running = configured
    elif access.awaits_restart:
        detail = f"{detail or ''} Another value stands in the configuration and awaits a restart.".lstrip()
        running = None
    message = f"{EXTENSION} is not loaded"
    return _Obstacle(Bar.NOT_LOADED, message, detail, (*_load(surroundings, access, running), restart))


def _load(surroundings: Surroundings, access: StatementAccess, running: str | None) -> Iterator[str]:
    """What is there has to stay. `running` None: nobody has told us what that is."""
    if access.libraries_source == "command line":
        yield f"-- add {EXTENSION} to {_SETTING} where it is set, on the server's command line"
    elif not access.alters_system:
        yield f"-- add {EXTENSION} to {_SETTING} where this server's configuration is managed"
    elif running is None:
        yield _EXTENDED + f"/* {_BY_WHOM} */ \\gexec"
    else:
        names = ", ".join(Literal(name).as_string() for name in (*_libraries(running), EXTENSION))
        by_whom = "" if surroundings.is_superuser else f" -- {_BY_WHOM}"
        yield f"ALTER SYSTEM SET {_SETTING} = {names};{by_whom}"


def _switched_off(server: Server, access: StatementAccess) -> Iterator[_Obstacle]:
    """What is set for this role alone says nothing of the others', who are the point."""
    for bar, setting, is_off, source, value, why in (
        (Bar.TRACKS_NOTHING, f"{EXTENSION}.track", access.track == "none", access.track_source, "top", "none"),
        (Bar.NO_IDS, "compute_query_id", not access.computes_ids, access.ids_source, "auto", "off"),
    ):
        if not is_off or source in ("user", "database user", "client", "session"):
            continue
        database = Identifier(server.dbname).as_string()
        steps = {
            "database": (f"ALTER DATABASE {database} RESET {setting};",),
            "global": (f"ALTER ROLE ALL RESET {setting};",),
            "command line": (f"-- set {setting} to {value} where it is set, on the server's command line",),
        }.get(source or "", (f"ALTER SYSTEM SET {setting} = '{value}';", _RELOAD))
        yield _Obstacle(
            bar,
            f"{EXTENSION} counts nothing: {setting} is {why}",
            "What it says is from before that was set.",
            steps,
        )


def _is_loaded(surroundings: Surroundings, access: StatementAccess) -> bool:
    """The libraries tell it surely, where this role may see them."""
    return surroundings.statements_loaded and (access.libraries is None or _names(access.libraries, EXTENSION))


def _names(setting: str, library: str) -> bool:
    """Whether a list of libraries has one, be it with its path."""
    return any(re.sub(r"^.*/|\.\w+$", "", name) == library for name in _libraries(setting))


def _libraries(setting: str) -> list[str]:
    """As the server takes the list apart: by commas, what is in double quotes as it stands."""
    found = re.findall(r'\s*(?:"((?:[^"]|"")*)"|([^,"]+))\s*(?:,|$)', setting)
    return [quoted.replace('""', '"') or plain.strip() for quoted, plain in found if quoted or plain.strip()]


def _where(server: Server, step: str, surroundings: Surroundings | None = None, place: str | None = None) -> str:
    """The step, and in words what is not to be read off it: by whom, and where."""
    words = [place] if place else []
    if surroundings is not None and not surroundings.is_superuser:
        words.append("as a superuser")
    if server.in_recovery:
        words.append("on the primary")
    return f"{step} -- {', '.join(words)}" if words else step


def _words(version: Version) -> str:
    return ".".join(map(str, version))


def _percent(share: float) -> str:
    """Never all or nothing where it is not."""
    return f"{min(99, max(1, round(100 * share))) if 0 < share < 1 else round(100 * share)} %"
