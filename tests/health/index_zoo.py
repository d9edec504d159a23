"""Indexes beside each other, each pair with its label: which one goes, for which one, or that both have to stay.

`T` in the statements is the case's own table. Names end in what they are: T_1, T_2...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers import wait_until

if TYPE_CHECKING:
    from server import Database

TABLE = (
    "CREATE TABLE T (id int NOT NULL, a int, b int, c text, v varchar(20), n name, d timestamptz, j jsonb,"
    " r int4range, s int[], p point)"
)


@dataclass(frozen=True, slots=True)
class Case:
    """`goes`: what is to be found, and for which index. Empty: a false friend."""

    name: str
    statements: tuple[str, ...]
    goes: dict[str, str]
    since: int = 13


def _duplicates(name: str, first: str, second: str, *, since: int = 13) -> Case:
    """Two indexes, of which the younger goes."""
    return Case(name, (f"CREATE {first}", f"CREATE {second}"), {"T_2": "T_1"}, since)


def _friends(name: str, first: str, second: str, *, since: int = 13) -> Case:
    return Case(name, (f"CREATE {first}", f"CREATE {second}"), {}, since)


ZOO: tuple[Case, ...] = (
    # the same again
    _duplicates("one column", "INDEX T_1 ON T (a)", "INDEX T_2 ON T (a)"),
    _duplicates("two columns", "INDEX T_1 ON T (a, b)", "INDEX T_2 ON T (a, b)"),
    _duplicates("both DESC", "INDEX T_1 ON T (a DESC)", "INDEX T_2 ON T (a DESC)"),
    _duplicates("defaults written out", "INDEX T_1 ON T (a)", "INDEX T_2 ON T USING btree (a ASC NULLS LAST)"),
    _duplicates("DESC means NULLS FIRST", "INDEX T_1 ON T (a DESC)", "INDEX T_2 ON T (a DESC NULLS FIRST)"),
    _duplicates("default opclass written out", "INDEX T_1 ON T (c)", "INDEX T_2 ON T (c text_ops)"),
    _duplicates("default collation written out", "INDEX T_1 ON T (c)", 'INDEX T_2 ON T (c COLLATE "default")'),
    _duplicates("one opclass", "INDEX T_1 ON T (c text_pattern_ops)", "INDEX T_2 ON T (c text_pattern_ops)"),
    _duplicates("one collation", 'INDEX T_1 ON T (c COLLATE "C")', 'INDEX T_2 ON T (c COLLATE "C")'),
    _duplicates("other fill factor", "INDEX T_1 ON T (a)", "INDEX T_2 ON T (a) WITH (fillfactor = 70)"),
    _duplicates("no deduplication", "INDEX T_1 ON T (a)", "INDEX T_2 ON T (a) WITH (deduplicate_items = off)"),
    _duplicates("one expression", "INDEX T_1 ON T (lower(c))", "INDEX T_2 ON T  (  lower( c ) )"),
    _duplicates("expression and column", "INDEX T_1 ON T (lower(c), a)", "INDEX T_2 ON T (lower(c), a)"),
    _duplicates("two expressions", "INDEX T_1 ON T (lower(c), (a + b))", "INDEX T_2 ON T (lower(c), (a+b))"),
    _duplicates("cast written otherwise", "INDEX T_1 ON T ((a::text))", "INDEX T_2 ON T (CAST(a AS text))"),
    _duplicates("one predicate", "INDEX T_1 ON T (a) WHERE b > 0", "INDEX T_2 ON T (a)  WHERE  (b > 0)"),
    _duplicates(
        "predicate is not null", "INDEX T_1 ON T (a) WHERE b IS NOT NULL", "INDEX T_2 ON T (a) WHERE b NOTNULL"
    ),
    _duplicates("predicate with a text", "INDEX T_1 ON T (a) WHERE c = 'x {y'", "INDEX T_2 ON T (a) WHERE c = 'x {y'"),
    _duplicates("include", "INDEX T_1 ON T (a) INCLUDE (b)", "INDEX T_2 ON T (a) INCLUDE (b)"),
    _duplicates("include in another order", "INDEX T_1 ON T (a) INCLUDE (b, c)", "INDEX T_2 ON T (a) INCLUDE (c, b)"),
    _duplicates("hash", "INDEX T_1 ON T USING hash (a)", "INDEX T_2 ON T USING hash (a)"),
    _duplicates("gin", "INDEX T_1 ON T USING gin (j)", "INDEX T_2 ON T USING gin (j)"),
    _duplicates("gin columns", "INDEX T_1 ON T USING gin (j, s)", "INDEX T_2 ON T USING gin (s, j)"),
    _duplicates(
        "gin fastupdate", "INDEX T_1 ON T USING gin (s)", "INDEX T_2 ON T USING gin (s) WITH (fastupdate = off)"
    ),
    _duplicates("gist", "INDEX T_1 ON T USING gist (r)", "INDEX T_2 ON T USING gist (r)"),
    _duplicates("spgist", "INDEX T_1 ON T USING spgist (p)", "INDEX T_2 ON T USING spgist (p)"),
    _duplicates("brin", "INDEX T_1 ON T USING brin (d)", "INDEX T_2 ON T USING brin (d)"),
    _duplicates("brin columns", "INDEX T_1 ON T USING brin (a, d)", "INDEX T_2 ON T USING brin (d, a)"),
    _duplicates("two unique", "UNIQUE INDEX T_1 ON T (a)", "UNIQUE INDEX T_2 ON T (a)"),
    _duplicates("unique partial", "UNIQUE INDEX T_1 ON T (a) WHERE b = 1", "UNIQUE INDEX T_2 ON T (a) WHERE b = 1"),
    _duplicates(
        "nulls not distinct",
        "UNIQUE INDEX T_1 ON T (a) NULLS NOT DISTINCT",
        "UNIQUE INDEX T_2 ON T (a) NULLS NOT DISTINCT",
        since=15,
    ),
    Case(
        "three of a kind",
        ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a)", "CREATE INDEX T_3 ON T (a)"),
        {"T_2": "T_1", "T_3": "T_1"},
    ),
    # one does more than the other
    Case("prefix", ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a, b)"), {"T_1": "T_2"}),
    Case("prefix, longer first", ("CREATE INDEX T_1 ON T (a, b)", "CREATE INDEX T_2 ON T (a)"), {"T_2": "T_1"}),
    Case(
        "prefix of an expression",
        ("CREATE INDEX T_1 ON T (lower(c))", "CREATE INDEX T_2 ON T (lower(c), a)"),
        {"T_1": "T_2"},
    ),
    Case(
        "prefix with predicate",
        ("CREATE INDEX T_1 ON T (a) WHERE b > 0", "CREATE INDEX T_2 ON T (a, d) WHERE b > 0"),
        {"T_1": "T_2"},
    ),
    Case("prefix DESC", ("CREATE INDEX T_1 ON T (a DESC)", "CREATE INDEX T_2 ON T (a DESC, b)"), {"T_1": "T_2"}),
    Case(
        "prefix of a unique one", ("CREATE INDEX T_1 ON T (a)", "CREATE UNIQUE INDEX T_2 ON T (a, b)"), {"T_1": "T_2"}
    ),
    Case(
        "chain",
        ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a, b)", "CREATE INDEX T_3 ON T (a, b, d)"),
        {"T_1": "T_3", "T_2": "T_3"},
    ),
    Case(
        "chain with a twin",
        ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a, b)", "CREATE INDEX T_3 ON T (a, b)"),
        {"T_1": "T_2", "T_3": "T_2"},
    ),
    Case(
        "two longer ones",
        ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a, b)", "CREATE INDEX T_3 ON T (a, d)"),
        {"T_1": "T_2"},
    ),
    Case("less include", ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a) INCLUDE (b)"), {"T_1": "T_2"}),
    Case(
        "include that is a key",
        ("CREATE INDEX T_1 ON T (a) INCLUDE (b)", "CREATE INDEX T_2 ON T (a, b)"),
        {"T_1": "T_2"},
    ),
    Case(
        "include in both",
        ("CREATE INDEX T_1 ON T (a) INCLUDE (b)", "CREATE INDEX T_2 ON T (a, d) INCLUDE (b, c)"),
        {"T_1": "T_2"},
    ),
    Case("unique and plain", ("CREATE INDEX T_1 ON T (a)", "CREATE UNIQUE INDEX T_2 ON T (a)"), {"T_1": "T_2"}),
    Case(
        "unique nulls not distinct and plain",
        ("CREATE INDEX T_1 ON T (a)", "CREATE UNIQUE INDEX T_2 ON T (a) NULLS NOT DISTINCT"),
        {"T_1": "T_2"},
        since=15,
    ),
    Case(
        "unique with more include",
        ("CREATE UNIQUE INDEX T_1 ON T (a)", "CREATE UNIQUE INDEX T_2 ON T (a) INCLUDE (b)"),
        {"T_1": "T_2"},
    ),
    # constraints
    Case(
        "primary key and plain",
        ("CREATE INDEX T_1 ON T (id)", "ALTER TABLE T ADD CONSTRAINT T_2 PRIMARY KEY (id)"),
        {"T_1": "T_2"},
    ),
    Case(
        "primary key and unique",
        ("CREATE UNIQUE INDEX T_1 ON T (id)", "ALTER TABLE T ADD CONSTRAINT T_2 PRIMARY KEY (id)"),
        {"T_1": "T_2"},
    ),
    Case(
        "primary key leads",
        ("CREATE INDEX T_1 ON T (id)", "ALTER TABLE T ADD CONSTRAINT T_2 PRIMARY KEY (id, a)"),
        {"T_1": "T_2"},
    ),
    Case(
        "constraint and unique index",
        ("CREATE UNIQUE INDEX T_1 ON T (a)", "ALTER TABLE T ADD CONSTRAINT T_2 UNIQUE (a)"),
        {"T_1": "T_2"},
    ),
    Case(
        "two constraints",
        ("ALTER TABLE T ADD CONSTRAINT T_1 UNIQUE (a)", "ALTER TABLE T ADD CONSTRAINT T_2 UNIQUE (a)"),
        {"T_2": "T_1"},
    ),
    Case(
        "two constraints, one referred to",
        (
            "ALTER TABLE T ADD CONSTRAINT T_1 UNIQUE (a)",
            "CREATE UNIQUE INDEX T_2 ON T (a)",
            "CREATE TABLE T_from (a int UNIQUE)",
            "ALTER TABLE T_from ADD FOREIGN KEY (a) REFERENCES T (a)",
            "ALTER TABLE T ADD CONSTRAINT T_3 UNIQUE (a)",
        ),
        {"T_2": "T_1", "T_3": "T_1"},
    ),
    Case(
        "primary key and constraint",
        ("ALTER TABLE T ADD CONSTRAINT T_1 UNIQUE (id)", "ALTER TABLE T ADD CONSTRAINT T_2 PRIMARY KEY (id)"),
        {"T_1": "T_2"},
    ),
    Case(
        "primary key and constraint referred to",
        (
            "ALTER TABLE T ADD CONSTRAINT T_1 UNIQUE (id)",
            "CREATE TABLE T_from (a int UNIQUE REFERENCES T (id))",
            "ALTER TABLE T ADD CONSTRAINT T_2 PRIMARY KEY (id)",
        ),
        {},
    ),
    Case(
        "deferrable constraint and plain",
        ("CREATE INDEX T_1 ON T (a)", "ALTER TABLE T ADD CONSTRAINT T_2 UNIQUE (a) DEFERRABLE"),
        {"T_1": "T_2"},
    ),
    Case(
        "replica identity",
        (
            "CREATE UNIQUE INDEX T_1 ON T (id)",
            "CREATE UNIQUE INDEX T_2 ON T (id)",
            "ALTER TABLE T REPLICA IDENTITY USING INDEX T_2",
        ),
        {"T_1": "T_2"},
    ),
    Case(
        "clustered",
        ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a)", "ALTER TABLE T CLUSTER ON T_2"),
        {"T_1": "T_2"},
    ),
    Case(
        "clustered prefix",
        ("CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T (a, b)", "ALTER TABLE T CLUSTER ON T_1"),
        {"T_1": "T_2"},
    ),
    # false friends
    _friends("other column", "INDEX T_1 ON T (a)", "INDEX T_2 ON T (b)"),
    _friends("other order of columns", "INDEX T_1 ON T (a, b)", "INDEX T_2 ON T (b, a)"),
    _friends("not the first", "INDEX T_1 ON T (b)", "INDEX T_2 ON T (a, b)"),
    _friends("DESC", "INDEX T_1 ON T (a)", "INDEX T_2 ON T (a DESC)"),
    _friends("DESC in the second", "INDEX T_1 ON T (a, b)", "INDEX T_2 ON T (a, b DESC)"),
    _friends("DESC prefix", "INDEX T_1 ON T (a DESC)", "INDEX T_2 ON T (a, b)"),
    _friends("NULLS FIRST", "INDEX T_1 ON T (a)", "INDEX T_2 ON T (a NULLS FIRST)"),
    _friends("collation", "INDEX T_1 ON T (c)", 'INDEX T_2 ON T (c COLLATE "C")'),
    _friends("collation of a prefix", 'INDEX T_1 ON T (c COLLATE "C")', "INDEX T_2 ON T (c, a)"),
    _friends("collation in an expression", "INDEX T_1 ON T (lower(c))", 'INDEX T_2 ON T (lower(c COLLATE "C"))'),
    _friends("opclass", "INDEX T_1 ON T (c)", "INDEX T_2 ON T (c text_pattern_ops)"),
    _friends("opclass of a varchar", "INDEX T_1 ON T (v)", "INDEX T_2 ON T (v varchar_pattern_ops)"),
    _friends("gin opclass", "INDEX T_1 ON T USING gin (j)", "INDEX T_2 ON T USING gin (j jsonb_path_ops)"),
    _friends("hash and btree", "INDEX T_1 ON T (a)", "INDEX T_2 ON T USING hash (a)"),
    _friends("brin and btree", "INDEX T_1 ON T (d)", "INDEX T_2 ON T USING brin (d)"),
    _friends("gist and spgist", "INDEX T_1 ON T USING gist (p)", "INDEX T_2 ON T USING spgist (p)"),
    _friends("gin prefix", "INDEX T_1 ON T USING gin (j)", "INDEX T_2 ON T USING gin (j, s)"),
    _friends("brin prefix", "INDEX T_1 ON T USING brin (d)", "INDEX T_2 ON T USING brin (d, a)"),
    _friends("gist prefix", "INDEX T_1 ON T USING gist (r)", "INDEX T_2 ON T USING gist (r, p)"),
    _friends(
        "brin ranges", "INDEX T_1 ON T USING brin (d)", "INDEX T_2 ON T USING brin (d) WITH (pages_per_range = 8)"
    ),
    _friends(
        "options of an opclass",
        "INDEX T_1 ON T USING brin (d timestamptz_minmax_multi_ops)",
        "INDEX T_2 ON T USING brin (d timestamptz_minmax_multi_ops (values_per_range = 8))",
        since=14,
    ),
    _friends("partial and full", "INDEX T_1 ON T (a)", "INDEX T_2 ON T (a) WHERE b > 0"),
    _friends("partial prefix of a full one", "INDEX T_1 ON T (a) WHERE b > 0", "INDEX T_2 ON T (a, b)"),
    _friends("other predicate", "INDEX T_1 ON T (a) WHERE b > 0", "INDEX T_2 ON T (a) WHERE b > 1"),
    _friends("letter case in a predicate", "INDEX T_1 ON T (a) WHERE c = 'x'", "INDEX T_2 ON T (a) WHERE c = 'X'"),
    _friends("null and not null", "INDEX T_1 ON T (a) WHERE b IS NULL", "INDEX T_2 ON T (a) WHERE b IS NOT NULL"),
    _friends("other function", "INDEX T_1 ON T (lower(c))", "INDEX T_2 ON T (upper(c))"),
    _friends("expression on another column", "INDEX T_1 ON T ((a + 1))", "INDEX T_2 ON T ((b + 1))"),
    _friends("other constant", "INDEX T_1 ON T ((a + 1))", "INDEX T_2 ON T ((a + 2))"),
    _friends("cast to another type", "INDEX T_1 ON T ((a::text))", "INDEX T_2 ON T ((a::int8))"),
    _friends("expression and its column", "INDEX T_1 ON T (lower(c))", "INDEX T_2 ON T (c)"),
    _friends(
        "expressions in another order", "INDEX T_1 ON T (lower(c), upper(c))", "INDEX T_2 ON T (upper(c), lower(c))"
    ),
    _friends("other key of json", "INDEX T_1 ON T ((j ->> 'a'))", "INDEX T_2 ON T ((j ->> 'b'))"),
    _friends("other include", "INDEX T_1 ON T (a) INCLUDE (b)", "INDEX T_2 ON T (a) INCLUDE (c)"),
    _friends("prefix with include", "INDEX T_1 ON T (a) INCLUDE (c)", "INDEX T_2 ON T (a, b)"),
    _friends("unique prefix", "UNIQUE INDEX T_1 ON T (a)", "INDEX T_2 ON T (a, b)"),
    _friends("unique prefix of a unique one", "UNIQUE INDEX T_1 ON T (a)", "UNIQUE INDEX T_2 ON T (a, b)"),
    _friends("unique in another order", "UNIQUE INDEX T_1 ON T (a, b)", "UNIQUE INDEX T_2 ON T (b, a)"),
    _friends("unique with less include", "UNIQUE INDEX T_1 ON T (a)", "INDEX T_2 ON T (a) INCLUDE (b)"),
    _friends("unique partial and full", "UNIQUE INDEX T_1 ON T (a) WHERE b > 0", "UNIQUE INDEX T_2 ON T (a)"),
    _friends(
        "nulls not distinct and distinct",
        "UNIQUE INDEX T_1 ON T (a) NULLS NOT DISTINCT",
        "UNIQUE INDEX T_2 ON T (a)",
        since=15,
    ),
    Case(
        "deferrable and immediate",
        ("ALTER TABLE T ADD CONSTRAINT T_1 UNIQUE (a) DEFERRABLE", "CREATE UNIQUE INDEX T_2 ON T (a)"),
        {},
    ),
    Case(
        "constraint and covering unique index",
        ("ALTER TABLE T ADD CONSTRAINT T_1 UNIQUE (a)", "CREATE UNIQUE INDEX T_2 ON T (a) INCLUDE (b)"),
        {},
    ),
    Case(
        "primary key and covering unique index",
        ("ALTER TABLE T ADD CONSTRAINT T_1 PRIMARY KEY (id)", "CREATE UNIQUE INDEX T_2 ON T (id) INCLUDE (b)"),
        {},
    ),
    Case(
        "exclusion",
        ("ALTER TABLE T ADD CONSTRAINT T_1 EXCLUDE USING gist (r WITH &&)", "CREATE INDEX T_2 ON T USING gist (r)"),
        {},
    ),
    Case(
        "other table",
        ("CREATE TABLE T_other (a int)", "CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T_other (a)"),
        {},
    ),
    Case(
        "children by inheritance",
        ("CREATE TABLE T_child () INHERITS (T)", "CREATE INDEX T_1 ON T (a)", "CREATE INDEX T_2 ON T_child (a)"),
        {},
    ),
    Case(
        "temporary",
        ("CREATE TEMP TABLE T_temp (a int)", "CREATE INDEX ON T_temp (a)", "CREATE INDEX ON T_temp (a)"),
        {},
    ),
    # partition trees
    Case(
        "partitioned twice",
        (
            "CREATE TABLE T_tree (a int, b int) PARTITION BY RANGE (a)",
            "CREATE TABLE T_leaf PARTITION OF T_tree FOR VALUES FROM (0) TO (9)",
            "CREATE TABLE T_mid PARTITION OF T_tree FOR VALUES FROM (9) TO (99) PARTITION BY RANGE (b)",
            "CREATE TABLE T_low PARTITION OF T_mid FOR VALUES FROM (0) TO (9)",
            "CREATE INDEX T_1 ON T_tree (b)",
            "CREATE INDEX T_2 ON T_tree (b)",
        ),
        {"T_2": "T_1"},
    ),
    Case(
        "partitioned prefix",
        (
            "CREATE TABLE T_tree (a int, b int) PARTITION BY RANGE (a)",
            "CREATE TABLE T_leaf PARTITION OF T_tree FOR VALUES FROM (0) TO (9)",
            "CREATE INDEX T_1 ON T_tree (b)",
            "CREATE INDEX T_2 ON T_tree (b, a)",
        ),
        {"T_1": "T_2"},
    ),
    Case(
        "a partition's own",
        (
            "CREATE TABLE T_tree (a int, b int) PARTITION BY RANGE (a)",
            "CREATE TABLE T_leaf PARTITION OF T_tree FOR VALUES FROM (0) TO (9)",
            "CREATE INDEX T_tree_1 ON T_tree (b)",
            "ALTER INDEX T_leaf_b_idx RENAME TO T_1",
            "CREATE INDEX T_2 ON T_leaf (b)",
        ),
        {"T_2": "T_1"},
    ),
    Case(
        "a partition's own that does more",
        (
            "CREATE TABLE T_tree (a int, b int) PARTITION BY RANGE (a)",
            "CREATE TABLE T_leaf PARTITION OF T_tree FOR VALUES FROM (0) TO (9)",
            "CREATE INDEX T_1 ON T_tree (b)",
            "CREATE INDEX T_2 ON T_leaf (b, a)",
        ),
        {},
    ),
    Case(
        "a tree that waits for its partitions",
        (
            "CREATE TABLE T_tree (a int, b int) PARTITION BY RANGE (a)",
            "CREATE TABLE T_leaf PARTITION OF T_tree FOR VALUES FROM (0) TO (9)",
            "CREATE INDEX T_1 ON T_tree (b)",
            "CREATE INDEX T_2 ON ONLY T_tree (b)",
        ),
        {},
    ),
)


def wait_for_scan(database: Database, index: str) -> None:
    """Until the scans of an index were counted: sessions tell after the fact, and before 15 by a file."""
    question = "SELECT 1 FROM pg_stat_all_indexes WHERE indexrelid = %s::regclass AND idx_scan > 0"
    wait_until(lambda: database.sql(question, [index]), f"the counting of scans of {index}")
