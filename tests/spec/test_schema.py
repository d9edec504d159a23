"""The schema for editors: fresh, complete, and of one mind with the loader."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from dbopt.spec import model, schema
from dbopt.spec.shape import known_keys
from tests.spec.values import ALL_FIELDS, HEAD, collect, entry

DOCUMENT = schema.schema()


def refused(value: Any, rule: dict[str, Any]) -> str | None:
    """Why a value does not fit, by the parts of JSON schema that ours uses; an unknown part fails the test."""
    for word in sorted(rule, key=lambda word: word != "type"):  # the other words are about values of their type
        wanted = rule[word]
        match word:
            case "$ref":
                bad = refused(value, DOCUMENT["definitions"][wanted.removeprefix("#/definitions/")])
            case "anyOf":
                bad = None if any(refused(value, form) is None for form in wanted) else f"no form fits {value!r}"
            case "type":
                types = [wanted] if isinstance(wanted, str) else wanted
                bad = None if any(_is(value, kind) for kind in types) else f"{value!r} is no {wanted}"
            case "enum":
                bad = (
                    None
                    if any(value is one or (value == one and type(value) is type(one)) for one in wanted)
                    else "enum"
                )
            case "const":
                bad = None if value == wanted else f"{value!r} is not {wanted}"
            case "properties":
                pairs = [(value[key], wanted[key]) for key in value if key in wanted] if isinstance(value, dict) else []
                bad = next((why for inner, body in pairs if (why := refused(inner, body))), None)
            case "additionalProperties" if wanted is False:
                bad = next((f"unknown {key}" for key in value if key not in rule.get("properties", {})), None)
            case "additionalProperties":
                bad = next((why for inner in value.values() if (why := refused(inner, wanted))), None)
            case "required":
                bad = next((f"no {key}" for key in wanted if key not in value), None)
            case "items":
                bad = next((why for item in value if (why := refused(item, wanted))), None)
            case "minLength":
                bad = None if not isinstance(value, str) or len(value) >= wanted else "too short"
            case "pattern":
                bad = None if re.search(wanted, value) else "pattern"
            case "minimum" | "exclusiveMinimum":
                bad = None if value >= wanted else "too small"
            case "maximum":
                bad = None if value <= wanted else "too large"
            case "propertyNames" | "description" | "format" | "title" | "$schema" | "definitions":
                bad = None
            case _:
                pytest.fail(f"the schema uses {word}")
        if bad:
            return bad
    return None


def _is(value: Any, kind: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": number and value == int(value),
        "number": number,
        "null": value is None,
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[kind]


class _Editor(yaml.SafeLoader):
    """YAML as editors read it (1.2): true and false are booleans, yes and no are text, dates are text."""


_Editor.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if "bool" not in tag and "timestamp" not in tag]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Editor.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def by_schema(text: str) -> str | None:
    return refused(yaml.load(text, Loader=_Editor), DOCUMENT)


def test_the_file_is_fresh():
    assert schema.PATH.read_text(encoding="utf-8") == schema.text(), "python -m dbopt.spec.schema"


def test_all_fields_please_loader_and_schema(tmp_path):
    assert collect(tmp_path, ALL_FIELDS)[1] == []
    assert by_schema(ALL_FIELDS) is None


def test_all_fields_are_in_the_example():
    used = set(re.findall(r"\b([a-z_]+):", ALL_FIELDS))
    assert used >= {key for sentences in schema.DESCRIPTIONS.values() for key in sentences}


@pytest.mark.parametrize(
    "body",
    [
        "keys: a",
        "keys: {expr: lower(a)}",
        "keys: [no, 1e3, 2026-01-31, null, true, {column: a}]",
        "keys: a\nunique: yes",
        "keys: a\nunique: true",
        "keys: a\nunique: {nulls: not_distinct}",
        "keys: a\nwith: {fillfactor: 70, fastupdate: no, deduplicate_items: false}",
        "keys: a\nwhy:\nwhere: ~",
        "keys: a\nwas: b\ninclude: c",
        "keys: a\nneeds: {extension: [b]}\nbuild: {maintenance_work_mem: 64000}",
    ],
)
def test_short_forms_please_both(tmp_path, body):
    assert collect(tmp_path, entry(body))[1] == []
    assert by_schema(entry(body)) is None


@pytest.mark.parametrize(
    "text",
    [
        "domain: d\n",
        "spec: 2\ndomain: d\n",
        "spec: 1\ndomain: D\n",
        HEAD + "path: x\n",
        HEAD + "indexes: [a]\n",
        HEAD + "indexes: [{name: a}]\n",
        HEAD + "defaults: {extras: drop}\n",
        entry("keys: [[a]]"),
        entry("keys: ['']"),
        entry("keys: [{column: a, order: DESC}]"),
        entry("keys: a\nunique: maybe"),
        entry("keys: a\ndomain: x"),
        entry("keys: a\nsource: x"),
        entry("keys: a\nwith_: {}"),
        entry("keys: a\nbuild: {parallel_workers: 2000}"),
        entry("keys: a\nwith: {a: [b]}"),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(tmp_path, text):
    assert collect(tmp_path, text)[1] != []
    assert by_schema(text) is not None


def test_every_key_has_a_sentence_and_no_other_has():
    models = {
        name: value
        for name, value in vars(model).items()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == model.__name__
    }
    for name in ("_Base", "SpecSet"):
        del models[name]
    assert set(models) == set(schema.DESCRIPTIONS)
    for name, value in models.items():
        assert set(known_keys(value)) == set(schema.DESCRIPTIONS[name]), name
        definition = DOCUMENT if name == "SpecFile" else DOCUMENT["definitions"][name]
        assert set(definition["properties"]) == set(schema.DESCRIPTIONS[name]), name
        assert definition["additionalProperties"] is False


def test_it_is_json_without_traces_of_its_making():
    text = schema.text()
    assert json.loads(text) == DOCUMENT
    assert "$defs" not in text
    assert "loader" not in text
