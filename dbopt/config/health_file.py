"""The section `health:` read from the tree of a configuration file: its shape, every error with its place."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from dbopt.config.health import CheckSetting, HealthSection, IgnoreEntry
from dbopt.spec import yaml_tree
from dbopt.spec.words import did_you_mean, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbopt.config.file import Reader
    from dbopt.config.place import Word

_KEYS = ("fail_on", "checks", "ignore", "skip")
_IGNORE_KEYS = ("check", "subject", "reason", "until")
FAIL_ON = ("warning", "critical", "never")  # a test holds it against dbopt.health.verdict.FailOn


def read(reader: Reader, node: yaml_tree.Node, name: str) -> HealthSection:
    """`name` is the section's in words for people: `health`, `targets.main.health`."""
    given = dict(_entries(reader, node, name, _KEYS))
    fail_on = _word(reader, given["fail_on"], f"{name}.fail_on") if "fail_on" in given else None
    if fail_on is not None and fail_on.text not in FAIL_ON:
        hint = did_you_mean(fail_on.text, FAIL_ON)
        raise fail_on.place.error(f"{name}.fail_on is {listed(FAIL_ON)}, not {quoted(fail_on.text)}", hint)
    return HealthSection(
        fail_on=fail_on,
        skip=_distinct([_word(reader, item, f"{name}.skip") for item in _items(reader, given, "skip", name)]),
        checks=tuple(_checks(reader, given["checks"], f"{name}.checks")) if "checks" in given else (),
        ignore=_ignores(reader, _items(reader, given, "ignore", name), f"{name}.ignore"),
    )


def _checks(reader: Reader, node: yaml_tree.Node, name: str) -> Iterator[CheckSetting]:
    checks = _mapping(reader, node, name)
    for check_id, (check, settings) in checks.entries.items():
        for key, (mark, value) in _mapping(reader, settings, f"{name}.{check_id}").entries.items():
            word = _word(reader, value, f"{name}.{check_id}.{key}")
            yield CheckSetting(reader.word(check), reader.word(mark), word)


def _ignores(reader: Reader, nodes: list[yaml_tree.Node], name: str) -> tuple[IgnoreEntry, ...]:
    found: dict[tuple[str, str], IgnoreEntry] = {}
    for node in nodes:
        given = dict(_entries(reader, node, "an entry of " + name, _IGNORE_KEYS))
        for key in ("check", "subject", "reason"):
            if key not in given:
                hint = "Say why: who meets it in a year wants to know." if key == "reason" else None
                reader.refuse(f"this entry of {name} has no {key}", node, hint)
        words = {key: _word(reader, value, f"{name}: {key}") for key, value in given.items()}
        entry = IgnoreEntry(
            check=words["check"],
            subject=words["subject"],
            reason=words["reason"],
            until=_date(words["until"]) if "until" in words else None,
            place=words["check"].place,
        )
        same = found.setdefault((entry.check.text, entry.subject.text), entry)
        if same is not entry:
            raise entry.place.error(f"the same check and subject are ignored in line {same.place.line} already")
    return tuple(found.values())


def _date(word: Word) -> date:
    try:
        return date.fromisoformat(word.text)
    except ValueError:
        raise word.place.error(f"until is a date such as 2027-01-31, not {quoted(word.text)}") from None


def _distinct(words: list[Word]) -> tuple[Word, ...]:
    found: dict[str, Word] = {}
    for word in words:
        if found.setdefault(word.text, word) is not word:
            raise word.place.error(f"{quoted(word.text)} is skipped in line {found[word.text].place.line} already")
    return tuple(words)


def _entries(
    reader: Reader, node: yaml_tree.Node, name: str, keys: tuple[str, ...]
) -> Iterator[tuple[str, yaml_tree.Node]]:
    """What is given of these keys; a key without a value says nothing."""
    for key, (mark, value) in _mapping(reader, node, name).entries.items():
        if key not in keys:
            reader.refuse(f"unknown key {quoted(key)}", mark, did_you_mean(key, keys))
        if not (isinstance(value, yaml_tree.Scalar) and value.is_absent):
            yield key, value


def _mapping(reader: Reader, node: yaml_tree.Node, name: str) -> yaml_tree.Mapping:
    if isinstance(node, yaml_tree.Scalar) and node.is_absent:
        return yaml_tree.Mapping(node.line, node.column)
    if not isinstance(node, yaml_tree.Mapping):
        reader.refuse(f"{name} is a mapping of keys to values", node)
    return node


def _items(reader: Reader, given: dict[str, yaml_tree.Node], key: str, name: str) -> list[yaml_tree.Node]:
    node = given.get(key)
    if node is None:
        return []
    if not isinstance(node, yaml_tree.Sequence):
        reader.refuse(f"{name}.{key} is a list", node)
    return node.items


def _word(reader: Reader, node: yaml_tree.Node, name: str) -> Word:
    if not isinstance(node, yaml_tree.Scalar):
        reader.refuse(f"{name} is one value, not a list or mapping", node)
    if not node.text.strip() or node.is_absent:
        reader.refuse(f"{name} is empty", node)
    return reader.word(node)
