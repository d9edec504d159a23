"""JSON that every parser reads: valid UTF-8, no NaN, numbers that fit.

Documents carry `schema_version` and `command`; keys are only ever added. Events are one line each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbopt.render.lines import rfc3339

if TYPE_CHECKING:
    from dbopt.render.output import Stream

SCHEMA_VERSION = 1


def document(command: str, **content: object) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "command": command, **content}


def write_document(stream: Stream, content: Mapping[str, object]) -> None:
    stream.write(dumps(content, stream, indent=2) + "\n")


def write_event(stream: Stream, content: Mapping[str, object]) -> None:
    stream.write(dumps(content, stream) + "\n")


def dumps(value: object, stream: Stream, indent: int | None = None) -> str:
    # A stream of another encoding gets \uXXXX, which is valid UTF-8 too.
    encoding = (stream.file.encoding or "utf-8").lower().replace("-", "").replace("_", "")
    return json.dumps(_plain(value), ensure_ascii=encoding != "utf8", allow_nan=False, indent=indent)


def _plain(value: Any) -> Any:
    """What JSON can hold: half a surrogate pair becomes U+FFFD, a number that is none becomes null."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return rfc3339(value)
        case Mapping():
            return {_plain(str(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    raise TypeError(f"no JSON form for {type(value).__name__}")
