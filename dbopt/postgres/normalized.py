"""Statements that may be shown and kept: without values, comments and passwords, and still SQL that can be explained.

Constants become parameters, `$n`, numbered on after the highest there is. What is cut off, or no SQL that PostgreSQL's
grammar knows, is masked: there, each value is a `?`.
"""

from __future__ import annotations

import re

from dbopt import grammar
from dbopt.grammar import GrammarError
from dbopt.postgres.literals import PLACEHOLDER, masked
from dbopt.postgres.repairs import PLANNED, mended, without_escape
from dbopt.postgres.tokens import Sort, Token, tokens, written

OWN_MARK = "/* dbopt: "
_OWN = re.compile(r"\s*(\w+\s+)?(/\* dbopt: [\w ,.:;()'-]{1,200} \*/)")
# A token at a time costs two seconds for a megabyte; a longer text is masked.
_LONGEST = 1_000_000
_PARAMETER = re.compile(r"\$[0-9]+")
_VALUES = (Sort.STRING, Sort.NUMBER)
_REPLACEABLE = (*_VALUES, Sort.PARAMETER)
_PLANNED_FIRST = re.compile(r"\s*(?:select|insert|update|delete|with)\b", re.IGNORECASE)
_NAMES = re.compile(r'"[^"]*"')
# What pg_stat_statements leaves in a way that has to be repaired: see repairs.py. A parameter is sound behind an
# operator or one of these words, and before anything that is no name; behind another word, that may be a type.
_REPAIRED = ("escape", "extract", ";")
_SOUND = re.compile(
    r"""(?: [^\w\s")$] \s*
      | (?<![\w$"])(?: and|or|not|like|ilike|in|between|limit|offset|when|then|else|values|select|on|by|any|all|set|from
          |where|having|distinct|case|returning|as ) \s+ )\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_BEFORE_CHARACTERS = 24  # more than the longest of the words with a blank
# What a parameter begins with that stands for a value and has no number yet; each ends another way.
_STRING, _NUMBER = "$'", "$#"


def normalized(text: str) -> str:
    """For any text, which may come from pg_stat_statements, pg_stat_activity or a log; normalized twice is as once.

    Of comments only the one by which dbopt knows its own statements is kept, in front. White space is one blank.
    """
    clean = _clean(text)
    if clean is not None:
        return clean
    own = _OWN.match(text)
    mark = own[2] + " " if own else ""
    try:
        return mark + _with_parameters(text)
    except GrammarError:
        return mark + _tidy(masked(text).rstrip("; "))


def _clean(text: str) -> str | None:
    """On one line, a text that has neither values nor comments nor anything to be repaired, as most of those that
    pg_stat_statements has: sure, and five times as quick as token by token. None: it may have some.
    """
    if not text.isascii() or not _PLANNED_FIRST.match(text) or any(word in text.lower() for word in _REPAIRED):
        return None
    for parameter in _PARAMETER.finditer(text):
        before = text[max(0, parameter.start() - _BEFORE_CHARACTERS) : parameter.start()]
        after = text[parameter.end() : parameter.end() + 1]
        if not _SOUND.search(before) or after.isalpha() or after in ("_", '"'):
            return None
    if any(character.isspace() for name in _NAMES.findall(text) for character in name):
        return None
    kept = masked(text)
    return kept if "".join(kept.split()) == "".join(text.split()) else None


def repaired(text: str) -> str:
    """What pg_stat_statements made no SQL of, as SQL: `date $1` as `CAST($1 AS date)`, `LIKE$1` as `LIKE $1`.

    A text in which there is nothing to repair stays as it is; else it loses comments and line breaks.
    """
    if "$" not in text or len(text) > _LONGEST:
        return text
    try:
        items = tokens(text)
    except GrammarError:
        return text
    made = mended(items)
    return text if made == items else written(made)


def _tidy(text: str) -> str:
    """What is masked, as it would look had it gone through the scanner, if that takes it."""
    try:
        return written(mended(_items(text)))
    except GrammarError:
        return text


def _items(text: str) -> list[Token]:
    if len(text) > _LONGEST:
        raise GrammarError("too long")
    items = without_escape(_apart(tokens(text)))  # what is left of it does not parse
    while items and items[-1].text == ";":
        items.pop()
    return items


def _with_parameters(text: str) -> str:
    """Raises GrammarError where the text is not read with certainty."""
    items = _items(text)
    # The value of a setting may be a word.
    if not items or (items[0].word != "set" and not any(item.sort in _VALUES for item in items)):
        return written(mended(items))
    if any("\\'" in item.text and item.text[0] == "'" for item in items if item.sort is Sort.STRING):
        raise GrammarError("where this string ends depends on standard_conforming_strings")
    marked = mended(_marked(items, grammar.without_constants(written(items))))
    if items[0].word not in PLANNED or any(item.text == ";" for item in items):
        # Of such statements libpg_query leaves many as they are, passwords in options among them.
        return _checked(_filled(marked, whole=True))
    try:
        return _checked(_filled(marked))
    except GrammarError:  # of JSON_TABLE: the path has to be a string
        return _checked(_filled(marked, strings=True))


def _checked(items: list[Token]) -> str:
    made = written(items)
    grammar.fingerprint(made)
    return made


def _apart(items: list[Token]) -> list[Token]:
    """With a blank between a value and the word beside it, so that `SELECT'a'` becomes no `SELECT$1`."""
    apart: list[Token] = []
    for item in items:
        if item.gap or not apart or not _touch(apart[-1], item):
            apart.append(item)
            continue
        if apart[-1].word == "n":  # N'a', a constant of this type
            apart[-1] = Token(Sort.NAME, "bpchar", apart[-1].gap)
        apart.append(item._replace(gap=True))
    return apart


def _touch(one: Token, other: Token) -> bool:
    return Sort.OTHER not in (one.sort, other.sort) and (one.sort in _REPLACEABLE or other.sort in _REPLACEABLE)


def _marked(items: list[Token], after: str) -> list[Token]:
    """With a mark for each value that libpg_query, which made `after` of them, has put a parameter for. Raises
    GrammarError where the two do not go together.
    """
    made: list[Token] = []
    skip, place = False, 0
    for at, item in enumerate(items):
        if skip:
            skip = False
            continue
        place += item.gap and at > 0
        parameter = None if item.sort is Sort.PARAMETER else _PARAMETER.match(after, place)
        if parameter is None:
            if not after.startswith(item.text, place):
                raise GrammarError("it became another statement")
            place += len(item.text)
            made.append(item)
            continue
        place = parameter.end()
        if item.word == "-":  # of a negative number
            skip = True
        if item.word.isalpha() or (at > 1 and items[at - 2].word == "extract"):
            made.append(item)  # TRUE, NULL, extract(year FROM d)
        else:
            mark = _NUMBER if skip or item.sort is Sort.NUMBER else _STRING
            made.append(Token(Sort.PARAMETER, f"{mark}{at}", item.gap))
    if place != len(after):
        raise GrammarError("it became another statement")
    return made


def _filled(marked: list[Token], *, whole: bool = False, strings: bool = False) -> list[Token]:
    """With a number for each mark. What libpg_query has left is a number that has to be one, as ORDER BY 1, or a string
    that has to be one, and says nothing now. `whole`: parameters for those, too. `strings`: such strings for all.
    """
    parameters = [item.text[1:] for item in marked if item.sort is Sort.PARAMETER]
    number = max((int(text) for text in parameters if text.isdigit()), default=0)
    numbers: dict[str, str] = {}
    made: list[Token] = []
    for at, item in enumerate(marked):
        if item.sort not in _REPLACEABLE:
            made.append(item)
            continue
        is_mark = item.text.startswith((_STRING, _NUMBER))
        # U&"a!0062" UESCAPE '!' is a name.
        escapes = at > 1 and marked[at - 1].word == "uescape" and marked[at - 2].sort is Sort.NAME
        if not is_mark and (item.sort is Sort.PARAMETER or escapes or (item.sort is Sort.NUMBER and not whole)):
            made.append(item)
        elif (item.sort is Sort.STRING and not whole) or (strings and item.text.startswith(_STRING)):
            made.append(item._replace(text=f"'{PLACEHOLDER}'"))
        else:
            name = item.text if is_mark else str(at)
            if name not in numbers:
                number += 1
                numbers[name] = f"${number}"
            made.append(Token(Sort.PARAMETER, numbers[name], item.gap))
    return made
