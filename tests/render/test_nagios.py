"""What a monitoring plugin writes, held against the guidelines of plugins."""

from __future__ import annotations

import re

import pytest

from dbopt.errors import ConfigError
from dbopt.health.check import Status
from dbopt.render.nagios import failure, plugin_output

from .values import HOSTILE
from .verdicts import GRANT, HEALTHY, TROUBLED, UNREACHABLE, hostile, result, verdict

# 'label'=value[UOM];[warn];[crit];[min];[max], numbers in class [-0-9.]; ranges of thresholds may end in a colon.
DATUM = re.compile(r"'([^'=|]+)'=(-?[0-9.]+)(s|B|%)?;(-?[0-9.]+:?)?;(-?[0-9.]+:?)?;(-?[0-9.]+)?(;-?[0-9.]+)?")


def performance(text: str) -> dict[str, str]:
    """By label; every word of it has to be as the guidelines have it."""
    first = text.splitlines()[0]
    assert first.count("|") == text.count("|") == 1
    found: dict[str, str] = {}
    for datum in re.findall(r"'[^']*'=\S+", first.partition("|")[2]):
        match = DATUM.fullmatch(datum)
        assert match, datum
        assert match[1] not in found
        found[match[1]] = datum.partition("=")[2]
    assert " ".join(f"'{label}'={values}" for label, values in found.items()) == first.partition("| ")[2]
    return found


def test_trouble() -> None:
    text = plugin_output([TROUBLED])
    first, *more = text.splitlines()
    assert first.partition(" | ")[0] == (
        "HEALTH CRITICAL - app on PostgreSQL 18.4: prepared-transaction: gid one: facts;"
        " prepared-transaction: gid two: facts; cache-hit-ratio: app: facts; 1 more"
    )
    assert more == [
        "critical: prepared-transaction: gid one: facts",
        "  SELECT 1;",
        "warning: prepared-transaction: gid two: facts",
        "  SELECT 1;",
        "warning: cache-hit-ratio: app: facts",
        "  SELECT 1;",
        "unknown: table-bloat, index-bloat: pg_stats is hidden",
        f"  {GRANT}",
    ]
    assert performance(text) == {
        "time": "0.08s;;;0",
        "critical": "1;;;0",
        "warning": "1;;;0",
        "unknown": "3;;;0",
        "connection-slots_max_connections": "42%;80;90;0;100",
        "prepared-transaction": "4000.5s;300;1800;0",
        "cache-hit-ratio_app": "93%;95:;90:;0;100",
    }


@pytest.mark.parametrize(
    ("one", "begins"),
    [
        (HEALTHY, "HEALTH OK - app on PostgreSQL 18.4: 2 checks, nothing to report | "),
        (UNREACHABLE, "HEALTH CRITICAL - db1:5432/app: cannot-connect: server: facts | "),
        (
            verdict(result("table-bloat", Status.UNKNOWN, reason="hidden", blind=True)),
            "HEALTH UNKNOWN - app on PostgreSQL 18.4: table-bloat: hidden | ",
        ),
        (
            verdict(result("unused-index", Status.UNKNOWN, reason="reset just now")),
            "HEALTH OK - app on PostgreSQL 18.4: 1 check, nothing to report | ",
        ),
    ],
)
def test_first_line(one: object, begins: str) -> None:
    text = plugin_output([one])  # type: ignore[list-item]
    assert text.startswith(begins)
    performance(text)


def test_several_databases_have_labels_of_their_own() -> None:
    text = plugin_output([verdict(*TROUBLED.results, name="main"), verdict(*HEALTHY.results, name="other")])
    assert text.startswith("HEALTH CRITICAL - 2 databases: main prepared-transaction: gid one: facts; ")
    labels = performance(text)
    assert {"main_time", "other_time", "main_cache-hit-ratio_app"} <= set(labels)


@pytest.mark.parametrize("name", [*HOSTILE, "a|b", "it's = 1"])
def test_hostile_names(name: str) -> None:
    text = plugin_output([hostile(name)])
    performance(text)
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]", text) is None


def test_a_failure_says_why() -> None:
    error = ConfigError("could not read dbopt.yaml", detail="line 3 | no\nkey", hint="Look.")
    assert failure(error) == "HEALTH UNKNOWN - could not read dbopt.yaml: line 3 ¦ no key\n"
