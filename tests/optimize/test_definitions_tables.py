"""Tables, names and the escape hatch `sql:` - definitions compared where names and kinds get in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.optimize.zoo import Pair, Zoo, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import Server

zoo = Zoo()


def table(name: str, schema: str = "app") -> dict[str, object]:
    return {"table": {"schema": schema, "name": name}}


def equal(made: str, since: int = 13, **entry: object) -> None:
    zoo.equal(f"CREATE INDEX {{}} ON {made}", since, **entry)


def different(made: str, since: int = 13, **entry: object) -> None:
    zoo.different(f"CREATE INDEX {{}} ON {made}", since, **entry)


# A table of another schema with the same name, other types and a function that is not in the search path
equal("crm.people (t)", **table("people", "crm"), keys=["t"])
equal("crm.people (crm.norm(t))", **table("people", "crm"), keys=[{"expr": "crm.norm(people.t)"}])
equal("crm.people (id) WHERE t IN ('a', 'b')", **table("people", "crm"), keys=["id"], where="t IN ('a', 'b')")
different("crm.people (t)", **table("people", "crm"), keys=["u"])
different("crm.people (crm.norm(t))", **table("people", "crm"), keys=[{"expr": "app.norm(t)"}])

# A table with the name of a type that its own column has
equal("crm.status (id) WHERE s = 'open'", **table("status", "crm"), keys=["id"], where="s = 'open'::status")
equal(
    "crm.status (id) WHERE s IN ('open', 'it''s')",
    **table("status", "crm"),
    keys=["id"],
    where="s IN ('it''s'::public.status, 'open')",
)
different("crm.status (id) WHERE s = 'open'", **table("status", "crm"), keys=["id"], where="s = 'Open'")
different("crm.status (id) WHERE v = 'open'", **table("status", "crm"), keys=["id"], where="s = 'open'")

# A table called as twins' indexes are
equal("public.dbopt_0 (id, t)", **table("dbopt_0", "public"), keys=["id", "t"])
different("public.dbopt_0 (id, t)", **table("dbopt_0", "public"), keys=["t", "id"])

# Hostile names
ODD = 'Odd.Table "x"'
equal('app."Odd.Table ""x""" ("Odd.Table ""x""")', **table(ODD), keys=[ODD])
equal(
    'app."Odd.Table ""x""" (lower("Odd.Table ""x"""."Odd.Table ""x"""))',
    **table(ODD),
    keys=[{"expr": 'lower("Odd.Table ""x""")'}],
)
different('app."Odd.Table ""x""" ("Odd.Table ""x""")', **table(ODD), keys=["id"])

# Other kinds of tables
equal("app.child (lower(v))", **table("child"), keys=[{"expr": "lower(v)"}])
equal("app.child (extra) WHERE m = 'ok'", **table("child"), keys=["extra"], where="m = 'ok'::app.mood")
different("app.child (extra)", **table("child"), keys=["n"])
equal("app.summary (v) WHERE v IN ('x', 'y')", **table("summary"), keys=["v"], where="v IN ('x', 'y')")
different("app.summary (v)", **table("summary"), keys=["t"])
equal("app.scratch (v DESC)", **table("scratch"), keys=[{"column": "v", "order": "desc"}])
different("app.scratch (v DESC)", **table("scratch"), keys=["v"])
equal("app.computed (twice) WHERE twice > 4", **table("computed"), keys=["twice"], where="4 < twice")
different("app.computed (twice)", **table("computed"), keys=["a"])

# The escape hatch
equal("app.people (lower(t)) WHERE b", sql="create index {} on people (LOWER(t)) where (b = true)")
equal(
    "app.people (lower(t)) WHERE b", sql="CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON app.people (lower(t)) WHERE b"
)
equal(
    "app.people USING gist (doc tsvector_ops (siglen = 64))",
    sql="CREATE INDEX {} ON app.people USING gist (doc tsvector_ops (siglen='64'))",
)
equal(
    'app.people (n DESC NULLS LAST, t COLLATE "C" text_pattern_ops) INCLUDE (u) WITH (fillfactor = 80)',
    sql='CREATE INDEX {} ON app.people (n DESC NULLS LAST, t COLLATE "C" text_pattern_ops) '
    "INCLUDE (u) WITH (fillfactor=80)",
)
different("app.people (lower(t)) WHERE b", sql="CREATE INDEX {} ON app.people (lower(t)) WHERE NOT b")
different("app.people (lower(t))", sql="CREATE UNIQUE INDEX {} ON app.people (lower(t))")
different("app.people (n) INCLUDE (t)", sql="CREATE INDEX {} ON app.people (n, t)")
different("app.people (n)", sql='CREATE INDEX {} ON app.people ("TEXT")')


@pytest.fixture(scope="module")
def said(pg: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with pg.database() as database:
        yield verdicts(database, tmp_path_factory.mktemp("zoo"), zoo.pairs)


@pytest.mark.parametrize("pair", zoo.params())
def test_definition(said: dict[str, str], pair: Pair) -> None:
    expected = "unchanged" if pair.equal else "replace"
    assert said[pair.name].split(":")[0] == expected, (pair.made, pair.entry, said[pair.name])
