"""The form of every check, and that each has something to say of a database in which all is well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from dbopt.health.check import Group, Status, Unit
from dbopt.health.checks import all_checks, check_ids, load
from dbopt.postgres.server import FACTS
from dbopt.postgres.surroundings import SURROUNDINGS
from tests.health.looks import failed, look_at, run_check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Database, Server

STATEMENTS_MAX = 30
EVERY = pytest.mark.parametrize("check_id", check_ids())
WANTED = """
    connection-slots idle-in-transaction long-running-statement blocked-sessions transaction-id-wraparound
    multixact-wraparound xmin-horizon dead-tuples autovacuum-disabled table-bloat index-bloat unused-index
    duplicate-index invalid-index foreign-key-without-index missing-index sequence-exhaustion replication-lag
    replication-slot constraint-not-valid prepared-transaction cache-hit-ratio statement-statistics average-query-time
"""


@pytest.fixture(scope="module")
def empty(pg: Server) -> Iterator[Database]:
    with pg.database() as fresh:
        yield fresh


def test_there_are_many_and_those_that_people_ask_for() -> None:
    ids = [check.id for check in all_checks()]
    assert len(ids) >= 35
    assert len(ids) == len(set(ids))
    assert set(WANTED.split()) <= set(ids)


@EVERY
def test_it_is_named_as_its_file_and_says_what_it_is(check_id: str) -> None:
    check = load(check_id)
    assert check.id == check_id
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", check.id)
    assert re.fullmatch(r"[A-Z][^.\n]{5,70}[^.\s]", check.title), check.title
    assert isinstance(check.group, Group)
    assert isinstance(check.unit, Unit)


@EVERY
def test_its_file_explains_it(check_id: str) -> None:
    first, _, rest = load(check_id).documentation.partition("\n\n")
    assert first.endswith(".")
    assert len(rest.split()) >= 20, "too short to learn anything from"
    assert re.search(r"https://www\.postgresql\.org/docs/\S+", rest), "no page of the manual"


@EVERY
def test_each_of_its_numbers_has_a_source(check_id: str) -> None:
    check = load(check_id)
    assert check.thresholds.source.strip()
    for limit in check.limits:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", limit.name)
        assert limit.source.strip()
        assert isinstance(limit.unit, Unit)
    names = [limit.name for limit in check.limits]
    assert len(names) == len(set(names))
    assert not {"warning", "critical"} & set(names)


@EVERY
def test_its_limits_are_the_way_round_that_it_judges(check_id: str) -> None:
    limits = load(check_id).thresholds
    if limits.warning is not None and limits.critical is not None:
        assert (limits.critical <= limits.warning) if limits.below else (limits.warning <= limits.critical)


@EVERY
def test_it_has_nothing_to_report_of_an_empty_database(check_id: str, empty: Database) -> None:
    result = run_check(empty, check_id)
    if check_id == "unsafe-durability":  # the tests' server runs without fsync, by its configuration file
        assert [finding.subject for finding in result.findings] == ["fsync", "full_page_writes"]
        return
    assert result.findings == ()
    assert not result.blind, result.reason
    assert result.status in (Status.OK, Status.SKIPPED, Status.UNKNOWN)
    assert (result.reason is None) is (result.status is Status.OK)


@EVERY
def test_any_limit_may_be_zero(check_id: str, empty: Database) -> None:
    """As dbopt.yaml can say; 0 of 0 is still no data."""
    for limit in load(check_id).limits:
        run_check(empty, check_id, limits={limit.name: 0})


def test_all_together_are_a_few_statements_in_one_snapshot(empty: Database) -> None:
    _, facts = look_at(empty)
    assert failed(facts) == {}
    assert facts.statements <= STATEMENTS_MAX
    assert facts.round_trips <= 3


def test_queries_are_shared_rather_than_repeated() -> None:
    queries = {query for check in all_checks() for query in check.queries} - {FACTS, SURROUNDINGS}
    assert len(queries) <= STATEMENTS_MAX - len(("BEGIN", "settings", "lock", "facts", "surroundings", "COMMIT"))
