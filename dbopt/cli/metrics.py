"""dbopt metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbopt.cli import completion
from dbopt.cli.frame import command
from dbopt.cli.session import Session
from dbopt.errors import EXIT_DONE, EXIT_FAILED, UsageError
from dbopt.render.output import EVERYWHERE, Format

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from dbopt.metrics.measurement import Measurement
    from dbopt.metrics.metric import Group, Metric

_TIME, _SHOWN = "The time that is looked at", "What is shown"
LEAST_INTERVAL_SECONDS = 0.1
_TREND_LOOKS = 30  # of --watch, as many as a column of a terminal has room for

Interval = Annotated[
    str | None,
    typer.Option(
        "--interval",
        metavar="DURATION",
        help="Two readings so far apart, now; 5s where nothing is kept.",
        rich_help_panel=_TIME,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="From then on, by readings that are kept: 1h, 7d, 2027-01-31, reset (the last reset-metrics).",
        rich_help_panel=_TIME,
    ),
]
Versus = Annotated[
    str | None,
    typer.Option(
        "--vs",
        metavar="DURATION",
        help="Beside it, the same time so much earlier: 1d.",
        rich_help_panel=_TIME,
    ),
]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch", metavar="SECONDS", min=0.5, help="Look again and again, until Ctrl-C.", rich_help_panel=_TIME
    ),
]
InGroup = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="GROUP",
        help="Only this group of figures; several times.",
        rich_help_panel=_SHOWN,
        autocompletion=completion.metric_groups,
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME",
        help="Only this figure; several times.",
        rich_help_panel=_SHOWN,
        autocompletion=completion.metrics,
    ),
]
Listing = Annotated[
    bool, typer.Option("--list", help="List the figures, and look at no database.", rich_help_panel=_SHOWN)
]
Pgbouncer = Annotated[
    str | None,
    typer.Option(
        "--pgbouncer",
        metavar="CONNINFO",
        help="PgBouncer before this database, for its pools; `pgbouncer:` of the target in dbopt.yaml.",
        rich_help_panel="Beside the database",
    ),
]
NoStore = Annotated[
    bool,
    typer.Option("--no-store", help="Keep no reading, and look at none.", rich_help_panel="Beside the database"),
]


@command(
    "metrics",
    examples=("dbopt metrics", "dbopt metrics --interval 1s --group throughput", "dbopt metrics --since 1h --vs 1d"),
    exits={
        0: "the figures are shown, whatever they say: dbopt health judges",
        3: "could not do it; of several targets, for one of them: the others are shown",
    },
    formats=(*EVERYWHERE, Format.PROMETHEUS),
)
def metrics(
    session: Session,
    interval: Interval = None,
    since: Since = None,
    versus: Versus = None,
    watch: Watch = None,
    group: InGroup = None,
    only: Only = None,
    listing: Listing = False,
    pgbouncer: Pgbouncer = None,
    no_store: NoStore = False,
) -> int:
    """What a database does: over the last hour, where readings of at least a minute of it are kept in the store, else
    over the next five seconds. Rates, ratios and latencies are differences of readings, right over resets and restarts,
    and the real time that they are about is always shown. Target and alert values are those of the guide. Quantiles of
    latency are estimated. Reads only, five statements a reading, and leaves its reading in the store.
    """
    chosen, groups = _choice(group, only)
    if listing:
        from dbopt.render.metrics_list import write_list

        write_list(session.output, chosen)
        return EXIT_DONE
    given: dict[str, Any] = {"--interval": interval, "--since": since, "--vs": versus, "--watch": watch}
    _refuse(given, "--interval", "--since", why="one looks at now, the other back")
    for other in ("--interval", "--since", "--vs"):
        _refuse(given, "--watch", other, why="each look is compared with the one before")
    if no_store:
        for other in ("--since", "--vs"):
            _refuse({**given, "--no-store": True}, "--no-store", other, why="it looks at what the store has kept")

    from dbopt.cli.measuring import Measuring
    from dbopt.cli.moments import since_or_reset
    from dbopt.cli.sources import Wishes
    from dbopt.render.metrics import write_measurements

    wishes = Wishes(
        metrics=tuple(chosen),
        groups=groups,
        interval=None if interval is None else _duration("--interval", interval, LEAST_INTERVAL_SECONDS),
        since=None if since is None else since_or_reset(since),
        versus=None if versus is None else _duration("--vs", versus, 1.0),
        pgbouncer=pgbouncer,
        uses_store=not no_store,
        every=watch,
    )
    with Measuring(session, wishes) as measuring:
        if watch is not None:
            _watch(session, measuring.once, watch)
        found = measuring.once()
    write_measurements(session.output, found)
    return EXIT_FAILED if any(item.error is not None for item in found) else EXIT_DONE


def _choice(group: list[str] | None, only: list[str] | None) -> tuple[list[Metric], tuple[Group, ...]]:
    """The figures, and the groups that are wanted as a whole, with what they are made of."""
    from dbopt.metrics.catalogue import METRICS
    from dbopt.metrics.metric import Group
    from dbopt.spec.words import did_you_mean, quoted

    for what, names, known in (
        ("group of figures", group or (), [str(item) for item in Group]),
        ("figure", only or (), list(METRICS)),
    ):
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known) or "dbopt metrics --list names them all."
                raise UsageError(f"there is no {what} {quoted(name)}", hint=hint)
    groups = tuple(Group(name) for name in group) if group else () if only else tuple(Group)
    return [item for item in METRICS.values() if item.group in groups or item.name in (only or ())], groups


def _watch(session: Session, look: Any, seconds: float) -> None:
    from collections import defaultdict, deque

    from dbopt.render.metrics import write_measurements
    from dbopt.render.output import Output
    from dbopt.render.redraw import redraw
    from dbopt.render.sparkline import can_show, sparkline

    seen: dict[str, dict[str, deque[float | None]]] = defaultdict(
        lambda: defaultdict(lambda: deque(maxlen=_TREND_LOOKS))
    )
    plain = not can_show(getattr(session.output.out.file, "encoding", None))

    def write(inside: Output, found: Sequence[Measurement]) -> None:
        for item in found:
            values = seen[item.about.label]
            for figure in item.figures:
                if figure.value is not None or figure.metric.name in values:
                    values[figure.metric.name].append(figure.value)
        trends = {
            label: {name: sparkline(list(looks), plain=plain) for name, looks in values.items()}
            for label, values in seen.items()
        }
        write_measurements(inside, found, trends=trends, event=True)

    redraw(session.output, seconds, look, write)


def _duration(option: str, text: str, least_seconds: float) -> timedelta:
    from dbopt.cli.moments import duration

    return duration(option, text, least_seconds)


def _refuse(given: dict[str, Any], option: str, other: str, *, why: str) -> None:
    if given[option] not in (None, False) and given[other] is not None:
        raise UsageError(f"{option} and {other} contradict each other", detail=why, hint=f"Leave {other} out.")
