"""Who wins, value by value; and what a configuration file may say."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbopt import config
from dbopt.config import Flags, Setting
from dbopt.errors import ConfigError, Error, UsageError
from dbopt.metrics.window import SLOW_THRESHOLD_MS
from dbopt.optimize.apply import WAIT_SECONDS
from dbopt.postgres.connect import STATEMENT_TIMEOUT_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbopt.config import Settings, Target

SECRET = "s3cr3t-Pa55"


def write(text: str, name: str = "dbopt.yaml") -> Path:
    path = Path.cwd() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def settings(env: Mapping[str, str] | None = None, **flags: object) -> Settings:
    return config.read(Flags(**flags), env or {}, Path.cwd()).settings()  # type: ignore[arg-type]


def targets(env: Mapping[str, str] | None = None, **flags: object) -> tuple[Target, ...]:
    return config.read(Flags(**flags), env or {}, Path.cwd()).targets()  # type: ignore[arg-type]


def target(env: Mapping[str, str] | None = None, **flags: object) -> Target:
    [one] = targets(env, **flags)
    return one


def values(one: Target) -> dict[str, tuple[str, str]]:
    return {key: (setting.value, setting.origin) for key, setting in one.parameters.items()}


def refusal(env: Mapping[str, str] | None = None, **flags: object) -> Error:
    try:
        settings(env, **flags)
        targets(env, **flags)
    except Error as error:
        return error
    pytest.fail("nothing was refused")


# Who wins


def test_defaults() -> None:
    found = settings()
    assert found.specs == Setting((Path("indexes"),), "default")
    assert found.store == Setting(None, "default")
    assert found.wait_seconds == Setting(WAIT_SECONDS, "default")
    assert target().statement_timeout_ms == Setting(STATEMENT_TIMEOUT_MS, "default")
    assert target().parameters == {}


def test_flag_over_variable_over_file_over_users_file() -> None:
    write("optimize: {wait: 1m}\n", "home/dbopt/config.yaml")
    env = {"XDG_CONFIG_HOME": str(Path.cwd() / "home")}
    assert settings(env).wait_seconds == Setting(60.0, f"{Path.cwd()}/home/dbopt/config.yaml:1")
    write("optimize:\n  wait: 2m\n")
    assert settings(env).wait_seconds == Setting(120.0, "dbopt.yaml:2")
    env["DBOPT_WAIT"] = "3m"
    assert settings(env).wait_seconds == Setting(180.0, "DBOPT_WAIT")
    assert settings(env, wait="4m").wait_seconds == Setting(240.0, "--wait")


def test_jobs_and_lag() -> None:
    assert settings().jobs == Setting(1, "default")
    assert settings().max_lag_seconds == Setting(None, "default")
    write("optimize: {jobs: 2, max_lag: 30s}\n")
    assert settings().jobs == Setting(2, "dbopt.yaml:1")
    assert settings().max_lag_seconds == Setting(30.0, "dbopt.yaml:1")
    assert settings({"DBOPT_JOBS": "3"}).jobs == Setting(3, "DBOPT_JOBS")
    assert settings({"DBOPT_JOBS": "3"}, jobs="4").jobs == Setting(4, "--jobs")
    assert settings(max_lag="1m").max_lag_seconds == Setting(60.0, "--max-lag")
    for words in ("0", "many", "65", "-1", "1.5"):
        assert refusal(jobs=words).detail == f"expected a number from 1 to 64, found {words}"
    assert refusal({"DBOPT_MAX_LAG": "far"}).message == "invalid value for DBOPT_MAX_LAG"
    write("optimize: {jobs: 0}\n")
    assert "expected a number from 1 to 64" in str(refusal())


def test_config_file_named_instead_of_both() -> None:
    write("optimize: {wait: 2m}\n")
    other = write("specs: elsewhere\n", "other/settings.yaml")
    found = settings(config=other)
    assert found.wait_seconds.origin == "default"
    assert found.specs == Setting((Path("other/elsewhere"),), f"{other}:1")
    assert settings({"DBOPT_CONFIG": str(other)}).specs.value == (Path("other/elsewhere"),)
    assert refusal(config=Path("missing.yaml")).detail == "no such file"


def test_dsn_variables_in_their_order_with_flags_beside() -> None:
    env = {"PGHOST": "h0", "DATABASE_URL": "postgres://me:pw@h1:1/app"}
    assert values(target(env))["host"] == ("h1", "DATABASE_URL")
    env["DBOPT_DSN"] = "host=h2 user=me password=pw dbname=app"
    assert values(target(env))["host"] == ("h2", "DBOPT_DSN")
    mixed = values(target(env, dbname="other", port="7"))
    assert mixed["dbname"] == ("other", "-d")
    assert mixed["port"] == ("7", "-p")
    assert mixed["host"] == ("h2", "DBOPT_DSN")
    assert values(target(env, dbname="host=h3 port=3", port="7")) == {"host": ("h3", "-d"), "port": ("3", "-d")}


def test_a_password_goes_to_nobody_else() -> None:
    env = {"DATABASE_URL": f"postgres://me:{SECRET}@h1/app"}
    assert values(target(env, host="h2")) == {"host": ("h2", "-h")}
    assert "password" not in values(target(env, username="you"))
    assert values(target(env, username="me"))["password"] == (SECRET, "DATABASE_URL")


TARGETS = """\
targets:
  main: {dsn: "postgres://dbopt@db1/app"}
  reports:
    dsn: host=db2 dbname=app
    replicas_of: main
"""


def test_targets_of_the_file() -> None:
    write(TARGETS)
    assert [one.name for one in targets(targets=("reports", "main", "reports"))] == ["reports", "main"]
    assert values(target(targets=("reports",)))["host"] == ("db2", "dbopt.yaml:4")
    assert [one.name for one in targets(all_targets=True)] == ["main"]  # a replica has its primary's indexes
    assert config.read(Flags(), {}, Path.cwd()).targets(any_number=True)[1].name == "reports"
    everywhere = config.read(Flags(all_targets=True), {}, Path.cwd()).targets(replicas=True)
    assert [one.name for one in everywhere] == ["main", "reports"]  # and its own health


def test_environment_before_a_target_that_nobody_named() -> None:
    write('targets: {main: {dsn: "host=db1"}}\n')
    assert target().name == "main"
    assert target({"PGUSER": "me"}).name == "main"
    assert target({"PGHOST": "h0"}).name is None
    assert target({"DATABASE_URL": "postgres://h1"}).name is None
    assert target({"DATABASE_URL": "postgres://h1"}, targets=("main",)).name == "main"


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        ({}, "the configuration has several targets", "Name one with -t, or all with --all-targets."),
        ({"targets": ("mian",)}, 'unknown target "mian"', "Did you mean main?"),
        ({"targets": ("main",), "host": "h"}, "a target already says where it leads", "Use either -t or"),
        ({"wait": "5"}, "invalid value for --wait", None),
        ({"port": "abc"}, "invalid value for -p", "A port is a number from 1 to 65535."),
        ({"port": "0"}, "invalid value for -p", "A port is a number from 1 to 65535."),
    ],
)
def test_flags_that_make_no_sense(flags: dict[str, object], message: str, hint: str | None) -> None:
    write(TARGETS)
    error = refusal(**flags)
    assert isinstance(error, UsageError)
    assert error.message == message
    assert hint is None or (error.hint or "").startswith(hint)


def test_target_without_targets() -> None:
    assert refusal(targets=("main",)).message == "the configuration has no targets"


# The guide's variables


def test_guide_variables_fill_what_the_string_leaves_open() -> None:
    env = {"DB_CONNECTION_TIMEOUT": "2500", "DB_QUERY_TIMEOUT": "20000", "DATABASE_URL": "postgres://h1"}
    assert values(target(env))["connect_timeout"] == ("3", "DB_CONNECTION_TIMEOUT")
    assert target(env).statement_timeout_ms == Setting(20_000, "DB_QUERY_TIMEOUT")
    env["DB_STATEMENT_TIMEOUT"] = "10000"
    assert target(env).statement_timeout_ms == Setting(10_000, "DB_STATEMENT_TIMEOUT")
    env["DATABASE_URL"] = "postgres://h1?connect_timeout=5&statement_timeout=700"
    assert values(target(env))["connect_timeout"] == ("5", "DATABASE_URL")
    assert target(env).statement_timeout_ms == Setting(700, "DATABASE_URL")


@pytest.mark.parametrize(
    ("reject", "given", "mode"),
    [
        ("true", "require", "verify-full"),
        ("true", "prefer", "prefer"),
        ("true", "disable", "disable"),
        ("false", "verify-full", "require"),
        ("false", "require", "require"),
    ],
)
def test_reject_unauthorized_is_about_the_certificate(reject: str, given: str, mode: str) -> None:
    env = {"DB_SSL_REJECT_UNAUTHORIZED": reject, "DATABASE_URL": f"postgres://h1?sslmode={given}"}
    found = target(env)
    assert found.parameters["sslmode"].value == mode
    assert ("sslrootcert" in found.parameters) == (mode == "verify-full" and given == "require")


def test_pool_variables_are_checked_and_shown_as_not_used() -> None:
    env = {"DB_MAX_CONNECTIONS": "30"}
    shown = {name: (value, origin) for name, value, origin in config.rows(settings(env), ())}
    assert shown["DB_MAX_CONNECTIONS"] == (
        30,
        "environment; not used by dbopt's commands: it is for the application's pool",
    )


def test_what_is_slow() -> None:
    assert settings().slow_threshold_ms == Setting(SLOW_THRESHOLD_MS, "default")
    write("slow_queries: {threshold: 1.5s}\n")
    assert settings().slow_threshold_ms == Setting(1500.0, "dbopt.yaml:1")
    env = {"SLOW_QUERY_THRESHOLD": "100"}
    assert settings(env).slow_threshold_ms == Setting(100.0, "SLOW_QUERY_THRESHOLD")
    shown = {name: (value, origin) for name, value, origin in config.rows(settings(env), ())}
    assert shown["slow_queries.threshold"] == ("100ms", "SLOW_QUERY_THRESHOLD")


def test_the_pooler_of_a_target() -> None:
    write(f"targets:\n  main:\n    dsn: host=db1\n    pgbouncer: postgres://stats:{SECRET}@pool1:6432\n")
    found = target()
    assert found.pgbouncer is not None
    assert found.pgbouncer["host"].value == "pool1"
    assert settings().secrets((found,)) == {SECRET}
    shown = {name: value for name, value, _ in config.rows(settings(), (found,))}
    assert shown["targets.main.pgbouncer.host"] == "pool1"
    assert SECRET not in str(shown)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("DB_MAX_CONNECTIONS", "many", "Use a number of connections, such as 10."),
        ("DB_STATEMENT_TIMEOUT", "30s", "Use a whole number of milliseconds, such as 30000."),
        ("DB_ACQUIRE_TIMEOUT", "-1", "Use a whole number of milliseconds, such as 30000."),
        ("DB_IDLE_TIMEOUT", "99999999999", "Use a whole number of milliseconds, such as 30000."),
        ("DB_SSL_REJECT_UNAUTHORIZED", "maybe", "Use true or false."),
    ],
)
def test_a_bad_variable_is_named_with_its_unit(name: str, value: str, hint: str) -> None:
    error = refusal({name: value})
    assert (error.message, error.hint) == (f"invalid value for {name}", hint)


def test_a_misspelled_variable_is_a_warning() -> None:
    assert settings({"DBOPT_WIAT": "5m"}).warnings == ("unknown variable DBOPT_WIAT; did you mean DBOPT_WAIT?",)


# The file


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sepcs: x\n", 'dbopt.yaml:1:1: unknown key "sepcs"', "Did you mean specs?"),
        ("optimize:\n  wiat: 5m\n", 'dbopt.yaml:2:3: unknown key "wiat"', "Did you mean wait?"),
        ("targets:\n  a: {dns: x}\n", 'dbopt.yaml:2:7: unknown key "dns"', "Did you mean dsn?"),
        ("targets:\n  a: {replicas_of: x}\n", "dbopt.yaml:2:6: targets.a.dsn is missing", None),
        ("targets:\n  a: {dsn: x, replicas_of: b}\n", 'dbopt.yaml:2:28: replicas_of names no other target: "b"', None),
        ("health: {fial_on: warning}\n", 'dbopt.yaml:1:10: unknown key "fial_on"', "Did you mean fail_on?"),
        ("health: {fail_on: warn}\n", "dbopt.yaml:1:19: health.fail_on is warning, critical or never", "Did you mean"),
        ("health: [a]\n", "dbopt.yaml:1:9: health is a mapping of keys to values", None),
        ("health: {skip: a}\n", "dbopt.yaml:1:16: health.skip is a list", None),
        ("health: {skip: [a, b, a]}\n", 'dbopt.yaml:1:23: "a" is skipped in line 1 already', None),
        ("health: {skip: [[a]]}\n", "dbopt.yaml:1:17: health.skip is one value", None),
        ("health: {checks: [a]}\n", "dbopt.yaml:1:18: health.checks is a mapping", None),
        ("health: {checks: {a: 5min}}\n", "dbopt.yaml:1:22: health.checks.a is a mapping", None),
        ("health: {checks: {a: {warning: }}}\n", "dbopt.yaml:1:32: health.checks.a.warning is empty", None),
        (
            "health:\n  ignore:\n    - {check: a, subject: b}\n",
            "dbopt.yaml:3:7: this entry of health.ignore has no r",
            "Say",
        ),
        (
            "health:\n  ignore:\n    - {check: a, subject: b, reason: }\n",
            "dbopt.yaml:3:7: this entry of health.ign",
            "Say",
        ),
        (
            "health:\n  ignore:\n    - {check: a, reason: b, subjects: c}\n",
            'dbopt.yaml:3:29: unknown key "subjects"',
            "Did",
        ),
        (
            "health:\n  ignore:\n    - {check: a, subject: b, reason: c, until: 31.1.2027}\n",
            'dbopt.yaml:3:48: until is a date such as 2027-01-31, not "31.1.2027"',
            None,
        ),
        (
            "health:\n  ignore:\n    - {check: a, subject: b, reason: c}\n    - {check: a, subject: b, reason: d}\n",
            "dbopt.yaml:4:15: the same check and subject are ignored in line 3 already",
            None,
        ),
        ("targets:\n  a: {dsn: x, health: {skp: []}}\n", 'dbopt.yaml:2:24: unknown key "skp"', "Did you mean skip?"),
        ("slow_queries: {treshold: 1s}\n", 'dbopt.yaml:1:16: unknown key "treshold"', "Did you mean threshold?"),
        ("slow_queries: {threshold: 500}\n", "dbopt.yaml:1:27: slow_queries.threshold: expected a duration", None),
        ("optimize: {wait: 300}\n", "dbopt.yaml:1:18: optimize.wait: expected a duration", None),
        ("specs: [a, b]\n", "dbopt.yaml:1:8: specs is one value, not a list or mapping", None),
        ("targets: main\n", "dbopt.yaml:1:10: targets is a mapping of keys to values", None),
        ("- specs\n", "dbopt.yaml:1:1: a configuration is a mapping of keys to values", None),
        ("specs: ${NOT_THERE}/x\n", "dbopt.yaml:1:8: the environment variable NOT_THERE is not set", "Set it: "),
        ("specs: a\nspecs: b\n", 'dbopt.yaml:2:1: the key "specs" is given twice', None),
        ("specs: 'a\n", "dbopt.yaml:1:8: ", None),
        ("specs: &x [*x]\n", "dbopt.yaml:1:12: the anchor &x contains itself", None),
    ],
)
def test_mistakes_have_a_place(text: str, message: str, hint: str | None) -> None:
    write(text)
    error = refusal()
    assert isinstance(error, ConfigError)
    assert error.message.startswith(message)
    assert hint is None or (error.hint or "").startswith(hint)


@pytest.mark.parametrize("text", ["", "# nothing\n", "targets:\noptimize:\nstore: ~\n"])
def test_a_file_may_say_nothing(text: str) -> None:
    write(text)
    assert settings().store == Setting(None, "default")


def test_password_is_no_key() -> None:
    write(f"targets:\n  main:\n    dsn: host=db1\n    password: {SECRET}\n")
    error = refusal()
    assert error.message == "dbopt.yaml:4:5: password is not a key"
    assert "~/.pgpass" in (error.hint or "")
    assert SECRET not in f"{error.message}{error.detail}{error.hint}"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://dbopt:${PW}@db1/app",
        "host=db1 user=dbopt dbname=app password=${PW}",
        "${WHOLE}",
        "host=db1 password='${PW}'",
    ],
)
def test_a_variable_in_a_dsn_is_data(dsn: str) -> None:
    write(f'targets: {{main: {{dsn: "{dsn}"}}}}\n')
    password = "a b'@/:?#%\\ host=evil"
    env = {"PW": password, "WHOLE": "host=db1 password='a b\\'@/:?#%\\\\ host=evil'"}
    found = target(env, targets=("main",))
    assert found.parameters["password"].value == password
    assert found.parameters["host"].value == "db1"


def test_a_file_that_cannot_be_read() -> None:
    Path("dbopt.yaml").mkdir()
    assert refusal().detail == "it is not a regular file"


def test_a_file_that_is_not_utf8() -> None:
    Path("dbopt.yaml").write_bytes(b"specs: \xff\n")
    assert refusal().detail == "it is not UTF-8"


def test_a_file_that_is_too_large() -> None:
    write("#" * (2 * 1024 * 1024))
    assert refusal().detail == "it is larger than 1MB"


# health


def test_health_of_two_files_and_of_targets() -> None:
    env = {"XDG_CONFIG_HOME": str(Path.cwd() / "home"), "WHY": "an audit"}
    write(
        "health:\n  fail_on: critical\n  checks: {a: {warning: 1min, critical: 2min}}\n  skip: [x]\n",
        "home/dbopt/config.yaml",
    )
    write(
        """\
health:
  checks: {a: {critical: 3min}}
  skip: [x, y]
  ignore:
    - {check: a, subject: "t_*", reason: "${WHY}", until: 2027-01-31}
targets: {main: {dsn: host=db1, health: {fail_on: never}}}
"""
    )
    found = settings(env).health
    user = f"{Path.cwd()}/home/dbopt/config.yaml"
    assert found.fail_on is not None
    assert (found.fail_on.text, str(found.fail_on.place)) == ("critical", f"{user}:2")
    assert [(item.name.text, item.value.text, str(item.value.place)) for item in found.checks] == [
        ("warning", "1min", f"{user}:3"),
        ("critical", "3min", "dbopt.yaml:2"),
    ]
    assert [word.text for word in found.skip] == ["x", "y"]
    [entry] = found.ignore
    assert (entry.reason.text, entry.until, entry.place.line) == ("an audit", date(2027, 1, 31), 5)
    own = target(env).health
    assert own.fail_on is not None
    assert own.fail_on.text == "never"
    assert own.checks == ()


def test_health_says_nothing_unless_it_does() -> None:
    write("health:\n  checks:\n  ignore:\n  skip: ~\n")
    assert not settings().health
    assert "health.fail_on" in [name for name, _, _ in config.rows(settings(), ())]


# What is shown


def test_no_secret_is_shown() -> None:
    write(
        f'store: postgresql+psycopg://me:{SECRET}@db1/store\ntargets: {{main: {{dsn: "postgres://me:{SECRET}@db1/app"}}}}\n'
    )
    found = config.read(Flags(), {"PGPASSWORD": SECRET}, Path.cwd())
    shown = list(config.rows(found.settings(), found.targets()))
    assert SECRET not in repr(shown)
    assert ("targets.main.password", "********", "dbopt.yaml:2") in shown
    assert found.settings().secrets(found.targets()) == {SECRET}


def test_a_password_that_is_also_a_name_hides_no_name() -> None:
    found = config.read(Flags(dbname="postgres://app:app@db1/app"), {}, Path.cwd())
    assert found.settings().secrets(found.targets()) == frozenset()
