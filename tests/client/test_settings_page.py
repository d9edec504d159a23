"""The table of settings in the documentation: as they are today."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbopt.client import settings_page

PAGE = Path(__file__).parents[2] / "docs" / settings_page.FILE_NAME


def test_the_table_is_fresh() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert settings_page.page(text) == text


def test_a_page_without_its_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="marks"):
        settings_page.page("# Connections\n")
