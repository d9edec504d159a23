"""What a Database is made with, and what each setting becomes: SQLAlchemy's, psycopg's, libpq's or the server's own.

A setting comes from a keyword, else a variable, else the URL, else its default, which is what the guide has for
production. `FIELDS` is the table of them, from which the documentation is made. What is unknown, or makes no sense, is
an error.
"""

from __future__ import annotations

import difflib
import logging
import math
import os
import re
import sys
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbopt.client import pool_urls
from dbopt.client.setting_fields import FIELDS, MOST, Field
from dbopt.config.environment import GUIDE, OURS, certificates, of_libpq, read_guide
from dbopt.errors import ConfigError, UsageError
from dbopt.postgres import dsn as dsns
from dbopt.units import format_bytes, parse_bytes
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa

logger = logging.getLogger("dbopt.client")

MIB = 1024 * 1024
# Of the time in which a vanished server has to be noticed: half of it quiet, the rest in as many questions.
_KEEPALIVES = 4
# As names that are published (dbopt/store/clients.py) have to be.
_APPLICATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}")


_FIELDS: Mapping[str, Field] = {each.name: each for each in FIELDS}


def program() -> str:
    """Of this process, as an application's name."""
    path = Path(sys.argv[0] if sys.argv else "")
    name = path.parent.name if path.stem == "__main__" else path.stem
    return _as_application(name) if name and name not in ("-c", "-m") else "python"


def _as_application(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._:@-]+", "-", name).lstrip("._:@-")[:100] or "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`conninfo` is libpq's; what it leaves out comes from PG* variables, as with psql. Raises ConfigError for a value
    that makes no sense.
    """

    conninfo: str = field(default="", repr=False)
    application: str = field(default_factory=program)
    max_connections: int = 30
    min_connections: int = 5
    connect_timeout_ms: int = 10_000
    acquire_timeout_ms: int = 30_000
    idle_timeout_ms: int = 60_000
    statement_timeout_ms: int | None = 30_000
    query_timeout_ms: int = 30_000
    reject_unauthorized: bool | None = None
    slow_threshold_ms: float = 500
    prepared_statements: bool | None = None
    pooler: bool | None = None
    recycle_seconds: int = 1_800
    pre_ping: bool = True
    cache_entries: int = 10_000
    cache_bytes: int = 64 * MIB
    cache_url: str | None = field(default=None, repr=False)
    cache_notify: bool = False
    schema_version: str | None = None
    cursor_secrets: tuple[str, ...] = field(default=(), repr=False)
    store_url: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for each in FIELDS:
            _check(each, getattr(self, each.name))
        if self.min_connections > self.max_connections:
            raise ConfigError(
                "min_connections is greater than max_connections",
                detail=f"min_connections (DB_MIN_CONNECTIONS) is {self.min_connections} connections,"
                f" max_connections (DB_MAX_CONNECTIONS) is {self.max_connections}",
                hint="Raise max_connections, or lower min_connections.",
            )
        if not _APPLICATION.fullmatch(self.application):
            raise ConfigError(
                "invalid value for application (DBOPT_APPLICATION)",
                detail=f"found {self.application[:120]!r}",
                hint="Use letters, digits and . _ : @ -, a letter or digit first, 100 characters at the most.",
            )

    @classmethod
    def of(cls, url: str | sa.URL | None = None, **overrides: Any) -> Settings:
        """Of a connection string, whoever it was written for. Raises ConfigError, UsageError for an unknown name."""
        source = "the connection string"
        return _made(_translated(url, source), source, os.environ, {}, overrides)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Of DATABASE_URL and the other variables. `env`: instead of the process's own. Raises ConfigError naming the
        variable, its unit and what is valid, and UsageError for an unknown name.
        """
        env = os.environ if env is None else env
        _look_for_misspelled(env)
        dsn = _translated(env.get("DATABASE_URL", "").strip() or None, "DATABASE_URL")
        settings = _made(dsn, "DATABASE_URL", env, _of_variables(env), overrides)
        if env is not os.environ:  # what libpq finds there, it does not find elsewhere
            beside = {key: setting.value for key, setting in of_libpq(env).items()}
            for name in ("application_name", "connect_timeout"):  # read above
                beside.pop(name, None)
            conninfo = dsns.conninfo({**beside, **dsns.translate(settings.conninfo).parameters})
            settings = changed(settings, conninfo=conninfo)
        return settings

    def parameters(self) -> dict[str, str]:
        """All of libpq's parameters, for any connection of this application. What `conninfo` says itself stays."""
        given = dsns.translate(self.conninfo).parameters
        environment = {key: setting.value for key, setting in of_libpq(os.environ).items()}
        made = {
            "application_name": self.application,
            "connect_timeout": str(-(-self.connect_timeout_ms // 1000)),
            **(_keepalives(self.query_timeout_ms) if self.query_timeout_ms else {}),
        }
        trust = certificates({**environment, **given}, reject_unauthorized=self.reject_unauthorized)
        return {**made, **given, **trust}


_DEFAULTS: Mapping[str, Any] = {each.name: each.default for each in fields(Settings)}


def changed(settings: Settings, **changes: Any) -> Settings:
    """Raises UsageError for an unknown name, ConfigError for a value."""
    kept = {each.name: getattr(settings, each.name) for each in fields(Settings)}
    return Settings(**{**kept, **_known(changes, more=("conninfo",))})


def _keepalives(query_timeout_ms: int) -> dict[str, str]:
    """https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES: the first is for what was sent and
    not acknowledged, the others are for a connection that waits. In whole seconds, 0 being the system's default.
    """
    return {
        "tcp_user_timeout": str(query_timeout_ms),
        "keepalives_idle": str(max(1, query_timeout_ms // 2000)),
        "keepalives_interval": str(max(1, query_timeout_ms // (2000 * _KEEPALIVES))),
        "keepalives_count": str(_KEEPALIVES),
    }


def _translated(url: str | sa.URL | None, source: str) -> dsns.Dsn:
    if url is None:
        return dsns.Dsn({})
    text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    return dsns.translate(text, source=source)


def _made(
    dsn: dsns.Dsn, source: str, env: Mapping[str, str], variables: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Settings:
    for warning in dsn.warnings:
        logger.warning("%s", warning)
    parameters = dict(dsn.parameters)
    url = pool_urls.said(dsn.aside, source)
    if dsn.statement_timeout_ms is not None:
        url["statement_timeout_ms"] = dsn.statement_timeout_ms
    if "connect_timeout" in parameters:
        url["connect_timeout_ms"] = _seconds_of(parameters.pop("connect_timeout"), source) * 1000
    elif env.get("PGCONNECT_TIMEOUT", "").strip():
        url["connect_timeout_ms"] = _seconds_of(env["PGCONNECT_TIMEOUT"], "PGCONNECT_TIMEOUT") * 1000
    name = parameters.pop("application_name", None) or env.get("PGAPPNAME", "").strip()
    if name:
        url["application"] = _as_application(name)
    said = {**url, **variables, **_known(overrides)}
    if "min_connections" not in said:  # its default is for a pool that is not smaller
        said["min_connections"] = min(_DEFAULTS["min_connections"], _whole(said.get("max_connections"), MOST))
    if "statement_timeout" in f"{parameters.get('options')} {env.get('PGOPTIONS')}":  # the session has one already
        said.setdefault("statement_timeout_ms", None)
    if isinstance(said.get("cursor_secrets"), str):
        said["cursor_secrets"] = (said["cursor_secrets"],)
    if isinstance(said.get("cache_bytes"), str):
        try:
            said["cache_bytes"] = parse_bytes(said["cache_bytes"])
        except ValueError as exc:
            raise ConfigError("invalid value for cache_bytes", detail=str(exc)) from None
    return Settings(conninfo=dsns.conninfo(parameters), **said)


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default


def _seconds_of(text: str, source: str) -> int:
    """libpq's: whole seconds; none of them, or less, is no limit."""
    try:
        return max(0, int(text))
    except ValueError:
        raise ConfigError(
            f"invalid value for connect_timeout in {source}", hint="Use a whole number of seconds, such as 10."
        ) from None


def _of_variables(env: Mapping[str, str]) -> dict[str, Any]:
    values = read_guide(env).values
    said: dict[str, Any] = {}
    for each in FIELDS:
        for variable in each.variables:
            if variable in values:
                said.setdefault(each.name, values[variable])
            elif variable in OURS and env.get(variable, "").strip():
                said.setdefault(each.name, env[variable].strip())
    limits = [values[name] for name in _FIELDS["statement_timeout_ms"].variables if name in values]
    if limits:  # 0 is no limit, not the smallest
        said["statement_timeout_ms"] = min((limit for limit in limits if limit), default=0)
    if "cursor_secrets" in said:
        first, others = (env.get(name, "") for name in _FIELDS["cursor_secrets"].variables)
        said["cursor_secrets"] = tuple(filter(None, map(str.strip, [first, *others.split(",")])))
    return said


def _look_for_misspelled(env: Mapping[str, str]) -> None:
    """A variable of ours that does not exist is an error; one that only looks like the guide's, a warning: DB_ is
    anybody's.
    """
    for name in sorted(env):
        if name.startswith("DBOPT_") and name not in OURS:
            near = difflib.get_close_matches(name, OURS, n=1, cutoff=0.8)
            if near:
                raise ConfigError(f"unknown variable {name}", hint=f"Did you mean {near[0]}?")
        elif name.startswith("DB_") and name not in GUIDE:
            near = difflib.get_close_matches(name, GUIDE, n=1, cutoff=0.9)
            if near:
                logger.warning("unknown variable %s; did you mean %s?", name, near[0])


def _known(overrides: Mapping[str, Any], more: tuple[str, ...] = ()) -> Mapping[str, Any]:
    names = (*_FIELDS, *more)
    for name in overrides:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise UsageError(
                f"no setting is called {name[:120]!r}",
                hint=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}.",
            )
    return overrides


def _check(each: Field, value: Any) -> None:
    """Raises ConfigError."""
    if value is None and each.may_be_none:
        return
    if each.name in _TRUTHS:
        fits, valid = isinstance(value, bool), "true or false"
    elif each.least is not None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        is_number = whole or (isinstance(value, float) and each.name in _FRACTIONS and math.isfinite(value))
        fits = is_number and each.least <= value <= each.most
        what = "a number" if each.name in _FRACTIONS else "a whole number"
        valid = f"{what} of {_UNITS[each.unit]}, {each.least} or more, such as {_DEFAULTS[each.name]}"
        if is_number and value > each.most:
            valid += f", and {each.most} at the most"
    elif each.name == "cursor_secrets":
        fits = isinstance(value, tuple) and all(isinstance(item, str) and item for item in value)
        valid = "a string, or a tuple of strings, none of them empty"
    else:
        fits, valid = isinstance(value, str) and bool(value), "a string that is not empty"
    if fits:
        return
    variable = f" ({each.variables[0]})" if each.variables else ""
    is_secret = each.name in ("cursor_secrets", "cache_url", "store_url")
    raise ConfigError(
        f"invalid value for {each.name}{variable}",
        detail=None if is_secret else f"found {_shown(value)}",
        hint=f"Use {valid}{' or None' if each.may_be_none else ''}.",
    )


_UNITS = {"ms": "milliseconds", "s": "seconds", "connections": "connections", "entries": "entries", "bytes": "bytes"}
_FRACTIONS = ("slow_threshold_ms",)
_TRUTHS = ("reject_unauthorized", "prepared_statements", "pooler", "pre_ping", "cache_notify")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def table() -> str:
    """`FIELDS` in Markdown."""
    lines = ["| setting | variable | in the URL | unit | default | what it becomes |", "|---|---|---|---|---|---|"]
    for each in FIELDS:
        variables = ", ".join(f"`{name}`" for name in each.variables)
        url = ", ".join(f"`{name}`" for name in (*each.url, *pool_urls.names_of(each.name)))
        lines.append(f"| `{each.name}` | {variables} | {url} | {each.unit} | {_default(each)} | {each.becomes} |")
    return "\n".join(lines) + "\n"


def _default(each: Field) -> str:
    if each.shown_default is not None:
        return each.shown_default
    default = _DEFAULTS[each.name]
    assert default is not MISSING, f"{each.name} has to say its default"
    if each.unit == "bytes":
        return format_bytes(default)
    return str(default).lower() if isinstance(default, bool) else str(default)
