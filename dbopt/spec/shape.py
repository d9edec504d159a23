"""A node of the YAML tree to plain data for a model, with the place of each field.

The models say which keys there are, so unknown ones are found here, with their place and the nearest known one:
pydantic would take Python's own spellings too (`with_`), and the fields that only the loader fills in.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from dbopt.spec.model import IndexSpec
from dbopt.spec.words import did_you_mean, quoted
from dbopt.spec.yaml_tree import Mapping, Node, Problem, Scalar, Sequence

# Keys that the format has and the model has not: the loader moves `schema` of an entry into its `table`.
_EXTRA_KEYS: dict[type[BaseModel], tuple[str, ...]] = {IndexSpec: ("schema",)}


@dataclass(slots=True)
class Shaped:
    """`data` for pydantic; the place of each path, as in Source; what was wrong with the keys."""

    data: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@cache
def known_keys(model: type[BaseModel]) -> MappingType[str, type[BaseModel] | None]:
    """The keys of a model as a file spells them, each with the model of its value (or of the items of its list)."""
    keys: dict[str, type[BaseModel] | None] = {
        info.alias or name: _model_in(info.annotation) for name, info in model.model_fields.items() if not info.exclude
    }
    return keys | dict.fromkeys(_EXTRA_KEYS.get(model, ()))


def shape(node: Node, model: type[BaseModel] | None) -> Shaped:
    shaped = Shaped()
    shaped.data = _value(node, model, "", shaped)
    return shaped


def _value(node: Node, model: type[BaseModel] | None, path: str, out: Shaped) -> Any:
    """Recursive: the tree is at most DEPTH_MAX deep."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return [_item(item, model, f"{path}.{n}", out) for n, item in enumerate(node.items)]
    return _mapping(node, model, path, out)


def _item(node: Node, model: type[BaseModel] | None, path: str, out: Shaped) -> Any:
    out.lines[path], out.columns[path] = node.line, node.column
    return _value(node, model, path, out)


def _mapping(node: Mapping, model: type[BaseModel] | None, path: str, out: Shaped) -> dict[str, Any]:
    known = known_keys(model) if model is not None else None
    data: dict[str, Any] = {}
    for key, (mark, value) in node.entries.items():
        if known is not None and key not in known:
            message = f"unknown key {quoted(key)}" + (f" in `{path}`" if path else "")
            out.problems.append(Problem("unknown-key", message, mark.line, mark.column, did_you_mean(key, known)))
            continue
        inner = f"{path}.{key}" if path else key
        # A text stands where it begins; a collection may begin a line below, so its key says more.
        place = value if isinstance(value, Scalar) and value.text else mark
        out.lines[inner], out.columns[inner] = place.line, place.column
        if isinstance(value, Scalar) and value.is_absent:
            if known is None:  # a storage parameter: there is no default that silence could mean
                message = f"`{inner}` has no value"
                out.problems.append(Problem("invalid-value", message, mark.line, mark.column))
            continue
        data[key] = _value(value, known[key] if known is not None else None, inner, out)
    return data


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `X | None`, `tuple[X, ...]`, `Annotated[X, ...]` and their combinations."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
