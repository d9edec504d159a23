"""The databases of the bench: TPC-H, and both sample applications in one database as an OLTP workload's home.

Both have their primary keys, the applications their own unique indexes too; no other index.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from _measure import note
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dbopt.demo import app, data
from dbopt.demo.recipe import (
    Parent,
    Recipe,
    Row,
    amount,
    around,
    fixed,
    label,
    later,
    maybe,
    past,
    pick,
    uniform,
    when,
)
from dbopt.postgres.connect import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SCALE = 0.2  # of TPC-H: 264 MB
ROWS = 110_000  # of the largest tables of each application: some 450 MB together
TPCH_TABLES = ("region", "nation", "part", "supplier", "partsupp", "customer", "orders", "lineitem")
# Of tables that live long, some rows are gone, so that pages have room for HOT updates.
WORN = ('public."Analytics"', 'public."Contact"', 'public."Notification"', "neonhub.agent_executions", "neonhub.leads")

_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo", "ka", "lu")
WORDS = [first + second + third for first in _SYLLABLES for second in _SYLLABLES for third in ("n", "r", "s", "t")]


def words(count: int, *, capital: bool = False) -> Recipe:
    """So many words of 1024, the first ones far more often, as in any language."""

    def make(row: Row) -> sql.Composable:
        one = sql.SQL("({}::text[])[floor(1025 ^ {})::int]")
        joined = sql.SQL(" || ' ' || ").join(
            one.format(sql.Literal(WORDS), uniform(row, f"word {n}")) for n in range(count)
        )
        return sql.SQL("initcap({})").format(joined) if capital else sql.SQL("({})").format(joined)

    return make


def tags(*labels: str) -> Recipe:
    """One to three of the labels, the first ones more often."""

    def make(row: Row) -> sql.Composable:
        one = sql.SQL("({}::text[])[floor({} ^ {})::int]")
        three = sql.SQL(", ").join(
            one.format(sql.Literal(list(labels)), sql.Literal(len(labels) + 1), uniform(row, str(n))) for n in range(3)
        )
        return sql.SQL("(ARRAY[{}])[1:1 + floor(3 * {})::int]").format(three, uniform(row, "many"))

    return make


def address(name: str) -> Recipe:
    """An email address as people type it: unique, in mixed case."""
    return lambda row: sql.SQL("({} || '.' || {} || '@Example.com')").format(sql.Literal(name), row.number)


def document(**parts: Recipe) -> Recipe:
    return lambda row: sql.SQL("jsonb_build_object({})").format(
        sql.SQL(", ").join(
            sql.SQL("{}::text, {}").format(sql.Literal(key), recipe(row.at(f"{row.column} {key}")))
            for key, recipe in parts.items()
        )
    )


def one_of(**weights: float) -> Recipe:
    """As `pick`, as text, where there is no column whose type it could have."""
    total, bounds, reached = sum(weights.values()), [], 0.0
    for weight in list(weights.values())[:-1]:
        reached += weight / total
        bounds.append(round(reached, 6))
    return lambda row: sql.SQL("({}::text[])[1 + width_bucket({}, {}::float8[])]").format(
        sql.Literal(list(weights)), uniform(row), sql.Literal(bounds)
    )


_INTERESTS = tags(
    "news", "sale", "vip", "trial", "blog", "event", "partner", "press", "beta", "gift", "refund", "fraud"
)
_WHERE = one_of(de=40, fr=20, us=18, uk=12, jp=6, br=3, nz=0.9, is_=0.1)

THRIVE_SHARES = {
    "Contact": 1.2,
    "SocialPost": 0.5,
    "Engagement": 0.4,
    "AudienceInteraction": 1.4,
    "BehavioralTracking": 1.0,
    "Content": 0.4,
    "Session": 0.2,
}
THRIVE: dict[str, dict[str, Recipe]] = {
    "User": {"email": address("Member"), "firstName": words(1, capital=True), "lastName": words(1, capital=True)},
    "Campaign": {"name": words(3, capital=True), "description": maybe(0.7, words(14))},
    "Content": {
        "title": words(6, capital=True),
        "content": words(40),
        "tags": _INTERESTS,
        "authorId": Parent("User"),
        "publishedAt": when("status", "PUBLISHED", later("createdAt", 72), fixed(None)),
    },
    "ContentPiece": {
        "title": words(5, capital=True),
        "scheduledFor": when("status", "SCHEDULED", around(-1, 20), fixed(None)),
    },
    "Contact": {
        "email": address("Reader"),
        "firstName": words(1, capital=True),
        "lastName": words(2, capital=True),
        "customFields": document(plan=one_of(free=80, team=15, business=4.9, custom=0.1), country=_WHERE),
        "status": pick(ACTIVE=90, UNSUBSCRIBED=5, BOUNCED=3, INACTIVE=1.9, SPAM=0.1),
        "contactListId": Parent("ContactList"),
        "tags": _INTERESTS,
        "lastContacted": maybe(0.8, around(200, -0.1)),
        "source": pick(form=60, **{"import": 30}, api=9, partner=1),
    },
    "SocialPost": {
        "status": pick(PUBLISHED=97.4, SCHEDULED=2, FAILED=0.6),
        "externalPostId": label("post-"),
        "scheduledAt": when("status", "SCHEDULED", around(0.2, 20), later("createdAt", 48)),
        "publishedAt": when("status", "PUBLISHED", later("createdAt", 60), fixed(None)),
    },
    "AudienceInteraction": {
        "audienceId": Parent("Audience"),
        "type": pick(open=60, click=25, visit=10, bounce=4, complaint=1),
        "data": document(device=one_of(phone=60, desktop=35, tablet=5)),
        "createdAt": past(300, growth=1),
    },
    "BehavioralTracking": {
        "audienceId": Parent("Audience"),
        "event": pick(page=70, search=15, basket=9, checkout=5, refund=1),
        "properties": document(device=one_of(phone=60, desktop=34.8, tablet=5, kiosk=0.2)),
        "createdAt": past(120, growth=1),
    },
    "Session": {"userId": Parent("User"), "expires": around(3, 27)},
    "Activity": {"metadata": document(source=one_of(web=80, api=19, cron=1))},
}
NEONHUB_SHARES: dict[str, float] = {}
NEONHUB: dict[str, dict[str, Recipe]] = {
    "users": {"email": address("Person"), "name": words(2, capital=True)},
    "campaigns": {"name": words(3, capital=True)},
    "contents": {"title": words(6, capital=True)},
    "leads": {
        "email": address("Lead"),
        "name": words(2, capital=True),
        "company": maybe(0.8, words(2, capital=True)),
        "phone": label("+00 555 "),
        "tags": _INTERESTS,
        "metadata": document(country=_WHERE, utm=one_of(search=60, mail=30, social=9.5, print=0.5)),
    },
    "agent_executions": {"payload": document(model=one_of(small=70, large=29, trial=1))},
    "analytics": {"data": document(value=amount(1000, 3), channel=one_of(web=70, mail=25, shop=5))},
    "trends": {"keyword": words(2)},
}


def oltp(conninfo: str, name: str) -> str:
    """Make the database; its conninfo. Thrive-Send lives in public, NeonHub in a schema that is on the search_path."""
    own = _database(conninfo, name)
    with psycopg.connect(own, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA neonhub")
        conn.execute("CREATE EXTENSION pg_trgm")
        conn.execute(sql.SQL("ALTER DATABASE {} SET search_path = public, neonhub").format(sql.Identifier(name)))
    homes = (
        ("thrive_send", "public", THRIVE, THRIVE_SHARES),
        ("neonhub", "neonhub", NEONHUB, NEONHUB_SHARES),
    )
    for known, home, recipes, shares in homes:
        one = app.get(known)
        bare = {table: replace(definition, indexes=()) for table, definition in one.schema.tables.items()}
        merged = {table: {**one.recipes.get(table, {}), **recipes.get(table, {})} for table in {*one.recipes, *recipes}}
        mended = replace(one, schema=replace(one.schema, tables=bare), recipes=merged, shares={**one.shares, **shares})
        note(f"loading {one.title}")
        session = partial(
            connect,
            own,
            command="bench",
            read_only=False,
            statement_timeout_ms=0,
            settings={"search_path": f"{home}, public"},
        )
        data.load(session, mended.book(ROWS))
    with psycopg.connect(own, autocommit=True) as conn:
        for table in WORN:
            # One row of fourteen: 7 % of each page.
            conn.execute(sql.SQL("DELETE FROM {} WHERE abs(hashtext(id)) % 14 = 0").format(sql.SQL(table)))
        conn.execute("VACUUM (FREEZE, ANALYZE)")
    return own


def tpch(conninfo: str, name: str, tool: str) -> str:
    """Make the database with tpchgen-cli; its conninfo."""
    own = _database(conninfo, name)
    with psycopg.connect(own, autocommit=True) as conn, tempfile.TemporaryDirectory(prefix="dbopt-bench-") as scratch:
        conn.execute((HERE / "_suggest_tpch_schema.sql").read_text())
        subprocess.run([tool, "-s", str(SCALE), "-o", scratch], check=True, capture_output=True)
        for table in TPCH_TABLES:
            statement = sql.SQL("COPY {} FROM STDIN (DELIMITER '|')").format(sql.Identifier(table))
            with conn.cursor().copy(statement) as copy:
                for block in _blocks(Path(scratch, f"{table}.tbl")):
                    copy.write(block)
        conn.execute("VACUUM (FREEZE, ANALYZE)")
    return own


def tpchgen(folder: Path) -> str | None:
    """tpchgen-cli, from PyPI into a virtual environment of its own; None where it cannot be had."""
    try:
        subprocess.run([sys.executable, "-m", "venv", folder / "tpch"], check=True, capture_output=True)
        subprocess.run(
            [folder / "tpch/bin/python", "-m", "pip", "install", "-q", "tpchgen-cli==4.0.0"],
            check=True,
            capture_output=True,
            timeout=120,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return str(folder / "tpch/bin/tpchgen-cli")


def _blocks(path: Path) -> Iterator[bytes]:
    """The file without the delimiter at the end of each line, which COPY takes for one more column."""
    with path.open("rb") as lines:
        while block := lines.readlines(1 << 20):
            yield b"".join(line[:-2] + b"\n" for line in block)


def _database(conninfo: str, name: str) -> str:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    own = make_conninfo(conninfo, dbname=name)
    with psycopg.connect(own, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION hypopg")
        conn.execute("CREATE EXTENSION pg_stat_statements")
    return own
