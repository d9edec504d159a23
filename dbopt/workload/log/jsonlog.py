"""jsonlog (15+): an object a line.

https://www.postgresql.org/docs/current/runtime-config-logging.html#RUNTIME-CONFIG-LOGGING-JSONLOG
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from dbopt.workload.log.values import CUT_OFF, Entry

_LINE = re.compile(r'\{.*"error_severity"\s*:')


def fits(line: str) -> bool:
    return _LINE.match(line) is not None


def entries(lines: Iterator[str], skipped: Counter[str]) -> Iterator[Entry]:
    for line in lines:
        if not line:
            continue
        try:
            item = json.loads(line)
        except ValueError:
            item = None
        if not isinstance(item, dict) or not isinstance(message := item.get("message", ""), str):
            skipped[CUT_OFF] += 1
            continue
        yield Entry(
            _text(item.get("timestamp")),
            _text(item.get("pid")),
            _text(item.get("user")),
            _text(item.get("dbname")),
            message,
            _text(item.get("detail")) or "",
            _text(item.get("context")) or "",
            item["query_id"] if isinstance(item.get("query_id"), int) else 0,
            _text(item.get("statement")) or "",
        )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
