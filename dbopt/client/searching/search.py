"""Search in texts: for words by tsvector and websearch_to_tsquery, or for any part of a text by trigrams.

One statement: rows are found by the index, ranked and cut to a page by their keys alone; only the rows of the page are
read, and only in those are the words marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from dbopt.client.searching import sql as search_sql
from dbopt.client.searching.faults import missing
from dbopt.client.searching.marks import CONTROLS, Marks
from dbopt.client.searching.sql import has_trigram, tsvector_sql
from dbopt.client.shape import Model, entity, shape
from dbopt.client.tables import tables_of
from dbopt.errors import UsageError
from dbopt.values import dataclass

if TYPE_CHECKING:
    from dbopt.client.cache import Cached
    from dbopt.client.shape import Entity
    from dbopt.client.work import Work

__all__ = ["Hit", "Marks", "Search", "search", "tsvector_sql"]

LIMIT = 50  # the guide's
LIMIT_MAX = 10_000  # rows that are marked and held in memory at once
_BIGINT_MAX = 2**63 - 1  # PostgreSQL's
_MARKS = Marks()
_REMEMBERED = 32  # statements of one search: its ways to be shown


@dataclass(frozen=True, slots=True)
class Search:
    """What can be searched, made once and used for every term. `fields`: columns of text, by the model's names.

    `config`: a text search configuration of the server. `weights`: by field, A (1.0) to D (0.1, as without any).
    `column`: a generated column with the tsvector, for which `tsvector_sql` writes the expression; without one the
    index is on that expression, and the rank of each match costs parsing its texts. `substring`: any part of a text is
    found, not words; needs pg_trgm. `index`: its name, where the one made of the names does not do.

    Fields and types are looked at when it is used: mapped classes may not be complete before.
    """

    model: Model
    fields: Sequence[str] = ()
    config: str = "english"
    weights: Mapping[str, str] = field(default_factory=dict)
    column: str | None = None
    substring: bool = False
    index: str | None = None
    made: dict[Any, Page] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises UsageError."""
        if isinstance(self.fields, str):
            raise UsageError("`fields` is a list of names", hint=f"Write fields=[{self.fields!r}].")
        if not self.fields and self.column is None:
            raise UsageError("nothing is to be searched", hint="Name columns of text in `fields`, or a `column`.")
        if self.substring and (self.column is not None or self.weights):
            raise UsageError("a search for substrings has neither weights nor a tsvector column")
        if self.column is not None and self.weights:
            raise UsageError("the weights of a tsvector column are in its expression", hint="Leave `weights` out.")
        search_sql.check_config(self.config)
        search_sql.check_weights(self.weights, self.fields)

    def is_servable(self, term: str) -> bool:
        """Whether the index can help: one or two letters make no trigram, and every row would be read for them."""
        return not self.substring or has_trigram(term)

    def index_spec(self, *, domain: str | None = None, schema: str = "public") -> str:
        """The index that it needs, as a file for `dbopt lint`, `plan` and `optimize`. `schema`: of a model without one.
        Raises UsageError, NoUniqueKey.
        """
        from dbopt.client.searching.index import spec

        return spec(self, domain=domain, schema=schema)


@dataclass(frozen=True, slots=True)
class Hit:
    """`item`: an object of the mapped class, or a dict of the table's row. `rank`: the greater the better, of this
    search alone. `highlights`: by field; None where the column is NULL.
    """

    item: Any
    rank: float
    highlights: Mapping[str, str | None]


def search(
    work: Work,
    search: Search,
    term: str,
    *,
    where: Sequence[sa.ColumnElement[bool]] = (),
    limit: int = LIMIT,
    offset: int = 0,
    highlight: Sequence[str] = (),
    marks: Marks = _MARKS,
    scan: bool = False,
    cache: Cached | float | None = None,
) -> list[Hit]:
    """The best matches first, those of one rank by primary key: `limit` of them after `offset`.

    `term` is what somebody has typed, as it is: words, "a phrase", or, -not; nothing in it is an error, and of an empty
    one, or of stop words alone, nothing is found. The first 32 words count. `where`: further conditions.
    `highlight`: fields to show with `marks` around what was found. `scan`: substrings of which no index knows anything
    are looked for in every row.

    Raises UsageError (also for an unknown configuration, and for such a substring without `scan`), ServerUnfit
    (pg_trgm is missing), NoUniqueKey (no primary key), ConnectionLost, PoolExhausted.
    """
    _check_page(limit, offset)
    search_sql.check_where(where)
    if isinstance(highlight, str):
        raise UsageError("`highlight` is a list of names", hint=f"Write highlight=[{highlight!r}].")
    asked = search_sql.cleaned(term, substring=search.substring)
    page = _page(search, tuple(highlight), marks.options, where)
    if not asked:
        return []
    if not (scan or search.is_servable(asked)):
        raise UsageError(
            "a substring without three characters in a row is served by no index",
            detail="every row would be read",
            hint="Wait for a longer term (Search.is_servable tells), or pass scan=True for a small table.",
        )
    values = {**search_sql.values(search, asked), "dbopt_limit": limit, "dbopt_offset": offset}
    if cache is None:
        items, ranks, texts = page.read(work, values)
    else:
        rows = shape(search.model)
        rows.check_cacheable()

        def pack() -> Any:
            items, ranks, texts = page.read(work, values)
            return rows.pack(items), ranks, texts

        key = ("search", page.statement, sorted(values.items()))
        tables = page.tables if page.tables is not None else tables_of(page.statement)
        packed, ranks, texts = work.cached(key, tables, cache, pack)
        items = rows.unpack(packed)

    def marked(text: str | None) -> str | None:
        return marks.around(text, asked) if search.substring else marks.shown(text)

    return [
        Hit(item, rank, {name: marked(text) for name, text in zip(page.shown, said, strict=True)})
        for item, rank, said in zip(items, ranks, texts, strict=True)
    ]


def _check_page(limit: int, offset: int) -> None:
    for name, value, least, most in (("limit", limit, 1, LIMIT_MAX), ("offset", offset, 0, _BIGINT_MAX)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UsageError(f"a search cannot have {name}={value!r}", hint=f"Valid: {least} to {most}.")


def _page(search: Search, shown: tuple[str, ...], options: str, where: Sequence[sa.ColumnElement[bool]]) -> Page:
    """Made once where there are no further conditions: that takes longer than to read a cached answer."""
    if where:
        return Page.of(search, shown, options, where)
    made = search.made.get((shown, options))
    if made is None:
        if len(search.made) >= _REMEMBERED:
            search.made.clear()
        made = search.made[shown, options] = Page.of(search, shown, options, ())
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The statement of a search, for any term and page: rows of the model, then the rank, then the texts to show.
    `tables`: that it reads; None where it is made for one call.
    """

    search: Search
    own: Entity
    shown: tuple[str, ...]
    statement: sa.Select[Any]
    tables: frozenset[str] | None

    @classmethod
    def of(cls, search: Search, shown: tuple[str, ...], options: str, where: Sequence[sa.ColumnElement[bool]]) -> Page:
        """Raises UsageError, NoUniqueKey."""
        own = entity(search.model)
        keys = [own.attribute(name) for name in own.key]
        rank = search_sql.rank(search, own).label("rank")
        named = [key.label(f"key_{number}") for number, key in enumerate(keys)]
        found = (
            sa.select(*named, rank)
            .where(search_sql.matches(search, own), *where)
            .order_by(rank.desc(), *keys)
            .limit(sa.bindparam("dbopt_limit", type_=sa.BigInteger()))
            .offset(sa.bindparam("dbopt_offset", type_=sa.BigInteger()))
            .subquery("hits")
        )
        joined = sa.and_(*(key == found.c[label.name] for key, label in zip(keys, named, strict=True)))
        statement = (
            own.select()
            .add_columns(found.c.rank, *(_shown(search, own, name, options) for name in shown))
            .join(found, joined)
            .order_by(found.c.rank.desc(), *(found.c[label.name] for label in named))
        )
        return cls(
            search=search, own=own, shown=shown, statement=statement, tables=None if where else tables_of(statement)
        )

    def read(self, work: Work, values: Mapping[str, Any]) -> tuple[list[Any], list[float], list[list[Any]]]:
        """Items, ranks, and for each item the texts to show."""
        with work.session() as session:
            try:
                result = session.execute(self.statement, values)
            except exc.ProgrammingError as error:
                # Within the caller's transaction nothing can be asked any more.
                raise missing(self.search, error, None if work.within is not None else session) from error
            if self.own.mapper is None:
                names = tuple(self.own.columns)
                rows = [(dict(zip(names, row, strict=False)), *row[len(names) :]) for row in result]
            else:
                rows = [tuple(row) for row in result.unique()]
        return [row[0] for row in rows], [row[1] for row in rows], [list(row[2:]) for row in rows]


def _shown(search: Search, own: Entity, name: str, options: str) -> sa.ColumnElement[Any]:
    """A headline; of a search for substrings the whole text, as only we know what it has matched."""
    search_sql.text_column(own, name)
    text: sa.ColumnElement[Any] = sa.cast(own.attribute(name), sa.Text())
    if not search.substring:
        plain = sa.func.translate(text, CONTROLS, "")
        config, query = search_sql.regconfig(search.config), search_sql.tsquery(search)
        text = sa.func.ts_headline(config, plain, query, options, type_=sa.Text())
    return text.label(f"shown_{name}")
