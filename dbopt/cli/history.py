"""dbopt history."""

from __future__ import annotations

import contextlib
import difflib
import gc
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli import completion
from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbopt.cli.past import Asked

LIMIT = 20  # a screenful

# What may stand first, besides the number of a run, and the options that it takes.
_FORMS = {
    "runs": ("--limit", "--since"),
    "health": ("--check", "--limit", "--since", "--until"),
    "metric": ("--since", "--until", "--every"),
    "statement": ("--since", "--until", "--every"),
    "table": ("--since", "--until", "--every"),
    "marks": ("--limit", "--since", "--until"),
}
_QUERYID = re.compile(r"-\d+")


def _words(args: list[str], incomplete: str) -> list[str]:
    """For the shell: a form, then the names of figures."""
    if "metric" in args:
        from dbopt.metrics.catalogue import METRICS

        return [name for name in METRICS if name.startswith(incomplete)]
    return [name for name in _FORMS if name.startswith(incomplete)]


What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WHAT",
        help="A run's number; health; metric [NAME...]; statement QUERYID; table NAME; marks. None: the runs.",
        show_default=False,
        autocompletion=_words,
    ),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many runs or findings, newest first.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="From when on: 7d, 12h, 2027-01-31, 2027-01-31T12:00Z; `reset`: the last mark. Figures: 7d.",
    ),
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Up to when; now.")]
Every = Annotated[
    str | None,
    typer.Option("--every", metavar="DURATION", help="A point for each 5m, 1h, 1d; as suits 120 points."),
]
OfCheck = Annotated[
    str | None,
    typer.Option(
        "--check",
        metavar="CHECK",
        help="health: of this check alone, and what it said.",
        autocompletion=completion.checks,
    ),
]


@command(
    "history",
    examples=(
        "dbopt history --since 7d",
        "dbopt history 12",
        "dbopt history metric",
        "dbopt history health --since 30d",
        "dbopt history metric cache_hit_ratio transactions_per_second --since 7d",
        "dbopt history table public.orders --format csv",
        "dbopt history statement -3416356442043621232 --every 1h",
    ),
    exits={0: "it is listed, be there any or none"},
)
def history(
    session: Session,
    what: What = None,
    limit: Limit = LIMIT,
    since: Since = None,
    until: Until = None,
    every: Every = None,
    check: OfCheck = None,
) -> int:
    """From the store alone; no database is asked. Without WHAT: past runs of optimize, those that were killed included:
    who, when, on which target, with what outcome; with a number: each step of that run. `health`: what appeared, what
    went. `metric NAME`: a figure as a chart, with its target; without a name, the names. `statement QUERYID`: calls,
    mean time and rows. `table NAME`: size, rows and scans. `marks`: baselines and resets. -t NAME or -d DBNAME: of that
    database alone. In lines, csv and json: every point, with what was watched of it, nothing rounded.
    """
    words = list(what or ())
    _refuse_unknown_options(words)
    given = {
        "--limit": limit != LIMIT,
        "--since": since is not None,
        "--until": until is not None,
        "--every": every is not None,
        "--check": check is not None,
    }
    if words and words[0].isdecimal():
        return _run(session, words, given)
    form = words.pop(0) if words else "runs"
    if form not in _FORMS:
        near = difflib.get_close_matches(form, _FORMS, n=1)
        raise UsageError(
            f'there is no history of "{form}"',
            detail=f"there is that of a run by its number, and of {', '.join(_FORMS)}",
            hint=f"Did you mean {near[0]}?" if near else "Try dbopt history --help.",
        )
    for option, is_given in given.items():
        if is_given and option not in _FORMS[form]:
            takes = ", ".join(_FORMS[form])
            raise UsageError(f"{option} is not for the history of {form}", hint=f"It takes {takes}.")
    if form in ("runs", "health", "marks") and words:
        raise UsageError(f'{form} takes no name, found "{words[0]}"', hint="Name a database with -t or -d.")

    from dbopt.cli.past import Asked, now

    asked = Asked(
        names=_names(session),
        call=" ".join(("dbopt history", form, *words)),
        now=now(),
        since=since,
        until=until,
        every=every,
    )
    if form != "runs":
        asked.check()
    match form:
        case "runs":
            _runs(session, asked, limit)
        case "health":
            _health(session, asked, limit, check)
        case "marks":
            _marks(session, asked, limit)
        case _:
            _series(session, asked, form, words)
    return EXIT_DONE


# A queryid may be negative, which would be an unknown option.
history.ignore_unknown_options = True


def _refuse_unknown_options(words: Sequence[str]) -> None:
    for word in words:
        if word.startswith("-") and not _QUERYID.fullmatch(word):
            known = {name for parameter in history.params for name in parameter.opts if name.startswith("--")}
            near = difflib.get_close_matches(word, sorted(known), n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise UsageError(f"unknown option {word}", hint=f"{hint}Try dbopt history --help.")


def _run(session: Session, words: Sequence[str], given: dict[str, bool]) -> int:
    from dbopt.render.history import write_run
    from dbopt.store.repository import open_store

    if len(words) > 1:
        raise UsageError("one run at a time", hint=f"`dbopt history {words[0]}` shows the first.")
    unfit = [option for option, is_given in given.items() if is_given]
    if unfit:
        raise UsageError("--limit and --since choose among runs", hint=f"Leave {unfit[0]} out to see run {words[0]}.")
    with contextlib.closing(open_store(session.settings.store.value)) as store:
        write_run(session.output, *store.run(int(words[0])))
    return EXIT_DONE


def _runs(session: Session, asked: Asked, limit: int) -> None:
    from dbopt.cli.moments import moment
    from dbopt.render.history import write_runs
    from dbopt.store.repository import open_store

    start = None if asked.since is None else moment("--since", asked.since, asked.now)
    with contextlib.closing(open_store(session.settings.store.value)) as store:
        found = store.runs(limit=limit + 1, since=start, names=asked.names)
    write_runs(session.output, found[:limit])
    if not found:
        session.output.note("no runs are recorded")
    elif len(found) > limit:
        session.output.note(f"there are older runs: --limit {limit * 5} shows more")


def _health(session: Session, asked: Asked, limit: int, check: str | None) -> None:
    from dbopt.cli.past_health import health_pages
    from dbopt.render.history_health import write_health

    write_health(session.output, health_pages(session, asked, limit, check))


def _marks(session: Session, asked: Asked, limit: int) -> None:
    from dbopt.cli.past_health import all_marks
    from dbopt.render.history_health import write_marks

    write_marks(session.output, all_marks(session, asked, limit))


def _series(session: Session, asked: Asked, form: str, names: Sequence[str]) -> None:
    from dbopt.cli import past_series as series
    from dbopt.render.history_series import write_metrics, write_pages

    if form == "metric" and not names:
        from dbopt.metrics.catalogue import METRICS

        write_metrics(session.output, METRICS.values())
        return
    if not names:
        what = "a queryid" if form == "statement" else "a table"
        raise UsageError(
            f"{form} takes {what}", hint=f"dbopt history {form} {'QUERYID' if form == 'statement' else 'NAME'}"
        )
    # Thousands of small values that are all there until the end: looking for cycles in them takes half of the time.
    gc.disable()
    read: Any = {
        "metric": series.metric_pages,
        "statement": series.statement_pages,
        "table": series.table_pages,
    }[form]
    try:
        write_pages(session.output, read(session, asked, names))
    finally:
        gc.enable()


def _names(session: Session) -> list[str]:
    """The targets that the call names; none: all of the store."""
    if session.shared.target:
        return session.shared.target
    given = session.target.parameters.get("dbname") if session.shared.dbname else None
    return [given.value] if given else []
