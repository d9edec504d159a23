"""What stats found, for people: as many columns as the screen is wide, and below each list what it leaves out.

`~` stands before a size that was not measured, `?` for what nobody knows, `-` for what never was or has no answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.amounts import percent
from dbopt.render.escape import visible
from dbopt.render.stats import more_than
from dbopt.render.stats_columns import (
    READ,
    Shown,
    amount,
    growth,
    index_columns,
    schema_columns,
    share,
    table_columns,
)
from dbopt.render.table import Column, table
from dbopt.render.words import plural
from dbopt.stats.choice import What
from dbopt.stats.coverage import GOAL, LARGE_ROWS
from dbopt.stats.window import Basis
from dbopt.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rich.text import Text

    from dbopt.render.output import Stream
    from dbopt.stats.choice import Choice
    from dbopt.stats.coverage import Coverage, Share
    from dbopt.stats.summary import Sums
    from dbopt.stats.survey import Survey

_NAME_COLUMNS = 24  # to which a name may fold before another column goes
_BETWEEN = 3
_BELOW = " " * 32
_MATTERS = 0.01  # a difference of shares that is worth a line


def write_table(out: Stream, surveys: Sequence[Survey], choice: Choice, *, limit: int | None, several: bool) -> None:
    from rich.text import Text

    for number, survey in enumerate(surveys):
        if several:
            out.print(Text("\n" if number else "").append(_place(survey), "bold underline").append("\n"))
        _write(out, survey, choice, limit)


def _write(out: Stream, survey: Survey, choice: Choice, limit: int | None) -> None:
    what = choice.what
    out.write(_head(survey))
    if what in (What.OVERVIEW, What.COVERAGE):
        _write_coverage(out, survey.coverage, limit if what is What.COVERAGE else 0)
    order = choice.sort if not choice.reverse else f"{choice.sort}, reversed"
    if what in (What.OVERVIEW, What.TABLES):
        _write_list(out, f"tables by {order}", table_columns(survey), survey.tables, limit)
    if what in (What.OVERVIEW, What.INDEXES):
        _write_list(out, f"indexes by {order}", index_columns(survey), survey.indexes, limit)
    if what is What.SCHEMAS:
        _write_list(out, f"schemas by {order}", schema_columns(survey), survey.schemas, limit)
    _write_legend(out, survey, what, limit)


def _place(survey: Survey) -> str:
    about = survey.about
    named = f"{visible(about.name)}: " if about.name else ""
    return f"{named}{visible(about.dbname)} on PostgreSQL {visible(about.server_version.split(' ')[0])}"


def _head(survey: Survey) -> str:
    totals = survey.totals
    parts = f" ({plural(totals.partitions, 'partition', 'partitions')} among them)" if totals.partitions else ""
    lines = [
        f"{_place(survey)}: {plural_of(totals.tables, 'table', 'tables')}{parts},"
        f" {plural_of(totals.indexes, 'index', 'indexes')}, {_measured(totals)}{format_bytes(totals.total_bytes)}"
    ]
    if totals.tables:
        said = [
            f"heap {format_bytes(totals.heap_bytes)}, indexes {format_bytes(totals.index_bytes)},"
            f" TOAST {format_bytes(totals.toast_bytes)}",
            f"{amount(totals.rows)} rows, {share(totals.dead_ratio)} dead",
        ]
        if survey.window.basis is Basis.STORED:
            said.append(f"growth {growth(totals.growth_bytes)}")
        lines.append(" · ".join(said))
    lines.append(_window(survey))
    odd = [
        (totals.unscanned_indexes, f"without a scan in that time ({format_bytes(totals.unscanned_bytes)})"),
        (totals.redundant_indexes, f"redundant ({format_bytes(totals.redundant_bytes)})"),
        (totals.invalid_indexes, "INVALID"),
    ]
    found = [f"{count:,} {words}" for count, words in odd if count]
    if found:
        lines.append(f"indexes: {', '.join(found)}")
    lines += [f"note: {visible(note)}" for note in (*survey.window.notes, *survey.window.breaks)]
    return "\n".join(lines) + "\n\n"


def _measured(item: Sums) -> str:
    return "~" if item.is_estimated else ""


def plural_of(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _window(survey: Survey) -> str:
    window = survey.window
    since = "-" if window.from_at is None else f"{window.from_at.astimezone():%Y-%m-%d %H:%M}"
    length = format_duration(max(0.0, window.seconds or 0.0))
    if window.basis is Basis.STORED:
        return f"scans, rows read and growth since {since} ({length}), from stored readings"
    if window.from_at is None:
        return "scans and rows read since the server began to count, which it does not date"
    return f"scans and rows read since {since} ({length}), when the server's statistics began"


def _write_coverage(out: Stream, coverage: Coverage, details: int | None) -> None:
    """`details` 0: the figures alone."""
    from rich.text import Text

    out.print(Text(f"index coverage, goal {GOAL * 100:.0f} %", "bold"))
    for found in coverage.shares:
        out.print(_share(found, coverage))
    out.write("\n")
    if details == 0:
        return
    for found in coverage.shares:
        out.write(f"{found.title}: {found.meaning}\n")
    out.write("\n")
    read = [Shown(title="table", cell=lambda item: item.relation, left=True), *READ]
    _write_list(out, "read most by sequential scans", read, coverage.read_whole, details)
    keys = [
        Shown(title="table", cell=lambda key: key.relation, left=True),
        Shown(title="foreign key", cell=lambda key: key.constraint, left=True),
        Shown(title="columns", cell=lambda key: ", ".join(key.columns), left=True),
    ]
    _write_list(out, "foreign keys without an index", keys, coverage.without_index, details)
    missing = [
        Shown(title="entry", cell=lambda item: item.entry, left=True),
        Shown(title="table", cell=lambda item: item.relation, left=True),
        Shown(title="why", cell=lambda item: item.why, left=True),
    ]
    _write_list(out, "specs not in place", missing, coverage.not_in_place, details)


def _share(found: Share, coverage: Coverage) -> Text:
    from rich.text import Text

    text = Text(f"  {found.title:<20}  ")
    if found.ratio is None:
        text.append(f"{'unknown' if found.whole is None else 'no data':>8}", "dim")
        text.append(f"  {visible(found.reason or '')}")
        return text.append(f"\n{_BELOW}{visible(found.hint)}" if found.hint else "")
    text.append(f"{percent(found.ratio):>8}", "green" if found.ratio >= GOAL else "yellow")
    text.append(f"  {amount(found.part)} of {amount(found.whole)}")
    if found is coverage.foreign_keys:
        text.append(": an index begins with their columns")
    elif found is coverage.specs:
        text.append(" entries: the index exists and equals")
    else:
        text.append(f" rows read from {plural_of(coverage.tables, 'table', 'tables')} over {LARGE_ROWS:,} rows")
        most = coverage.rows_at_most
        if most is not None and most - found.ratio >= _MATTERS:
            text.append(f"\n{_BELOW}with index-only scans, which fetch no rows, at most {percent(most)}")
    return text


def _write_list(out: Stream, title: str, columns: Sequence[Shown], items: Sequence[Any], limit: int | None) -> None:
    from rich.text import Text

    if not items:
        return
    out.print(Text(title, "bold"))
    shown = items[:limit]
    cells = [[column.cell(item) for column in columns] for item in shown]
    kept, dropped = _fitting(columns, cells, out.columns)
    heads = [Column(name=columns[at].title, show=str, align="left" if columns[at].left else "right") for at in kept]
    out.print(table(heads, [[row[at] for at in kept] for row in cells]))
    if len(items) > len(shown):
        out.write(f"{more_than(len(shown), len(items) - len(shown))}\n")
    if dropped:
        out.write(f"left out on this screen: {', '.join(columns[at].title for at in dropped)}\n")
    out.write("\n")


def _fitting(columns: Sequence[Shown], cells: Sequence[Sequence[str]], width: int) -> tuple[list[int], list[int]]:
    """Which columns the screen has room for, and which it has not. Columns that say nothing anywhere go too."""
    from rich.cells import cell_len

    wide = [
        max(cell_len(visible(text)) for text in (column.title, *(row[at] for row in cells)))
        for at, column in enumerate(columns)
    ]
    least = [min(size, _NAME_COLUMNS) if column.left else size for size, column in zip(wide, columns, strict=True)]
    kept = [
        at for at, column in enumerate(columns) if not column.weight or any(row[at] not in ("", "0B") for row in cells)
    ]
    dropped = []
    while sum(least[at] + _BETWEEN for at in kept) - _BETWEEN > width:
        spare = [at for at in kept if columns[at].weight]
        if not spare:
            break
        least_wanted = min(spare, key=lambda at: columns[at].weight)
        kept.remove(least_wanted)
        dropped.append(least_wanted)
    return kept, sorted(dropped)


def _write_legend(out: Stream, survey: Survey, what: What, limit: int | None) -> None:
    lines = []
    tables = survey.tables[:limit] if what in (What.OVERVIEW, What.TABLES) else ()
    indexes = survey.indexes[:limit] if what in (What.OVERVIEW, What.INDEXES) else ()
    if survey.totals.is_estimated:
        lines.append("~ a size as VACUUM or ANALYZE last saw it: locked, or beyond the 1,000 largest")
    if any(item.rows is None or item.n_dead_tup is None for item in tables):
        lines.append("? not counted since the statistics began: ANALYZE counts rows, living and dead")
    if any(item.redundant_with for item in indexes):
        lines.append("redundant: another index does all that it does; dbopt health --only duplicate-index says why")
    if lines:
        out.write("\n".join(lines) + "\n")
