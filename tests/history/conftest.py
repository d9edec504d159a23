from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli_runner import Result


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the store that commands work with; nobody has made it yet."""
    found = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("DBOPT_STORE_URL", found)
    monkeypatch.setenv("TZ", "UTC")
    return found


@pytest.fixture
def drawn(run_cli: Callable[..., Result]) -> Callable[..., str]:
    """`drawn("metric", "connections", columns=60)`: what people see."""

    def run(*words: str, columns: int = 80) -> str:
        result = run_cli("history", *words, "--format", "table", env={"COLUMNS": str(columns)})
        assert (result.code, result.err) == (0, "")
        return result.out

    return run
