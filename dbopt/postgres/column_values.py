"""Values of columns that ANALYZE keeps, to plan statements with. They are people's data: whoever reads them shows them
to nobody. No lock is taken for it.
"""

from __future__ import annotations

from dbopt.postgres.query import Query
from dbopt.values import dataclass


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """`number`: of the column, among those asked about, from 1; one asked about twice may have two rows. Values are
    text, as the type writes them. `common`, with `freqs`, their shares of all rows: the most common first; `bounds`: of
    the histogram over the others, in the order of the type; `elements`: of arrays and documents, the commonest first.
    """

    number: int
    is_inherited: bool
    n_distinct: float
    common: list[str]
    freqs: list[float]
    bounds: list[str]
    elements: list[str]


COLUMN_VALUES = Query(
    "column-values",
    ColumnValues,
    {
        (13,): """
        /* dbopt: typical values of some columns, to plan with */
        SELECT w.number, s.inherited AS is_inherited, s.n_distinct::float8 AS n_distinct,
               COALESCE(s.most_common_vals::text::text[], '{}') AS common,
               COALESCE(s.most_common_freqs, '{}')::float8[] AS freqs,
               COALESCE(s.histogram_bounds::text::text[], '{}') AS bounds,
               COALESCE(e.elements, '{}') AS elements
          FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[]),
                          pg_catalog.unnest(%(columns)s::text[])) WITH ORDINALITY AS w(schema, name, attname, number)
         CROSS JOIN LATERAL (
               SELECT * FROM pg_catalog.pg_stats AS p
                WHERE p.schemaname = w.schema::name AND p.tablename = w.name::name AND p.attname = w.attname::name
               OFFSET 0) AS s
         CROSS JOIN LATERAL (
               -- Those are sorted by themselves, their shares stand beside.
               SELECT pg_catalog.array_agg(el.value ORDER BY el.freq DESC, el.value) AS elements
                 FROM ROWS FROM (pg_catalog.unnest(s.most_common_elems::text::text[]),
                                 pg_catalog.unnest(s.most_common_elem_freqs)) AS el(value, freq)
                WHERE el.value IS NOT NULL) AS e
         ORDER BY w.number, s.inherited DESC
        """
    },
    {"schemas": ["pg_catalog"], "names": ["pg_class"], "columns": ["relname"]},
)
