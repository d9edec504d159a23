"""docs/faults.md names a test for each fault."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "faults.md"


def test_every_test_that_the_page_names_is_there() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "| exit |" not in line]
    named = [re.search(r"`(test_\w+\.py)::(test_\w+)` \|$", line) for line in rows]
    assert [line for line, found in zip(rows, named, strict=True) if found is None] == []
    missing = [
        found[0]
        for found in named
        if found is not None and f"\ndef {found[2]}(" not in (FOLDER / found[1]).read_text(encoding="utf-8")
    ]
    assert missing == []
