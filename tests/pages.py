"""The written documentation as data: blocks, commands, links.

A page is read as a person would use it, from top to bottom. Comments that no reader sees say what belongs to it:

    <!-- file: indexes/billing.yaml -->   the next block is this file
    <!-- sql: CREATE TABLE ... -->        what the page's database has by then
    <!-- not run: why -->                 the commands of the next block are not tried
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from dbopt.client import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
# What people write. docs/reference and docs/man are made from --help, which has tests of its own.
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_PARTS = re.compile(
    r"^<!-- (?P<directive>file|sql|not run): (?P<said>.*?) -->$"
    r"|^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<to>[^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sql:
    """Statements that the page's database has seen by then."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`file`: the name that the page gives it; `why_not`: why its commands are not tried."""

    language: str
    text: str
    line: int
    file: str | None = None
    why_not: str | None = None

    @property
    def printed(self) -> list[str]:
        """What a block of Python says that it prints: `#> ...`."""
        lines = map(str.strip, self.text.splitlines())
        return [line.removeprefix("#>").strip() for line in lines if line.startswith("#>")]


class Python:
    """The interpreter of a page: what one block has defined, the next one knows. Modules of the page's own are imported
    from the current folder; the blocks themselves are called app.py.
    """

    def __init__(self) -> None:
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._modules = set(sys.modules)

    def run(self, block: Block) -> list[str]:
        """What it prints, line by line."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = compile("\n" * block.line + block.text, "app.py", "exec", dont_inherit=True)
            exec(code, self._names)
        return [line.strip() for line in printed.getvalue().splitlines()]

    def close(self) -> None:
        """What the page has left open."""
        for value in self._names.values():
            if isinstance(value, Database):
                value.close()
        here = str(Path.cwd())
        for name in set(sys.modules) - self._modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(here):
                del sys.modules[name]


@dataclass(slots=True, kw_only=True)
class Call:
    """One command of a block with what the page shows of its output; `code` is what `echo $?` prints there."""

    words: list[str]
    env: dict[str, str]
    line: int
    shown: list[str] = field(default_factory=list)
    code: int = 0


def parts(page: Path) -> Iterator[Sql | Block]:
    text = page.read_text(encoding="utf-8")
    said: dict[str, str] = {}
    for match in _PARTS.finditer(text):
        if match["directive"] == "sql":
            yield Sql(match["said"])
        elif match["directive"]:
            said[match["directive"]] = match["said"]
        else:
            body = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
            line = text.count("\n", 0, match.start()) + 1
            yield Block(
                language=match["language"],
                text=body,
                line=line,
                file=said.get("file"),
                why_not=said.get("not run"),
            )
            said.clear()


def blocks(page: Path) -> list[Block]:
    return [part for part in parts(page) if isinstance(part, Block)]


def calls(block: Block) -> list[Call]:
    """The commands that a block shows, `dbopt` only: in `console` after `$ `, in `sh` each line, in a CI file under
    `run` and `script`.
    """
    found: list[Call] = []
    if block.language == "yaml":
        for text in _scripts(yaml.safe_load(block.text)):
            found += [call for line in _joined(text) if (call := _call(line, block.line))]
        return found
    if block.language == "sh":
        return [call for line in _joined(block.text) if (call := _call(line, block.line))]
    if block.language != "console":
        return []
    current: Call | None = None
    answer = False
    for line in _joined(block.text):
        if line == "$ echo $?":
            answer = True
        elif line.startswith("$ "):
            current, answer = _call(line[2:], block.line), False
            found += [current] if current else []
        elif current is not None and answer:
            current.code, answer = int(line), False
        elif current is not None:
            current.shown.append(line)
    return found


def _joined(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def _call(line: str, number: int) -> Call | None:
    words = shlex.split(line, comments=True)
    env = {}
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    if not words or words[0] != "dbopt":
        return None
    return Call(words=words[1:], env=env, line=number)


def _scripts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "script"):
                yield "\n".join(value) if isinstance(value, list) else str(value)
            else:
                yield from _scripts(value)
    elif isinstance(node, list):
        for item in node:
            yield from _scripts(item)


def prose(page: Path) -> str:
    """A page without its blocks and comments."""
    text = _PARTS.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def code_spans(page: Path) -> list[str]:
    return _CODE.findall(prose(page))


def links(page: Path) -> list[str]:
    return [match["to"] for match in _LINK.finditer(re.sub(r"`[^`\n]+`", "`", prose(page)))]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = _HEADING.findall(_PARTS.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
