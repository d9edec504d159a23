"""Cursors: what they carry, and that nothing else is taken for one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbopt.client.paging import cursors
from dbopt.client.paging.cursors import LONGEST_CHARACTERS, Position
from dbopt.errors import InvalidCursor, UsageError

QUERY = "a fingerprint"
SECRETS = ("of today", "of yesterday")
POSITION = Position(("2026-11-22T10:00:00.000001+00:00", None, "ü\U0001f600 ' %s"), True, 1)

values = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=5).map(tuple)


def read(cursor: object, secrets: tuple[str, ...] = SECRETS, query: str = QUERY) -> Position:
    return cursors.read(cursor, query, len(POSITION.keys), secrets)


def signed(payload: object, secret: str = SECRETS[0]) -> str:
    """As somebody would who has the secret."""
    value = base64.urlsafe_b64encode(payload if isinstance(payload, bytes) else json.dumps(payload).encode()).rstrip(
        b"="
    )
    derived = hmac.digest(secret.encode(), b"dbopt page cursor", "sha256")
    signature = base64.urlsafe_b64encode(hmac.digest(derived, value, hashlib.sha256)).rstrip(b"=")
    return (value + b"." + signature).decode()


@settings(max_examples=50, deadline=None)
@given(values, st.booleans(), st.integers(0, 5))
def test_what_is_signed_is_read_again(keys: tuple[str | None, ...], is_after: bool, shared: int) -> None:
    position = Position(keys, is_after, shared)
    cursor = cursors.sign(position, QUERY, SECRETS)
    assert re.fullmatch("[A-Za-z0-9_.-]+", cursor), "it stands in a URL as it is"
    assert cursors.read(cursor, QUERY, len(keys), SECRETS) == position


def test_the_form_is_documented_by_this_test() -> None:
    assert signed([1, QUERY, True, 1, list(POSITION.keys)]) != cursors.sign(POSITION, QUERY, SECRETS)  # spaces
    assert read(signed([1, QUERY, True, 1, list(POSITION.keys)])) == POSITION


def test_any_changed_character_is_noticed() -> None:
    """Of the signature's last character some bits mean nothing; that is no leave to change them."""
    cursor = cursors.sign(POSITION, QUERY, SECRETS)
    for at, was in enumerate(cursor):
        for other in string.ascii_letters[at % 7 :: 7] + "-_.=!é\0" + ("ABCDEFGH" if at == len(cursor) - 1 else ""):
            if other != was:
                with pytest.raises(InvalidCursor, match="not one of ours"):
                    read(cursor[:at] + other + cursor[at + 1 :])


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary() | st.none() | st.integers() | st.text("abcABC019._-="))
def test_whatever_else_is_refused_by_name(cursor: object) -> None:
    with pytest.raises(InvalidCursor) as refused:
        read(cursor)
    assert refused.value.detail
    assert refused.value.hint


def test_cut_off_doubled_empty_and_huge() -> None:
    cursor = cursors.sign(POSITION, QUERY, SECRETS)
    for wrong in (
        cursor[:-1],
        cursor[1:],
        cursor * 2,
        "",
        ".",
        "..",
        f" {cursor}",
        f"{cursor}\n",
        cursor.partition(".")[0],
    ):
        with pytest.raises(InvalidCursor):
            read(wrong)
    with pytest.raises(InvalidCursor, match="length"):
        read("a" * (LONGEST_CHARACTERS + 1))


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"{", b"null", b"[" * 30_000, b"\xff", b'"text"', b"1e999", b"{}"),
        *(
            [],
            [1],
            [1, QUERY, True, 0, "abc"],
            [1, QUERY, True, 0, [1, 2, 3]],
            [1, QUERY, True, 0, [None, None, [None]]],
        ),
        *([1, QUERY, "true", 0, [None] * 3], [1, 5, True, 0, [None] * 3], [1, QUERY, True, 0.5, [None] * 3]),
        *(["1", QUERY, True, 0, [None] * 3], [None, QUERY, True, 0, [None] * 3], [1, QUERY, True, 0, [None] * 3, 0]),
    ],
)
def test_what_is_signed_and_makes_no_sense(payload: object) -> None:
    with pytest.raises(InvalidCursor, match="cannot be read"):
        read(signed(payload))


def test_another_version_another_query_another_number_of_keys() -> None:
    with pytest.raises(InvalidCursor, match="another version"):
        read(signed([2, "whatever it is then"]))
    with pytest.raises(InvalidCursor, match="another query") as refused:
        read(cursors.sign(POSITION, QUERY, SECRETS), query="others")
    assert "filters" in (refused.value.detail or "")
    with pytest.raises(InvalidCursor, match="another query"):
        cursors.read(cursors.sign(POSITION, QUERY, SECRETS), QUERY, 2, SECRETS)


def test_secrets_are_changed_one_after_the_other() -> None:
    yesterday = cursors.sign(POSITION, QUERY, SECRETS[1:])
    assert read(yesterday) == POSITION
    assert cursors.sign(POSITION, QUERY, SECRETS) == cursors.sign(POSITION, QUERY, SECRETS[:1]) != yesterday
    with pytest.raises(InvalidCursor) as refused:
        read(yesterday, SECRETS[:1])
    assert "No secret is configured" not in (refused.value.hint or "")


def test_without_a_secret_each_process_has_its_own() -> None:
    assert read(cursors.sign(POSITION, QUERY, ()), ()) == POSITION
    code = (
        "from dbopt.client.paging.cursors import Position, sign\n"
        f"print(sign(Position({POSITION.keys!r}, True, 1), {QUERY!r}, ()))"
    )
    foreign = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    with pytest.raises(InvalidCursor) as refused:
        read(foreign, ())
    assert "No secret is configured" in (refused.value.hint or "")


def test_keys_that_are_too_long_for_a_cursor() -> None:
    with pytest.raises(UsageError, match="too long for a cursor") as refused:
        cursors.sign(Position(("x" * LONGEST_CHARACTERS,), True, 0), QUERY, SECRETS)
    assert "xxx" not in f"{refused.value.message}{refused.value.detail}{refused.value.hint}"
