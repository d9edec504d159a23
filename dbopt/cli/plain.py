"""Options that are read without pydantic where there is nothing to convert.

typer makes a pydantic adapter for each option of a command, whether it was given or not, and imports pydantic for it:
a tenth of a second in front of every command. Most options are not given, and most others are texts already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from typer.core import TyperOption

if TYPE_CHECKING:
    from collections.abc import Iterable


class PlainOption(TyperOption):
    """As typer's; what needs a conversion, or is not valid, is left to it."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        if self.required or not self._is_plain(value):
            return super().process_value(ctx, value)
        return value if self.callback is None else self.callback(ctx, self, value)

    def _is_plain(self, value: Any) -> bool:
        """Whether the value is what the conversion would make of it."""
        if value is None or value is self.default:
            return True
        annotation = getattr(getattr(self, "type_descriptor", None), "annotation", None)
        if isinstance(value, str):
            return annotation is str or (get_origin(annotation) is Literal and value in get_args(annotation))
        return bool(annotation == list[str]) and isinstance(value, list)


def make_plain(parameters: Iterable[Any]) -> None:
    """Options are made by typer, of its own class; that of an instance can be narrowed afterwards."""
    for parameter in parameters:
        if type(parameter) is TyperOption:
            parameter.__class__ = PlainOption
