"""The index spec, version 1, as values.

What a file says, after the loader checked it: frozen, every default filled in, nothing resolved against a server.
The keys are those of docs/spec; Python's reserved words carry an underscore (`with_`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from dbopt.units import parse_bytes, parse_duration
from dbopt.values import dataclass

NAME_MAX_BYTES = 63  # NAMEDATALEN - 1; longer names are truncated by the server
SOURCE_MAX_CHARACTERS = 2_000  # of a line shown with a finding
SCHEMA_WILDCARDS = "*?"  # `_` is a plain character in a schema pattern


class _Base(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _items(value: object) -> object:
    """One text or mapping where a list is expected is a list of one."""
    return [value] if isinstance(value, str | Mapping) else value


def _truth(value: object) -> object:
    """The words for yes and no of YAML 1.1 and of PostgreSQL; the loader hands over text."""
    if not isinstance(value, str):
        return value
    word = value.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(f"expected yes or no, found {value}")
    return word in TRUE_WORDS


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"expected a date such as 2027-01-31, found {value}") from None


def _version(value: object) -> object:
    if str(value) != "1":
        raise ValueError(f"this dbopt reads version 1 of the format, found {value}")
    return 1


TRUE_WORDS = frozenset({"yes", "y", "true", "on"})
FALSE_WORDS = frozenset({"no", "n", "false", "off"})

# What an editor may see where we read text: its YAML knows numbers and booleans.
_PLAIN = {"type": ["string", "number", "boolean"]}
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_items)]
Truth = Annotated[bool, BeforeValidator(_truth), WithJsonSchema({"enum": [True, False, "yes", "no", "on", "off"]})]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0), WithJsonSchema({"type": ["string", "integer"]})]
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0), WithJsonSchema({"type": "string"})]
# Storage parameters and opclass options: the text that goes between `=` and the comma.
Parameters = Mapping[Name, Annotated[str, WithJsonSchema(_PLAIN)]]


class Extras(StrEnum):
    """What becomes of indexes that exist on the spec's tables and that the spec does not name."""

    IGNORE = "ignore"
    REPORT = "report"
    PRUNE = "prune"


class State(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"


class Key(_Base):
    """One key of an index: exactly one of `column` and `expr`."""

    column: Name | None = None
    expr: Name | None = None
    order: Literal["asc", "desc"] | None = None
    nulls: Literal["first", "last"] | None = None
    collation: Name | None = None
    opclass: Name | None = None
    opclass_options: Parameters = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _plain_text_is_a_column(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of_column_and_expr(self) -> Self:
        if (self.column is None) == (self.expr is None):
            raise ValueError("a key has either `column` or `expr`")
        if self.opclass_options and self.opclass is None:
            raise ValueError("`opclass_options` needs an `opclass`")
        return self


class TableRef(_Base):
    """A table by its name; `schema` may hold `*` and `?` here, and `except` takes schemas out again."""

    name: Name
    schema_: Name | None = Field(default=None, alias="schema")
    except_: Names = Field(default=(), alias="except")

    @model_validator(mode="before")
    @classmethod
    def _plain_text_is_the_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def schema_is_pattern(self) -> bool:
        return self.schema_ is not None and any(c in self.schema_ for c in SCHEMA_WILDCARDS)


class Expect(_Base):
    """What the plan of a served statement is expected to show. None: not asked."""

    uses: Truth | None = None
    no_sort: Truth | None = None


class Serve(_Base):
    """A statement that the index is there for, with `$1` or literals as parameters."""

    query: Name
    expect: Expect | None = None


class IndexBudget(_Base):
    size: Bytes | None = None
    build: Seconds | None = None


class Build(_Base):
    """Session settings for the build of this index."""

    maintenance_work_mem: Bytes | None = None
    parallel_workers: Annotated[int, Field(ge=0, le=1024)] | None = None


class Needs(_Base):
    """What has to be there already: checked, never created."""

    extension: Names = ()


class Partitions(_Base):
    """How the indexes of the leaf tables are named; `{leaf}` is the leaf table's name."""

    name: Name


class Guard(_Base):
    """Conditions for a drop."""

    unused_for: Seconds | None = None


class SpecBudget(_Base):
    total: Bytes | None = None
    per_table_indexes: Annotated[int, Field(ge=1)] | None = None


class Defaults(_Base):
    schema_: Name = Field(default="public", alias="schema")
    extras: Extras = Extras.IGNORE
    guard: Guard | None = None  # of absent entries that have none, and of what `extras: prune` drops


class Unique(_Base):
    """`unique: {nulls: not_distinct}`: PostgreSQL 15 and newer."""

    nulls: Literal["distinct", "not_distinct"] = "distinct"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an entry stands in its file, lines and columns counted from 1.

    `lines` and `columns` map a path of keys inside the entry (`"where"`, `"keys.1.expr"`) to its place; `text` is all
    the file's lines, shared by its entries. No pydantic model: it comes from the loader, and checking it would cost
    more than reading the file. `tenant`: the schema that an entry was made for, of the many that its pattern means.
    """

    file: str
    line: int
    column: int = 1
    lines: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    text: tuple[str, ...] = field(default=(), repr=False, compare=False)
    tenant: str | None = None

    def line_of(self, path: str) -> int:
        """The line of a field, or of the nearest field around it that the file has."""
        return self.place_of(path)[0]

    def place_of(self, path: str) -> tuple[int, int]:
        """Line and column, likewise."""
        while path:
            if path in self.lines:
                return self.lines[path], self.columns.get(path, 1)
            path = path.rpartition(".")[0]
        return self.line, self.column

    def text_of(self, line: int) -> str | None:
        """A line, for people; none that would fill their screen."""
        text = self.text[line - 1] if 0 < line <= len(self.text) else ""
        return text if 0 < len(text) <= SOURCE_MAX_CHARACTERS else None


class IndexSpec(_Base):
    """One entry of `indexes:`. Either `keys` or `sql` for a present index; neither for an absent one."""

    name: Name
    table: TableRef
    method: Name = "btree"
    keys: Annotated[tuple[Key, ...], BeforeValidator(_items)] = ()
    include: Names = ()
    where: Name | None = None
    unique: Annotated[
        # The tags stand in the places of pydantic's errors; angle brackets tell them from keys of the file.
        Annotated[Truth, Tag("<yes or no>")] | Annotated[Unique, Tag("<mapping>")],
        Discriminator(lambda value: "<mapping>" if isinstance(value, Mapping | Unique) else "<yes or no>"),
    ] = False
    with_: Parameters = Field(default_factory=dict, alias="with")
    tablespace: Name | None = None
    state: State = State.PRESENT
    why: str | None = None
    serves: tuple[Serve, ...] = ()
    owner: str | None = None
    priority: int = 100
    budget: IndexBudget | None = None
    was: Names = ()
    needs: Needs = Needs()
    build: Build = Build()
    partitions: Partitions | None = None
    expires: Day | None = None
    guard: Guard | None = None
    comment: str | None = None
    sql: Name | None = None

    # Filled in by the loader.
    domain: str = Field(default="", exclude=True)
    source: Source = Field(default=Source(file="", line=0), exclude=True)

    @property
    def schema_name(self) -> str:
        """The table's schema; the loader has put the default in. May be a pattern."""
        assert self.table.schema_ is not None
        return self.table.schema_

    @property
    def is_unique(self) -> bool:
        return self.unique is not False

    @property
    def nulls_not_distinct(self) -> bool:
        return isinstance(self.unique, Unique) and self.unique.nulls == "not_distinct"


class SpecFile(_Base):
    """One file: a domain with its indexes."""

    spec: Annotated[Literal[1], BeforeValidator(_version)]
    domain: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
    owner: str | None = None
    defaults: Defaults = Defaults()
    budget: SpecBudget | None = None
    indexes: tuple[IndexSpec, ...] = ()

    # Filled in by the loader.
    path: Path = Field(default=Path(), exclude=True)
    source: Source = Field(default=Source(file="", line=0), exclude=True)


class SpecSet(_Base):
    """All files given to one command, sorted by domain."""

    files: tuple[SpecFile, ...] = ()

    @property
    def indexes(self) -> tuple[IndexSpec, ...]:
        """Every entry, by priority, then schema, table and name: the order of files is no meaning."""
        entries = [entry for file in self.files for entry in file.indexes]
        return tuple(sorted(entries, key=lambda e: (e.priority, e.schema_name, e.table.name, e.name)))
