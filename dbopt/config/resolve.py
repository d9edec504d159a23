"""From flags, environment and files to Settings: who wins, value by value."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.config import optimizing
from dbopt.config.environment import Flags, Guide, certificates, misspelled, of_libpq, read_guide
from dbopt.config.health import NOTHING_SAID, HealthSection, laid_over
from dbopt.config.retention import AGE_DEFAULT_SECONDS, SIZE_DEFAULT_BYTES
from dbopt.config.values import Setting, Settings, Target
from dbopt.errors import UsageError
from dbopt.postgres import dsn as dsns
from dbopt.spec.words import did_you_mean, quoted
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.config.file import File
    from dbopt.postgres.dsn import Dsn

DEFAULT_SPECS = Path("indexes")
DEFAULT_STATEMENT_TIMEOUT_MS = 30_000  # DB_STATEMENT_TIMEOUT of the guide
DEFAULT_SLOW_THRESHOLD_MS = 500.0  # SLOW_QUERY_THRESHOLD of the guide, in production

_PLACE = frozenset(("host", "hostaddr", "service", "dbname"))  # a PG* variable for one of these names a database
_HINT_TARGETS = "Name one with -t, or all with --all-targets."

Parameters = dict[str, Setting[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All that was said, read and checked; what it comes to is asked for in two parts.

    A command that needs no database must not fail over a DATABASE_URL of another kind, or over several targets.
    """

    flags: Flags
    env: Mapping[str, str]
    cwd: Path
    files: tuple[File, ...]  # the strongest first
    guide: Guide
    libpq: Mapping[str, Setting[str]]

    def settings(self) -> Settings:
        """Raises ConfigError or UsageError for a value that makes no sense."""
        return Settings(
            config_files=tuple(file.path for file in self.files),
            specs=_specs(self.flags, self.env, self.files, self.cwd),
            store=_store(self.env, self.files),
            wait_seconds=optimizing.wait(self.flags, self.env, self.files),
            jobs=optimizing.jobs(self.flags, self.env, self.files),
            max_lag_seconds=optimizing.max_lag(self.flags, self.env, self.files),
            retention_seconds=_retention(self.files, "age", AGE_DEFAULT_SECONDS),
            retention_bytes=_retention(self.files, "size", float(SIZE_DEFAULT_BYTES)),
            slow_threshold_ms=_slow_threshold(self.guide, self.files),
            health=laid_over(file.health for file in reversed(self.files)),
            environment=self.libpq,
            unused=self.guide.unused(),
            warnings=misspelled(self.env),
        )

    def targets(self, *, any_number: bool = False, replicas: bool = False) -> tuple[Target, ...]:
        """The databases that are meant, one unless several were named. `any_number`: where it is open, all of them.
        `replicas`: all targets are these too.
        """
        flags, known = self.flags, self._known()
        if flags.targets or flags.all_targets:
            if flags.name_parts:
                raise UsageError("a target already says where it leads", hint="Use either -t or -h, -p, -U and -d.")
            return tuple(self._of_file(name, known[name]) for name in _chosen(flags, known, replicas=replicas))
        direct = _direct(flags, self.env)
        if direct is not None:
            return (_made(None, *direct, guide=self.guide, libpq=self.libpq),)
        if known and not (_PLACE & self.libpq.keys()):
            if len(known) > 1 and not any_number:
                names = ", ".join(known)
                raise UsageError(
                    "the configuration has several targets", detail=f"targets: {names}", hint=_HINT_TARGETS
                )
            return tuple(self._of_file(name, file) for name, file in known.items())
        return (_made(None, dsns.Dsn({}), "default", {}, guide=self.guide, libpq=self.libpq),)

    def replicas(self, name: str | None) -> tuple[Target, ...]:
        """The targets that are replicas of the one so named."""
        return tuple(
            self._of_file(other, file)
            for other, file in self._known().items()
            if name is not None and file.content.targets[other].replicas_of == name
        )

    def _known(self) -> dict[str, File]:
        """The targets by name, in the order of the files, each with the file whose word counts."""
        known: dict[str, File] = {}
        for file in self.files:
            for name in file.content.targets:
                known.setdefault(name, file)
        return known

    def _of_file(self, name: str, file: File) -> Target:
        origin = file.place("targets", name, "dsn")
        replicas_of = file.content.targets[name].replicas_of
        return _made(
            name,
            file.dsns[name],
            origin,
            {},
            guide=self.guide,
            libpq=self.libpq,
            replicas_of=replicas_of,
            pooler=file.poolers.get(name),
            health=file.health_of[name],
        )


def read(flags: Flags, env: Mapping[str, str], cwd: Path) -> Configuration:
    """Reads the configuration files and checks the variables. Raises ConfigError."""
    files = tuple(_files(flags, env, cwd))
    return Configuration(flags=flags, env=env, cwd=cwd, files=files, guide=read_guide(env), libpq=of_libpq(env))


def target_names() -> list[str]:
    """The targets of the configuration that holds here, for completion. Raises ConfigError."""
    return sorted({name for file in _files(Flags(), os.environ, Path.cwd()) for name in file.content.targets})


def _files(flags: Flags, env: Mapping[str, str], cwd: Path) -> list[File]:
    """The configuration files that hold, the strongest first."""
    named = flags.config or (Path(env["DBOPT_CONFIG"]) if env.get("DBOPT_CONFIG") else None)
    if named is not None:
        paths = {str(named): cwd / named}
    else:
        home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or Path.home()) / ".config")
        user = home / "dbopt" / "config.yaml"
        paths = {"dbopt.yaml": cwd / "dbopt.yaml", str(user): user}
        paths = {shown: path for shown, path in paths.items() if path.exists()}
    if not paths:
        return []
    from dbopt.config.file import read

    return [read(path, env, shown) for shown, path in paths.items()]


def _specs(flags: Flags, env: Mapping[str, str], files: Sequence[File], cwd: Path) -> Setting[tuple[Path, ...]]:
    if flags.specs:
        return Setting(flags.specs, "argument")
    if env.get("DBOPT_SPECS"):
        return Setting((Path(env["DBOPT_SPECS"]),), "DBOPT_SPECS")
    for file in files:
        if file.content.specs is not None:
            # A path of a configuration file is meant from where the file is.
            path = file.path.parent / file.content.specs
            # Short where it can be: what is shown in errors is what people would type.
            return Setting((path.relative_to(cwd) if path.is_relative_to(cwd) else path,), file.place("specs"))
    return Setting((DEFAULT_SPECS,), "default")


def _store(env: Mapping[str, str], files: Sequence[File]) -> Setting[str | None]:
    if env.get("DBOPT_STORE_URL"):
        return Setting(env["DBOPT_STORE_URL"], "DBOPT_STORE_URL")
    for file in files:
        if file.content.store is not None:
            return Setting(file.content.store, file.place("store"))
    return Setting(None, "default")


def _retention(files: Sequence[File], key: str, default: float) -> Setting[float]:
    for file in files:
        value: float | None = getattr(file.content.retention, key)
        if value is not None:
            return Setting(value, file.place("retention", key))
    return Setting(default, "default")


def _slow_threshold(guide: Guide, files: Sequence[File]) -> Setting[float]:
    said = guide.number("SLOW_QUERY_THRESHOLD")
    if said is not None:
        return Setting(float(said.value), said.origin)
    for file in files:
        threshold = file.content.slow_queries.threshold
        if threshold is not None:
            return Setting(threshold * 1000, file.place("slow_queries", "threshold"))
    return Setting(DEFAULT_SLOW_THRESHOLD_MS, "default")


def _chosen(flags: Flags, known: Mapping[str, File], *, replicas: bool) -> list[str]:
    if not known:
        raise UsageError("the configuration has no targets", hint="Add some under targets: in dbopt.yaml.")
    if flags.all_targets:
        # What indexes a replica has, it has from its primary.
        return [name for name, file in known.items() if replicas or file.content.targets[name].replicas_of is None]
    for name in flags.targets:
        if name not in known:
            raise UsageError(
                f"unknown target {quoted(name)}", detail=f"targets: {', '.join(known)}", hint=did_you_mean(name, known)
            )
    return list(dict.fromkeys(flags.targets))


def _direct(flags: Flags, env: Mapping[str, str]) -> tuple[Dsn, str, Parameters] | None:
    """The connection that flags and variables name: the string, its origin, and the flags beside it. None: none."""
    beside = {
        key: Setting(value, flag)
        for key, value, flag in (
            ("host", flags.host, "-h"),
            ("port", _port(flags), "-p"),
            ("user", flags.username, "-U"),
        )
        if value
    }
    if flags.dbname and dsns.is_complete(flags.dbname):
        # As with psql, a connection string given to -d wins over the flags beside it.
        dsn = dsns.translate(flags.dbname, source="the connection string of -d")
        return dsn, "-d", {key: value for key, value in beside.items() if key not in dsn.parameters}
    if flags.dbname:
        beside["dbname"] = Setting(flags.dbname, "-d")
    if not flags.host:  # who names another host does not mean the other server's user and password
        for name in ("DBOPT_DSN", "DATABASE_URL"):
            if env.get(name, "").strip():
                dsn = dsns.translate(env[name], source=name)
                if "user" in beside and beside["user"].value != dsn.parameters.get("user"):
                    dsn = dsns.without(dsn, "password")
                return dsn, name, beside
    return (dsns.Dsn({}), "default", beside) if beside else None


def _port(flags: Flags) -> str | None:
    if flags.port is not None and not all(
        part.isascii() and part.isdecimal() and 0 < int(part) < 65536 for part in flags.port.split(",")
    ):
        raise UsageError(
            "invalid value for -p", detail=f"found {quoted(flags.port)}", hint="A port is a number from 1 to 65535."
        )
    return flags.port


def _made(
    name: str | None,
    dsn: Dsn,
    origin: str,
    beside: Parameters,
    *,
    guide: Guide,
    libpq: Mapping[str, Setting[str]],
    replicas_of: str | None = None,
    pooler: Dsn | None = None,
    health: HealthSection = NOTHING_SAID,
) -> Target:
    """The guide's variables fill what the connection string leaves open."""
    parameters: Parameters = {key: Setting(value, origin) for key, value in dsn.parameters.items()} | beside
    timeout = guide.number("DB_CONNECTION_TIMEOUT")
    if timeout is not None and "connect_timeout" not in parameters and "connect_timeout" not in libpq:
        # libpq counts whole seconds, 0 being none.
        seconds = -(-timeout.value // 1000)
        parameters["connect_timeout"] = Setting(str(seconds), timeout.origin)
    if origin not in ("-d", "DBOPT_DSN"):
        parameters |= _certificates(guide, parameters, libpq)
    statement_timeout = (
        Setting(dsn.statement_timeout_ms, origin)
        if dsn.statement_timeout_ms is not None
        else guide.number("DB_STATEMENT_TIMEOUT", "DB_QUERY_TIMEOUT")
    )
    return Target(
        name=name,
        parameters=parameters,
        statement_timeout_ms=statement_timeout or Setting(DEFAULT_STATEMENT_TIMEOUT_MS, "default"),
        replicas_of=replicas_of,
        pgbouncer=None if pooler is None else {key: Setting(value, origin) for key, value in pooler.parameters.items()},
        health=health,
        notes=dsn.notes,
        warnings=dsn.warnings,
    )


def _certificates(guide: Guide, parameters: Parameters, libpq: Mapping[str, Setting[str]]) -> Parameters:
    given = {key: setting.value for key, setting in {**libpq, **parameters}.items()}
    changed = certificates(given, reject_unauthorized=guide.reject_unauthorized)
    return {key: Setting(value, "DB_SSL_REJECT_UNAUTHORIZED") for key, value in changed.items()}
