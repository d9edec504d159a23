"""Which format a log has: it is not asked for, most of its first entries say it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from dbopt.errors import Error
from dbopt.workload.log import csvlog, jsonlog, stderr
from dbopt.workload.log.files import HINT_WHERE, Lines
from dbopt.workload.log.values import Entry

# A log may begin in the middle of a long plan.
HEAD_ENTRIES = 20
HEAD_LINES = 20_000
HEAD_CHARACTERS = 16 * 1024 * 1024


def entries(source: Lines, skipped: Counter[str]) -> tuple[str, Iterator[Entry]]:
    """The format's name, and the entries. Raises Error when this is no log of PostgreSQL's."""
    votes: Counter[str] = Counter()
    head: list[str] = []
    lines = iter(source)
    characters = carried = 0
    for line in lines:
        head.append(line)
        characters += len(line)
        if csvlog.fits(line):
            votes["csvlog"] += 1
        elif jsonlog.fits(line):
            votes["jsonlog"] += 1
        elif stderr.fits(line):
            votes["stderr"] += 1
            carried += stderr.is_carried(line)
        if votes.total() >= HEAD_ENTRIES or len(head) >= HEAD_LINES or characters >= HEAD_CHARACTERS:
            break
    if not votes:
        if source.damage is not None:
            raise Error(f"could not read {source.name}", detail=source.damage)
        if not any(head):
            raise Error(f"{source.name} is empty", hint=HINT_WHERE)
        detail = "none of its lines is a csvlog, a jsonlog or a stderr entry such as `... LOG:  duration: ...`"
        raise Error(f"{source.name} is not a log of PostgreSQL", detail=detail, hint=HINT_WHERE)
    lines = itertools.chain(head, lines)
    match votes.most_common(1)[0][0]:
        case "csvlog":
            return "csvlog", csvlog.entries(lines, skipped)
        case "jsonlog":
            return "jsonlog", jsonlog.entries(lines, skipped)
    return "stderr", stderr.entries(lines, source, skipped, carried=carried * 2 > votes["stderr"])
