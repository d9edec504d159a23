"""`health:` in dbopt.yaml: its words against the checks that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbopt import config
from dbopt.config import Flags, laid_over
from dbopt.config.health_file import FAIL_ON
from dbopt.errors import ConfigError
from dbopt.health import amounts
from dbopt.health.check import Unit
from dbopt.health.checks import load
from dbopt.health.overrides import Overrides, resolve
from dbopt.health.verdict import FailOn


def read(text: str, target: str | None = None) -> Overrides:
    Path("dbopt.yaml").write_text(text, encoding="utf-8")
    found = config.read(Flags(targets=(target,) if target else ()), {}, Path.cwd())
    own = [found.targets()[0].health] if target else []
    return resolve(laid_over([found.settings().health, *own]))


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("1min", Unit.SECONDS, 60),
        ("500ms", Unit.SECONDS, 0.5),
        ("100MB", Unit.BYTES, 100 * 1024**2),
        ("8192", Unit.BYTES, 8192),
        ("80%", Unit.RATIO, 0.8),
        ("0.8", Unit.RATIO, 0.8),
        ("150 %", Unit.RATIO, 1.5),
        ("1500000000", Unit.TRANSACTIONS, 1.5e9),
        ("1.5e9", Unit.TRANSACTIONS, 1.5e9),
        ("10", Unit.COUNT, 10),
    ],
)
def test_amounts(text: str, unit: Unit, value: float) -> None:
    assert amounts.parse(text, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("5", Unit.SECONDS),
        ("5MB", Unit.SECONDS),
        ("5min", Unit.BYTES),
        ("80", Unit.RATIO),
        ("5min", Unit.RATIO),
        ("-1", Unit.COUNT),
        ("nan", Unit.COUNT),
        ("5kB", Unit.COUNT),
        ("80%", Unit.TRANSACTIONS),
    ],
)
def test_amounts_of_another_unit(text: str, unit: Unit) -> None:
    with pytest.raises(ValueError, match=r"expected .* found "):
        amounts.parse(text, unit)


def test_a_check_gets_other_numbers_that_say_where_they_come_from() -> None:
    own = load("table-bloat")
    changed = read("health:\n  checks:\n    table-bloat: {warning: 40%, min_size: 1GB}\n").changed["table-bloat"]
    assert (changed.thresholds.warning, changed.thresholds.critical) == (0.4, own.thresholds.critical)
    assert changed.thresholds.source.startswith("warning set in dbopt.yaml:3; else ")
    limits = {limit.name: limit for limit in changed.limits}
    assert limits["min_size"].value == 1024**3
    assert limits["min_size"].source.startswith("set in dbopt.yaml:3; else ")
    assert load("table-bloat") is own
    assert read("").over([own]) == [own]


def test_a_target_has_the_last_word() -> None:
    text = """\
targets:
  main:
    dsn: host=db1
    health:
      checks: {blocked-sessions: {warning: 2min}}
      skip: [unused-index]
      ignore: [{check: deadlocks, subject: "*", reason: a queue}]
health:
  checks: {blocked-sessions: {warning: 3min, critical: 4min}}
  skip: [table-bloat, unused-index]
  ignore: [{check: "*-index", subject: a, reason: b}]
"""
    general, own = read(text), read(text, "main")
    assert general.changed["blocked-sessions"].thresholds.warning == 180
    thresholds = own.changed["blocked-sessions"].thresholds
    assert (thresholds.warning, thresholds.critical) == (120, 240)
    assert "warning set in dbopt.yaml:5, critical set in dbopt.yaml:9" in thresholds.source
    assert own.skip == {"table-bloat", "unused-index"}
    assert [entry.check.text for entry in own.ignore] == ["*-index", "deadlocks"]


def test_never_critical() -> None:
    changed = read("health: {checks: {blocked-sessions: {warning: 10min, critical: none}}}\n")
    thresholds = changed.changed["blocked-sessions"].thresholds
    assert (thresholds.warning, thresholds.critical) == (600, None)


SECTION = "health:\n  checks:\n    "


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            SECTION + "blocked-session: {warning: 1min}",
            '3:5: unknown check "blocked-session"',
            "mean blocked-sessions?",
        ),
        (SECTION + "zzz: {warning: 1min}", '3:5: unknown check "zzz"', "`dbopt health --list` shows"),
        (SECTION + "blocked-sessions: {warn: 1min}", 'has no threshold or limit "warn"', "mean warning? To be set: w"),
        (SECTION + "table-bloat: {size: 1MB}", '3:19: table-bloat has no threshold or limit "size"', "min_size"),
        (SECTION + "blocked-sessions: {warning: 5}", "3:33: blocked-sessions.warning: expected a duration", None),
        (SECTION + "table-bloat: {warning: 30}", "3:28: table-bloat.warning: expected a share such as 80%", None),
        (SECTION + "table-bloat: {min_size: 30%}", "table-bloat.min_size: expected an amount of bytes", None),
        (
            SECTION + "blocked-sessions: {warning: 10min}",
            "3:33: blocked-sessions would be critical at 5min, before",
            "Set both",
        ),
        (
            SECTION + "cache-hit-ratio: {critical: 97%}",
            "cache-hit-ratio would be critical at 97%, before",
            "less being worse",
        ),
        (SECTION + "invalid-index: {warning: 1MB}", "3:21: invalid-index has no thresholds: what it finds", None),
        ("health:\n  skip: [unused-indexes]", '2:10: unknown check "unused-indexes"', "Did you mean unused-index?"),
        (
            'health: {ignore: [{check: "*-indices", subject: a, reason: b}]}',
            '1:27: unknown check "*-indices"',
            None,
        ),
    ],
)
def test_words_that_no_check_knows(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as raised:
        read(text + "\n")
    assert raised.value.message.startswith("dbopt.yaml:")
    assert message in raised.value.message
    assert (raised.value.detail or "").endswith("^")
    assert hint is None or hint in (raised.value.hint or "")


def test_what_the_file_calls_fail_on_is_what_the_verdict_does() -> None:
    assert set(FailOn) == set(FAIL_ON)


def test_every_check_takes_its_own_numbers_back() -> None:
    """So that everybody can write down what --explain shows, and change one."""
    from dbopt.health.checks import all_checks

    for check in all_checks():
        numbers = [(check.thresholds.warning, check.unit), (check.thresholds.critical, check.unit)]
        for value, unit in [*numbers, *((limit.value, limit.unit) for limit in check.limits)]:
            if value not in (None, float("-inf")):
                assert amounts.parse(amounts.spelled(value, unit), unit) == pytest.approx(value, rel=1e-5), check.id
