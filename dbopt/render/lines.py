"""One record a line, tab-separated, no header: for cut, awk, grep and PostgreSQL's own COPY.

Values are escaped as COPY's text format does it, so that a tab or a line break in a name is no new field or record.
https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Control characters, and the two separators at which some readers break a line.
_SPECIAL = re.compile(r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHORT = {"\\": r"\\", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}


def raw(value: object) -> str:
    """A value for programs: NULL as nothing, numbers with all their digits, times by RFC 3339."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return rfc3339(value)
    return str(value)


def rfc3339(time: datetime) -> str:
    """A time in UTC. One without a zone is taken as the machine's local time."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def line(values: Iterable[object]) -> str:
    """One record, without the line break at its end."""
    return "\t".join(_SPECIAL.sub(_escape, raw(value)) for value in values)


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or "".join(f"\\x{byte:02x}" for byte in match[0].encode())
