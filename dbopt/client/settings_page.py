"""The table of settings in docs/client-connections.md: `python -m dbopt.client.settings_page docs` writes it anew."""

from __future__ import annotations

import sys
from pathlib import Path

from dbopt.client.settings import table

FILE_NAME = "client-connections.md"
BEGIN = "<!-- settings: made by `python -m dbopt.client.settings_page` -->\n"
END = "<!-- end of settings -->\n"


def page(text: str) -> str:
    """The page with the table of today between its two marks. Raises ValueError where it lacks one of them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{FILE_NAME} has lost the marks of its table")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs") / FILE_NAME
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
