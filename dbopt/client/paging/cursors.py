"""A page's cursor: a place between two rows of one query, as text that an application hands to whom it does not trust.

It is signed, not encrypted (itsdangerous: HMAC-SHA256, URL-safe): whoever holds it can read the key values of the row
it stands beside, and cannot change them. It carries those values as the server wrote them, which side of the row is
meant, and a fingerprint of the query, so that it is of use for that query only.
"""

from __future__ import annotations

import functools
import hmac
import json
import secrets as randomness
from typing import TYPE_CHECKING, Any

from itsdangerous import BadData, BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.signer import SigningAlgorithm

from dbopt.errors import InvalidCursor, UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.client.paging.keyset import Values

VERSION = 1
# Of a cursor. An index refuses rows above some 2,700 bytes, so keys that one serves are far shorter; a URL takes 8 KiB.
LONGEST_CHARACTERS = 64 * 1024
_SALT = b"dbopt page cursor"  # of nothing else that the application signs with its secret


@dataclass(frozen=True, slots=True)
class Position:
    """Between two rows: just before, or just after, the row with these keys, whether there is one or not."""

    keys: Values
    is_after: bool
    # How many keys, from the first one on, were alike in all rows of the page: how much else may agree in them.
    shared: int


def sign(position: Position, fingerprint: str, secrets: Sequence[str]) -> str:
    """Raises UsageError where the keys are too long for it."""
    payload = _encode([VERSION, fingerprint, position.is_after, position.shared, position.keys])
    text = _signer(tuple(secrets)).sign(base64_encode(payload)).decode("ascii")
    if len(text) > LONGEST_CHARACTERS:
        raise UsageError(
            "the values of a row that its page is ordered by are too long for a cursor",
            detail=f"a cursor has {LONGEST_CHARACTERS} characters at the most, this one would have {len(text)}",
            hint="Order by the first characters of a long column: func.left(column, 100).",
        )
    return text


def read(cursor: object, fingerprint: str, keys: int, secrets: Sequence[str]) -> Position:
    """Of a query with so many keys. Raises InvalidCursor for all that `sign` has not made for this query."""
    if not isinstance(cursor, str):
        raise InvalidCursor("a cursor is a text", detail=f"found {type(cursor).__name__}", hint=_BEGIN)
    if not 0 < len(cursor) <= LONGEST_CHARACTERS:
        raise InvalidCursor("a cursor cannot have this length", detail=f"found {len(cursor)} characters", hint=_BEGIN)
    match _payload(cursor, secrets):
        case [version, *_] if type(version) is int and version != VERSION:
            raise InvalidCursor(
                "the cursor is of another version of dbopt", detail=f"version {version}, not {VERSION}", hint=_BEGIN
            )
        case [int(), str() as whose, bool() as is_after, int() as shared, list() as values] if all(
            map(_is_key, values)
        ):
            if whose != fingerprint or len(values) != keys:
                raise InvalidCursor(
                    "the cursor is of another query",
                    detail="tables, filters with their values, and order have to be the same for all pages",
                    hint="Begin at the first page, without a cursor, when a filter or the order changes.",
                )
            return Position(tuple(values), is_after, shared)
    raise InvalidCursor("the cursor cannot be read", detail="though its signature fits", hint=_BEGIN)


def _payload(cursor: str, secrets: Sequence[str]) -> Any:
    try:
        signed = cursor.encode("ascii")
        value = _signer(tuple(secrets)).unsign(signed)
        signature = signed[len(value) + 1 :]
        if base64_encode(base64_decode(signature)) != signature:  # other texts are decoded to the same
            raise BadSignature("not as it was written")
    except (BadSignature, UnicodeEncodeError) as error:
        hint = _BEGIN if secrets else _BEGIN + _NO_SECRET
        raise InvalidCursor("the cursor is not one of ours", detail="its signature does not fit", hint=hint) from error
    try:
        return _decode(base64_decode(value).decode())
    except (ValueError, RecursionError, BadData):
        return None


_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(separators=(",", ":")).encode
_BEGIN = "Pass a page's next_cursor or previous_cursor just as it was, or none for the first page."
_NO_SECRET = (
    " No secret is configured (cursor_secrets, DBOPT_CURSOR_SECRET), so each process has its own, and refuses cursors"
    " of others and of those before it."
)


def _is_key(value: Any) -> bool:
    return value is None or isinstance(value, str)


class _Sha256(SigningAlgorithm):
    """HMAC by OpenSSL in one call; itsdangerous makes objects for it."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


@functools.lru_cache(maxsize=8)
def _signer(secrets: tuple[str, ...]) -> Signer:
    """The first secret signs, any of them is accepted. Without one: a secret of this process."""
    # itsdangerous signs with the last one. It would derive the keys, in the way that it calls "hmac", at each call.
    keys = [hmac.digest(secret.encode(), _SALT, "sha256") for secret in reversed(secrets or (_own_secret(),))]
    return Signer(keys, key_derivation="none", algorithm=_Sha256())


@functools.cache
def _own_secret() -> str:
    return randomness.token_urlsafe(32)
