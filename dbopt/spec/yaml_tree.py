"""YAML text as a tree whose nodes know their line and column.

PyYAML's own loaders guess types (`no` is false, `1e3` a number, `2026-01-31` a date), let a later duplicate key win and
build values by recursion. A spec wants none of that: the meaning of a value is given by the model that reads it, so all
scalars stay text here, and the tree is built from the stream of events in one loop that counts as it goes.

libyaml's parser is used where PyYAML has it, 20 times faster than the one in Python; both yield the same events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from typing import Any

import yaml

from dbopt.spec.words import plain, quoted
from dbopt.values import dataclass

DEPTH_MAX = 50  # levels; a spec needs 7
NODES_MAX = 500_000  # values after aliases are followed; 5,000 indexes have about 150,000

# What YAML 1.1 allows in a file (chapter 5.1); checked here so that both parsers say the same, with line and column.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What an escape such as "\0" can bring in although no PostgreSQL text may hold it.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as both parsers count lines
_SPECIAL_START = re.compile(r"""(?:^|:|-|,)\s+[\[{*&!%@`'"]""")


@dataclass(slots=True)
class Scalar:
    """`plain`: neither quoted nor a block, the only form in which an empty text, `~` and `null` mean "absent"."""

    text: str
    line: int
    column: int
    plain: bool = True

    @property
    def is_absent(self) -> bool:
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class Sequence:
    line: int
    column: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """`entries`: the text of a key to the key itself (for its place) and its value, in the order of the file."""

    line: int
    column: int
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a text cannot be used; `line` and `column` count from 1."""

    code: str
    message: str
    line: int
    column: int
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """`root` is None for an empty text and for one that could not be read to its end."""

    root: Node | None
    problems: tuple[Problem, ...]


class _Stop(Exception):
    """A problem after which reading on makes no sense."""


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    node: Sequence | Mapping
    anchor: str | None
    nodes_before: int
    height: int = 0  # levels inside it, so far
    key: Scalar | None = None  # of a mapping: the key that waits for its value
    skip: bool = False  # that key is refused: its value is read and left out


def split_lines(text: str) -> list[str]:
    """The lines of a text, counted as the parser counts them."""
    return _LINE_BREAK.split(text)


def parse(text: str, *, loader: Any = None) -> Tree:
    """The tree of a text, with every problem that reading it shows. `loader`: a class of PyYAML, for its parser."""
    if found := _FORBIDDEN.search(text):
        line = split_lines(text[: found.start()])
        message = f"a file may not hold the character U+{ord(found[0]):04X}"
        return Tree(None, (Problem("bad-encoding", message, len(line), len(line[-1]) + 1),))
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader or getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.take(event)
    except _Stop:
        return Tree(None, tuple(builder.problems))
    except yaml.MarkedYAMLError as exc:
        return Tree(None, (*builder.problems, _syntax_problem(text, exc)))
    return Tree(builder.root, tuple(builder.problems))


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias stands for; `nodes` and `height` count it with all inside."""

    node: Node
    nodes: int = 1
    height: int = 0


class _Builder:
    """Takes one event after the other. Depth costs no stack, an alias is counted with all that stands behind it."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None while the anchored collection is open
        self._nodes = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.SequenceStartEvent():
                self._start(Sequence(*_place(event)), event)
            case yaml.MappingStartEvent():
                self._start(Mapping(*_place(event)), event)
            case yaml.CollectionEndEvent():
                closed = self._open.pop()
                if closed.anchor is not None:
                    nodes = self._nodes - closed.nodes_before
                    self._anchors[closed.anchor] = _Anchored(closed.node, nodes, closed.height + 1)
                self._add(closed.node, closed.height + 1)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._stop(
                        "yaml-several-documents", "a spec is one YAML document", event, "Use one file a domain."
                    )

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._count(1, event)
        self._refuse_tag(event)
        if event.style == '"' and (found := _UNSTORABLE.search(event.value)):
            message = f"a text may not hold the character U+{ord(found[0]):04X}"
            self._say("bad-encoding", message, event, "PostgreSQL stores no such character.")
        node = Scalar(event.value, *_place(event), plain=not event.style)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node)
        self._add(node)

    def _start(self, node: Sequence | Mapping, event: Any) -> None:
        self._count(1, event)
        self._refuse_tag(event)
        self._go_down(1, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(node, event.anchor, self._nodes - 1))

    def _alias(self, event: yaml.AliasEvent) -> None:
        anchor = event.anchor or ""
        if anchor not in self._anchors:
            raise self._stop("yaml-alias", f"there is no anchor &{anchor} before this alias", event, _QUOTE)
        target = self._anchors[anchor]
        if target is None:
            raise self._stop("yaml-alias", f"the anchor &{anchor} contains itself", event)
        self._count(target.nodes, event)
        self._go_down(target.height, event)
        self._add(target.node, target.height)

    def _go_down(self, levels: int, event: yaml.Event) -> None:
        """What comes is no plain text (or may not be): no key, and not deeper than all may be."""
        if len(self._open) + levels > DEPTH_MAX:
            raise self._stop("yaml-too-deep", f"more than {DEPTH_MAX} levels of nesting", event)
        if self._open and isinstance(self._open[-1].node, Mapping) and self._open[-1].key is None:
            raise self._stop("yaml-key", "a key has to be a plain word", event)

    def _add(self, node: Node, height: int = 0) -> None:
        """Puts a node where it belongs: into the sequence, as key or value of the mapping, at the root."""
        if not self._open:
            self.root = node
            return
        around = self._open[-1]
        around.height = max(around.height, height)
        if isinstance(around.node, Sequence):
            around.node.items.append(node)
        elif around.key is None:
            assert isinstance(node, Scalar)  # the two other kinds were refused when they began
            around.key, around.skip = node, self._refuse_key(node, around.node)
        else:
            if not around.skip:
                around.node.entries[around.key.text] = (around.key, node)
            around.key = None

    def _refuse_key(self, key: Scalar, mapping: Mapping) -> bool:
        if key.plain and key.text == "<<":
            message = "merge keys are not part of the format"
            self.problems.append(Problem("yaml-merge-key", message, key.line, key.column, "Write the keys out."))
            return True
        if key.text in mapping.entries:
            first = mapping.entries[key.text][0]
            message = f"the key {quoted(key.text)} is given twice, first in line {first.line}"
            self.problems.append(Problem("yaml-duplicate-key", message, key.line, key.column))
            return True
        return False

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            hint = "Leave the tag out: every value is text, and the format says what it means."
            self._say("yaml-tag", "YAML tags are not part of the format", event, hint)

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise self._stop(
                "yaml-too-large", f"more than {NODES_MAX} values, counted with what aliases stand for", event
            )

    def _say(self, code: str, message: str, event: yaml.Event, hint: str | None = None) -> None:
        self.problems.append(Problem(code, message, *_place(event), hint))

    def _stop(self, code: str, message: str, event: yaml.Event, hint: str | None = None) -> _Stop:
        self._say(code, message, event, hint)
        return _Stop()


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None  # every event of a parser has its marks
    return mark.line + 1, mark.column + 1


_QUOTE = "Quote a value that begins with one of * & ! % @ ` { [ or a quotation mark."


def _syntax_problem(text: str, exc: yaml.MarkedYAMLError) -> Problem:
    """PyYAML's own words, with a hint for what people meet most."""
    content = text.rstrip()
    lines = split_lines(content)
    mark = exc.problem_mark or exc.context_mark
    # An end that comes too early is explained by what was left open, not by what is behind the last line.
    if exc.context_mark and mark and mark.index >= len(content):
        mark = exc.context_mark
    assert mark is not None  # scanner and parser always give one
    line, column = mark.line, mark.column
    if line >= len(lines):
        line, column = len(lines) - 1, len(lines[-1])
    problem = plain((exc.problem or "not YAML").replace("\x00", "the end"))
    return Problem("yaml-syntax", problem, line + 1, column + 1, next(_syntax_hints(problem, lines[line]), None))


def _syntax_hints(problem: str, line: str) -> Iterator[str]:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        yield "Indent with blanks: YAML takes no tabs there."
    if problem.startswith("mapping values are not allowed"):
        yield "Quote a value that contains a colon followed by a blank."
    if _SPECIAL_START.search(line):
        yield _QUOTE
