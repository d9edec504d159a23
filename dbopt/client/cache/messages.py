"""What processes tell each other by NOTIFY: which generations have ended.

    {"from": "1f0c...", "ended": ["t:orders", "g:5d41..."]}

A payload that is no such object is the name of a table, as `pg_notify('dbopt_cache', TG_TABLE_NAME)` in a trigger
sends it for writes that no client sees. What cannot be read ends everything.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, LiteralString

from dbopt.client.cache.store import EVERYTHING, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHANNEL: LiteralString = "dbopt_cache"
# "In the default configuration it must be shorter than 8000 bytes": NOTIFY in the manual.
PAYLOAD_BYTES = 7_999
# Nothing is sent where nothing can be: on a standby this would fail, and with it the transaction.
SEND: LiteralString = (
    "SELECT pg_catalog.pg_notify('dbopt_cache', n.payload) FROM pg_catalog.unnest(%s::text[]) AS n (payload)"
    " WHERE NOT pg_catalog.pg_is_in_recovery()"
)


def written(sender: str, names: Iterable[str]) -> list[str]:
    """As many payloads as it takes."""
    payloads: list[str] = []
    waiting = sorted(names)
    count = len(waiting)
    while waiting:
        payload = json.dumps({"from": sender, "ended": waiting[:count]}, separators=(",", ":"))
        if len(payload.encode()) <= PAYLOAD_BYTES:
            payloads.append(payload)
            del waiting[:count]
        elif count == 1:  # one name alone is too long
            return written(sender, (EVERYTHING,))
        else:
            count = max(1, min(count, len(waiting)) // 2)
    return payloads


def read(payload: str, receiver: str) -> Sequence[str]:
    """The generations that have ended; none where it is the receiver's own message."""
    if not payload.startswith("{"):
        return (table(payload),) if payload else (EVERYTHING,)
    try:
        message = json.loads(payload)
        if message.get("from") == receiver:
            return ()
        names = message["ended"]
    except (ValueError, LookupError, RecursionError):
        return (EVERYTHING,)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return (EVERYTHING,)
    return names
