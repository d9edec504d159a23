"""The reference in docs/ and the man pages, from the same words as --help: `python -m dbopt.cli.reference [FOLDER]`.

A test fails when what lies in docs/ is not what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from dbopt import __version__
from dbopt.cli import app
from dbopt.cli.frame import COMMANDS, sections
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """One command, or dbopt itself, as its help has it."""

    name: str  # as typed: dbopt plan
    usage: str
    summary: str
    paragraphs: tuple[str, ...]
    sections: dict[str, list[tuple[str, str]]]
    examples: tuple[str, ...] = ()
    exits: tuple[tuple[str, str], ...] = ()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for path, text in files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def files() -> dict[str, str]:
    """Every generated file, by its path below docs/."""
    found = {"reference/README.md": _index()}
    for page in pages():
        name = page.name.replace(" ", "-")
        found[f"reference/{name}.md"] = markdown(page)
        found[f"man/{name}.1"] = man(page)
    return found


def pages() -> Iterator[Page]:
    group: Any = typer.main.get_command(app)
    root = group.make_context("dbopt", [], resilient_parsing=True)
    yield _page("dbopt", group, root)
    for name in COMMANDS:
        made = group.get_command(root, name)
        yield _page(f"dbopt {name}", made, made.make_context(name, [], parent=root, resilient_parsing=True))


def _page(name: str, command: Any, context: Any) -> Page:
    summary, *paragraphs = [" ".join(part.split()) for part in command.help.split("\n\n")]
    parts = sections(command, context)
    if name == "dbopt":
        parts = {"Commands": list(COMMANDS.items()), **parts}
    return Page(
        name=name,
        usage=f"{name} {' '.join(command.collect_usage_pieces(context))}",
        summary=summary,
        paragraphs=tuple(paragraphs),
        sections=parts,
        examples=getattr(command, "examples", ()),
        exits=tuple((str(code), text) for code, text in sorted(getattr(command, "exits", {}).items())),
    )


def _index() -> str:
    lines = ["# Commands", "", _MADE, ""]
    lines += [f"- [`dbopt {name}`](dbopt-{name}.md): {summary}" for name, summary in COMMANDS.items()]
    return "\n".join([*lines, "", "Options that every command has: [`dbopt`](dbopt.md).", ""])


_MADE = "<!-- Made by `python -m dbopt.cli.reference` from the texts of --help. -->"


def markdown(page: Page) -> str:
    lines = [f"# {page.name}", "", _MADE, "", page.summary, "", f"    {page.usage}", ""]
    for paragraph in page.paragraphs:
        lines += [paragraph, ""]
    for title, entries in page.sections.items():
        lines += [f"## {title}", "", *(f"- `{term}`: {text}" for term, text in entries), ""]
    if page.examples:
        lines += ["## Examples", "", *(f"    {example}" for example in page.examples), ""]
    if page.exits:
        lines += ["## Exit codes", "", *(f"- `{code}`: {text}" for code, text in page.exits), ""]
    return "\n".join(lines)


def man(page: Page) -> str:
    """A page for man(1), in the macros of man(7)."""
    name = page.name.replace(" ", "-")
    lines = [f'.TH {name.upper()} 1 "" "dbopt {__version__}" "dbopt"', ".SH NAME"]
    lines += [f"{_roff(name)} \\- {_roff(page.summary.rstrip('.'))}", ".SH SYNOPSIS", f".B {_roff(page.usage)}"]
    lines += [".SH DESCRIPTION", _roff(page.summary)]
    for paragraph in page.paragraphs:
        lines += [".PP", _roff(paragraph)]
    for title, entries in page.sections.items():
        lines += [f".SH {_roff(title.upper())}", *_terms(entries)]
    if page.examples:
        lines += [".SH EXAMPLES", ".nf", *map(_roff, page.examples), ".fi"]
    if page.exits:
        lines += [".SH EXIT STATUS", *_terms(page.exits)]
    return "\n".join([*lines, ""])


def _terms(entries: Any) -> Iterator[str]:
    for term, text in entries:
        yield from (".TP", f".B {_roff(term)}", _roff(text))


def _roff(text: str) -> str:
    """Text that troff takes as it is: hyphens of options stay ASCII, a leading dot or quote is no request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main()
