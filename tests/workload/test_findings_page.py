"""The findings' own documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dbopt.render import findings_page
from dbopt.workload.finding import Finding, Scene
from dbopt.workload.findings import all_findings, codes, load
from dbopt.workload.model import Counters, Statement

DOCS = Path(__file__).parents[2] / "docs"
# Of the issue: what has to be found.
ASKED = frozenset(
    (
        *("sequential-scan", "filter-discards-rows", "sort-spills", "avoidable-sort", "nested-loop-over-many-rows"),
        *("row-estimate-off", "function-on-column", "leading-wildcard", "offset-paging", "implicit-cast"),
        *("statistics-missing", "temporary-files", "lossy-bitmap", "n-plus-one", "changing-in-lists"),
    )
)


def test_the_page_is_fresh() -> None:
    """`make generated` makes it anew."""
    assert (DOCS / findings_page.FILE_NAME).read_text(encoding="utf-8") == findings_page.page()


def test_all_that_was_asked_for_is_looked_for() -> None:
    assert frozenset(codes()) >= ASKED
    with pytest.raises(ModuleNotFoundError):
        load("no-such-finding")


@pytest.mark.parametrize("finding", all_findings(), ids=lambda finding: finding.code)
def test_every_finding_is_documented(finding: Finding) -> None:
    assert finding.code in codes()
    assert finding.title
    assert finding.source
    assert len(finding.documentation.splitlines()) > 3
    assert re.search(r"https://www\.postgresql\.org/docs/current/", finding.documentation)


@pytest.mark.parametrize("finding", all_findings(), ids=lambda finding: finding.code)
@pytest.mark.parametrize("query", [None, "", "SELECT", "SELECT 1 FROM a WHERE b IN (", "VACUUM", "\x00"])
def test_nothing_is_said_of_what_cannot_be_read(finding: Finding, query: str | None) -> None:
    statement = Statement(fingerprint=None, query=query, queryids=tuple(range(9)), counters=Counters())
    assert list(finding.look(Scene(statement=statement, plan=None, relations={}))) == []
