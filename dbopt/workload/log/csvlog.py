"""csvlog: a record an entry, with line breaks in its quoted fields.

Not by the csv module: that refuses long fields, and after a record that was cut off in the middle (a crash, a rotation)
it takes the rest of the file for one field.
https://www.postgresql.org/docs/current/runtime-config-logging.html#RUNTIME-CONFIG-LOGGING-CSVLOG
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from dbopt.workload.log.files import ENTRY_MAX_CHARACTERS
from dbopt.workload.log.times import STAMP, ZONE
from dbopt.workload.log.values import CUT_OFF, Entry

_QUOTED = r'"[^"]*+(?:""[^"]*+)*+"'
_FIELD = rf'(?:{_QUOTED}|[^",]*+)'
_START = re.compile(rf"{STAMP} (?:{ZONE}),(?:{_QUOTED})?,(?:{_QUOTED})?,\d*,")
# With user or database quoted: within a field each quote is written twice, so that no text can look like this.
_SURE_START = re.compile(rf'{STAMP} (?:{ZONE}),(?:"[^"]+",(?:"[^"]*")?|,"[^"]+"),\d+,')
# Time, user, database and process; from the 14th on message and detail, context, statement; from 14 on a query id as
# the 26th.
_RECORD = re.compile(
    rf"([^,]+),({_FIELD}),({_FIELD}),(\d*)(?:,{_FIELD}){{9}},({_FIELD}),({_FIELD})(?:,{_FIELD}){{3}},({_FIELD}),({_FIELD})"
    rf"(?:,{_FIELD}){{3}}(?:(?:,{_FIELD}){{2}},(-?\d*))?"
)


def fits(line: str) -> bool:
    return _START.match(line) is not None


def entries(lines: Iterator[str], skipped: Counter[str]) -> Iterator[Entry]:
    for record in _records(lines, skipped):
        match = _RECORD.match(record)
        if match is None:
            skipped[CUT_OFF] += 1
            continue
        at, user, dbname, pid, message, detail, context, statement, query_id = match.groups()
        yield Entry(
            at,
            pid or None,
            _unquoted(user) or None,
            _unquoted(dbname) or None,
            _unquoted(message),
            _unquoted(detail),
            _unquoted(context),
            int(query_id) if query_id else 0,
            _unquoted(statement),
        )


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if field.startswith('"') else field


def _records(lines: Iterator[str], skipped: Counter[str]) -> Iterator[str]:
    """Whole records. What is before the first start, or after a cut, is left out up to the next start."""
    parts: list[str] = []
    length = quotes = 0
    for line in lines:
        if parts and not _SURE_START.match(line):
            parts.append(line)
        else:
            if parts:
                skipped[CUT_OFF] += 1
            parts, length, quotes = [], 0, 0
            if not _START.match(line):
                continue
            parts = [line]
        length += len(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            yield "\n".join(parts)
            parts = []
        elif length > ENTRY_MAX_CHARACTERS:
            skipped[CUT_OFF] += 1
            parts = []
    if parts:
        skipped[CUT_OFF] += 1
