"""How `optimize` behaves towards others, by flag, variable or file: how long it waits, how much it does at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from dbopt import units
from dbopt.config.values import Setting
from dbopt.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from dbopt.config.environment import Flags
    from dbopt.config.file import File

WAIT_DEFAULT_SECONDS = 300.0
JOBS_MAX = 64  # sessions of one tool; a server has 100 by default, for everybody

T = TypeVar("T")


def wait(flags: Flags, env: Mapping[str, str], files: Sequence[File]) -> Setting[float]:
    said = _said("wait", flags.wait, "--wait", env, "DBOPT_WAIT", units.parse_duration, files)
    return said or Setting(WAIT_DEFAULT_SECONDS, "default")


def jobs(flags: Flags, env: Mapping[str, str], files: Sequence[File]) -> Setting[int]:
    return _said("jobs", flags.jobs, "--jobs", env, "DBOPT_JOBS", parse_jobs, files) or Setting(1, "default")


def max_lag(flags: Flags, env: Mapping[str, str], files: Sequence[File]) -> Setting[float | None]:
    said = _said("max_lag", flags.max_lag, "--max-lag", env, "DBOPT_MAX_LAG", units.parse_duration, files)
    return Setting(None, "default") if said is None else Setting(said.value, said.origin)


def parse_jobs(value: object) -> int:
    """Raises ValueError for what is no number of jobs."""
    words = str(value).strip()
    if isinstance(value, bool) or not words.isdecimal() or not 1 <= int(words) <= JOBS_MAX:
        raise ValueError(f"expected a number from 1 to {JOBS_MAX}, found {value}")
    return int(words)


def _said(
    key: str,
    flag: str | None,
    option: str,
    env: Mapping[str, str],
    variable: str,
    parse: Callable[[object], T],
    files: Sequence[File],
) -> Setting[T] | None:
    """Raises UsageError or ConfigError for a value that makes no sense."""
    for text, origin, failure in ((flag, option, UsageError), (env.get(variable) or None, variable, ConfigError)):
        if text is not None:
            try:
                return Setting(parse(text), origin)
            except ValueError as exc:
                raise failure(f"invalid value for {origin}", detail=str(exc)) from None
    for file in files:
        value: T | None = getattr(file.content.optimize, key)
        if value is not None:
            return Setting(value, file.place("optimize", key))
    return None
