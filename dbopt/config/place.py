"""Where in a configuration file something stands, for whoever finds fault with it later."""

from __future__ import annotations

from dbopt.errors import ConfigError
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    file: str
    line: int
    column: int
    text: str  # of the line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def error(self, message: str, hint: str | None = None) -> ConfigError:
        mark = " " * (self.column - 1) + "^"
        return ConfigError(f"{self}:{self.column}: {message}", detail=f"{self.text}\n{mark}", hint=hint)


@dataclass(frozen=True, slots=True)
class Word:
    """A key or a value, as it is written."""

    text: str
    place: Place
