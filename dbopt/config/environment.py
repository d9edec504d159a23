"""What the call and the environment say: flags, DBOPT_* variables, libpq's own, and the guide's.

The guide is the database guide of the application that dbopt succeeds. Its variables are read as they are there, so
that an environment made for the application serves dbopt too; those that only a pool can use are checked and shown.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from dbopt.config.values import Setting
from dbopt.errors import ConfigError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = (
    "DBOPT_APPLICATION",
    "DBOPT_CACHE_URL",
    "DBOPT_CONFIG",
    "DBOPT_CURSOR_SECRET",
    "DBOPT_CURSOR_SECRETS",
    "DBOPT_DSN",
    "DBOPT_JOBS",
    "DBOPT_MAX_LAG",
    "DBOPT_SPECS",
    "DBOPT_STORE_URL",
    "DBOPT_WAIT",
)

_POOL = "it is for the application's pool"


@dataclass(frozen=True, slots=True)
class _Variable:
    unit: str  # ms, connections or boolean
    unused: str | None  # why no command of today has a use for it


GUIDE: Mapping[str, _Variable] = {
    "DB_MAX_CONNECTIONS": _Variable("connections", _POOL),
    "DB_MIN_CONNECTIONS": _Variable("connections", _POOL),
    "DB_CONNECTION_TIMEOUT": _Variable("ms", None),
    "DB_ACQUIRE_TIMEOUT": _Variable("ms", _POOL),
    "DB_IDLE_TIMEOUT": _Variable("ms", _POOL),
    "DB_QUERY_TIMEOUT": _Variable("ms", None),
    "DB_STATEMENT_TIMEOUT": _Variable("ms", None),
    "DB_SSL_REJECT_UNAUTHORIZED": _Variable("boolean", None),
    "SLOW_QUERY_THRESHOLD": _Variable("ms", None),
}
_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")
_NUMBER_MAX = 2**31 - 1  # as for PostgreSQL's own settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says. None or empty: not given."""

    host: str | None = None
    port: str | None = None
    username: str | None = None
    dbname: str | None = None
    targets: tuple[str, ...] = ()
    all_targets: bool = False
    config: Path | None = None
    specs: tuple[Path, ...] = ()
    wait: str | None = None
    jobs: str | None = None
    max_lag: str | None = None

    @property
    def name_parts(self) -> bool:
        return any((self.host, self.port, self.username, self.dbname))


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """The guide's variables that were set, checked."""

    values: Mapping[str, int | bool]

    def number(self, *names: str) -> Setting[int] | None:
        """The first of these that is set."""
        for name in names:
            if name in self.values:
                return Setting(int(self.values[name]), name)
        return None

    @property
    def reject_unauthorized(self) -> bool | None:
        value = self.values.get("DB_SSL_REJECT_UNAUTHORIZED")
        return None if value is None else bool(value)

    def unused(self) -> dict[str, tuple[Setting[object], str]]:
        return {
            name: (Setting(value, "environment"), why)
            for name, value in self.values.items()
            if (why := GUIDE[name].unused) is not None
        }


def read_guide(env: Mapping[str, str]) -> Guide:
    """Raises ConfigError naming the variable and its unit."""
    return Guide(values={name: _checked(name, env[name].strip()) for name in GUIDE if env.get(name, "").strip()})


def _checked(name: str, text: str) -> int | bool:
    unit = GUIDE[name].unit
    if unit == "boolean":
        if text.lower() not in _TRUE + _FALSE:
            raise ConfigError(f"invalid value for {name}", detail=f'found "{text}"', hint="Use true or false.")
        return text.lower() in _TRUE
    if not (text.isascii() and text.isdecimal() and int(text) <= _NUMBER_MAX):
        what = (
            "a whole number of milliseconds, such as 30000" if unit == "ms" else "a number of connections, such as 10"
        )
        raise ConfigError(f"invalid value for {name}", detail=f'found "{text}"', hint=f"Use {what}.")
    return int(text)


def of_libpq(env: Mapping[str, str]) -> dict[str, Setting[str]]:
    """The PG* variables that are set, by the parameter that each of them stands for."""
    from psycopg import pq

    return {
        option.keyword.decode(): Setting(env[option.envvar.decode()], option.envvar.decode())
        for option in pq.Conninfo.get_defaults()
        if option.envvar and env.get(option.envvar.decode())
    }


def certificates(parameters: Mapping[str, str], *, reject_unauthorized: bool | None) -> dict[str, str]:
    """What DB_SSL_REJECT_UNAUTHORIZED changes of libpq's parameters: it says what TLS is worth, not whether there is
    any, so `prefer` stays `prefer`.
    """
    mode = parameters.get("sslmode")
    if mode == "require" and reject_unauthorized:
        authorities = {} if "sslrootcert" in parameters else {"sslrootcert": "system"}
        return {"sslmode": "verify-full", **authorities}
    if mode in ("verify-ca", "verify-full") and reject_unauthorized is False:
        return {"sslmode": "require"}
    return {}


def misspelled(env: Mapping[str, str]) -> tuple[str, ...]:
    """Warnings about DBOPT_ variables that look like one of ours and are none."""
    warnings = []
    for name in sorted(env):
        if name.startswith("DBOPT_") and name not in OURS:
            near = difflib.get_close_matches(name, OURS, n=1, cutoff=0.8)
            warnings += [f"unknown variable {name}; did you mean {near[0]}?"] if near else []
    return tuple(warnings)
