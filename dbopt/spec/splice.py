"""Changes in the text of a spec file that leave all other lines as they are: comments, order, quotes, blank lines.

The text is cut where PyYAML's parser says that values begin and end, and read again afterwards: a result that does not
mean what was asked for, or lacks a comment that was there, is not given out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from dbopt.spec import write
from dbopt.spec.yaml_tree import Mapping as MappingNode
from dbopt.spec.yaml_tree import Node, Scalar, parse
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

INDENT = 2  # of the dashes in a list that has none yet
# In which order an entry's keys are written; whatever is new stands behind the nearest that is there.
_ORDER = ("name", "table", "schema", "method", "keys", "sql", "include", "unique", "where", "with", "tablespace")


@dataclass(frozen=True, slots=True)
class Edit:
    """New values of an entry's keys; None: the key goes. `line` and `column` are where the entry begins, from 1."""

    line: int
    column: int
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Spliced:
    """`undone`: the edits that have to be made by hand."""

    text: str
    undone: Sequence[Edit]


class _ByHand(Exception):
    """The text is too artful to be cut."""


Change = tuple[int, int, str]  # from, to, what stands there then


def spliced(text: str, edits: Sequence[Edit], additions: Sequence[Mapping[str, object]]) -> Spliced | None:
    """The text with entries changed and added, the others untouched. None where it takes no additions.

    `text` is one that the loader has read without a problem.
    """
    document = _Document(text)
    try:
        added = list(document.additions(additions)) if additions else []
    except _ByHand:
        return None
    done: list[tuple[Edit, list[Change]]] = []
    undone = []
    for edit in edits:
        try:
            done.append((edit, document.edit(edit)))
        except _ByHand:
            undone.append(edit)
    if not document.holds(done, added, additions):
        # One of them is to blame.
        undone += [edit for edit, changes in done if not document.holds([(edit, changes)], [], [])]
        done = [pair for pair in done if pair[0] not in undone]
        if not document.holds(done, added, additions):
            return None
    return Spliced(document.changed([changes for _, changes in done], added), undone)


class _Document:
    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.root: yaml.MappingNode = _compose(text)
        self.pairs = {key.value: (key, value) for key, value in self.root.value}
        indexes = self.pairs.get("indexes", (None, None))[1]
        self.items: list[Any] = indexes.value if isinstance(indexes, yaml.SequenceNode) else []
        self.scalars = sorted(set(_scalar_spans(self.root, text)))

    def edit(self, edit: Edit) -> list[Change]:
        """Raises _ByHand."""
        place = (edit.line - 1, edit.column - 1)
        found = (node for node in self.items if (node.start_mark.line, node.start_mark.column) == place)
        entry = next(found, None)
        if not isinstance(entry, yaml.MappingNode):
            raise _ByHand
        change = self._in_flow if entry.flow_style else self._in_block
        fields = sorted(edit.fields.items(), key=lambda field: _place(field[0]))
        return list(change(entry, dict(fields)))

    def _in_block(self, entry: yaml.MappingNode, fields: Mapping[str, object]) -> Iterator[Change]:
        column = entry.start_mark.column
        pairs = {key.value: (key, value) for key, value in entry.value}
        keys = [key for key, _ in entry.value]
        for name, value in fields.items():
            new = [] if value is None else write.field_lines(name, value, column)
            if name not in pairs:
                if new:
                    key, before = self._before(name, pairs, fields)
                    place = self._line_end(self._end(key, before))
                    yield place, place, "".join(self.newline + line for line in new)
                continue
            key, old = pairs[name]
            if value is not None and _composed(old) == _texts(value):
                continue
            begin, end = key.start_mark.index, self._end(key, old)
            comments = [*self.comments(begin, end)]
            if new:
                text = f"{self.newline}{' ' * column}".join([*comments, new[0][column:]])
                yield begin, end, self.newline.join([text, *new[1:]])
            elif key is keys[0]:
                if len(keys) == 1:
                    raise _ByHand
                end = keys[1].start_mark.index
                yield begin, end, "".join(f"{c}{self.newline}{' ' * column}" for c in self.comments(begin, end))
            else:
                begin = self.text.rindex("\n", 0, begin) + 1
                end = self._line_end(end) + len(self.newline)
                yield begin, end, "".join(f"{' ' * column}{c}{self.newline}" for c in self.comments(begin, end))

    def _in_flow(self, entry: yaml.MappingNode, fields: Mapping[str, object]) -> Iterator[Change]:
        pairs = {key.value: (key, value) for key, value in entry.value}
        keys = [key for key, _ in entry.value]
        for name, value in fields.items():
            new = "" if value is None else f"{name}: {write.flow(value)}"
            if name not in pairs:
                if value is not None:
                    place = self._end(*self._before(name, pairs, fields))
                    yield place, place, f", {new}"
                continue
            key, old = pairs[name]
            if value is not None and _composed(old) == _texts(value):
                continue
            begin, end = key.start_mark.index, self._end(key, old)
            if value is None:
                if key is keys[0]:
                    raise _ByHand
                begin = self._end(*pairs[keys[keys.index(key) - 1].value])
            if any(self.comments(begin, end)):
                raise _ByHand
            yield begin, end, new

    def additions(self, entries: Sequence[Mapping[str, object]]) -> Iterator[Change]:
        """Raises _ByHand."""
        key, value = self.pairs.get("indexes", (None, None))
        if key is not None and value.start_mark.index < key.end_mark.index:  # an alias
            raise _ByHand
        if self.items and value.flow_style:
            place = self._end(None, self.items[-1])
            yield place, place, "".join(f", {write.flow(entry)}" for entry in entries)
            return
        if self.root.flow_style:
            raise _ByHand
        is_last = key is None or key is self.root.value[-1][0]
        if key is not None and not self.items and value.value != "":  # `[]`, `~` or `null`
            begin = key.end_mark.index + 1
            yield begin, self._end(key, value), ""
        indent = value.start_mark.column if self.items else INDENT
        spaced = len(self.items) < 2 or self._is_spaced()
        lines = [] if key is not None else ["", "indexes:"]
        for number, entry in enumerate(entries):
            lines += [""] if spaced and (number or self.items) else []
            lines += write.entry_lines(entry, indent)
        if is_last:
            begin = len(self.text)
            head = "" if self.text.endswith("\n") else self.newline
            yield begin, begin, head + "".join(line + self.newline for line in lines)
        else:
            begin = self._line_end(self._end(key, self.items[-1] if self.items else value))
            yield begin, begin, "".join(self.newline + line for line in lines)

    def _is_spaced(self) -> bool:
        """Whether a blank line stands between entries."""
        begin, end = self._end(None, self.items[-2]), self.items[-1].start_mark.index
        return re.search(r"\n[ \t]*\r?\n", self.text[begin:end]) is not None

    def _before(self, name: str, pairs: Mapping[str, tuple[Any, Any]], fields: Mapping[str, object]) -> tuple[Any, Any]:
        """The pair behind which a new key belongs: one that stays."""
        stays = [pair for key, pair in pairs.items() if fields.get(key, "") is not None]
        known = [pair for pair in stays if _place(pair[0].value) < _place(name)]
        if not known:
            raise _ByHand
        return max(known, key=lambda pair: _place(pair[0].value))

    def _end(self, key: Any, node: Any) -> int:
        """Where a value ends, what is behind it on the line not counted. `key`: its own; None for items of lists."""
        if key is not None and node.start_mark.index < key.end_mark.index:  # an alias: the node is elsewhere
            found = re.compile(r"\s*:\s*\*[^\s,\]}]+").match(self.text, key.end_mark.index)
            if found is None:
                raise _ByHand
            return found.end()
        if isinstance(node, yaml.ScalarNode):
            end = int(node.end_mark.index)
            return len(self.text[:end].rstrip()) if node.style in ("|", ">") else end
        if node.flow_style or not node.value:
            return int(node.end_mark.index)
        last = node.value[-1]
        return self._end(*last) if isinstance(node, yaml.MappingNode) else self._end(None, last)

    def _line_end(self, place: int) -> int:
        """The end of a line, its break not counted."""
        found = re.compile(r"\r?\n").search(self.text, place)
        return found.start() if found is not None else len(self.text)

    def comments(self, begin: int, end: int) -> Iterator[str]:
        """The comments in a part of the text, `#` included."""
        masked = list(self.text[begin:end])
        for first, last in self.scalars[max(bisect_left(self.scalars, (begin, 0)) - 1, 0) :]:
            if first >= end:
                break
            for place in range(max(first, begin), min(last, end)):
                if self.text[place] != "\n":  # the last one of a block is where a comment begins
                    masked[place - begin] = "x"
        yield from (found[1].rstrip() for found in re.finditer(r"(?:^|(?<=\s))(#.*)$", "".join(masked), re.MULTILINE))

    def changed(self, done: Iterable[Sequence[Change]], added: Sequence[Change]) -> str:
        changes = sorted([*(change for group in done for change in group), *added], key=lambda change: change[:2])
        parts, place = [], 0
        for begin, end, new in changes:
            parts += [self.text[place:begin], new]
            place = max(end, place)
        return "".join([*parts, self.text[place:]])

    def holds(
        self,
        done: Sequence[tuple[Edit, Sequence[Change]]],
        added: Sequence[Change],
        additions: Sequence[Mapping[str, object]],
    ) -> bool:
        """Whether the changes mean what they should, and every comment is still there."""
        text = self.changed([changes for _, changes in done], added)
        before, after = parse(self.text).root, parse(text)
        if after.problems or not isinstance(before, MappingNode):
            return False
        wanted = _data(before)
        wanted["indexes"] = entries = wanted.get("indexes") or []
        places = {(node.start_mark.line + 1, node.start_mark.column + 1): n for n, node in enumerate(self.items)}
        for edit, _ in done:
            entry = entries[places[edit.line, edit.column]]
            entry.update(_texts(edit.fields))
            for key in [key for key, value in edit.fields.items() if value is None]:
                entry.pop(key, None)
        entries += [_texts(entry) for entry in additions]
        if _data(after.root) != wanted:
            return False
        new = _Document(text)
        kept = Counter(new.comments(0, len(text)))
        return not Counter(self.comments(0, len(self.text))) - kept


def _place(key: str) -> int:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _compose(text: str) -> Any:
    return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # both are the safe loader


def _scalar_spans(node: Any, text: str) -> Iterator[tuple[int, int]]:
    """From where to where texts stand, in which `#` is no comment."""
    if isinstance(node, yaml.ScalarNode):
        begin, end = node.start_mark.index, node.end_mark.index
        if node.style in ("|", ">"):  # a comment may stand behind the sign
            begin = text.find("\n", begin, end) + 1 or end
        yield begin, end
        return
    for item in node.value:
        for part in item if isinstance(item, tuple) else (item,):
            yield from _scalar_spans(part, text)


def _composed(node: Any) -> Any:
    """A node of PyYAML as plain values."""
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.MappingNode):
        return {key.value: _composed(value) for key, value in node.value}
    return [_composed(item) for item in node.value]


def _data(node: Node | None) -> Any:
    """A tree as plain values; what is absent is None."""
    if node is None or isinstance(node, Scalar):
        return None if node is None or node.is_absent else node.text
    if isinstance(node, MappingNode):
        return {key: _data(value) for key, (_, value) in node.entries.items()}
    return [_data(item) for item in node.items]


def _texts(value: Any) -> Any:
    """A value as it is read back."""
    if isinstance(value, bool):
        return write.flow(value)
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    return [_texts(item) for item in value] if isinstance(value, list | tuple) else value
