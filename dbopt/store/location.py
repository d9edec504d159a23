"""Where the store is: a SQLite file, a PostgreSQL database, or nowhere (`none`)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from dbopt.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "none"
# Our spelling of the scheme for each that people write: the driver is always the one that dbopt brings along.
_SCHEMES: Mapping[str, str] = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_HINT_URL = "Use sqlite:////absolute/path/store.db, postgresql+psycopg://user@host/dbname, or none for no store."


@dataclass(frozen=True, slots=True)
class Location:
    """`url` may carry a password; `str()` of a location is for people and never does."""

    url: sa.URL
    path: Path | None = None  # the file, where the store is SQLite

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        port = f":{self.url.port}" if self.url.port else ""
        return f"{self.url.host or 'local socket'}{port}/{self.url.database or ''}"

    def make_private_file(self) -> None:
        """Create the SQLite file, readable by its owner alone, and the default folder around it likewise.

        SQLite gives the files that it puts beside it (-wal, -shm) the same mode. Only the default folder is made: one
        that somebody named may be a typing error.
        """
        if self.path is None or self.path.exists():
            return
        if self.path == default_path():
            self.path.parent.parent.mkdir(parents=True, exist_ok=True)
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def default_path() -> Path:
    return Path(platformdirs.user_state_dir("dbopt"), "store.db")


def locate(url: str | None) -> Location | None:
    """The place that a URL of the configuration means: None is the default file, and the result is None for `none`.

    Raises ConfigError, which never repeats the URL: it may hold a password.
    """
    if url is None:
        return _file(default_path())
    if url == NONE:
        return None
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise _bad_url("its scheme is none of " + ", ".join(_SCHEMES))
    try:
        parsed = sa.make_url(f"{_SCHEMES[scheme]}://{rest}")
    except (ArgumentError, ValueError):
        raise _bad_url("it is not of the form scheme://user@host:port/dbname") from None
    if scheme != "sqlite":
        return Location(parsed)
    if not parsed.database or parsed.database == ":memory:" or parsed.query or parsed.host:
        raise _bad_url("after sqlite:/// stands the path of a file and nothing else")
    return _file(Path(parsed.database).expanduser().absolute())


def _file(path: Path) -> Location:
    return Location(sa.URL.create("sqlite", database=str(path)), path)


def _bad_url(detail: str) -> ConfigError:
    return ConfigError("could not understand the store's URL", detail=detail, hint=_HINT_URL)
