"""What was found about a statement, in lines: what is seen, what it costs, what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbopt.render.sql import spelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from dbopt.render.screen import Screen
    from dbopt.workload.model import Advice

_COMMANDS = ("dbopt ", "psql ")


def written(screen: Screen, advice: Advice, indent: int, *, in_full: bool) -> Iterator[Text]:
    """`in_full`: with why it matters, and which nodes it is about."""
    from rich.text import Text

    blanks = " " * indent
    nodes = f" (node {', '.join(map(str, advice.nodes))})" if in_full and advice.nodes else ""
    said = f"{advice.code}: {screen.text(advice.message)}{nodes}"
    first, *more = screen.broken(said, screen.columns - indent - 2)
    text = Text(f"{blanks}! ")
    code, rest = first[: len(advice.code) + 1], first[len(advice.code) + 1 :]
    yield text.append(code, "bold yellow").append(rest)
    for line in more:
        yield Text(f"{blanks}  {line}")
    if in_full and advice.why:
        for line in screen.broken(screen.text(advice.why), screen.columns - indent - 2):
            yield Text(f"{blanks}  {line}")
    yield from hint(screen, advice.hint, indent + 2)


def hint(screen: Screen, text: str | None, indent: int) -> Iterator[Text]:
    """Sentences are broken, what can be pasted is not."""
    from rich.text import Text

    start = "-> "
    for line in spelled(text).split("\n") if text else ():
        if is_pasted(line):
            yield Text(" " * indent + start + line, "cyan")
        else:
            for part in screen.broken(screen.text(line), screen.columns - indent - 3):
                yield Text(" " * indent + start + part, "cyan")
                start = "   "
        start = "   "


def is_pasted(line: str) -> bool:
    """Whether a line of a hint is SQL or a command."""
    return line.rstrip().endswith(";") or line.startswith(_COMMANDS)
