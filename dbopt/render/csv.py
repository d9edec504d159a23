"""RFC 4180: header, CRLF, quotes where needed."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from dbopt.render.lines import raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def document(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([raw(value) for value in row] for row in rows)
    return text.getvalue()
