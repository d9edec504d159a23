"""Settings as values. No reading, no opinion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Generic, TypeVar

from dbopt.config import health as sections
from dbopt.config.health import NOTHING_SAID, HealthSection
from dbopt.config.retention import NONE
from dbopt.postgres.dsn import conninfo
from dbopt.units import format_bytes
from dbopt.values import dataclass

T = TypeVar("T")

MASK = "********"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value, and where it came from in words for people: `-d`, `DATABASE_URL`, `dbopt.yaml:3`, `default`."""

    value: T
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One database. `parameters` are libpq's; what they leave out is libpq's to find: PG*, service, password file."""

    name: str | None
    parameters: Mapping[str, Setting[str]]
    statement_timeout_ms: Setting[int]
    replicas_of: str | None = None
    pgbouncer: Mapping[str, Setting[str]] | None = None  # as `parameters`, of the pooler before it
    health: HealthSection = NOTHING_SAID  # its own, to be laid over the general one
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def conninfo(self) -> str:
        return conninfo({key: setting.value for key, setting in self.parameters.items()})

    @property
    def pgbouncer_conninfo(self) -> str | None:
        if self.pgbouncer is None:
            return None
        return conninfo({key: setting.value for key, setting in self.pgbouncer.items()})

    @property
    def every_parameter(self) -> Iterator[tuple[str, Setting[str]]]:
        """The pooler's too."""
        yield from self.parameters.items()
        yield from (self.pgbouncer or {}).items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a call is made with. `unused` are settings that this command has no use for, with the reason."""

    config_files: tuple[Path, ...]
    specs: Setting[tuple[Path, ...]]
    store: Setting[str | None]
    wait_seconds: Setting[float]
    jobs: Setting[int]
    max_lag_seconds: Setting[float | None]
    slow_threshold_ms: Setting[float]  # a statement that takes longer on average is slow
    retention_seconds: Setting[float]  # infinite: without limit, as the next one
    retention_bytes: Setting[float]
    health: HealthSection = NOTHING_SAID
    environment: Mapping[str, Setting[str]] = field(default_factory=dict)  # libpq's own, by parameter
    unused: Mapping[str, tuple[Setting[object], str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def secrets(self, targets: Sequence[Target] = ()) -> frozenset[str]:
        """What must never be shown. A password that is also the name of a role or database hides no name."""
        secrets = {setting.value for key, setting in self.environment.items() if is_secret(key)}
        secrets.add(_password(self.store.value or ""))
        plain = {setting.value for key, setting in self.environment.items() if not is_secret(key)}
        for target in targets:
            secrets |= {setting.value for key, setting in target.every_parameter if is_secret(key)}
            plain |= {setting.value for key, setting in target.every_parameter if not is_secret(key)}
        return frozenset(secrets - plain - {""})


def rows(settings: Settings, targets: Sequence[Target]) -> Iterator[tuple[str, object, str]]:
    """(name, value, origin) of each setting, secrets masked."""
    if settings.config_files:
        yield "config", ", ".join(map(str, settings.config_files)), "files read"
    yield "specs", ", ".join(map(str, settings.specs.value)), settings.specs.origin
    store = settings.store.value
    yield "store", _without_password(store) if store else "default file", settings.store.origin
    yield "retention.age", _age(settings.retention_seconds.value), settings.retention_seconds.origin
    yield "retention.size", _size(settings.retention_bytes.value), settings.retention_bytes.origin
    yield "optimize.wait", f"{settings.wait_seconds.value:g}s", settings.wait_seconds.origin
    yield "optimize.jobs", settings.jobs.value, settings.jobs.origin
    lag = settings.max_lag_seconds
    yield "optimize.max_lag", "unlimited" if lag.value is None else f"{lag.value:g}s", lag.origin
    yield "slow_queries.threshold", f"{settings.slow_threshold_ms.value:g}ms", settings.slow_threshold_ms.origin
    if settings.health.fail_on is None:
        yield "health.fail_on", "warning", "default"
    yield from sections.rows(settings.health)
    for target in targets:
        prefix = f"targets.{target.name}." if target.name else ""
        parameters = {**settings.environment, **target.parameters}
        for key, setting in sorted(parameters.items()):
            yield prefix + key, MASK if is_secret(key) else setting.value, setting.origin
        for key, value in _LIBPQ_DEFAULTS.items():
            if key not in parameters and "service" not in parameters:
                yield prefix + key, value, "default of libpq"
        timeout = target.statement_timeout_ms
        yield prefix + "statement_timeout", f"{timeout.value}ms", timeout.origin
        for key, setting in sorted((target.pgbouncer or {}).items()):
            yield f"{prefix}pgbouncer.{key}", MASK if is_secret(key) else setting.value, setting.origin
        if target.replicas_of:
            yield prefix + "replicas_of", target.replicas_of, "configuration"
        yield from sections.rows(target.health, prefix)
    for name, (unused, why) in settings.unused.items():
        yield name, unused.value, f"{unused.origin}; not used by dbopt's commands: {why}"


def _age(seconds: float) -> str:
    return f"{seconds / 86400:g}d" if math.isfinite(seconds) else NONE


def _size(size_bytes: float) -> str:
    return format_bytes(size_bytes) if math.isfinite(size_bytes) else NONE


_LIBPQ_DEFAULTS = {"host": "local socket", "port": "5432", "user": "name of the system user", "dbname": "same as user"}
_SECRETS = frozenset(("password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"))


def is_secret(key: str) -> bool:
    return key in _SECRETS


def _password(url: str) -> str:
    """The password inside a URL, as it is written there; empty: none. The last @ counts, as a path has none."""
    userinfo, _, _ = url.partition("://")[2].rpartition("@")
    return userinfo.partition(":")[2]


def _without_password(url: str) -> str:
    password = _password(url)
    return url.replace(f":{password}@", f":{MASK}@") if password else url
