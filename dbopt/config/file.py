"""dbopt.yaml: the text as a checked value, every error with file, line and column.

An unknown key is refused: a setting that does nothing is worse than an error.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from dbopt import units
from dbopt.config import health_file, optimizing, retention
from dbopt.config.place import Place, Word
from dbopt.errors import ConfigError
from dbopt.postgres.dsn import is_uri, translate
from dbopt.spec import yaml_tree
from dbopt.spec.words import did_you_mean, quoted
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbopt.config.health import HealthSection
    from dbopt.postgres.dsn import Dsn

_DSNS = ("dsn", "pgbouncer")  # of a target: read before variables are put in
_PASSWORDS = "Put it into ~/.pgpass, a service file or PGPASSWORD, or write ${NAME} inside dsn to take it from there."
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SIZE_MAX_BYTES = 1024 * 1024  # of a page of settings


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Target(_Model):
    dsn: str
    replicas_of: str | None = None
    pgbouncer: str | None = None
    health: Any = None  # read by health_file, from the tree


class _Optimize(_Model):
    wait: Annotated[float, BeforeValidator(units.parse_duration)] | None = None
    jobs: Annotated[int, BeforeValidator(optimizing.parse_jobs)] | None = None
    max_lag: Annotated[float, BeforeValidator(units.parse_duration)] | None = None


class _SlowQueries(_Model):
    threshold: Annotated[float, BeforeValidator(units.parse_duration)] | None = None


class _Retention(_Model):
    age: Annotated[float, BeforeValidator(retention.parse_age)] | None = None
    size: Annotated[float, BeforeValidator(retention.parse_size)] | None = None


class _File(_Model):
    specs: str | None = None
    store: str | None = None
    targets: dict[str, _Target] = {}
    optimize: _Optimize = _Optimize()
    slow_queries: _SlowQueries = _SlowQueries()
    retention: _Retention = _Retention()
    health: Any = None


_SECTIONS: dict[tuple[str, ...], type[_Model]] = {
    (): _File,
    ("optimize",): _Optimize,
    ("retention",): _Retention,
    ("slow_queries",): _SlowQueries,
}


@dataclass(frozen=True, slots=True)
class File:
    """One configuration file. `place` gives the words for where a key stands: `dbopt.yaml:3`."""

    path: Path
    content: _File
    dsns: Mapping[str, Dsn]  # of the targets
    poolers: Mapping[str, Dsn]  # of those that have one
    health: HealthSection
    health_of: Mapping[str, HealthSection]  # of targets
    root: yaml_tree.Mapping
    shown: str

    def place(self, *keys: str) -> str:
        return f"{self.shown}:{_find(self.root, keys).line}"


def read(path: Path, env: Mapping[str, str], shown: str | None = None) -> File:
    """The file at `path`. Raises ConfigError with the first thing that is wrong."""
    shown = shown or str(path)
    try:
        if not path.is_file():
            raise ConfigError(
                f"could not read {shown}", detail="it is not a regular file" if path.exists() else "no such file"
            )
        raw = path.read_bytes()[: SIZE_MAX_BYTES + 1]
    except OSError as exc:
        raise ConfigError(f"could not read {shown}", detail=exc.strerror) from None
    if len(raw) > SIZE_MAX_BYTES:
        raise ConfigError(f"could not read {shown}", detail=f"it is larger than {units.format_bytes(SIZE_MAX_BYTES)}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"could not read {shown}", detail="it is not UTF-8") from None
    tree = yaml_tree.parse(text)
    reader = Reader(shown, yaml_tree.split_lines(text), env)
    for problem in tree.problems:
        reader.refuse(problem.message, problem, problem.hint)
    root = tree.root if tree.root is not None else yaml_tree.Mapping(1, 1)
    if isinstance(root, yaml_tree.Scalar) and root.is_absent:
        root = yaml_tree.Mapping(1, 1)
    if not isinstance(root, yaml_tree.Mapping):
        reader.refuse("a configuration is a mapping of keys to values", root)
    reader.look_for_passwords(root)
    try:
        content = _File.model_validate(reader.plain(root, ()))
    except ValidationError as exc:
        reader.refuse_invalid(exc, root)
    dsns, poolers, health_of = {}, {}, {}
    for name, target in content.targets.items():
        other = target.replicas_of
        if other is not None and (other not in content.targets or other == name):
            reader.refuse(
                f"replicas_of names no other target: {quoted(other)}",
                _find(root, ("targets", name, "replicas_of")),
                did_you_mean(other, set(content.targets) - {name}),
            )
        dsns[name] = reader.dsn(_find(root, ("targets", name, "dsn")), f"targets.{name}.dsn")
        if target.pgbouncer is not None:
            at = _find(root, ("targets", name, "pgbouncer"))
            poolers[name] = reader.dsn(at, f"targets.{name}.pgbouncer")
        section = _within(root, ("targets", name, "health"))
        health_of[name] = health_file.read(reader, section, f"targets.{name}.health")
    health = health_file.read(reader, _within(root, ("health",)), "health")
    return File(path, content, dsns, poolers, health, health_of, root, shown)


def _find(root: yaml_tree.Node, path: tuple[str, ...]) -> Any:
    """The value at a path of keys, or the deepest part of it that there is."""
    node = root
    for key in path:
        if not isinstance(node, yaml_tree.Mapping) or key not in node.entries:
            break
        node = node.entries[key][1]
    return node


def _within(root: yaml_tree.Node, path: tuple[str, ...]) -> yaml_tree.Node:
    """The same, and nothing where that is not there."""
    node = root
    for key in path:
        if not isinstance(node, yaml_tree.Mapping) or key not in node.entries:
            return yaml_tree.Mapping(root.line, root.column)
        node = node.entries[key][1]
    return node


@dataclass(frozen=True, slots=True)
class Reader:
    shown: str
    lines: list[str]
    env: Mapping[str, str]

    def refuse(self, message: str, at: Any, hint: str | None = None) -> NoReturn:
        """`at` is anything that has a line and a column."""
        raise self.place(at).error(message, hint)

    def place(self, at: Any) -> Place:
        line = self.lines[at.line - 1].rstrip() if at.line <= len(self.lines) else ""
        return Place(self.shown, at.line, at.column, line)

    def word(self, node: yaml_tree.Scalar) -> Word:
        return Word(self._filled(node, lambda value: value), self.place(node))

    def plain(self, node: yaml_tree.Node, path: tuple[str, ...]) -> Any:
        """A node as what pydantic reads; variables of the environment put in, except in a dsn, which is read first."""
        match node:
            case yaml_tree.Scalar():
                if node.is_absent:
                    return None
                return node.text if path[-1] in _DSNS else self._filled(node, lambda value: value)
            case yaml_tree.Sequence():
                return [self.plain(item, path) for item in node.items]
        # A section without content is a section that says nothing.
        values = {key: self.plain(value, (*path, key)) for key, (_, value) in node.entries.items()}
        return {key: value for key, value in values.items() if value is not None}

    def dsn(self, node: yaml_tree.Scalar, name: str) -> Dsn:
        """A variable's value is data there: what it contains never becomes another part of the connection string."""
        if _VARIABLE.fullmatch(node.text):
            text = self._filled(node, lambda value: value)
        elif is_uri(node.text):
            text = self._filled(node, lambda value: urllib.parse.quote(value, safe=""))
        else:
            text = self._filled(node, lambda value: re.sub(r"([\\'\s])", r"\\\1", value))
        return translate(text, source=f"{name} ({self.shown}:{node.line})")

    def _filled(self, node: yaml_tree.Scalar, quote: Callable[[str], str]) -> str:
        def value(match: re.Match[str]) -> str:
            found = self.env.get(match[1])
            if not found:
                why = "is not set" if found is None else "is empty"
                self.refuse(f"the environment variable {match[1]} {why}", node, f"Set it: export {match[1]}=...")
            return quote(found)

        return _VARIABLE.sub(value, node.text)

    def look_for_passwords(self, root: yaml_tree.Mapping) -> None:
        """`password` as a key, wherever it stands: what people try first deserves more than "unknown key"."""
        nodes: list[yaml_tree.Node] = [root]
        while nodes:
            match nodes.pop():
                case yaml_tree.Mapping(entries=entries):
                    for key, (at, value) in entries.items():
                        if key.lower() in ("password", "pgpassword", "passwd"):
                            # The line is not shown: the password stands in it.
                            raise ConfigError(
                                f"{self.shown}:{at.line}:{at.column}: {key} is not a key", hint=_PASSWORDS
                            )
                        nodes.append(value)
                case yaml_tree.Sequence(items=items):
                    nodes += items

    def refuse_invalid(self, exc: ValidationError, root: yaml_tree.Mapping) -> NoReturn:
        """The first of pydantic's complaints in our words: a misspelled key before the key that is missing for it."""
        error = min(exc.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden")
        path = tuple(str(part) for part in error["loc"])
        key, around = path[-1], _find(root, path[:-1])
        match error["type"]:
            case "extra_forbidden":
                at = around.entries[key][0]
                model = _SECTIONS.get(path[:-1], _Target)
                self.refuse(f"unknown key {quoted(key)}", at, did_you_mean(key, model.model_fields))
            case "missing":
                self.refuse(f"{'.'.join(path)} is missing", around)
            case "value_error":
                self.refuse(f"{'.'.join(path)}: {error['ctx']['error']}", _find(root, path))
            case "model_type" | "dict_type":
                self.refuse(f"{'.'.join(path)} is a mapping of keys to values", _find(root, path))
        self.refuse(f"{'.'.join(path)} is one value, not a list or mapping", _find(root, path))
