"""Statements as PostgreSQL's scanner reads them (by libpg_query)."""

from __future__ import annotations

import functools
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from dbopt.grammar import GrammarError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The scanner reads one comment inside another again and again: 10,000 take it a second.
_COMMENTS_MAX = 1_000


class Sort(Enum):
    NAME = "name"  # as it is, or quoted
    KEYWORD = "keyword"  # that may be a name, too
    RESERVED = "reserved"  # what is no name: reserved keywords, those for types and functions, INTERVAL and its like
    PARAMETER = "parameter"
    STRING = "string"  # all kinds: '', E'', U&'', B'', X'', $$
    NUMBER = "number"
    COMMENT = "comment"
    OTHER = "other"


class Token(NamedTuple):
    """`gap`: white space or a comment stands before it. `word`: to compare keywords and signs with, in lower case;
    nothing for what is neither, so that `"from"` is not FROM.
    """

    sort: Sort
    text: str
    gap: bool
    word: str = ""


@functools.cache
def _sorts() -> tuple[Mapping[int, Sort], Mapping[int, Sort]]:
    """By token and by keyword, as libpg_query numbers them."""
    from postgast import pg_query_pb2 as pb

    tokens = {
        pb.IDENT: Sort.NAME,
        pb.UIDENT: Sort.NAME,
        pb.PARAM: Sort.PARAMETER,
        pb.ICONST: Sort.NUMBER,
        pb.FCONST: Sort.NUMBER,
        pb.SQL_COMMENT: Sort.COMMENT,
        pb.C_COMMENT: Sort.COMMENT,
        **dict.fromkeys((pb.SCONST, pb.USCONST, pb.BCONST, pb.XCONST), Sort.STRING),
    }
    keywords = {
        pb.UNRESERVED_KEYWORD: Sort.KEYWORD,
        **dict.fromkeys((pb.COL_NAME_KEYWORD, pb.TYPE_FUNC_NAME_KEYWORD, pb.RESERVED_KEYWORD), Sort.RESERVED),
    }
    return tokens, keywords


def tokens(text: str) -> list[Token]:
    """Without comments. Raises GrammarError for what cannot be scanned: a string or a name without its end."""
    import postgast

    if "\x00" in text or text.count("/*") > _COMMENTS_MAX:
        raise GrammarError("not a text to be scanned")
    try:
        found = postgast.scan(text).tokens
    except UnicodeEncodeError as exc:
        raise GrammarError("not a text that PostgreSQL could store", exc.start) from exc
    except postgast.PgQueryError as exc:
        raise GrammarError(exc.message) from exc
    by_token, by_keyword = _sorts()
    encoded = text.encode()
    ascii_only = len(encoded) == len(text)
    made: list[Token] = []
    end, commented = 0, False
    for item in found:
        start = item.start
        gap = start > end
        end = item.end
        part = text[start:end] if ascii_only else encoded[start:end].decode()
        sort = by_token.get(item.token)
        word = ""
        if sort is None:
            sort = by_keyword.get(item.keyword_kind)
            word = part if sort is None else part.lower()
        elif sort is Sort.COMMENT:
            commented = True
            continue
        if commented:  # `IN ($1 /*, ... */)`, as it is written from 18 on
            gap, commented = part not in (")", "]", ","), False
        made.append(Token(sort or Sort.OTHER, part, gap, word))
    return made


def written(items: Iterable[Token]) -> str:
    """On one line, as far as names go on one."""
    return "".join(f" {item.text}" if item.gap else item.text for item in items).strip(" ")
