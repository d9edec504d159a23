"""The times of log lines. The zone is an abbreviation, which means what it means where the log was made."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo

# Hours east of Greenwich, as the tz database has them. Not those that stand for several zones (CST, IST): they are
# taken from the clock of this machine, where it uses them.
_ABBREVIATIONS = {
    0.0: "UTC GMT Z WET",
    1.0: "WEST BST CET WAT",
    2.0: "CEST EET SAST CAT",
    3.0: "EEST MSK EAT",
    5.0: "PKT",
    8.0: "HKT AWST",
    9.0: "JST KST",
    9.5: "ACST",
    10.0: "AEST",
    10.5: "ACDT",
    11.0: "AEDT",
    12.0: "NZST",
    13.0: "NZDT",
    -2.5: "NDT",
    -3.0: "ADT",
    -3.5: "NST",
    -4.0: "AST EDT",
    -5.0: "EST CDT",
    -6.0: "MDT",
    -7.0: "MST PDT",
    -8.0: "PST AKDT",
    -9.0: "AKST",
    -10.0: "HST",
}
_HOURS = {name: hours for hours, names in _ABBREVIATIONS.items() for name in names.split()}
STAMP = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?"
ZONE = r"[A-Za-z]{1,6}|[+-]\d\d(?::?\d\d)?"
_STAMP = re.compile(rf"({STAMP})\ ?({ZONE})?")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?")


class Clock:
    """Times of one log. `unknown`: abbreviations that were taken for UTC."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        self._zones: dict[str | None, tzinfo] = {}

    def at(self, text: str | None) -> datetime | None:
        """Of `2026-11-22 10:15:33.871 UTC`, of an epoch (`%n`). None: no time, or none that there is."""
        if text is None:
            return None
        try:
            match = _STAMP.fullmatch(text)
            if match is None:
                return datetime.fromtimestamp(float(text), UTC)
            at = datetime.fromisoformat(match[1])
        except (ValueError, OverflowError, OSError):
            return None
        zone = self._zones.get(match[2]) or self._zone(match[2])
        return at.replace(tzinfo=zone)

    def _zone(self, name: str | None) -> tzinfo:
        hours = 0.0
        if name is not None and (offset := _OFFSET.fullmatch(name)):
            hours = float(f"{offset[1]}1") * (int(offset[2]) + int(offset[3] or 0) / 60)
        elif name is not None:
            here = dict(zip(time.tzname, (-time.timezone / 3600, -time.altzone / 3600), strict=False))
            known = {**_HOURS, **here}
            if name not in known:
                self.unknown.add(name)
            hours = known.get(name, 0.0)
        zone = UTC if hours == 0 else timezone(timedelta(hours=hours))
        return self._zones.setdefault(name, zone)
