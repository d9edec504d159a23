"""Pairs of index definitions: one made by hand in SQL on a real table, one as a spec has it; equal in meaning or not.

All pairs of a list are judged by one plan: an equal pair gets no step, a different one is replaced.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from dbopt.optimize.plan import PlanOptions, make_plan
from dbopt.postgres import connect, server
from dbopt.spec.load import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from server import Database

    from dbopt.optimize.steps import Plan
    from dbopt.spec.model import SpecSet

# Types and functions lie in several schemas, most of them not in the search path; two schemas have a table `people`;
# dropped columns have shifted the numbers of those that are left.
SCHEMA = r'''
CREATE SCHEMA app;
CREATE SCHEMA crm;
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE public.status AS ENUM ('open', 'closed', 'it''s', 'a,b', 'Open');
CREATE DOMAIN app.email AS text CHECK (VALUE ~ '@');
CREATE DOMAIN crm.email AS text;
CREATE TYPE app.pair AS (a int, b text);
CREATE FUNCTION app.norm(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE FUNCTION crm.norm(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower($1)';
CREATE FUNCTION public.norm(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lower($1); END';
CREATE FUNCTION public.fiscal(date) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN extract(year FROM $1); END';
CREATE TABLE app.people (
  gone int,
  id bigint NOT NULL, n int, small smallint, t text, u text, v varchar(40), c char(5), b bool, p numeric(12, 2),
  f float8, d date, ts timestamp, tz timestamptz, iv interval, j jsonb, js json, a int[], ta text[], m app.mood,
  lost text, s public.status, e app.email, w app.pair, r int4range, doc tsvector, uid uuid, ip inet, bt bytea,
  tc text COLLATE "C", "Order" text, "a.b" text, "with ""quote" text, "two words" text, "жук😀" text, people text,
  "select" int, "TEXT" text
);
ALTER TABLE app.people DROP COLUMN gone, DROP COLUMN lost;
CREATE TABLE crm.people (id int, t varchar, u text);
CREATE TABLE crm.status (id int, s public.status, v varchar(10));
CREATE TABLE public.dbopt_0 (id int, t text);
CREATE TABLE app."Odd.Table ""x""" (id int, "Odd.Table ""x""" text);
CREATE TABLE app.child (extra int) INHERITS (app.people);
CREATE MATERIALIZED VIEW app.summary AS SELECT n, t, v FROM app.people;
CREATE UNLOGGED TABLE app.scratch (n int, v varchar);
CREATE TABLE app.computed (a int, v varchar(10), twice int GENERATED ALWAYS AS (a * 2) STORED);
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    name: str
    made: str  # SQL; {} is the index's name
    entry: Mapping[str, Any]
    equal: bool
    since: int


class Zoo:
    """A list of pairs. The default table is app.people; `on` says what follows its name in CREATE INDEX."""

    def __init__(self) -> None:
        self.pairs: list[Pair] = []

    def equal(self, on: str, since: int = 13, **entry: Any) -> None:
        self._add(on, since, entry, equal=True)

    def different(self, on: str, since: int = 13, **entry: Any) -> None:
        self._add(on, since, entry, equal=False)

    def params(self) -> list[Any]:
        return [
            pytest.param(pair, id=f"{pair.name}-{pair.made[:60]}", marks=pytest.mark.pg(f">= {pair.since}"))
            for pair in self.pairs
        ]

    def _add(self, on: str, since: int, entry: dict[str, Any], *, equal: bool) -> None:
        name = f"zoo_{len(self.pairs)}"
        made = on if on.startswith("CREATE") else f"CREATE INDEX {{}} ON app.people {on}"
        entry = {"name": name, "table": {"schema": "app", "name": "people"}, "why": "zoo"} | entry
        if "sql" in entry:
            entry["sql"] = entry["sql"].replace("{}", name)
        self.pairs.append(Pair(name=name, made=made.replace("{}", name), entry=entry, equal=equal, since=since))


def write_spec(folder: Path, entries: Sequence[Mapping[str, Any]], **head: Any) -> SpecSet:
    """A spec of these entries (JSON is YAML), through the loader."""
    path = folder / "zoo.yaml"
    path.write_text(
        json.dumps({"spec": "1", "domain": "zoo", **head, "indexes": list(entries)}, ensure_ascii=False),
        encoding="utf-8",
    )
    return load([path])


def plan_for(database: Database, specs: SpecSet, options: PlanOptions | None = None, **connection: Any) -> Plan:
    """A plan as `dbopt plan` makes it: in a read-only session."""
    conn = connect.connect(database.conninfo, command="plan", read_only=True, **connection)
    try:
        return make_plan(conn, server.inspect(conn), specs, options=options)
    finally:
        conn.close()


def verdicts(database: Database, folder: Path, pairs: Sequence[Pair]) -> dict[str, str]:
    """What the plan says of each pair: `unchanged`, or its action and the reason, or why it is refused."""
    pairs = [pair for pair in pairs if database.server_version >= (pair.since,)]
    database.sql(SCHEMA)
    database.sql(";\n".join(pair.made for pair in pairs))
    plan = plan_for(database, write_spec(folder, [pair.entry for pair in pairs]))
    said = {item.index: f"refused: {item.error}" for item in plan.refused}
    said |= {step.index: f"{step.action.value}: {step.reason}" for step in plan.steps if step.index is not None}
    return {pair.name: said.get(pair.name, "unchanged") for pair in pairs}
