"""What pydantic has against a file, in our own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dbopt.spec.words import did_you_mean, listed, plain, quoted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Errors whose sentence needs nothing but what was found.
_EXPECTED = {
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "yes or no",
    "date_type": "a date",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
}
# Models that have a short form.
_MODELS = {"Key": "the name of a column or a mapping", "TableRef": "a name or a mapping"}
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def path_of(error: ErrorDetails) -> str:
    """The path of the field, as in Source. Tags of unions, `<mapping>` say, are no part of the file."""
    return ".".join(str(part) for part in error["loc"] if not str(part).startswith("<"))


def complaint(error: ErrorDetails) -> tuple[str, str, str | None]:
    """Code, message and hint for one of pydantic's errors."""
    kind, context, label = error["type"], error.get("ctx", {}), f"`{path_of(error)}`"
    if kind == "missing":
        return "missing-key", f"{label} is missing", None
    if kind == "string_too_short":
        return "invalid-value", f"{label} must not be empty", None
    if kind in ("enum", "literal_error"):
        allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        message = f"{label}: expected {listed(allowed)}, found {_found(error['input'])}"
        return "invalid-value", message, did_you_mean(str(error["input"]), allowed)
    if kind == "value_error":  # ours, raised by the models
        prefix = f"{label}: " if error["loc"] else ""
        return "invalid-value", prefix + plain(str(context["error"])), None
    if kind == "string_pattern_mismatch":
        return "invalid-value", f"{label}: expected a-z, 0-9, _ and - only, found {_found(error['input'])}", None
    if kind in _LIMITS:
        limit, words = _LIMITS[kind]
        return "invalid-value", f"{label}: expected {words} {context[limit]}, found {_found(error['input'])}", None
    expected = _MODELS.get(context.get("class_name", ""), _EXPECTED.get(kind, "another value"))
    return "invalid-value", f"{label}: expected {expected}, found {_found(error['input'])}", None


def _found(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return quoted(str(value))
