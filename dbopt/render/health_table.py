"""Verdicts for people: problems by group, the worst first, what to type below each, and one line that sums up.

What is well is only counted: silence says that. Nothing is cut, and no line is broken, so that it can be copied.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from dbopt.health.check import Group, Status
from dbopt.render.escape import visible
from dbopt.render.sql import spelled
from dbopt.render.tree import tree_lines
from dbopt.render.words import plural
from dbopt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

    from dbopt.health.blocking import Tree
    from dbopt.health.check import Finding, Result
    from dbopt.health.verdict import About, Verdict
    from dbopt.render.output import Stream

STYLES = {
    Status.CRITICAL: "bold red",
    Status.WARNING: "yellow",
    Status.UNKNOWN: "magenta",
    Status.OK: "green",
    Status.SKIPPED: "dim",
}
_IN_ORDER = tuple(reversed(Status))
_WORD_COLUMNS = max(map(len, Status))
_SET_ASIDE = ("ignored", "known", "pending")  # words and fields of a Result
_BELOW = " " * 6  # before what stands below a finding
# One line of a section: word, its style, what it is about, the text, and lines to paste below it.
_Entry = tuple[str, str, str, str, "Sequence[str]"]


def write_table(out: Stream, verdicts: Sequence[Verdict], *, advice: bool, all_checks: bool) -> None:
    from rich.text import Text

    for number, verdict in enumerate(verdicts):
        if len(verdicts) > 1:
            out.print(Text("\n" if number else "").append(where(verdict.about), "bold underline").append("\n"))
        _write(out, verdict, advice=advice, all_checks=all_checks)


def _write(out: Stream, verdict: Verdict, *, advice: bool, all_checks: bool) -> None:
    results = verdict.results
    for group in Group:
        _section(out, group, _problems(result for result in results if result.check.group is group))
    _section(out, "could not be judged", _gaps(result for result in results if result.blind))
    in_full = all_checks or len(results) == 1  # who asks for one check alone wants to see what it sees
    waiting = [result for result in results if result.status is Status.UNKNOWN and not result.blind]
    if in_full:
        _section(out, "no answer yet", _gaps(waiting))
        _section(out, "waiting, no problem yet", _waiting(results))
    if advice:
        _section(out, "advice", _advice(results))
    if all_checks:
        _section(out, "set aside", _set_aside(results))
        _section(out, "skipped", _skipped(results))
        _section(out, "well", _well(results))
    if waiting and not in_full and verdict.about.server_version is not None:
        out.write(f"no answer yet: {', '.join(result.id for result in waiting)} (--all says why)\n")
    for note in verdict.notes:
        out.write(f"note: {visible(note)}\n")
    out.print(_summary(verdict))


def _section(out: Stream, title: str, entries: Iterator[_Entry]) -> None:
    from rich.text import Text

    found = list(entries)
    if not found:
        return
    out.print(Text(title, "bold"))
    width = max(len(about) for _, _, about, _, _ in found)
    for word, style, about, said, below in found:
        column = f"{about:<{width}}  " if width else ""
        text = Text("  ").append(f"{word:<{_WORD_COLUMNS}}", style).append(f"  {column}{said}")
        for line in below:
            text.append(f"\n{_BELOW}{line}")
        out.print(text)
    out.write("\n")


def _problems(results: Iterable[Result]) -> Iterator[_Entry]:
    found = [(finding, result) for result in results for finding in result.findings]
    found.sort(key=lambda item: -item[0].status.rank)  # and within a check as it says
    for finding, result in found:
        tree = next((tree for tree in result.trees if tree.root.name == finding.subject), None)
        below = _drawn(tree) if tree else _pasted(finding.remedy)
        yield finding.status, STYLES[finding.status], result.id, _said(finding), below


def _waiting(results: Iterable[Result]) -> Iterator[_Entry]:
    """Trees that are no problem yet."""
    for result in results:
        told = {finding.subject for finding in result.findings}
        for tree in result.trees:
            if tree.root.name not in told:
                yield Status.OK, STYLES[Status.OK], result.id, visible(tree.root.name), _drawn(tree)


def _gaps(results: Iterable[Result]) -> Iterator[_Entry]:
    for (reason, hint), alike in alike_gaps(results):
        names = ", ".join(result.id for result in alike)
        yield Status.UNKNOWN, STYLES[Status.UNKNOWN], "", f"{names}: {visible(reason)}", _pasted(hint)


def _advice(results: Iterable[Result]) -> Iterator[_Entry]:
    for result in results:
        for finding in result.advice:
            yield "advice", "cyan", result.id, _said(finding), _pasted(finding.remedy)


def _set_aside(results: Iterable[Result]) -> Iterator[_Entry]:
    for word in _SET_ASIDE:
        for result in results:
            for finding in getattr(result, word):
                why = f" ({visible(finding.reason)})" if finding.reason else ""
                yield word, "dim", result.id, _said(finding) + why, ()


def _skipped(results: Iterable[Result]) -> Iterator[_Entry]:
    for result in results:
        if result.status is Status.SKIPPED:
            reason = visible(result.reason or result.check.title)
            yield Status.SKIPPED, STYLES[Status.SKIPPED], result.id, reason, _pasted(result.hint)


def _well(results: Iterable[Result]) -> Iterator[_Entry]:
    for result in results:
        if result.status is Status.OK:
            measured = [_said(finding) for finding in result.measured]
            yield Status.OK, STYLES[Status.OK], result.id, result.check.title, measured


def _said(finding: Finding) -> str:
    return f"{visible(finding.subject)}: {visible(finding.detail)}"


def _drawn(tree: Tree) -> Sequence[str]:
    *drawing, remedy = tree_lines(tree)
    return [*map(visible, drawing), *_pasted(remedy)]


def _pasted(text: str | None) -> Sequence[str]:
    return spelled(text).split("\n") if text else ()


def _summary(verdict: Verdict) -> Text:
    """`health: 1 critical, 38 ok · app on PostgreSQL 18.4 · 80 ms`."""
    from rich.text import Text

    text = Text("health: ")
    counts = Counter(result.status for result in verdict.results)
    said = [(f"{counts[status]} {status}", STYLES[status]) for status in _IN_ORDER if counts[status]]
    for word in _SET_ASIDE:
        number = sum(len(getattr(result, word)) for result in verdict.results)
        said += [(f"{plural(number, 'finding', 'findings')} {word}", "dim")] if number else []
    for number, (words, style) in enumerate(said):
        text.append(", " if number else "").append(words, style)
    return text.append(f" · {where(verdict.about)} · {format_duration(verdict.seconds)}")


def where(about: About) -> str:
    """`app on PostgreSQL 18.4`, behind the target's name where it has one; the place, where nobody answered."""
    named = f"{visible(about.name)}: " if about.name else ""
    if about.dbname is None or about.server_version is None:
        return named + visible(about.place)
    return f"{named}{visible(about.dbname)} on PostgreSQL {visible(about.server_version.split(' ')[0])}"


def alike_gaps(results: Iterable[Result]) -> Iterable[tuple[tuple[str, str | None], list[Result]]]:
    """Those that were not judged, with one reason and hint together: what a role may not see, or that statistics are
    young, concerns many checks alike.
    """
    together: dict[tuple[str, str | None], list[Result]] = {}
    for result in results:
        if result.status is not Status.SKIPPED and result.reason:
            together.setdefault((result.reason, result.hint), []).append(result)
    return together.items()
