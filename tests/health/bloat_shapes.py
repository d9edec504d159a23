"""Tables and indexes of many shapes, fresh and bloated, to hold estimates of what they waste against the truth."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """`{t}` in the statements stands for the table. It has statistics and 256 kB or more at the end."""

    name: str
    setup: str
    index: str | None = None  # behind CREATE ... INDEX name ON t; None: the table itself is looked at
    unique: bool = False
    later: str = ""  # once the index is there
    vacuum: bool = True  # else ANALYZE alone, so that dead rows stay

    @property
    def is_index(self) -> bool:
        return self.index is not None

    @property
    def relation(self) -> str:
        return f"{self.table}_idx" if self.is_index else self.table

    @property
    def table(self) -> str:
        return "shape_" + self.name.replace(" ", "_").replace("-", "_")

    @property
    def statements(self) -> str:
        parts = [self.setup]
        if self.index is not None:
            parts.append(f"CREATE {'UNIQUE ' if self.unique else ''}INDEX {self.relation} ON {{t}} {self.index}")
        parts += [self.later] if self.later else []
        return ";\n".join(parts).replace("{t}", self.table)

    @property
    def statistics(self) -> str:
        return f"{'VACUUM (ANALYZE, TRUNCATE false)' if self.vacuum else 'ANALYZE'} {self.table}"


_NARROW = (
    "CREATE UNLOGGED TABLE {t} (id bigint, kind int, amount numeric, at timestamptz) WITH (autovacuum_enabled = off)"
)
_FILL = f"""{_NARROW};
INSERT INTO {{t}} SELECT g, g % 50, g % 997, timestamptz '2024-01-01' + g * interval '1 minute'
  FROM generate_series(1, 20000) AS g"""
_KEYS = """CREATE UNLOGGED TABLE {t} (id bigint, a int, status text, email text, uid uuid, note text)
  WITH (autovacuum_enabled = off);
INSERT INTO {t} SELECT g, hashint8(g) % 5000, (ARRAY['open', 'paid', 'void'])[1 + abs(hashint8(g)) % 3],
                       'user' || g || '@example.com', md5(g::text)::uuid,
                       CASE WHEN g % 5 = 0 THEN md5((g + 1)::text) END
  FROM generate_series(1, 20000) AS g"""
_LONG = "(SELECT string_agg(md5((g * 1000 + n)::text), '') FROM generate_series(1, {many}) AS n)"

SHAPES = (
    Shape("fresh", _FILL),
    Shape("half deleted", _FILL + "; DELETE FROM {t} WHERE id % 2 = 0"),
    Shape("dead rows", _FILL + "; DELETE FROM {t} WHERE id % 5 <> 0", vacuum=False),
    Shape("updated", _FILL + "; UPDATE {t} SET kind = kind + 1; UPDATE {t} SET kind = kind + 1", vacuum=False),
    Shape("updated and vacuumed", _FILL + "; UPDATE {t} SET kind = kind + 1"),
    Shape("one end left", _FILL + "; DELETE FROM {t} WHERE id < 15000"),
    Shape("all deleted", _FILL + "; DELETE FROM {t}", vacuum=False),
    Shape("fillfactor 70", _FILL.replace("= off)", "= off, fillfactor = 70)", 1)),
    Shape("fillfactor 50 half deleted",
          _FILL.replace("= off)", "= off, fillfactor = 50)", 1) + "; DELETE FROM {t} WHERE id % 2 = 0"),
    Shape("padding", """CREATE UNLOGGED TABLE {t} (a boolean, b bigint, c smallint, d float8, e boolean, f timestamptz,
  g "char") WITH (autovacuum_enabled = off);
INSERT INTO {t} SELECT true, g, 1, g, false, now(), 'x' FROM generate_series(1, 25000) AS g"""),
    Shape("padding half deleted", """CREATE UNLOGGED TABLE {t} (a boolean, b bigint, c smallint, d float8, e boolean,
  f date) WITH (autovacuum_enabled = off);
INSERT INTO {t} SELECT true, g, 1, g, false, now() FROM generate_series(1, 20000) AS g;
DELETE FROM {t} WHERE b % 2 = 0"""),
    Shape("nulls", """CREATE UNLOGGED TABLE {t} (id bigint, a text, b text, c text, d int, e int, f int, g date,
  i numeric) WITH (autovacuum_enabled = off);
INSERT INTO {t} (id, a, c, e, i)
SELECT g, CASE WHEN g % 3 = 0 THEN 'a value' END, CASE WHEN g % 2 = 0 THEN md5(g::text) END,
       CASE WHEN g % 7 > 2 THEN g END, CASE WHEN g % 10 = 0 THEN g * 1.5 END FROM generate_series(1, 20000) AS g;
DELETE FROM {t} WHERE id % 3 = 1"""),
    Shape("wide rows", f"""CREATE TABLE {{t}} (id int, body text) WITH (autovacuum_enabled = off);
INSERT INTO {{t}} SELECT g, {_LONG.format(many="35 + g % 15")} FROM generate_series(1, 1500) AS g"""),
    Shape("wide rows half deleted", f"""CREATE TABLE {{t}} (id int, body text) WITH (autovacuum_enabled = off);
INSERT INTO {{t}} SELECT g, {_LONG.format(many="30 + g % 25")} FROM generate_series(1, 2500) AS g;
DELETE FROM {{t}} WHERE id % 2 = 0"""),
    Shape("texts", """CREATE UNLOGGED TABLE {t} (id serial, name text, email varchar(100), city text, note text)
  WITH (autovacuum_enabled = off);
INSERT INTO {t} (name, email, city, note)
SELECT left(md5(g::text), 4 + g % 20), 'user' || g || '@example.com', (ARRAY['Oslo', 'Bern', 'Lisbon'])[1 + g % 3],
       repeat('note ', g % 40) FROM generate_series(1, 20000) AS g;
DELETE FROM {t} WHERE id % 10 < 4"""),
    Shape("toast", f"""CREATE TABLE {{t}} (id int, body text) WITH (autovacuum_enabled = off);
ALTER TABLE {{t}} ALTER body SET STORAGE EXTERNAL;
INSERT INTO {{t}} SELECT g, {_LONG.format(many="100 + g % 100")} FROM generate_series(1, 400) AS g"""),
    Shape("toast mostly deleted", f"""CREATE TABLE {{t}} (id int, body text) WITH (autovacuum_enabled = off);
INSERT INTO {{t}} SELECT g, {_LONG.format(many="200 + g % 300")} FROM generate_series(1, 400) AS g;
DELETE FROM {{t}} WHERE id % 3 <> 0"""),
    Shape("toast dead", f"""CREATE TABLE {{t}} (id int, body text) WITH (autovacuum_enabled = off);
INSERT INTO {{t}} SELECT g, {_LONG.format(many="150 + g % 100")} FROM generate_series(1, 300) AS g;
UPDATE {{t}} SET body = body || 'x'""", vacuum=False),
    Shape("toast of some", f"""CREATE TABLE {{t}} (id int, body text) WITH (autovacuum_enabled = off);
INSERT INTO {{t}} SELECT g, CASE WHEN g % 4 = 0 THEN {_LONG.format(many="120")} ELSE md5(g::text) END
  FROM generate_series(1, 3000) AS g;
DELETE FROM {{t}} WHERE id % 5 < 2"""),
    Shape("compressed documents", """CREATE UNLOGGED TABLE {t} (id int, doc jsonb) WITH (autovacuum_enabled = off);
INSERT INTO {t} SELECT g, (SELECT jsonb_object_agg('key' || n, 'value ' || n || g) FROM generate_series(1, 150) AS n)
  FROM generate_series(1, 700) AS g;
DELETE FROM {t} WHERE id % 2 = 0"""),
    Shape("dropped columns", """CREATE UNLOGGED TABLE {t} (id int, old text, a int, old2 bigint, b text)
  WITH (autovacuum_enabled = off);
INSERT INTO {t} SELECT g, md5(g::text), g, g, 'b' || g FROM generate_series(1, 25000) AS g;
ALTER TABLE {t} DROP old; ALTER TABLE {t} DROP old2"""),
    Shape("generated column", """CREATE UNLOGGED TABLE {t} (id int, a text,
  b text GENERATED ALWAYS AS (upper(a)) STORED) WITH (autovacuum_enabled = off);
INSERT INTO {t} SELECT g, 'value ' || g FROM generate_series(1, 30000) AS g;
DELETE FROM {t} WHERE id % 4 = 0"""),
    Shape("many columns", "CREATE UNLOGGED TABLE {t} (" + ", ".join(f"c{n} int" for n in range(40))
          + ") WITH (autovacuum_enabled = off);\nINSERT INTO {t} SELECT "
          + ", ".join("CASE WHEN g % 3 = 0 THEN g END" if n % 2 else "g" for n in range(40))
          + " FROM generate_series(1, 10000) AS g; DELETE FROM {t} WHERE c0 % 3 = 1"),

    Shape("index fresh", _KEYS, "(id)", unique=True),
    Shape("index two thirds deleted", _KEYS, "(id)", unique=True, later="DELETE FROM {t} WHERE id % 3 <> 0"),
    Shape("index grown in order", _KEYS, "(id)",
          later="INSERT INTO {t} SELECT g, 1, 'open' FROM generate_series(20001, 40000) AS g"),
    Shape("index grown at random", _KEYS + "; CREATE TABLE {t}_more AS SELECT * FROM {t}; TRUNCATE {t}", "(uid)",
          later="INSERT INTO {t} SELECT * FROM {t}_more"),
    Shape("index of few values", _KEYS.replace("20000", "40000"), "(status)", later="DELETE FROM {t} WHERE id % 2 = 0"),
    Shape("index of few values updated", _KEYS, "(status)",
          later="UPDATE {t} SET status = 'done'; UPDATE {t} SET status = 'open' WHERE id % 2 = 0"),
    Shape("index of repeated values", _KEYS, "(a)", later="DELETE FROM {t} WHERE id % 10 < 6"),
    Shape("index of texts updated", _KEYS, "(email)", later="UPDATE {t} SET email = 'new.' || email"),
    Shape("index fillfactor 50", _KEYS, "(id) WITH (fillfactor = 50)"),
    Shape("index fillfactor 70 deleted", _KEYS, "(uid) WITH (fillfactor = 70)",
          later="DELETE FROM {t} WHERE id % 10 < 4"),
    Shape("index without deduplication", _KEYS, "(status, a) WITH (deduplicate_items = off)",
          later="DELETE FROM {t} WHERE id % 2 = 0"),
    Shape("index partial", _KEYS.replace("20000", "40000"), "(id) WHERE status = 'open'"),
    Shape("index partial not null", _KEYS.replace("20000", "50000"), "(note) WHERE note IS NOT NULL",
          later="DELETE FROM {t} WHERE id % 10 = 0"),
    Shape("index partial emptied", _KEYS, "(id) WHERE status <> 'done'", later="UPDATE {t} SET status = 'done'"),
    Shape("index of two columns", _KEYS, "(a, email)", later="DELETE FROM {t} WHERE id % 3 = 0"),
    Shape("index with include", _KEYS, "(id) INCLUDE (status)", later="DELETE FROM {t} WHERE id % 4 <> 0"),
    Shape("index on an expression", _KEYS, "(lower(email))", later="DELETE FROM {t} WHERE id % 10 < 7"),
    Shape("index mostly null", _KEYS.replace("20000", "50000"), "(note)", later="DELETE FROM {t} WHERE id % 2 = 0"),
)  # fmt: skip
