"""Options and arguments that are read without pydantic where there is nothing to convert.

typer makes a pydantic adapter for each of a command's, whether it was given or not, and imports pydantic for it:
a tenth of a second in front of every command. Most options are not given, and most others are texts already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from collections.abc import Iterable


class PlainOption(TyperOption):
    """As typer's; what needs a conversion, or is not valid, is left to it."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        return _processed(self, ctx, value) if _is_plain(self, value) else super().process_value(ctx, value)


class PlainArgument(TyperArgument):
    """The same."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        return _processed(self, ctx, value) if _is_plain(self, value) else super().process_value(ctx, value)


def _is_plain(parameter: Any, value: Any) -> bool:
    """Whether the value is what the conversion would make of it."""
    if parameter.required:
        return False
    if value is None or value is parameter.default:
        return True
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if isinstance(value, str):
        return annotation is str or (get_origin(annotation) is Literal and value in get_args(annotation))
    return bool(annotation == list[str]) and isinstance(value, list | tuple)


def _processed(parameter: Any, ctx: Any, value: Any) -> Any:
    if isinstance(value, tuple):  # the parser gives the words of an argument so
        value = list(value)
    return value if parameter.callback is None else parameter.callback(ctx, parameter, value)


def make_plain(parameters: Iterable[Any]) -> None:
    """They are made by typer, of its own classes; that of an instance can be narrowed afterwards."""
    for parameter in parameters:
        if type(parameter) is TyperOption:
            parameter.__class__ = PlainOption
        elif type(parameter) is TyperArgument:
            parameter.__class__ = PlainArgument
