"""The whole error tree.

    Error                      could not do it: exit 3
      UsageError               the words of the call are off
        BadRow                 a row of an input that cannot be written; says which, and never what is in it
      ConfigError              a setting cannot be read or makes no sense
      SpecError                a spec file cannot be used; carries every finding, not just the first
      ConnectionFailed         no session on the server: down, refused, authentication, database unknown; `kind` says
      NotPermitted             the role lacks a right; the hint is the GRANT to run
      ServerUnfit              this server cannot serve the command: standby, too old, pooler in between
      AnotherRunner            a second dbopt is at work on this database
      PlanMismatch             a plan file that was made for another database or another state of it
      StoreUnusable            the store of past runs cannot be opened, read or written
      ClientError              of dbopt.client, inside an application
        PoolExhausted          no connection became free in time; says who holds them
        ConnectionLost         the server, or the session on it, ended in the middle of the work
        ReadOnlyServer         a write on a replica, or where the session may only read
        Forked                 what a parent process had open, used in its child
        Closed                 a Database that was closed before
        InvalidCursor          a page's cursor that was changed, or is of another query
        NoUniqueKey            a table without the key that the operation needs
        RowsMissing            ids that have no row, where each had to have one
    Interrupted                SIGINT or SIGTERM, after cleaning up: exit 130 or 143

Texts are in PostgreSQL's own form (manual, "Error Message Style Guide"): the message is one factual line in
lower case without a full stop; detail holds facts; hint is a full sentence or a command to paste.
Only `dbopt.cli.main` turns an error into text and an exit code.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.spec.finding import Finding

EXIT_DONE = 0
EXIT_ATTENTION = 1  # done, and something wants attention
EXIT_CRITICAL = 2  # health only
EXIT_FAILED = 3  # could not do it


class Error(Exception):
    """What happened (`message`), why (`detail`), what to type (`hint`)."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        for word, text in (("detail", detail), ("hint", hint)):  # for who reads a traceback
            if text:
                self.add_note(f"{word}: {text}")


class UsageError(Error):
    """The words of the call are off."""


class BadRow(UsageError):
    """A row of an input that cannot be written: `row` counts from 0, `column` is None where it is not about one."""

    def __init__(self, message: str, *, row: int, column: str | None = None, hint: str | None = None) -> None:
        where = f"row {row} of the input, counted from 0"
        super().__init__(message, detail=where + (f", column {column}" if column else ""), hint=hint)
        self.row = row
        self.column = column


class ConfigError(Error):
    """A setting cannot be read or makes no sense."""


class SpecError(Error):
    """A spec file cannot be used. `findings` holds every reason, with file, line and column."""

    def __init__(
        self, message: str, *, findings: Sequence[Finding] = (), detail: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.findings = tuple(findings)


class NoSession(StrEnum):
    """Why there is no session."""

    NO_SLOT = "no_slot"  # of the server, the database, the role or the pooler
    DOWN = "down"  # nothing listens there
    STARTING = "starting"  # or recovering: not yet accepting sessions
    STOPPING = "stopping"
    TIMEOUT = "timeout"
    AUTHENTICATION = "authentication"  # or not allowed to connect
    UNKNOWN_DATABASE = "unknown_database"
    UNKNOWN_ROLE = "unknown_role"
    NAME_RESOLUTION = "name_resolution"
    TLS = "tls"
    SETTINGS = "settings"  # the connection options make no sense, there or here
    LOST = "lost"  # in the middle of the work, and the server answers again
    OTHER = "other"


class ConnectionFailed(Error):
    """No session on the server."""

    def __init__(
        self,
        message: str,
        *,
        kind: NoSession = NoSession.OTHER,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.kind = kind


class NotPermitted(Error):
    """The role lacks a right."""


class ServerUnfit(Error):
    """This server cannot serve the command."""


class AnotherRunner(Error):
    """A second dbopt is at work on this database."""


class PlanMismatch(Error):
    """A plan file made for another database, or for another state of this one."""


class StoreUnusable(Error):
    """The store of past runs cannot be opened, read or written."""


class ClientError(Error):
    """Of dbopt.client, inside an application."""


class PoolExhausted(ClientError):
    """No connection became free in time; the detail says who holds them, for how long and what for."""


class ConnectionLost(ClientError):
    """The server, or the session on it, ended in the middle of the work: nothing of the open transaction remains, or,
    if it ended while committing, nobody can tell (the detail says so).
    """


class ReadOnlyServer(ClientError):
    """A write on a replica, or in a session that may only read."""


class Forked(ClientError):
    """What a parent process had open, used in its child."""


class Closed(ClientError):
    """A Database that was closed before."""


class InvalidCursor(ClientError):
    """A page's cursor that was changed, was signed with another secret, or is of another query."""


class NoUniqueKey(ClientError):
    """A table without the key that the operation needs."""


class RowsMissing(ClientError):
    """Ids that have no row, where each had to have one: `missing`, which the texts do not show."""

    def __init__(self, message: str, *, missing: Sequence[object]) -> None:
        super().__init__(message)
        self.missing = missing


class Interrupted(Error):
    """SIGINT or SIGTERM came, and what was under way has been cleaned up."""

    def __init__(self, signum: int, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.exit_code = 128 + signum  # the shell's own convention
