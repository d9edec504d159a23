"""Where the store is: a SQLite file, a PostgreSQL database, or nowhere (`none`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import platformdirs

from dbopt.errors import ConfigError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa

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
    """A file, or a database of a server. SQLAlchemy is loaded only where a URL is really needed.

    `server` may carry a password; `str()` of a location is for people and never does.
    """

    path: Path | None = None
    server: sa.URL | None = None

    @property
    def url(self) -> sa.URL:
        if self.server is not None:
            return self.server
        import sqlalchemy as sa

        return sa.URL.create("sqlite", database=str(self.path))

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
        return Location(default_path())
    if url == NONE:
        return None
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise _bad_url("its scheme is none of " + ", ".join(_SCHEMES))
    if scheme == "sqlite":
        host, _, database = rest.partition("/")
        if host or database in ("", ":memory:") or "?" in database:
            raise _bad_url("after sqlite:/// stands the path of a file and nothing else")
        return Location(Path(unquote(database)).expanduser().absolute())
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError

    try:
        return Location(server=sa.make_url(f"{_SCHEMES[scheme]}://{rest}"))
    except (ArgumentError, ValueError):
        raise _bad_url("it is not of the form scheme://user@host:port/dbname") from None


def require(url: str | None) -> Location:
    """For commands that cannot do without a store. Raises ConfigError for `none` too."""
    location = locate(url)
    if location is None:
        raise ConfigError(
            "there is no store",
            detail="the setting store is none",
            hint="Name one with `store:` in dbopt.yaml or with DBOPT_STORE_URL.",
        )
    return location


def _bad_url(detail: str) -> ConfigError:
    return ConfigError("could not understand the store's URL", detail=detail, hint=_HINT_URL)
