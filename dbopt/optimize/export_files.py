"""Exported indexes as spec files: which domain each belongs to, and the text. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from dbopt.errors import Error, UsageError
from dbopt.optimize.export import Exported, LeftOut
from dbopt.postgres.identifiers import display
from dbopt.spec import schema, write
from dbopt.spec.files import SIZE_MAX_BYTES
from dbopt.spec.words import plain
from dbopt.spec.yaml_tree import NODES_MAX
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

INDENT = 2  # of the dashes below `indexes:`


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A file to be: one domain. `schema`: of tables that name none."""

    domain: str
    schema: str
    items: Sequence[Exported | LeftOut]

    @property
    def indexes(self) -> int:
        return sum(isinstance(item, Exported) for item in self.items)


def by_domain(found: Iterable[Exported | LeftOut], *, domain: str | None) -> list[SpecFile]:
    """A file for each domain: that of the mark, else `domain`, else one called like the schema."""
    items = list(found)
    names = _named_after({item.schema for item in items})
    files: dict[str, list[Exported | LeftOut]] = defaultdict(list)
    for item in items:
        marked = item.domain if isinstance(item, Exported) else None
        files[marked or domain or names[item.schema]].append(item)
    return [_file(name, files[name]) for name in sorted(files)]


def in_one(
    found: Iterable[Exported | LeftOut], *, domain: str | None, dbname: str
) -> tuple[SpecFile, Mapping[str, int]]:
    """One file for all; its domain is `domain`, else the only one that marks name, else called like the schema, or the
    database. Besides: how many indexes of other domains are not in it. Raises UsageError where marks name several.
    """
    items = list(found)
    marked = Counter(item.domain for item in items if isinstance(item, Exported) and item.domain is not None)
    if domain is None and len(marked) > 1:
        raise UsageError(
            f"the indexes are of {len(marked)} domains, and a file holds one",
            detail=f"their marks name {', '.join(sorted(marked))}",
            hint="Write a file for each with --out-dir indexes/, or choose one with --domain.",
        )
    schemas = {item.schema for item in items}
    named = domain or next(iter(marked), None) or _slug(schemas.pop() if len(schemas) == 1 else dbname)
    others = {name: count for name, count in sorted(marked.items()) if name != named}
    kept = [item for item in items if isinstance(item, LeftOut) or item.domain in (None, named)]
    return _file(named, kept), others


def text(file: SpecFile, dbname: str) -> str:
    """The whole file. Raises Error for one that the loader would not read."""
    about = (
        f"The indexes of {plain(dbname)}, as dbopt export found them; those that constraints brought are left out.",
        "Say in `why` what each is there for. `dbopt lint` checks this file, `dbopt plan` compares it with a database.",
    )
    head = write.file_head(domain=file.domain, schema=file.schema, schema_file=schema.FILE_NAME, about=about)
    lines = [*head, "", "indexes:" if file.indexes else "indexes: []"]
    nodes = 0
    for number, item in enumerate(file.items):
        lines += [""] if number else []
        if isinstance(item, LeftOut):
            lines.append(f"{' ' * INDENT}# {left_out(item)}")
            continue
        entry = entry_of(item, file.schema)
        nodes += write.node_count(entry)
        lines += write.entry_lines(entry, INDENT)
    whole = "\n".join([*lines, ""])
    size = len(whole.encode())
    if size > SIZE_MAX_BYTES or nodes > NODES_MAX:
        raise Error(
            f"the spec of domain {file.domain} would be larger than a spec may be",
            detail=f"{file.indexes} indexes, {size} bytes, {nodes} values; at most {SIZE_MAX_BYTES} and {NODES_MAX}",
            hint="Write several domains: --schema and --table choose tables, --domain names each.",
        )
    return whole


def entry_of(item: Exported, default: str) -> dict[str, object]:
    """The whole entry; `default` is the schema of tables that name none."""
    table: object = item.table if item.schema == default else {"schema": item.schema, "name": item.table}
    return {"name": item.name, "table": table, **item.fields}


def left_out(item: LeftOut) -> str:
    """One line for a comment, or for stderr."""
    return f"left out: {plain(item.name)} on {plain(display(item.schema, item.table))}: {plain(item.reason)}"


def _file(domain: str, items: Sequence[Exported | LeftOut]) -> SpecFile:
    counted = Counter(item.schema for item in items if isinstance(item, Exported))
    most = min(counted, key=lambda name: (-counted[name], name)) if counted else "public"
    return SpecFile(domain, most, sorted(items, key=lambda item: (item.schema, item.table, item.name)))


def _named_after(schemas: set[str]) -> dict[str, str]:
    """A domain for each schema, no two alike."""
    names: dict[str, str] = {}
    for schema_name in sorted(schemas, key=lambda name: (_slug(name) != name, name)):
        names[schema_name] = next(name for name in _numbered(_slug(schema_name)) if name not in names.values())
    return names


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _slug(name: str) -> str:
    """A name as a domain may be called."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-") or "indexes"
