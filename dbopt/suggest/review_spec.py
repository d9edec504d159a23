"""What a review proposes to drop, as a spec: a new file, or changes in the one that has the suggestions. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dbopt.spec import schema as editor
from dbopt.spec import write
from dbopt.spec.model import State
from dbopt.spec.splice import Edit, spliced
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.spec.model import IndexSpec, SpecFile
    from dbopt.suggest.review import Reviewed

    Entry = Mapping[str, Any]

DOMAIN = "suggest-review"  # of indexes that no spec has made
INDENT = 2  # of the dashes below `indexes:`
_STAYS = ("name", "table", "owner", "priority", "expires", "comment")  # of an entry whose index shall go
_ABOUT = (
    "Indexes that dbopt suggest proposed, that were built, and that did not earn their place: dbopt suggest --review.",
    "Read why, and take out what you want to keep. An entry of the same index in another spec has to go as well.",
)


@dataclass(frozen=True, slots=True)
class Updated:
    """`undone`: entries that have to be changed by hand."""

    text: str
    changed: int
    added: int
    undone: tuple[Entry, ...]


def domain_of(found: Sequence[Reviewed]) -> str:
    """In whose name a file drops them: indexes are dropped without further ado by the domain that has made them. That
    of most of them.
    """
    named = Counter(
        item.facts.there.domain
        for item in found
        if item.verdict.asks_to_drop and item.facts.there is not None and item.facts.there.domain is not None
    )
    return min(named, key=lambda name: (-named[name], name)) if named else DOMAIN


def is_foreign(found: Sequence[Reviewed], domain: str) -> bool:
    """Whether one of them was not made in the name of this domain, so that optimize asks for --prune-foreign."""
    return any(
        item.verdict.asks_to_drop and (item.facts.there is None or item.facts.there.domain != domain) for item in found
    )


def new_file(entries: Sequence[Entry], domain: str) -> str:
    schemas = Counter(str(entry["table"]["schema"]) for entry in entries)
    default = min(schemas, key=lambda name: (-schemas[name], name))
    head = write.file_head(domain=domain, schema=default, schema_file=editor.FILE_NAME, about=_ABOUT)
    lines = [*head, "", "indexes:"]
    for number, entry in enumerate(entries):
        lines += [""] if number else []
        lines += write.entry_lines(_short(entry, default), INDENT)
    return "\n".join([*lines, ""])


def updated(file: SpecFile, text: str, entries: Sequence[Entry]) -> Updated | None:
    """`text` is that of `file`, as the loader has read it. An index that has an entry there is made absent in it, the
    others are appended. None where the file's form takes no additions.
    """
    edits: list[tuple[Entry, Edit]] = []
    additions: list[Entry] = []
    known = {(entry.schema_name, entry.table.name, entry.name): entry for entry in file.indexes}
    for entry in entries:
        there = known.get((entry["table"]["schema"], entry["table"]["name"], entry["name"]))
        if there is None:
            additions.append(_short(entry, file.defaults.schema_))
        elif there.state is not State.ABSENT:
            edits.append((entry, Edit(there.source.line, there.source.column, _changes(there, entry))))
    done = spliced(text, [edit for _, edit in edits], additions)
    if done is None:
        return None
    undone = tuple(entry for entry, edit in edits if edit in done.undone)
    return Updated(done.text, len(edits) - len(undone), len(additions), undone)


def _changes(there: IndexSpec, entry: Entry) -> dict[str, object]:
    """What the entry says of the index goes, what it shall be instead comes."""
    given = ["with" if name == "with_" else name for name in sorted(there.model_fields_set)]
    gone: dict[str, object] = dict.fromkeys(name for name in given if name not in (*_STAYS, "domain", "source"))
    return {**gone, **{key: value for key, value in entry.items() if key not in ("name", "table")}}


def _short(entry: Entry, default: str) -> dict[str, object]:
    table = entry["table"]
    return {**entry, "table": table["name"] if table["schema"] == default else dict(table)}
