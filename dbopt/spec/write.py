"""Spec entries to YAML that people like to read: the shortest natural form, and every text as it is read back.

A text stands plain where no reader of YAML takes it for anything else: `no`, `1e3`, `2026-01-31` and `~` are quoted,
though our own loader would take them for texts, since editors and other programs know numbers and dates. What is long
is folded, what has several lines stands in a block, what a terminal could take for more than text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dbopt.spec.words import plain

WIDTH = 100  # characters; longer lists stand one item a line, longer texts are folded

# What only looks odd between quotes: storage parameters as PostgreSQL writes them.
_PARAMETER = re.compile(r"on|off|auto|true|false|[0-9]+(?:\.[0-9]+)?")
# YAML 1.1 and 1.2 together: booleans, nulls, and what begins like a number, date or time.
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "~", "=", "<<", ".nan", ".inf"})
_NUMERIC = re.compile(r"[-+.]?[0-9]")
_PLAIN_START = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`]")
# Texts that are SQL: not broken inside of a literal, where a break reads as one of the literal's own.
_SQL_KEYS = frozenset({"expr", "where", "sql", "query"})
_LITERAL = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

Value = object  # str | bool | Mapping[str, Value] | Sequence[Value]


class Parameter(str):
    """The value of a storage parameter or of an operator class's option: a number stands as one."""

    __slots__ = ()


class Remarked(dict[str, Value]):
    """A mapping with a comment above it, where it stands in lines of its own."""

    __slots__ = ("remark",)

    def __init__(self, values: Mapping[str, Value], remark: str) -> None:
        super().__init__(values)
        self.remark = remark


def file_head(*, domain: str, schema: str, schema_file: str, about: Sequence[str]) -> list[str]:
    """The lines up to `indexes:`, without it. `about`: a comment for whoever opens the file."""
    return [
        f"# yaml-language-server: $schema=./{schema_file}",
        *(f"# {line}" for line in about),
        "spec: 1",
        f"domain: {scalar(domain)}",
        f"defaults: {flow({'schema': schema})}",
    ]


def entry_lines(entry: Mapping[str, Value], indent: int) -> list[str]:
    """An entry as an item of a list in block style; `indent` is the column of its dash, from 0."""
    lines = [line for key, value in entry.items() for line in field_lines(key, value, indent + 2)]
    return [" " * indent + "- " + lines[0][indent + 2 :], *lines[1:]]


def field_lines(key: str, value: Value, indent: int) -> list[str]:
    """One key with its value in block style."""
    head = " " * indent + scalar(key) + ":"
    if isinstance(value, str):
        return list(_text_lines(head, value, indent, is_sql=key in _SQL_KEYS))
    line = f"{head} {flow(value)}"
    if (len(line) <= WIDTH and not _has_lines(value)) or not value or isinstance(value, bool):
        return [line]
    if isinstance(value, Mapping):
        return [head, *(line for k, v in value.items() for line in field_lines(k, v, indent + 2))]
    assert isinstance(value, Sequence)
    return [head, *(line for item in value for line in _item_lines(item, indent + 2))]


def flow(value: Value) -> str:
    """A value on one line: `[a, {column: b, order: desc}]`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return scalar(value, inside=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key, inside=True)}: {flow(item)}" for key, item in value.items()) + "}"
    assert isinstance(value, Sequence)
    return "[" + ", ".join(map(flow, value)) + "]"


def scalar(text: str, *, inside: bool = False) -> str:
    """A text on one line. `inside`: of a flow collection, where commas and brackets mean something."""
    if isinstance(text, Parameter) and _PARAMETER.fullmatch(text):
        return str(text)
    if _may_be_plain(text, inside=inside):
        return text
    if not text.isprintable() or ("'" in text and '"' not in text and "\\" not in text):
        return '"' + "".join(map(_escaped, text)) + '"'
    return "'" + text.replace("'", "''") + "'"


def node_count(value: Value) -> int:
    """How many values a reader of the file counts."""
    if isinstance(value, Mapping):
        return 1 + sum(1 + node_count(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return 1 + sum(map(node_count, value))
    return 1


def _item_lines(item: Value, indent: int) -> list[str]:
    remark = [f"{' ' * indent}# {plain(item.remark)}"] if isinstance(item, Remarked) else []
    line = " " * indent + "- " + flow(item)
    if (len(line) <= WIDTH and not _has_lines(item)) or not isinstance(item, Mapping):
        return [*remark, line]
    return [*remark, *entry_lines(item, indent)]


def _has_lines(value: Value) -> bool:
    """Whether an SQL text of several lines is in it, which reads better in a block, or a comment."""
    if isinstance(value, Remarked):
        return True
    if isinstance(value, Mapping):
        return any(key in _SQL_KEYS and isinstance(item, str) and "\n" in item for key, item in value.items())
    return isinstance(value, Sequence) and not isinstance(value, str) and any(map(_has_lines, value))


def _text_lines(head: str, text: str, indent: int, *, is_sql: bool) -> Iterator[str]:
    line = f"{head} {scalar(text)}"
    printable = text.replace("\n", "").isprintable()
    if "\n" in text and printable and not re.search(r"\A\s|\s\Z|[ ]$", text, re.MULTILINE):
        yield f"{head} |-"
        yield from (" " * (indent + 2) + part if part else "" for part in text.split("\n"))
    elif (
        len(line) > WIDTH
        and text.isprintable()
        and text.strip(" ") == text
        and (len(parts := _folded(text, indent, is_sql=is_sql)) > 1)
    ):
        yield f"{head} >-"
        yield from (" " * (indent + 2) + part for part in parts)
    else:
        yield line


def _folded(text: str, indent: int, *, is_sql: bool) -> list[str]:
    """The text in parts that a reader joins by single blanks, none longer than a line where there are blanks."""
    masked = _LITERAL.sub(lambda literal: "x" * len(literal[0]), text) if is_sql else text
    breaks = [match.start() for match in re.finditer(r"(?<! ) (?! )", masked)]
    words = [text[begin:end] for begin, end in zip([0, *(n + 1 for n in breaks)], [*breaks, len(text)], strict=True)]
    parts, line = [], words[:1]
    for word in words[1:]:
        if indent + 2 + len(" ".join([*line, word])) > WIDTH:
            # SQL reads best when a line begins with what joins two conditions.
            joints = [n for n, before in enumerate(line) if n and is_sql and before in ("AND", "OR")]
            end = joints[-1] if joints and word not in ("AND", "OR") else len(line)
            parts.append(" ".join(line[:end]))
            line = line[end:]
        line.append(word)
    return [*parts, " ".join(line)]


def _may_be_plain(text: str, *, inside: bool) -> bool:
    if not text or not text.isprintable() or text.lower() in _WORDS or _NUMERIC.match(text):
        return False
    if _PLAIN_START.match(text) is None or text != text.strip() or text.startswith(("---", "...")):
        return False
    if ": " in text or " #" in text or text.endswith(":"):
        return False
    return not (inside and re.search(r"[,\[\]{}?]", text))


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
