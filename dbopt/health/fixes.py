"""The index findings of a verdict as one spec: what `dbopt optimize` makes of it, they are gone afterwards.

Found -> fixed -> looked at again. Each entry says why it is there. What a spec cannot say (constraints, partitioned
indexes, expressions) stands in the file as a comment with its SQL, so that nothing is lost on the way.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from dbopt.errors import Error, UsageError
from dbopt.health.check import Group
from dbopt.spec.fragment import yaml_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dbopt.health.check import Finding
    from dbopt.health.verdict import Verdict

Entry = dict[str, Any]

DOMAIN = "health-fixes"


def entries(verdict: Verdict) -> list[Entry]:
    """The entries of a spec that cure the verdict's index findings. Each index once, and no two that do the same."""
    found: dict[tuple[str, str], Entry] = {}
    for finding in _findings(verdict):
        if finding.fragment is None:
            continue
        entry: Entry = dict(finding.fragment)
        name = entry["table"]["schema"], entry["name"]
        other = found.setdefault(name, entry)
        if other is entry:
            continue
        if _is_absent(other) and _is_absent(entry):
            other["why"] = f"{other['why']}; {entry['why']}"
            other.pop("guard", None)  # one reason to drop it holds whether it is used or not
        elif _is_absent(other):  # what one finding would build, and another drop, is not built
            continue
        else:
            found[name] = entry if _is_absent(entry) else other
    kept = list(found.values())
    return [entry for entry in kept if not any(_serves(other, entry) for other in kept if other is not entry)]


def write_spec(path: Path, verdicts: Sequence[Verdict]) -> int:
    """Writes them into a new file and returns how many there are; without any, no file is made.

    Raises UsageError where the file exists or the verdicts are about several databases, Error where it cannot be
    written.
    """
    if path.exists() or path.is_symlink():
        raise _exists(path)
    mendable = [(verdict, found) for verdict in verdicts if (found := entries(verdict))]
    if not mendable:
        return 0
    verdict, wanted = mendable[0]
    if len(mendable) > 1:
        raise UsageError(
            f"a spec is for one database, and {len(mendable)} have findings that one would mend",
            hint=f"Choose one of them: -t {shlex.quote(verdict.about.name or verdict.about.place)}",
        )
    text = _text(path, verdict, wanted)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as exc:  # made since we looked
        raise _exists(path) from exc
    except OSError as exc:
        raise Error(f"could not write {path}: {(exc.strerror or str(exc)).lower()}") from exc
    return len(wanted)


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists already", hint="Name another file, or move that one away.")


def command(path: Path) -> str:
    """What to type next. dbopt did not make most of these indexes, so it has to be told that it may drop them."""
    return f"dbopt optimize {shlex.quote(str(path))} --prune-foreign"


def _findings(verdict: Verdict) -> Iterator[Finding]:
    for result in verdict.results:
        if result.check.group is Group.INDEXES:
            yield from (finding for finding in result.findings if finding.fragment or finding.remedy)


def _is_absent(entry: Entry) -> bool:
    return bool(entry.get("state") == "absent")


def _serves(other: Entry, entry: Entry) -> bool:
    """Whether another entry builds an index that makes this one, which is there for speed only, superfluous."""
    if _is_absent(other) or _is_absent(entry) or other["table"] != entry["table"]:
        return False
    if "unique" in entry or "include" in entry or any("method" in one or "where" in one for one in (other, entry)):
        return False
    keys, longer = entry["keys"], other["keys"]
    if longer[: len(keys)] != keys:
        return False
    # Of two alike: the unique one, then the first by name.
    return len(longer) > len(keys) or "unique" in other or bool(other["name"] < entry["name"])


def _text(path: Path, verdict: Verdict, wanted: Sequence[Entry]) -> str:
    lines = [
        f"# What dbopt health found on {_comment(verdict.about.place)} at {verdict.collected_at:%Y-%m-%d %H:%M %Z},",
        "# as entries that put an end to it. Read each, take out what you want to keep, then:",
        f"#   {command(path)}",
        "spec: 1",
        f"domain: {DOMAIN}",
        "indexes:",
    ]
    for entry in wanted:
        lines += ["", *(f"  {line}" for line in yaml_lines(entry))]
    rest = [(finding, finding.remedy) for finding in _findings(verdict) if not finding.fragment and finding.remedy]
    if rest:
        lines += ["", "# No spec can say these; run them by hand:"]
        for finding, remedy in rest:
            lines += ["#", f"# {_comment(finding.subject)}: {_comment(finding.detail)}"]
            lines += [f"#   {_comment(line)}" for line in remedy.splitlines()]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """On one line, without what no YAML file may hold, comments included."""
    return "".join(character if character.isprintable() else " " for character in text)
