"""What a search asks, in SQL. An index on an expression serves only what is written just as it is, the configuration
included; the statement and the index's spec are therefore made of the same pieces.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from dbopt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dbopt.client.searching.search import Search
    from dbopt.client.shape import Entity

Element: TypeAlias = "sa.ColumnElement[Any]"

WEIGHTS = ("A", "B", "C", "D")
# More than anybody types. Up to PostgreSQL 15, ts_headline takes time by the cube of the words: with 500 of them more
# than 8 s for one short text.
TERM_MAX_WORDS, TERM_MAX_CHARACTERS = 32, 10_000
_TRIGRAM = 3  # characters
# What pg_trgm puts around a word, https://www.postgresql.org/docs/current/pgtrgm.html
_BLANKS_BEFORE, _BLANKS_BEHIND = 2, 1

_IDENTIFIER = r"""(?:[^\W\d][\w$]*|"[^"'\\\x00-\x1f]+")"""
_CONFIG = re.compile(rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})?")
# Two negations in a row are a dash or a line that somebody has drawn; from 32 on PostgreSQL fails (its STACKDEPTH).
_NEGATIONS = re.compile(r"(?<!\w)-(?:[^\w\"]*-)+")
_WORD = re.compile(r"[^\W_]+")
_LIKE = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_"})
# Parameters, so that a statement is made once for all terms.
TERM: Element = sa.bindparam("dbopt_term", type_=sa.Text())
LIKE: Element = sa.bindparam("dbopt_like", type_=sa.Text())
_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]


def check_config(config: object) -> None:
    """Raises UsageError for what cannot be the name of a text search configuration in SQL."""
    if not (isinstance(config, str) and _CONFIG.fullmatch(config)):
        raise UsageError(
            f"no text search configuration can be called {config!r}",
            hint="Write it as SQL does: english, simple, app.my_english.",
        )


def check_weights(weights: Mapping[str, str], fields: Sequence[str]) -> None:
    """Raises UsageError."""
    for name, weight in weights.items():
        if name not in fields:
            raise UsageError(f"{name!r} has a weight and is not searched", hint=f"Searched are: {', '.join(fields)}.")
        if weight not in WEIGHTS:
            raise UsageError(f"{name!r} cannot have the weight {weight!r}", hint=f"Valid: {', '.join(WEIGHTS)}.")


def check_where(where: object) -> None:
    """Raises UsageError for one condition without its list: it has no truth of its own."""
    if isinstance(where, sa.ClauseElement):
        raise UsageError("`where` is a list of conditions", hint="Write where=[condition].")


def regconfig(config: str) -> Element:
    """A constant: to_tsvector with a parameter there is not what is in the index."""
    return sa.literal_column(f"'{config}'::regconfig", postgresql.REGCONFIG())


def vector(columns: Mapping[str, Element], config: str, weights: Mapping[str, str]) -> Element:
    """The tsvector of these columns, by field. Literals, so that a column's type has no say in how they are written."""
    parts: list[Element] = []
    for name, column in columns.items():
        part: Element = sa.func.to_tsvector(regconfig(config), sa.func.coalesce(column, sa.literal_column("''")))
        if name in weights:
            part = sa.func.setweight(part, sa.literal_column(f"'{weights[name]}'"), type_=postgresql.TSVECTOR())
        parts.append(part)
    return functools.reduce(lambda one, more: one.op("||", return_type=postgresql.TSVECTOR())(more), parts)


def tsvector_sql(columns: Sequence[str], *, config: str = "english", weights: Mapping[str, str] | None = None) -> str:
    """The expression of a generated column that `Search(column=...)` can be made with, by the names that the columns
    have in the database: `Computed(tsvector_sql(["title", "body"], weights={"title": "A"}), persisted=True)`.
    """
    check_config(config)
    check_weights(weights or {}, columns)
    if not columns:
        raise UsageError("nothing is to be searched", hint="Name the columns of text.")
    return written(vector({name: sa.column(name) for name in columns}, config, weights or {}))


def written(element: sa.ClauseElement) -> str:
    return str(element.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def text_column(own: Entity, name: str) -> sa.Column[Any]:
    """Raises UsageError for a column that holds something else."""
    column = own.column(name)
    kind = column.type.impl_instance if isinstance(column.type, sa.TypeDecorator) else column.type
    if not isinstance(kind, sa.String) or isinstance(kind, sa.Enum):
        raise UsageError(
            f"{own.name}.{name} holds no text", detail=f"its type is {column.type!r}", hint="Search columns of text."
        )
    return column


def document(search: Search, own: Entity, *, bare: bool = False) -> Element:
    """The tsvector that is searched. `bare`: without the table's name, as in an index."""
    if search.column is not None:
        column = own.column(search.column)
        return sa.column(column.name) if bare else sa.type_coerce(own.attribute(search.column), postgresql.TSVECTOR())
    columns: dict[str, Element] = {}
    for name in search.fields:
        column = text_column(own, name)
        columns[name] = sa.column(column.name) if bare else own.attribute(name)
    return vector(columns, search.config, search.weights)


def values(search: Search, term: str) -> dict[str, str]:
    """Of the parameters of a statement, for a clean term."""
    like = {"dbopt_like": f"%{term.translate(_LIKE)}%"} if search.substring else {}
    return {"dbopt_term": term, **like}


def tsquery(search: Search, term: Element = TERM) -> Element:
    return sa.func.websearch_to_tsquery(regconfig(search.config), term, type_=postgresql.TSQUERY())


def matches(search: Search, own: Entity, asked: Element | None = None) -> Element:
    """The condition that the index has to serve. `asked`: in the place of the parameter, the term or a pattern."""
    if not search.substring:
        query = tsquery(search) if asked is None else tsquery(search, asked)
        return document(search, own).op("@@", return_type=sa.Boolean())(query)
    like = LIKE if asked is None else asked
    return sa.or_(*(text.ilike(like) for text in texts(search, own)))


def rank(search: Search, own: Entity) -> Element:
    if not search.substring:
        return sa.func.ts_rank_cd(document(search, own), tsquery(search), type_=sa.REAL())
    return sa.func.greatest(*(sa.func.similarity(text, TERM) for text in texts(search, own)), type_=sa.REAL())


def texts(search: Search, own: Entity) -> list[Element]:
    """The fields of a search for substrings. As text: citext has operators of its own, which no trigram serves."""
    columns = [(name, text_column(own, name)) for name in search.fields]
    for name, column in columns:
        if isinstance(column.type, sa.CHAR):
            raise UsageError(f"{own.name}.{name} is char(n), which trigrams do not serve", hint="Make it text.")
    return [sa.cast(own.attribute(name), sa.Text()) for name, _ in columns]


def cleaned(term: object, *, substring: bool) -> str:
    """A term that PostgreSQL can read; empty where there is nothing to look for. Raises UsageError for no text."""
    if not isinstance(term, str):
        raise UsageError(f"a search term is text, not {type(term).__name__}")
    readable = term.replace("\0", " ").encode("utf-8", "replace").decode()  # half of a surrogate pair is no character
    if not readable.strip():
        return ""
    if substring:
        return readable
    readable = _NEGATIONS.sub(" ", readable[:TERM_MAX_CHARACTERS])
    words = itertools.islice(_WORD.finditer(readable), TERM_MAX_WORDS, None)
    beyond = next(words, None)
    return readable if beyond is None else readable[: beyond.start()]


def has_trigram(term: str) -> bool:
    """Whether there are three characters in a row of which all are known, as pg_trgm looks for them in %term%: a word
    that begins within the term has blanks before it, one that ends there has one behind it.
    """
    for word in _WORD.finditer(term):
        before = _BLANKS_BEFORE if word.start() > 0 else 0
        behind = _BLANKS_BEHIND if word.end() < len(term) else 0
        if before + len(word[0]) + behind >= _TRIGRAM:
            return True
    return False
