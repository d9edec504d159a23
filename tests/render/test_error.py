from __future__ import annotations

import pytest

from dbopt.errors import ConnectionFailed, SpecError, UsageError
from dbopt.render.error import format_error, write_error

from .values import FINDINGS, HOSTILE, Memory


def test_message_detail_and_hint() -> None:
    error = ConnectionFailed(
        "could not connect to db1:5432/app",
        detail="connection refused\nIs the server running?",
        hint="pg_isready -h db1",
    )
    assert format_error(error) == (
        "dbopt: error: could not connect to db1:5432/app\n"
        "  detail: connection refused\n"
        "          Is the server running?\n"
        "  hint: pg_isready -h db1"
    )


def test_message_alone() -> None:
    assert format_error(UsageError("unknown target x")) == "dbopt: error: unknown target x"


def test_a_spec_error_shows_each_finding_at_its_place() -> None:
    error = SpecError("could not use indexes/billing.yaml", findings=FINDINGS[1:2], hint="dbopt lint indexes/")
    assert format_error(error) == (
        "dbopt: error: could not use indexes/billing.yaml\n"
        'indexes/billing.yaml:30:5: error: unknown key "tabel" [unknown-key]\n'
        "  30 |     tabel: orders\n"
        "     |     ^\n"
        '  hint: Did you mean "table"?\n'
        "  hint: dbopt lint indexes/"
    )


def test_on_stderr_also_when_quiet_and_never_wrapped() -> None:
    memory = Memory(width=20, quiet=True)
    write_error(memory.output, UsageError("a message that is longer than twenty columns"))
    assert (memory.out, memory.err) == ("", "dbopt: error: a message that is longer than twenty columns\n")


def test_colour_stands_beside_the_word() -> None:
    memory = Memory(terminal=True, color=True)
    write_error(memory.output, UsageError("x"))
    assert memory.err == "dbopt: \x1b[1;31merror:\x1b[0m x\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_injects_nothing(name: str) -> None:
    text = format_error(UsageError(f"bad {name}", hint=f"Rename {name}."))
    assert text.replace("\n", "").replace("\u200d", "").isprintable()
    assert text.split("\n")[0].startswith("dbopt: error: bad ")
