"""What a command has in hand: its settings, its output, and connections to its targets."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt import config
from dbopt.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbopt.cli.messages import Messages
    from dbopt.cli.options import Shared
    from dbopt.config import Configuration, Settings, Target
    from dbopt.postgres.connect import Connection
    from dbopt.postgres.server import Server
    from dbopt.store.retention import Policy


class Session:
    """One call of one command. Settings are read when they are first asked for."""

    def __init__(
        self,
        command: str,
        shared: Shared,
        messages: Messages,
        *,
        specs: Sequence[Path] | None = None,
        wait: str | None = None,
        jobs: str | None = None,
        max_lag: str | None = None,
    ) -> None:
        self.command = command
        self.shared = shared
        self.messages = messages
        self.role = ""  # ours on the server, once there was a session
        self._specs = tuple(specs or ())
        self._wait, self._jobs, self._max_lag = wait, jobs, max_lag
        if shared.verbose and shared.quiet:
            raise UsageError("-v and -q contradict each other", hint="Use one of them.")
        messages.set_verbosity(-1 if shared.quiet else shared.verbose)
        self.output = messages.detect(shared.format, color=not shared.no_color, quiet=shared.quiet)

    @cached_property
    def _configuration(self) -> Configuration:
        shared = self.shared
        flags = config.Flags(
            host=shared.host,
            port=shared.port,
            username=shared.username,
            dbname=shared.dbname,
            targets=tuple(shared.target or ()),
            all_targets=shared.all_targets,
            config=shared.config,
            specs=self._specs,
            wait=self._wait,
            jobs=self._jobs,
            max_lag=self._max_lag,
        )
        return config.read(flags, os.environ, Path.cwd())

    @cached_property
    def settings(self) -> Settings:
        settings = self._configuration.settings()
        self.messages.stream.add_secrets(settings.secrets())
        for warning in settings.warnings:
            self.messages.warn(warning)
        return settings

    @property
    def retention(self) -> Policy:
        """How long and how much the store keeps."""
        from dbopt.store.retention import Policy

        return Policy(self.settings.retention_seconds.value, self.settings.retention_bytes.value)

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The databases to work on."""
        return self._known(self._configuration.targets())

    @cached_property
    def targets_with_replicas(self) -> tuple[Target, ...]:
        """The databases to look at: --all-targets are the replicas too."""
        return self._known(self._configuration.targets(replicas=True))

    def replicas(self, target: Target) -> tuple[Target, ...]:
        """Those that the configuration has of a target."""
        return self._known(self._configuration.replicas(target.name))

    def _known(self, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        """The same, their secrets never to be shown and their remarks said."""
        self.messages.stream.add_secrets(self.settings.secrets(targets))
        for target in targets:
            for warning in target.warnings:
                self.messages.warn(warning)
            for note in target.notes:
                self.messages.note(note)
        return targets

    @property
    def target(self) -> Target:
        """For a command that works on one database."""
        if len(self.targets) > 1:
            raise UsageError(f"{self.command} works on one target here", hint="Name one with -t.")
        return self.targets[0]

    def connector(self, target: Target) -> functools.partial[Connection]:
        """Opens sessions on the target in the name of this command."""
        from dbopt.postgres.connect import connect

        return functools.partial(connect, target.conninfo, command=self.command)

    def bare_connector(self, target: Target) -> functools.partial[Connection]:
        """The same, in a given time, for transactions that bring their own manners."""
        from dbopt.postgres.connect import connect_by

        return functools.partial(connect_by, target.conninfo, command=self.command)

    @contextlib.contextmanager
    def reading(self, target: Target) -> Iterator[tuple[Connection, Server]]:
        """A read-only session, and what its server is."""
        from dbopt.postgres.connect import LOCK_TIMEOUT_MS
        from dbopt.postgres.server import inspect

        timeout = target.statement_timeout_ms.value
        connect = self.connector(target)
        with contextlib.closing(
            connect(read_only=True, statement_timeout_ms=timeout, lock_timeout_ms=LOCK_TIMEOUT_MS)
        ) as conn:
            server = inspect(conn)
            self.role = server.usename
            yield conn, server

    def call(self, command: str, *options: str, specs: bool = True, target: str | None = None) -> str:
        """A command on the same database with the same settings, as it can be pasted. A password in -d is left out.
        `target`: on that one of several.
        """
        shared = self.shared if target is None else replace(self.shared, target=[target], all_targets=False)
        words = ["dbopt", command, *(map(str, self._specs) if specs else ())]
        for flag, value in (("-h", shared.host), ("-p", shared.port), ("-U", shared.username), ("-d", shared.dbname)):
            words += [flag, without_password(value)] if value else []
        for name in shared.target or ():
            words += ["-t", name]
        words += ["--all-targets"] if shared.all_targets else []
        words += ["-c", str(shared.config)] if shared.config else []
        return shlex.join([*words, *options])

    def print_config(self) -> int:
        """--show-config."""
        from dbopt.render.config import write_config

        targets = self._known(self._configuration.targets(any_number=True))
        self._check_health(targets)
        write_config(self.output, config.rows(self.settings, targets))
        return EXIT_DONE

    def _check_health(self, targets: tuple[Target, ...]) -> None:
        """What `health:` says is held against the checks by health itself, and here; no other command loads them."""
        for target in targets:
            section = config.laid_over([self.settings.health, target.health])
            if section:
                from dbopt.health.overrides import resolve

                resolve(section)


def without_password(dbname: str) -> str:
    """A connection string for people to paste: its password comes from ~/.pgpass or PGPASSWORD then."""
    from dbopt.postgres import dsn

    if not dsn.is_complete(dbname):
        return dbname
    parsed = dsn.translate(dbname)
    return dsn.without(parsed, "password").conninfo if "password" in parsed.parameters else dbname
