"""A connection string, whoever it was written for, as libpq parameters.

One DATABASE_URL serves an application and dbopt: what Prisma, SQLAlchemy, JDBC, node-pg, pgx and Rails put into it is
translated, or set aside with a note. Nothing here connects, reads a file or looks at the environment, and neither
notes nor errors ever repeat a value that could be a secret.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

import difflib
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dbopt import units
from dbopt.errors import ConfigError
from dbopt.postgres import dialects
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEME = re.compile(r"(?P<jdbc>jdbc:)?(?P<name>[A-Za-z][A-Za-z0-9]*)(?P<driver>\+[A-Za-z0-9_]+)?:")
_SURELY_MILLISECONDS = 1000  # nobody lets a client wait for a quarter of an hour: such a number counts milliseconds
_HINT = "Use postgresql://USER@HOST:5432/DBNAME, key=value pairs, or a database name."
_HINT_ENCODING = (
    "Percent-encode special characters in user and password: @ is %40, / is %2F, : is %3A, ? is %3F, % is %25."
)


@dataclass(frozen=True, slots=True)
class Dsn:
    """`parameters` are libpq's. `notes` are worth reading at -v, `warnings` always.

    `statement_timeout_ms` is apart, because dbopt sets the session's timeout itself; 0 means no limit.
    """

    parameters: Mapping[str, str]
    statement_timeout_ms: int | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    aside: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)  # for a pool, as it is written

    @property
    def conninfo(self) -> str:
        return conninfo(self.parameters)


def conninfo(parameters: Mapping[str, str]) -> str:
    """libpq's key=value form; every value quoted."""
    pairs = ((key, value.replace("\\", "\\\\").replace("'", "\\'")) for key, value in parameters.items())
    return " ".join(f"{key}='{value}'" for key, value in pairs)


def translate(text: str, *, source: str = "the connection string") -> Dsn:
    """A database name, key=value pairs or a URI. Raises ConfigError, `source` being the words for where it stood."""
    if "\x00" in text:
        raise ConfigError(f"a NUL character in {source}", hint=_HINT)
    text = text.strip()
    if not is_uri(text):
        return Dsn(_pairs(text, source)) if "=" in text else Dsn({"dbname": text} if text else {})
    return _from_uri(text, source)


def is_complete(text: str) -> bool:
    """Whether it is a URI or key=value pairs, and not just a database's name."""
    return "=" in text or is_uri(text.strip())


def is_uri(text: str) -> bool:
    return "://" in text.split("=", 1)[0] or text.startswith("jdbc:")


def without(dsn: Dsn, key: str) -> Dsn:
    """The same without one parameter."""
    return replace(dsn, parameters={name: value for name, value in dsn.parameters.items() if name != key})


def _pairs(text: str, source: str) -> dict[str, str]:
    """libpq reads its own form itself."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {key: str(value) for key, value in conninfo_to_dict(text).items() if value is not None}
    except ProgrammingError as exc:
        # Other words of libpq repeat pieces of the string, and a piece may be a password.
        if unknown := re.search(r'invalid connection option "(\w+)"', str(exc)):
            near = difflib.get_close_matches(unknown[1], _keywords(), n=1)
            raise ConfigError(
                f'unknown key "{unknown[1]}" in {source}', hint=f"Did you mean {near[0]}?" if near else _HINT
            ) from None
        raise ConfigError(
            f"could not read {source}", detail="it is not a list of key=value pairs", hint=_HINT
        ) from None


def _from_uri(text: str, source: str) -> Dsn:
    scheme = _SCHEME.match(text)
    name = scheme["name"].lower() if scheme else ""
    if scheme is None or name not in ("postgres", "postgresql"):
        kind = f'"{name}" is not PostgreSQL' if name.isalnum() else "it has no scheme"
        hint = _HINT
        if name == "prisma":
            kind = "prisma:// leads to a proxy that does not speak PostgreSQL's protocol"
            hint = "Use the database's own URL, the one that migrations use (often DIRECT_URL)."
        raise ConfigError(f"could not use {source}", detail=kind, hint=hint)
    rest = text[scheme.end() :]
    rest, _, query = rest.partition("?")
    parameters: dict[str, str] = {}
    if rest.startswith("//"):
        authority, _, path = rest[2:].partition("/")
        parameters |= _authority(authority, path + query, source)
    else:
        path = rest.removeprefix("/")  # jdbc:postgresql:dbname
    if "@" in path:
        # Of a password with an unencoded slash, the rest would be taken as the database's name, and shown as that.
        raise ConfigError(f"could not read {source}", detail="a bare @ in the database's name", hint=_HINT_ENCODING)
    if path:
        parameters["dbname"] = _decode(path, source)
    pairs = [_pair(item, source) for item in query.split("&") if item]
    dialect = dialects.name(pairs, jdbc=bool(scheme["jdbc"]), driver=scheme["driver"])
    return _Translation(parameters, dialect, source).run(pairs)


def _authority(authority: str, rest: str, source: str) -> dict[str, str]:
    """`user:password@host:port,host:port` into parameters. The last @ counts: a host has none."""
    parameters: dict[str, str] = {}
    userinfo, at, hosts = authority.rpartition("@")
    if at:
        user, colon, password = userinfo.partition(":")
        parameters |= {"user": _decode(user, source)} if user else {}
        parameters |= {"password": _decode(password, source)} if colon else {}
    names, ports = [], []
    for part in hosts.split(","):
        match = re.fullmatch(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?", part)
        if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
            # What stands here may be the tail of a password with an unencoded slash or question mark.
            stray = not at and "@" in rest
            raise ConfigError(
                f"could not read {source}",
                detail="the host and port are not of the form HOST:PORT",
                hint=_HINT_ENCODING if stray else "A port is a number from 1 to 65535; an IPv6 address stands in [].",
            )
        names.append(_decode(match["host"].strip("[]"), source))
        ports.append(match["port"] or "")
    parameters |= {"host": ",".join(names)} if any(names) else {}
    parameters |= {"port": ",".join(ports)} if any(ports) else {}
    return parameters


def _pair(item: str, source: str) -> tuple[str, str]:
    key, _, value = item.partition("=")
    return _decode(key, source), _decode(value, source)


def _decode(text: str, source: str) -> str:
    """Percent-encoding undone; a lone % is an error, as with libpq, since the password would silently be another."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ConfigError(
            f"could not read {source}", detail="a % is not followed by two hex digits", hint=_HINT_ENCODING
        )
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ConfigError(
            f"could not read {source}", detail="percent-encoded text is not UTF-8", hint=_HINT_ENCODING
        ) from None
    if "\x00" in decoded:
        raise ConfigError(f"a NUL character in {source}", hint=_HINT)
    return decoded


def _keywords() -> list[str]:
    """What this libpq understands."""
    from psycopg import pq

    return [option.keyword.decode() for option in pq.Conninfo.get_defaults()]


@dataclass(slots=True)
class _Translation:
    """The query part of a URI, parameter by parameter."""

    parameters: dict[str, str]
    dialect: str
    source: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    timeouts_ms: dict[str, int] = field(default_factory=dict)
    settings: list[str] = field(default_factory=list)  # for libpq's options=
    aside: dict[str, str] = field(default_factory=dict)

    def run(self, pairs: list[tuple[str, str]]) -> Dsn:
        for key, value in pairs:
            if key != "sslaccept":
                self._one(key, value)
        if self.dialect == "sqlalchemy" and (hosts := [value for key, value in pairs if key == "host"]):
            self._hosts(hosts)
        self._accept_certificates(dict(pairs))
        if self.settings:
            given = self.parameters.get("options")
            self.parameters["options"] = " ".join([*([given] if given else []), *self.settings])
        return Dsn(
            self.parameters,
            self.timeouts_ms.get("statement_timeout", self.timeouts_ms.get("query_timeout")),
            tuple(self.notes),
            tuple(self.warnings),
            self.aside,
        )

    def _one(self, key: str, value: str) -> None:
        rule = dialects.rule(self.dialect, key)
        match rule:
            case dialects.Rename(to, values):
                self._set(to, values.get(value.lower(), value))
                if value and (to, self.parameters[to]) != (key, value):
                    self._note(key, f"taken as libpq's {to}={self.parameters[to]}")
            case dialects.Timeout(unit):
                self._timeout(key, value, unit)
            case dialects.Connect(unit):
                seconds = self._seconds(key, value, unit)
                if seconds is not None:
                    self._set("connect_timeout", str(-(-seconds // 1000)))
            case dialects.SearchPath(quote):
                path = '"' + value.replace('"', '""') + '"' if quote else value
                self.settings.append("-c search_path=" + re.sub(r"([\\\s])", r"\\\1", path))
                self._note(key, "taken as the session's search_path")
            case dialects.Aside(why):
                self.aside[key] = value
                self._note(key, f"set aside: {why}")
            case None if key in _keywords():
                self._set(key, value)
            case None:
                self._unknown(key)

    def _hosts(self, values: list[str]) -> None:
        """SQLAlchemy's way to name hosts: `host=` for each, its port behind a colon, or `port=` for all."""
        names, ports = [], []
        for value in ",".join(values).split(","):
            name, colon, port = ("", "", "") if value.startswith("/") else value.rpartition(":")
            names.append(name if colon else value)
            ports.append(port)
        self._set("host", ",".join(names))
        if any(ports):
            self._set("port", ",".join(ports))

    def _set(self, key: str, value: str) -> None:
        if value:
            self.parameters[key] = value

    def _timeout(self, key: str, value: str, unit: str) -> None:
        milliseconds = self._seconds(key, value, unit)
        if milliseconds is not None:
            self.timeouts_ms[key] = milliseconds
            self._note(key, f"taken as a statement_timeout of {milliseconds} ms for sessions that only read")

    def _seconds(self, key: str, value: str, unit: str) -> int | None:
        """Milliseconds of a value whose bare number counts in `unit`. A value that is none of that is a warning."""
        if re.fullmatch(r"\d{1,9}", value):
            return int(value) * (1000 if unit == "s" and int(value) < _SURELY_MILLISECONDS else 1)
        try:
            return round(units.parse_duration(value) * 1000)
        except ValueError:
            self.warnings.append(f"{key} in {self.source} is not a duration and was set aside")
            return None

    def _accept_certificates(self, pairs: dict[str, str]) -> None:
        """Prisma's `sslaccept=strict`: what libpq calls verify-full, against the certificates of the system."""
        if self.dialect == "prisma" and pairs.get("sslaccept") == "strict":
            self.parameters["sslmode"] = "verify-full"
            self.parameters.setdefault("sslrootcert", pairs.get("sslcert") or "system")
            self._note("sslaccept", "taken as libpq's sslmode=verify-full")
        elif "sslaccept" in pairs:
            self._note(
                "sslaccept", "set aside: libpq accepts any certificate unless sslmode is verify-ca or verify-full"
            )

    def _unknown(self, key: str) -> None:
        shown = key if re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", key) else "a parameter"
        near = difflib.get_close_matches(key, _keywords(), n=1, cutoff=0.8)
        if near:
            self.warnings.append(f"unknown parameter {shown} in {self.source} was set aside; did you mean {near[0]}?")
        else:
            self.notes.append(f"unknown parameter {shown} in {self.source} was set aside")

    def _note(self, key: str, words: str) -> None:
        self.notes.append(f"{key} in {self.source}: {words}")
