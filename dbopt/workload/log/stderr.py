"""What the server writes to stderr: an entry after a prefix of the administrator's choice (log_line_prefix), its
further lines indented by a tab, then DETAIL and the like with prefixes of their own.

syslog and containers write something before each line. https://www.postgresql.org/docs/current/runtime-config-logging.html
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator

from dbopt.workload.log.files import ENTRY_MAX_CHARACTERS, Lines
from dbopt.workload.log.times import STAMP, ZONE
from dbopt.workload.log.values import CUT_OFF, Entry

# Sessions of which the last entry is held until it is surely whole: what belongs to it comes right after it, as the
# server writes both at once, but other sessions may come in between.
OPEN_MAX = 1_000
PREFIX_MAX = 1_000  # characters
STRAY = "lines that belong to no entry"

# Its severity, translated or not, and two spaces.
_MARK = re.compile(r"([^\W\d_]{2,20}\d?):  ")
_PARTS = ("DETAIL", "HINT", "QUERY", "CONTEXT", "STATEMENT", "LOCATION", "BACKTRACE")
_PART = re.compile(rf"({'|'.join(_PARTS)}):  ")
_SEVERITIES = re.compile(rf"\b(?:DEBUG[1-5]?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|{'|'.join(_PARTS)}):  ")

_TIME = re.compile(rf"{STAMP}\ (?:{ZONE})|\b\d{{10}}\.\d{{3}}\b")
_PID = re.compile(r"\[(\d+)(?:-\d+)?\]|\bpid[=: ](\d+)|\b[0-9a-f]{8,}\.([0-9a-f]+)\b")  # %p, or in the session id, %c
_USER = re.compile(r"\buser(?:name)?=([^,\s]*)")
_DBNAME = re.compile(r"\b(?:db|dbname|database)=([^,\s]*)")
_USER_AT_DBNAME = re.compile(r"([^\s:@\[\],=]+)@([^\s:@\[\],=]+)")

# `db-1  | `, what `kubectl` and `docker logs -t` write, syslog in its old and its new form.
_CARRIER = re.compile(
    r"""
    (?: [A-Za-z][\w.-]* \s* \|\s )?
    (?: (?P<at>\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)) \s (?: std(?:out|err) \s [FP] \s )?
      | [A-Z][a-z]{2} \s+ \d+ \s \d\d:\d\d:\d\d \s )?
    (?: [\w.:-]+ \s [^\s\[\]]+ \[(?P<pid>\d+)\]: \s (?: \[\d+-(?P<chunk>\d+)\] \s )? )?
    """,
    re.VERBOSE,
)


def fits(line: str) -> bool:
    """Whether an entry begins here."""
    return line[:1] not in ("\t", " ") and (
        _SEVERITIES.search(line, 0, PREFIX_MAX) is not None
        or (_MARK.search(line, 0, PREFIX_MAX) is not None and _TIME.search(line, 0, PREFIX_MAX) is not None)
    )


def is_carried(line: str) -> bool:
    carrier = _CARRIER.match(line)
    return carrier is not None and carrier.end() > 0


class _Open:
    """An entry, as long as lines may be added to it."""

    __slots__ = ("at", "context", "dbname", "detail", "message", "pid", "statement", "user")

    def __init__(self, at: str | None, pid: str | None, user: str | None, dbname: str | None) -> None:
        self.at, self.pid, self.user, self.dbname = at, pid, user, dbname
        self.message: list[str] = []
        self.detail: list[str] = []
        self.context: list[str] = []
        self.statement: list[str] = []

    def closed(self) -> Entry:
        parts = (self.message, self.detail, self.context, self.statement)
        message, detail, context, statement = ("\n".join(lines) for lines in parts)
        return Entry(self.at, self.pid, self.user, self.dbname, message, detail, context, statement=statement)


def entries(lines: Iterator[str], source: Lines, skipped: Counter[str], *, carried: bool) -> Iterator[Entry]:
    """`lines`: of `source`. `carried`: something stands before each line."""
    opened: dict[str | None, _Open] = {}
    part: list[str] | None = None  # where further lines go
    length = 0  # of what has gone there
    latest: _Open | None = None
    for text in lines:
        line, carrier = text, None
        if carried and (carrier := _CARRIER.match(text)) is not None:
            line = text[carrier.end() :].replace("#011", "\t")
            if int(carrier["chunk"] or 1) > 1 and not _PART.search(line):
                # syslog cuts long lines, too: what was a line of its own begins with a tab.
                if part and line[:1] != "\t":
                    if length <= ENTRY_MAX_CHARACTERS:
                        part[-1] += line
                        length += len(line)
                    continue
                line = "\t" + line.removeprefix("\t")
        if line[:1] in ("\t", " ", ""):
            if part is not None and length <= ENTRY_MAX_CHARACTERS:
                part.append(line.removeprefix("\t"))
                length += len(line)
            continue
        mark = _MARK.search(line, 0, PREFIX_MAX)
        if mark is None:
            skipped[STRAY] += 1
            continue
        at, pid, user, dbname = _prefix(line[: mark.start()])
        if carrier is not None:
            at, pid = at or carrier["at"], pid or carrier["pid"]
        severity, said = mark[1], line[mark.end() :]
        length = len(said)
        if severity in _PARTS:
            latest = opened.get(pid)
            part = _part(latest, severity)
            part.append(said)
            continue
        if pid in opened:
            yield opened.pop(pid).closed()
        elif len(opened) >= OPEN_MAX:
            yield opened.pop(next(iter(opened))).closed()
        opened[pid] = latest = _Open(at, pid, user, dbname)
        part = latest.message
        part.append(said)
    if source.ends_in_line and latest is not None and part is latest.message:
        opened.pop(latest.pid, None)
        skipped[CUT_OFF] += 1
    for entry in opened.values():
        yield entry.closed()


def _part(entry: _Open | None, severity: str) -> list[str]:
    if entry is None or severity not in ("DETAIL", "CONTEXT", "STATEMENT"):
        return []
    part: list[str] = getattr(entry, severity.lower())
    return part


def _prefix(text: str) -> tuple[str | None, str | None, str | None, str | None]:
    """Time, process, user and database, as far as they can be told."""
    time = _TIME.search(text)
    if time is None:
        return None, *_session(text)
    return time[0], *_session(text[: time.start()] + text[time.end() :])


@functools.lru_cache(maxsize=4096)
def _session(text: str) -> tuple[str | None, str | None, str | None]:
    """Process, user and database: what stays the same from line to line, unless there is a line number (%l)."""
    number = _PID.search(text)
    pid = None if number is None else number[1] or number[2] or str(int(number[3], 16))
    user, dbname = _USER.search(text), _DBNAME.search(text)
    if user or dbname:
        return pid, (user and user[1]) or None, (dbname and dbname[1]) or None
    pair = _USER_AT_DBNAME.search(text)
    return (pid, None, None) if pair is None else (pid, pair[1], pair[2])
