"""The packaged specs: every index of the original lists accounted for, every statement served, no foreign key bare."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from dbopt import resources
from dbopt.demo import schema
from dbopt.optimize.steps import Action
from dbopt.spec.finding import Severity
from dbopt.spec.load import load

from .listed import LISTED

if TYPE_CHECKING:
    from server import Database

    from .conftest import Optimized, Sample

LEFT_OUT = re.compile(r"^ *# left out: (\S+): \S", re.MULTILINE)
CHANGED = re.compile(r"^ *# (?:repaired|widened): (\S+): \S", re.MULTILINE)
MAKES_REDUNDANT = re.compile(r"^ *# makes redundant: (\S+)$", re.MULTILINE)


def text_of(app: str) -> str:
    return (resources.indexes() / f"{app}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("app", schema.APPS)
def test_each_listed_index_is_an_entry_or_left_out_with_a_reason(app: str) -> None:
    entries = {entry.name for entry in load([resources.indexes() / f"{app}.yaml"]).indexes}
    left_out = LEFT_OUT.findall(text_of(app))
    assert len(LISTED[app]) == {"thrive_send": 45, "neonhub": 33}[app]
    assert len(set(left_out)) == len(left_out)
    assert not entries & set(left_out)
    assert set(LISTED[app]) - entries == set(left_out)
    assert set(CHANGED.findall(text_of(app))) <= entries & set(LISTED[app])


def test_each_entry_says_why_and_what_it_serves(sample: Sample) -> None:
    for entry in sample.specs.indexes:
        assert entry.why, entry.name
        assert entry.serves, entry.name


def test_the_plan_creates_all_of_it_without_an_error(optimized: Optimized) -> None:
    plan = optimized.plan
    assert {step.action for step in plan.steps} == {Action.CREATE}
    assert len(plan.steps) == len(optimized.sample.specs.indexes)
    assert not plan.refused
    assert {finding.severity for finding in plan.findings} <= {Severity.INFO}


def test_the_file_names_just_the_indexes_that_become_redundant(optimized: Optimized) -> None:
    said = set(MAKES_REDUNDANT.findall(text_of(optimized.sample.app.name)))
    found = {finding.message.split()[0] for finding in optimized.plan.findings if finding.code == "makes-redundant"}
    assert said == found


def test_every_index_is_made(optimized: Optimized) -> None:
    result = optimized.result
    assert (result.applied, result.failed, result.refused) == (len(optimized.plan.steps), 0, 0)


def test_no_foreign_key_is_left_without_an_index(optimized: Optimized) -> None:
    assert not optimized.sample.database.sql(
        "SELECT k.conrelid::regclass, k.conname FROM pg_constraint k WHERE k.contype = 'f' AND NOT EXISTS ("
        " SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL"
        " AND i.indkey[0] = k.conkey[1])"
    )


def test_each_index_serves_the_statements_that_it_is_for(optimized: Optimized) -> None:
    """With all other indexes of its table out of the way, and reading the whole table made expensive, it is used."""
    database = optimized.sample.database
    for entry in optimized.sample.specs.indexes:
        for serve in entry.serves:
            assert entry.name in plan_without_the_others(database, entry.table.name, entry.name, serve.query)


def plan_without_the_others(database: Database, table: str, index: str, query: str) -> str:
    with database.connect() as conn:
        others = conn.execute(
            "SELECT format('DROP INDEX %%s', i.indexrelid::regclass)"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE i.indrelid = format('%%I', %s::text)::regclass AND NOT i.indisprimary AND c.relname <> %s",
            [table, index],
        ).fetchall()
        conn.execute("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan")
        for (statement,) in others:
            conn.execute(statement)
        conn.execute(f"PREPARE asked AS {query}")  # type: ignore[call-overload]
        parameters = len(set(re.findall(r"\$\d+", query)))
        call = f"EXPLAIN EXECUTE asked ({', '.join(['NULL'] * parameters)})" if parameters else "EXPLAIN EXECUTE asked"
        lines = conn.execute(call).fetchall()  # type: ignore[call-overload]
        conn.rollback()
        conn.execute("DEALLOCATE asked")
    return "\n".join(line for (line,) in lines)
