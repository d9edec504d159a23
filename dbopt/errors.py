"""The whole error tree.

    Error                      could not do it: exit 3
      UsageError               the words of the call are off
      ConfigError              a setting cannot be read or makes no sense
      SpecError                a spec file cannot be used; carries every finding, not just the first
      ConnectionFailed         no session on the server: down, refused, authentication, database unknown; `kind` says
      NotPermitted             the role lacks a right; the hint is the GRANT to run
      ServerUnfit              this server cannot serve the command: standby, too old, pooler in between
      AnotherRunner            a second dbopt is at work on this database
      PlanMismatch             a plan file that was made for another database or another state of it
      StoreUnusable            the store of past runs cannot be opened, read or written
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


class UsageError(Error):
    """The words of the call are off."""


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


class Interrupted(Error):
    """SIGINT or SIGTERM came, and what was under way has been cleaned up."""

    def __init__(self, signum: int, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.exit_code = 128 + signum  # the shell's own convention
