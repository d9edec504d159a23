"""What a message says about how long a statement took."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Phase(StrEnum):
    """`execute fetch from` goes on with an execution that has been counted; what stands before a colon, as it is."""

    STATEMENT = "statement"
    EXECUTE = "execute"
    FETCH = "execute fetch from"
    PARSE = "parse"
    BIND = "bind"
    FASTPATH = "fastpath function call"
    PLAN = "plan"  # by auto_explain


class Duration(NamedTuple):
    """`ms` None: log_statement wrote the text before it was run. `phase`, `text` None: the text was written then."""

    ms: float | None
    phase: Phase | None
    text: str | None


_PHASES = "|".join(sorted(Phase, key=len, reverse=True))
_DURATION = re.compile(rf"duration: (\d+\.\d+) ms(?:  ({_PHASES})(?: .*?)?:[ \n](.*))?", re.DOTALL)
_ANNOUNCED = re.compile(r"(statement|execute fetch from|execute)(?: .*?)?: (.*)", re.DOTALL)
# `Dauer: 0.100 ms`, `durée : 0.100 ms`: with lc_messages other than C, only that it is a duration can be told.
_LOCALIZED = re.compile(r"[^\W\d_]+(?: [^\W\d_]+)? ?[:\uff1a] ?\d+\.\d{3} \S")


def duration(message: str) -> Duration | None:
    """None: it is about something else."""
    if message.startswith("duration: "):
        match = _DURATION.fullmatch(message)
        if match is None:
            return None
        return Duration(float(match[1]), None if match[2] is None else Phase(match[2]), match[3])
    if message.startswith(("statement: ", "execute ")) and (match := _ANNOUNCED.fullmatch(message)):
        return Duration(None, Phase(match[1]), match[2])
    return None


# https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT, and whoever cancels it
_CANCELED = ("canceling statement due to statement timeout", "canceling statement due to user request")


def is_canceled(message: str) -> bool:
    return message in _CANCELED


def is_localized(message: str) -> bool:
    return _LOCALIZED.match(message) is not None


# What the server and auto_explain write before a text. Within one it tells that bytes are missing in between, as after
# a full disk: two statements that were cut off look like one, in which values may stand outside of quotes.
_SEAMS = ("LOG:  duration: ", "Query Text: ", '"Query Text": "', ",LOG,00000,")


def is_damaged(text: str) -> bool:
    return any(seam in text for seam in _SEAMS)


_NAME = r'(?:"(?:[^"]|"")+"|[^\s("]+)'
_PREPARE = re.compile(rf"\s*PREPARE\s+{_NAME}\s*(?:\([^)]*\))?\s+AS\s+(.*)", re.DOTALL | re.IGNORECASE)
_DECLARE = re.compile(
    rf"\s*DECLARE\s+{_NAME}\s+(?:(?:BINARY|ASENSITIVE|INSENSITIVE|NO|SCROLL)\s+)*CURSOR\s+(?:WITH(?:OUT)?\s+HOLD\s+)?FOR\s+(.*)",
    re.DOTALL | re.IGNORECASE,
)


def executed(text: str, detail: str) -> str:
    """The statement that an EXECUTE runs: the server adds it as detail."""
    if text.lstrip()[:7].upper() == "EXECUTE" and detail.startswith("prepare: "):
        return planned(detail.removeprefix("prepare: "))
    return text


def planned(text: str) -> str:
    """The statement that has the plan, of one that prepares it, or declares a cursor for it."""
    match = _PREPARE.fullmatch(text) or _DECLARE.fullmatch(text)
    return text if match is None else match[1]
