"""Extended statistics, which no spec can say, as statements to be run by hand. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, LiteralString

from dbopt.postgres.identifiers import qualified, text
from dbopt.suggest import reasons
from dbopt.suggest.naming import fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.suggest.model import Statistics

# https://www.postgresql.org/docs/current/sql-createstatistics.html
_KINDS: tuple[LiteralString, ...] = ("ndistinct", "dependencies", "mcv")


def statistics_lines(statistics: Sequence[Statistics]) -> list[str]:
    """As lines of a comment."""
    lines: list[str] = []
    for one in statistics:
        statements = create_statistics(one)
        if not all(map(str.isprintable, statements)):  # a line break in a name would end the comment
            statements = ["(their names hold characters that no comment can: see dbopt suggest)"]
        lines += ["", *reasons.wrapped(reasons.sentence(one.why)), *statements]
    head = "Extended statistics are no indexes: run these by hand, if the estimates are to be mended."
    return [head, *lines] if lines else []


def create_statistics(statistics: Statistics) -> list[str]:
    """The statements that make them and fill them."""
    from psycopg import sql

    schema, table = statistics.relation
    if statistics.kinds:
        name = fitted("_".join((table, *statistics.columns)), "_stat")
        kinds = sql.SQL(", ").join(sql.SQL(kind) for kind in _KINDS if kind in statistics.kinds)
        what = sql.SQL("({}) ON {}").format(kinds, sql.SQL(", ").join(map(sql.Identifier, statistics.columns)))
    else:  # of an expression, which came out of PostgreSQL's grammar
        (expression,) = statistics.columns
        name = fitted("_".join((table, *re.findall(r"\w+", expression))), "_stat")
        what = sql.SQL("ON ({})").format(sql.SQL(expression))
    make = sql.SQL("CREATE STATISTICS {} {} FROM {};").format(qualified(schema, name), what, qualified(schema, table))
    return [text(make), text(sql.SQL("ANALYZE {};").format(qualified(schema, table)))]
