"""The databases of the chaos runs: five tables of one form, and what an index spec may find on them.

A template is made once for each server; a run gets a copy, plants in it what its plan is to put right, and writes the
spec that asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    import random

TEMPLATE = "chaos"
TREE = "events"
UNLOGGED = "notes"  # a crash empties it, and its indexes have to survive that
LEAVES = ("events_a", "events_b", "events_c", "events_d0", "events_d1", "events_d2", "events_d3", "events_rest")
TABLES = {"accounts": 5_000, "orders": 12_000, "items": 20_000, TREE: 12_000, UNLOGGED: 5_000}  # and their rows
PLAN_SIZE = 12  # entries of a spec
TREES = 0.6  # of all plans: those with an index of the tree, which takes as long as the rest

_COLUMNS = (
    "id bigint NOT NULL DEFAULT nextval('ids'), tenant int NOT NULL, word text NOT NULL, state text NOT NULL,"
    " amount int NOT NULL, tags int[] NOT NULL, doc jsonb NOT NULL, hits int NOT NULL DEFAULT 0, at int NOT NULL"
)
ROW = (
    "g % 50, md5(g::text), (ARRAY['new', 'open', 'done'])[1 + g % 3], g % 1000, ARRAY[g % 7, g % 11],"
    " jsonb_build_object('k', g % 100), 0, g % 100"
)
INSERTED = "tenant, word, state, amount, tags, doc, hits, at"


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of index, as the spec and as SQL has it. `probe`: finds rows by it, where amcheck cannot look at it."""

    name: str
    spec: str
    sql: str
    unique: bool = False
    probe: str | None = None


SHAPES = (
    Shape("plain", "keys: [tenant, {column: amount, order: desc}]", "(tenant, amount DESC)"),
    Shape("single", "keys: [at]", "(at)"),
    Shape("covering", "keys: [word], include: [amount]", "(word) INCLUDE (amount)"),
    Shape("nulls", "keys: [{column: amount, order: desc, nulls: last}]", "(amount DESC NULLS LAST)"),
    Shape("filled", "keys: [state, id], with: {fillfactor: 70}", "(state, id) WITH (fillfactor = 70)"),
    Shape("partial", "keys: [amount], where: state = 'open'", "(amount) WHERE state = 'open'"),
    Shape("lower", "keys: [{expr: lower(word)}]", "(lower(word))"),
    Shape("both", "keys: [{expr: amount + 1}], where: tenant < 25", "((amount + 1)) WHERE tenant < 25"),
    Shape("once", "keys: [id, at, word], unique: true", "(id, at, word)", unique=True),
    Shape("hashed", "method: hash, keys: [word]", "USING hash (word)", probe="word = md5('77')"),
    Shape("tagged", "method: gin, keys: [tags]", "USING gin (tags)", probe="tags @> ARRAY[3]"),
    Shape("inside", "method: gin, keys: [doc]", "USING gin (doc)", probe="""doc @> '{"k": 7}'"""),
    Shape("ranged", "method: brin, keys: [at]", "USING brin (at)", probe="at >= 0"),
)
OTHER = "(hits, tenant)"  # what an index to be replaced is until then

# What may be there before, and how often. `adrift` and `halfway` are left by a replacement that was killed.
ORIGINS = {
    "missing": 4,
    "other": 3,
    "renamed": 1,
    "invalid": 2,
    "reindexed": 1,
    "adrift": 1,
    "halfway": 1,
    "there": 1,
    "absent": 2,
}
TREE_ORIGINS = {"missing": 4, "begun": 2, "broken": 2, "by hand": 2, "renamed": 1}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a spec, and what of it there is before."""

    table: str
    shape: Shape
    origin: str

    @property
    def name(self) -> str:
        return f"{self.table}_{self.shape.name}"

    @property
    def wanted(self) -> bool:
        return self.origin != "absent"

    def spec(self) -> str:
        head = f"name: {self.name}, table: {self.table}, why: chaos"
        if not self.wanted:
            return f"{head}, state: absent"
        was = f", was: [{self.name}_before]" if self.origin == "renamed" else ""
        tree = ', partitions: {name: "{leaf}_' + self.shape.name + '"}' if self.table == TREE else ""
        return f"{head}, {self.shape.spec}{was}{tree}"

    def planted(self, rng: random.Random) -> list[str]:
        """The statements that make its origin."""
        name, right, other = self.name, self._index, self._other
        match self.origin:
            case "other":
                return [other(name)]
            case "renamed":
                return [right(f"{name}_before")]
            case "invalid":
                return [right(name), invalid(name, rng)]
            case "reindexed":
                copy = f"{name}_cc{rng.choice(['new', 'old'])}{rng.choice(['', '1'])}"
                return [right(name), right(copy), invalid(copy, rng)]
            case "adrift":
                new = f"{name}_dbopt_new"
                return [other(name), right(new), *rng.choice([[], [invalid(new, rng)]])]
            case "halfway":
                return [right(name), other(f"{name}_dbopt_old")]
            case "there":
                return [right(name)]
            case "absent":
                return [right(name), *rng.choice([[], [invalid(name, rng)]])]
            case "begun":
                leaf = rng.choice(LEAVES[:3])
                own = f"{leaf}_{self.shape.name}"
                return [
                    self._index(name, "ONLY " + TREE),
                    self._index(own, leaf),
                    f"ALTER INDEX {name} ATTACH PARTITION {own}",
                ]
            case "broken":
                leaf = rng.choice(LEAVES)
                own = f"{leaf}_{self.shape.name}"
                return [self._index(own, leaf), invalid(own, rng)]
            case "by hand":
                return [self._index(f"{leaf}_of_somebody", leaf) for leaf in rng.sample(LEAVES, 2)]
        return []

    def _index(self, name: str, table: str | None = None) -> str:
        return f"CREATE {'UNIQUE ' if self.shape.unique else ''}INDEX {name} ON {table or self.table} {self.shape.sql}"

    def _other(self, name: str) -> str:
        return f"CREATE INDEX {name} ON {self.table} {OTHER}"


def invalid(name: str, rng: random.Random) -> str:
    """As a build leaves it that was cancelled before or after its first phase."""
    ready = rng.choice(["true", "false"])
    return f"UPDATE pg_index SET indisvalid = false, indisready = {ready} WHERE indexrelid = '{name}'::regclass"


def entries(rng: random.Random) -> list[Entry]:
    """Another plan for each random generator: indexes of four tables and, in most, of a tree."""
    plain = [(table, shape) for table in TABLES if table != TREE for shape in SHAPES]
    chosen = [Entry(table, shape, _weighted(rng, ORIGINS)) for table, shape in rng.sample(plain, PLAN_SIZE)]
    if rng.random() < TREES:
        chosen[rng.randrange(PLAN_SIZE)] = Entry(TREE, rng.choice(SHAPES), _weighted(rng, TREE_ORIGINS))
    return chosen


def spec_text(chosen: list[Entry]) -> str:
    lines = "".join(f"  - {{{entry.spec()}}}\n" for entry in chosen)
    return f"spec: 1\ndomain: chaos\ndefaults: {{schema: public}}\nindexes:\n{lines}"


def fill(table: str) -> str:
    return f"INSERT INTO {table} ({INSERTED}) SELECT {ROW} FROM generate_series(1, {TABLES[table]}) AS g"


def _weighted(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def make_template(conninfo: str) -> None:
    """The database that the runs' own ones are copies of; the unlogged table is each copy's to fill."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {TEMPLATE}")
    with psycopg.connect(make_conninfo(conninfo, dbname=TEMPLATE), autocommit=True) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS amcheck; CREATE SEQUENCE ids")
        for table in TABLES:
            if table == TREE:
                conn.execute(
                    f"""
                    CREATE TABLE events ({_COLUMNS}) PARTITION BY RANGE (at);
                    CREATE TABLE events_a PARTITION OF events FOR VALUES FROM (0) TO (20);
                    CREATE TABLE events_b PARTITION OF events FOR VALUES FROM (20) TO (40);
                    CREATE TABLE events_c PARTITION OF events FOR VALUES FROM (40) TO (60);
                    CREATE TABLE events_d PARTITION OF events FOR VALUES FROM (60) TO (80) PARTITION BY HASH (id);
                    CREATE TABLE events_d0 PARTITION OF events_d FOR VALUES WITH (MODULUS 4, REMAINDER 0);
                    CREATE TABLE events_d1 PARTITION OF events_d FOR VALUES WITH (MODULUS 4, REMAINDER 1);
                    CREATE TABLE events_d2 PARTITION OF events_d FOR VALUES WITH (MODULUS 4, REMAINDER 2);
                    CREATE TABLE events_d3 PARTITION OF events_d FOR VALUES WITH (MODULUS 4, REMAINDER 3);
                    CREATE TABLE events_rest PARTITION OF events DEFAULT;
                    CREATE INDEX events_by_id ON events (id);
                    """
                )
            else:
                kind = "UNLOGGED TABLE" if table == UNLOGGED else "TABLE"
                conn.execute(f"CREATE {kind} {table} ({_COLUMNS}, PRIMARY KEY (id))")
            if table != UNLOGGED:
                conn.execute(fill(table))
        conn.execute("VACUUM ANALYZE")
