"""What makes a function a command: shared options, help of one form, one place to stop for --show-config.

A command module is loaded only when its command is called or asked for help, so that `dbopt --help` costs the same
however many commands there are. Its function has the command's name and is decorated by `command`:

    @command("plan", examples=(...), exits={0: "...", 1: "..."})
    def plan(session: Session, specs: SpecArgument = None, check: Check = False) -> int:
        '''The paragraph of --help.'''
"""

from __future__ import annotations

import difflib
import inspect
import typing
from dataclasses import fields, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from dbopt.cli.options import CONNECTION, Shared, format_option
from dbopt.cli.plain import make_plain
from dbopt.errors import UsageError
from dbopt.render.output import EVERYWHERE, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dbopt.cli.messages import Messages

# The name and the one line of every command. `dbopt.cli.<name>` holds it, `-` being `_`.
COMMANDS: Mapping[str, str] = {
    "init": "Write a starter dbopt.yaml, a first spec and the editor schema.",
    "lint": "Check specs without a server; with --online against one.",
    "plan": "Show what optimize would do, why, and what it would wait for.",
    "optimize": "Make the database's indexes what the specs say, online.",
    "export": "Write the indexes that a database has as a spec.",
    "migration": "Write the plan as an Alembic revision or a plain SQL file.",
    "health": "What is wrong with a database, who causes it, what to type: for people and for cron.",
    "metrics": "Connections, throughput, latency, hit ratios, I/O, WAL: now, or over a time that is kept.",
    "stats": "Sizes, rows, scans, vacuum state and index coverage, by table and by index.",
    "slow-queries": "The statements that cost most, how they are planned, and what would help.",
    "suggest": "The indexes worth having for what a database runs, proved, as a spec to review.",
    "reset-metrics": "Keep what the counters said, then count anew: from a mark, or on the server too.",
    "snapshot": "Keep what the counters say now, for numbers over time: a line for cron.",
    "history": "Past runs of optimize, health over time, and any figure as a chart.",
    "report": "One self-contained HTML page: health, figures over time, tables, statements.",
    "store": "The store of past runs and counters: look at it, bring it up to date, prune, export.",
    "demo": "All of it on a private server with sample data, measured before and after.",
}

# Codes that mean the same everywhere (dbopt/errors.py); a command adds its own 0 and 1.
COMMON_EXITS: Mapping[int, str] = {
    3: "could not do it: usage, configuration, connection or permission",
    130: "interrupted, and cleaned up (143 on SIGTERM)",
}


class Command(TyperCommand):
    """A command whose help ends with examples and exit codes, its options in sections."""

    examples: tuple[str, ...] = ()
    exits: Mapping[int, str] = {}

    def get_params(self, ctx: Any) -> Any:
        make_plain(parameters := super().get_params(ctx))
        return parameters

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in sorted(self.exits.items())])


class Commands(TyperGroup):
    """The commands of the table above, each loaded when it is wanted."""

    def get_params(self, ctx: Any) -> Any:
        make_plain(parameters := super().get_params(ctx))
        return parameters

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        return getattr(import_module(f"dbopt.cli.{name}"), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            raise UsageError(
                f'unknown command "{args[0]}"',
                detail=f"commands: {', '.join(COMMANDS)}",
                hint=f"Did you mean {near[0]}?" if near else "Try dbopt --help.",
            )
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        write_parameters(self, ctx, formatter)


def write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    for title, records in sections(command, ctx).items():
        with formatter.section(title):
            formatter.write_dl(records, col_max=26)


def sections(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Arguments, then options by their section: (how it is typed, what it does)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        if parameter.param_type_name == "argument":
            # As in the line of usage: the record would name a Python type.
            found.setdefault("Arguments", []).append((" ".join(parameter.get_usage_pieces(ctx)), record[1]))
        else:
            found.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(record)
    return found


def command(
    name: str,
    *,
    examples: tuple[str, ...],
    exits: Mapping[int, str],
    database: bool = True,
    formats: tuple[Format, ...] = EVERYWHERE,
    form: type[Command] = Command,
) -> Callable[[Callable[..., int]], Any]:
    """The command object of a function whose first parameter is the Session and whose result is the exit code.

    `database` False: it connects to none, and to say which one is an error rather than of no effect. `formats`: those
    that it can write. `form`: a Command with manners of its own.
    """

    def decorate(function: Callable[..., int]) -> Any:
        def run(context: typer.Context, **values: Any) -> int:
            from dbopt.cli.session import Session

            messages: Messages
            messages, before = context.obj
            shared = shared_of(values).over(before)
            if shared.format not in (None, *formats):  # it stood before the command's name
                raise UsageError(f"{name} has no format {shared.format}", hint=f"Formats: {', '.join(formats)}.")
            too = {key: values.get(key) for key in ("specs", "wait", "jobs", "max_lag")}  # options that are settings
            session = Session(name, shared, messages, **too)
            if shared.names_database and not database:
                raise UsageError(
                    f"{name} connects to no database", hint="Leave -h, -p, -U, -d, -t and --all-targets out."
                )
            if shared.show_config:
                return session.print_config()
            return function(session, **values)

        first, *own = inspect.signature(function).parameters.values()
        del function.__annotations__[first.name]  # Session is for type checkers: its module need not be loaded
        types = typing.get_type_hints(function, include_extras=True)
        with_shared(run, formats, **{parameter.name: (types[parameter.name], parameter.default) for parameter in own})
        holder = typer.Typer(add_completion=False, rich_markup_mode=None)
        paragraph = inspect.getdoc(function) or ""
        holder.command(name, cls=form, help=f"{COMMANDS[name]}\n\n{paragraph}")(run)
        made = typer.main.get_command(holder)
        made.examples, made.exits = examples, {**COMMON_EXITS, **exits}  # type: ignore[attr-defined]
        if not database:
            hide(made, CONNECTION)
        return made

    return decorate


def hide(command: Any, section: str) -> None:
    """Leaves a section of options out of the help; given, they are still read."""
    for parameter in command.params:
        if getattr(parameter, "rich_help_panel", None) == section:
            parameter.hidden = True


def with_shared(
    function: Callable[..., int], formats: tuple[Format, ...], **own: tuple[Any, Any]
) -> Callable[..., int]:
    """Gives a function of (context, **values) the signature that typer reads: its own parameters as name=(type,
    default), then the fields of Shared."""
    hints = {**typing.get_type_hints(Shared, include_extras=True), "format": format_option(formats)}
    shared = {field.name: (hints[field.name], field.default) for field in fields(Shared)}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in {
            "context": (typer.Context, inspect.Parameter.empty),
            **own,
            **shared,
        }.items()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def shared_of(values: dict[str, Any]) -> Shared:
    """Takes the shared options out of a call's values."""
    shared = Shared(**{field.name: values.pop(field.name) for field in fields(Shared)})
    return shared if shared.format is None else replace(shared, format=Format(shared.format))
