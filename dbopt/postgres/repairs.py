"""What pg_stat_statements makes of statements is often no SQL: it puts `$n` where a constant stood, whatever that was
part of. https://www.postgresql.org/docs/current/pgstatstatements.html
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from dbopt.grammar import GrammarError
from dbopt.postgres.tokens import Sort, Token, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first words of statements that have a plan.
PLANNED = frozenset({"select", "insert", "update", "delete", "merge", "with", "values", "table", "("})
_PARAMETER = re.compile(r"\$([0-9]+)")
_VALUES = (Sort.PARAMETER, Sort.STRING, Sort.NUMBER)
# What may stand right before a string, and is a name or may be one: a parameter is glued to it then.
_BEFORE_STRINGS = frozenset(
    (*("by", "date", "escape", "inet", "json", "jsonb", "n", "text"), *("timestamptz", "uuid", "zone"))
)
# Types that are keywords; all others are names to the scanner.
_TYPES = frozenset(
    (
        *("bigint", "bit", "boolean", "char", "character", "dec", "decimal", "float", "int", "integer", "interval"),
        *("json", "name", "nchar", "numeric", "precision", "real", "smallint", "text", "time", "timestamp"),
        *("varchar", "varying"),
    )
)
_ENDS_TYPE = _TYPES | {")", "zone"}
_FIELDS = frozenset(("year", "month", "day", "hour", "minute", "second", "to"))
_ENDS_LIST = frozenset(
    (
        *("having", "window", "union", "intersect", "except", "order", "limit", "offset", "fetch", "for"),
        *("rows", "range", "groups", "on", "returning", ";"),
    )
)
_ENDS_ITEM = frozenset(("asc", "desc", "nulls", "using"))
_LISTS_MAX = 100  # each is looked for in the whole statement


def mended(items: list[Token]) -> list[Token]:
    """As SQL, as far as that is possible; the very list where there is nothing to do."""
    items = _unglued(items)
    if not items or items[0].word not in PLANNED:
        return items
    for repair in (without_escape, _casts, _functions, _alike):
        items = repair(items)
    return items


def _unglued(items: list[Token]) -> list[Token]:
    """`LIKE'a'AND` had become `LIKE$1AND`, which reads as one name, and N'a' `N$1`."""
    parts = [part for item in items for part in (_parts(item) if item.sort is Sort.NAME else (item,))]
    made = [
        item._replace(gap=True)
        if not item.gap and at and parts[at - 1].sort is Sort.PARAMETER and item.sort is not Sort.OTHER
        else item
        for at, item in enumerate(parts)
    ]
    return items if made == items else made


def _parts(item: Token) -> list[Token]:
    words = _PARAMETER.split(item.text) if "$" in item.text else []
    if len(words) < 3 or item.text.endswith('"') or not all(words[:-1]):
        return [item]
    parts = []
    for at, word in enumerate(words):
        if at % 2:
            parts.append(Token(Sort.PARAMETER, f"${word}", True))
            continue
        if not word:  # behind the last parameter
            continue
        try:
            (found,) = tokens(word)
        except (GrammarError, ValueError):
            return [item]
        is_last = at == len(words) - 1  # which may be any word
        if found.sort in _VALUES or not (is_last or found.sort is Sort.RESERVED or word.lower() in _BEFORE_STRINGS):
            return [item]
        if word in "nN" and not is_last:
            found = Token(Sort.NAME, "bpchar", False)
        parts.append(found._replace(gap=item.gap or at > 0))
    return parts


def without_escape(items: list[Token]) -> list[Token]:
    """`U&'a!0062' UESCAPE '!'` had become `$1 UESCAPE '!'`."""
    drop: set[int] = set()
    for at in range(1, len(items) - 1):
        one, item, other = items[at - 1 : at + 2]
        if item.word == "uescape" and one.sort is Sort.PARAMETER and other.sort in _VALUES:
            drop |= {at, at + 1}
    if not drop:
        return items
    return [
        item._replace(gap=True) if at - 1 in drop and item.sort is not Sort.OTHER else item
        for at, item in enumerate(items)
        if at not in drop
    ]


def _casts(items: list[Token]) -> list[Token]:
    """`date $1` as `CAST($1 AS date)`, `interval $1 day` as `CAST($1 AS interval day)`."""
    if not any(
        item.sort is Sort.PARAMETER and (one.sort is Sort.NAME or one.word in _ENDS_TYPE)
        for one, item in itertools.pairwise(items)
    ):
        return items
    made: list[Token] = []
    at = 0
    while at < len(items):
        item = items[at]
        at += 1
        begin = _type_before(made) if item.sort is Sort.PARAMETER else None
        if begin is None:
            made.append(item)
            continue
        end = at
        if made[begin].word == "interval":
            while end < len(items) and items[end].word in _FIELDS:
                end += 4 if items[end].word == "second" and [i.text for i in items[end + 1 : end + 2]] == ["("] else 1
        made[begin:] = [
            *(Token(Sort.RESERVED, "CAST", made[begin].gap, "cast"), Token(Sort.OTHER, "(", False, "(")),
            *(item._replace(gap=False), Token(Sort.RESERVED, "AS", True, "as"), made[begin]._replace(gap=True)),
            *(*made[begin + 1 :], *items[at:end], Token(Sort.OTHER, ")", False, ")")),
        ]
        at = end
    return made if len(made) != len(items) else items


def _type_before(items: list[Token]) -> int | None:
    """Where the name of a type begins that these tokens end with; None: they do not end with one."""
    at = len(items) - 1
    if at >= 3 and items[at].word == "zone" and items[at - 1].word == "time":
        if items[at - 2].word not in ("with", "without"):
            return None  # AT TIME ZONE
        at -= 3
    if at >= 3 and items[at].text == ")":
        at -= 1
        while at > 1 and (items[at].sort is Sort.NUMBER or items[at].text == ","):
            at -= 1
        if items[at].text != "(":
            return None
        at -= 1
    if at < 1:  # a statement begins with a verb
        return None
    if items[at].word not in _TYPES and items[at].sort is not Sort.NAME and items[at - 1].text != ".":
        return None
    if items[at].word in ("precision", "varying"):
        at -= 1
    if items[at - 1].word == "national":
        at -= 1
    while at >= 3 and items[at - 1].text == ".":
        at -= 2
    return at


def _functions(items: list[Token]) -> list[Token]:
    """`extract($1 FROM d)` as a function that does the same: the grammar wants a word there."""
    found = [
        at
        for at in range(len(items) - 3)
        if items[at].word == "extract" and items[at + 2].sort is Sort.PARAMETER and items[at + 3].word == "from"
    ]
    made = list(items) if found else items
    for at in found:
        made[at] = Token(Sort.NAME, "pg_catalog.date_part", items[at].gap)
        made[at + 3] = Token(Sort.OTHER, ",", False, ",")
    return made


def _alike(items: list[Token]) -> list[Token]:
    """GROUP BY and ORDER BY expressions have to be those that are selected, down to their constants. Of the two,
    pg_stat_statements replaces but one; and where each has a parameter of its own, they differ.
    """
    lists = _lists(items)
    if not any(item.sort in _VALUES for _, spans in lists for begin, end in spans for item in items[begin:end]):
        return items
    selects = _selects(items)
    keys = [_key(item) for item in items]
    whole = "\0" + "\0".join(keys) + "\0"
    starts = list(itertools.accumulate((len(key) + 1 for key in keys), initial=0))
    numbers = {start: at for at, start in enumerate(starts)}
    made = list(items)
    same: dict[str, str] = {}  # parameters that are others
    for place_of_list, spans in lists:
        select = selects[place_of_list]
        is_group = items[place_of_list - 1].word == "group"
        wanted = ["\0".join(["", *keys[begin:end], ""]) for begin, end in spans]
        seen: dict[str, int] = {}
        for text, (begin, end) in zip(wanted, spans, strict=False):
            if end - begin < 2 or "\0?\0" not in text:
                continue
            # Where several differ but in their constants, they are the first, the second ... of those selected.
            place = whole.find(text, seen.get(text, starts[select]), starts[begin])
            alike = [begin]
            while place >= 0:
                seen[text] = place + 1
                alike.append(numbers[place])
                only = is_group and wanted.count(text) == 1
                place = whole.find(text, place + 1, starts[begin]) if only else -1
            for step in range(end - begin):
                _share(made, [at + step for at in alike], same)
    made = [item._replace(text=_now(item.text, same)) if item.text in same else item for item in made]
    return items if made == items else _without_holes(items, made)


def _share(items: list[Token], places: list[int], same: dict[str, str]) -> None:
    """One parameter for all, if there is any."""
    best = min((items[at] for at in places), key=_rank)
    if best.sort is not Sort.PARAMETER:
        return
    text = _now(best.text, same)
    for at in places:
        old = items[at]
        if old.sort is not Sort.PARAMETER:
            items[at] = best._replace(gap=old.gap)
        elif _now(old.text, same) != text:
            same[_now(old.text, same)] = text


def _now(name: str, same: dict[str, str]) -> str:
    while name in same:
        name = same[name]
    return name


def _rank(item: Token) -> int:
    return (0 if item.text[1:].isdigit() else 1) if item.sort is Sort.PARAMETER else 2


def _without_holes(before: list[Token], items: list[Token]) -> list[Token]:
    """The server wants $1 where there is a $2."""
    was, left = _parameters(before), _parameters(items)
    if was == left:
        return items
    names = {f"${old}": f"${new}" for new, old in enumerate(left, 1)}
    return [item._replace(text=names.get(item.text, item.text)) for item in items]


def _parameters(items: list[Token]) -> list[int]:
    return sorted({int(item.text[1:]) for item in items if item.sort is Sort.PARAMETER and item.text[1:].isdigit()})


def _key(item: Token) -> str:
    if item.sort in _VALUES:
        return "?"
    return item.word or (item.text if item.text.endswith('"') else item.text.lower())


def _lists(items: list[Token]) -> list[tuple[int, list[tuple[int, int]]]]:
    """Where each GROUP BY, ORDER BY, PARTITION BY and DISTINCT ON stands, and where its expressions begin and end."""
    places = [
        at
        for at in range(1, len(items))
        if (items[at].word == "by" and items[at - 1].word in ("group", "order", "partition"))
        or (items[at].word == "on" and items[at - 1].word == "distinct")
    ]
    return [
        (at, list(itertools.islice(_spans(items, at + (1 if items[at].word == "by" else 2)), _LISTS_MAX)))
        for at in places[:_LISTS_MAX]
    ]


def _selects(items: list[Token]) -> list[int]:
    """Of each token, where the SELECT stands that it belongs to."""
    found: list[int] = []
    around = [0]
    for at, item in enumerate(items):
        if item.word == "(":
            around.append(around[-1])
        elif item.word == ")" and len(around) > 1:
            around.pop()
        elif item.word == "select":
            around[-1] = at
        found.append(around[-1])
    return found


def _spans(items: list[Token], begin: int) -> Iterator[tuple[int, int]]:
    depth = 0
    end = None
    at = begin
    while at < len(items):
        word = items[at].word
        depth += (word in ("(", "[")) - (word in (")", "]"))
        if depth < 0 or (depth == 0 and word in _ENDS_LIST):
            break
        if depth == 0 and word == ",":
            yield begin, at if end is None else end
            begin, end = at + 1, None
        elif depth == 0 and end is None and word in _ENDS_ITEM:
            end = at
        at += 1
    yield begin, at if end is None else end
