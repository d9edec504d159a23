"""The reference of all checks: `python -m dbopt.render.health_page docs` writes docs/checks.md."""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbopt.health.checks import all_checks
from dbopt.render.health_checks import facts, marks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.health.check import Check

FILE_NAME = "checks.md"
_HEAD = """\
# Checks

<!-- Made by `python -m dbopt.render.health_page`. -->

What [`dbopt health`](health.md) looks at; `dbopt health --explain CHECK` says the same with the limits of your
configuration. A threshold counts from its value on; **any** means that each one found is a problem. Where no threshold
stands, the check decides case by case, or it only gives advice (`--advice`).
"""
_BARE_LINK = re.compile(r"(?<![(<])https://\S+[^\s.,;:)]")


def page() -> str:
    """docs/checks.md."""
    checks = all_checks()
    lines = [_HEAD, "| check | group | warning | critical |", "|---|---|---|---|"]
    for check in checks:
        warning, critical = (mark or "" for mark in marks(check))
        lines.append(f"| [`{check.id}`](#{check.id}) | {check.group} | {warning} | {critical} |")
    for group, members in groupby(checks, key=lambda check: check.group):
        lines += ["", f"## {group.capitalize()}"]
        for check in members:
            lines += ["", *_entry(check)]
    return "\n".join([*lines, ""])


def _entry(check: Check[Any]) -> Iterator[str]:
    yield from (f"### {check.id}", "", f"**{check.title}**", "")
    yield from linked(check.documentation)
    yield ""
    yield from (f"- {name}: {text}" for name, text in facts(check) if name != "group")


def linked(documentation: str) -> Iterator[str]:
    """Indented parts stay as they are; addresses become links."""
    for line in documentation.splitlines():
        yield line if line.startswith("    ") else _BARE_LINK.sub(lambda match: f"<{match[0]}>", line)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / FILE_NAME).write_text(page(), encoding="utf-8")
