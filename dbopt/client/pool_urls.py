"""What connection URLs say about the application's pool, whoever they were written for.

dbopt's commands set these parameters aside (dbopt/postgres/dialects.py, which names the sources); a Database uses them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dbopt import units
from dbopt.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TRUE, _FALSE = ("true", "1", "on", "yes", "t"), ("false", "0", "off", "no", "f")


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError("a whole number")
    return int(text)


def _milliseconds(text: str) -> int:
    """A bare number is milliseconds, as with node-pg."""
    return _duration_ms(text, 1)


def _seconds_as_ms(text: str) -> int:
    return _duration_ms(text, 1000)


def _seconds(text: str) -> int:
    return -(-_duration_ms(text, 1000) // 1000)


def _duration_ms(text: str, unit: int) -> int:
    try:
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text):
            return round(float(text) * unit)
        return round(sum(units.parse_duration(part) for part in re.findall(r"[0-9.]+[a-z]+|.+", text)) * 1000)
    except ValueError:
        raise ValueError("a duration, such as 10 or 10s") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("true or false")
    return text.lower() in _TRUE


def _off_at_zero(text: str) -> bool | None:
    """Prepared statements: the size of their cache, or after how many runs. None: nothing is said."""
    return False if _count(text) == 0 else None


def _off_when_simple(text: str) -> bool | None:
    return False if text in ("exec", "simple_protocol") else None


# The parameter, the setting, and how its value is read.
_PARAMETERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    # Prisma
    "connection_limit": ("max_connections", _count),
    "pool_timeout": ("acquire_timeout_ms", _seconds_as_ms),
    "pgbouncer": ("pooler", _boolean),
    "socket_timeout": ("query_timeout_ms", _seconds_as_ms),
    "statement_cache_size": ("prepared_statements", _off_at_zero),
    # SQLAlchemy, asyncpg
    "pool_size": ("max_connections", _count),
    "pool_recycle": ("recycle_seconds", _seconds),
    "pool_pre_ping": ("pre_ping", _boolean),
    "prepared_statement_cache_size": ("prepared_statements", _off_at_zero),
    "command_timeout": ("query_timeout_ms", _seconds_as_ms),
    # JDBC
    "socketTimeout": ("query_timeout_ms", _seconds_as_ms),
    "prepareThreshold": ("prepared_statements", _off_at_zero),
    # node-pg, postgres.js
    "max": ("max_connections", _count),
    "min": ("min_connections", _count),
    "idleTimeoutMillis": ("idle_timeout_ms", _milliseconds),
    "idle_timeout": ("idle_timeout_ms", _seconds_as_ms),
    "max_lifetime": ("recycle_seconds", _seconds),
    # pgx
    "pool_max_conns": ("max_connections", _count),
    "pool_min_conns": ("min_connections", _count),
    "pool_max_conn_idle_time": ("idle_timeout_ms", _seconds_as_ms),
    "pool_max_conn_lifetime": ("recycle_seconds", _seconds),
    "statement_cache_capacity": ("prepared_statements", _off_at_zero),
    "default_query_exec_mode": ("prepared_statements", _off_when_simple),
    # Rails
    "pool": ("max_connections", _count),
    "checkout_timeout": ("acquire_timeout_ms", _seconds_as_ms),
    "prepared_statements": ("prepared_statements", _boolean),
}
_OVERFLOW = "max_overflow"  # SQLAlchemy's, on top of pool_size


def said(aside: Mapping[str, str], source: str) -> dict[str, Any]:
    """Settings by name. Raises ConfigError, without the value: it could be the tail of a password."""
    found = {}
    for key, text in aside.items():
        if key in _PARAMETERS:
            name, read = _PARAMETERS[key]
            value = _read(key, text, read, source)
            if value is not None:
                found[name] = value
    if _OVERFLOW in aside and "pool_size" in aside:
        found["max_connections"] += _read(_OVERFLOW, aside[_OVERFLOW], _count, source)
    return found


def names_of(setting: str) -> tuple[str, ...]:
    """The parameters that say a setting."""
    return tuple(key for key, (name, _) in _PARAMETERS.items() if name == setting)


def _read(key: str, text: str, read: Callable[[str], Any], source: str) -> Any:
    try:
        return read(text.strip())
    except ValueError as exc:
        raise ConfigError(f"invalid value for {key} in {source}", hint=f"Use {exc}.") from None
