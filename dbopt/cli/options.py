"""The options that every command has, declared once.

The fields of `Shared` are the options: `dbopt.cli.frame` puts them behind a command's own parameters, and before the
command's name too, so that `dbopt -d app plan` and `dbopt plan -d app` are the same call.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dbopt.cli import completion
from dbopt.render.output import Format
from dbopt.values import dataclass

CONNECTION = "Connection, as psql has it"
SETTINGS = "Settings and output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What stands on the command line, before anything else was asked. None: not given."""

    host: Annotated[
        str | None,
        typer.Option("-h", "--host", metavar="HOST", help="Server host or socket folder.", rich_help_panel=CONNECTION),
    ] = None
    port: Annotated[
        str | None, typer.Option("-p", "--port", metavar="PORT", help="Server port.", rich_help_panel=CONNECTION)
    ] = None
    username: Annotated[
        str | None, typer.Option("-U", "--username", metavar="NAME", help="Role.", rich_help_panel=CONNECTION)
    ] = None
    dbname: Annotated[
        str | None,
        typer.Option(
            "-d",
            "--dbname",
            metavar="DBNAME",
            help="Database name, key=value pairs or URI; instead of DBOPT_DSN, DATABASE_URL and PG*.",
            rich_help_panel=CONNECTION,
        ),
    ] = None
    no_password: Annotated[
        bool,
        typer.Option(
            "-w",
            "--no-password",
            help="Taken as psql has it: dbopt never asks for a password.",
            rich_help_panel=CONNECTION,
        ),
    ] = False
    target: Annotated[
        list[str] | None,
        typer.Option(
            "-t",
            "--target",
            metavar="NAME",
            help="A target of dbopt.yaml; may be given several times.",
            rich_help_panel=CONNECTION,
            autocompletion=completion.targets,
        ),
    ] = None
    all_targets: Annotated[
        bool, typer.Option("--all-targets", help="Every target of dbopt.yaml.", rich_help_panel=CONNECTION)
    ] = False
    config: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--config",
            metavar="FILE",
            help="Configuration file, instead of ./dbopt.yaml and the user's own.",
            rich_help_panel=SETTINGS,
        ),
    ] = None
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config",
            help="Print each setting and where it came from, secrets masked; do nothing else.",
            rich_help_panel=SETTINGS,
        ),
    ] = False
    format: Format | None = None  # its option is `format_option`: not every command has every format
    no_color: Annotated[
        bool,
        typer.Option("--no-color", help="No colour; NO_COLOR and TERM=dumb do the same.", rich_help_panel=SETTINGS),
    ] = False
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            show_default=False,
            metavar="",
            help="SQL, timings and notes on stderr; -vv: tracebacks too.",
            rich_help_panel=SETTINGS,
        ),
    ] = 0
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.", rich_help_panel=SETTINGS)] = False

    @property
    def names_database(self) -> bool:
        return any((self.host, self.port, self.username, self.dbname, self.target, self.all_targets))

    def over(self, before: Shared) -> Shared:
        """These options, and where one was not given, the one that stood before the command's name."""
        given: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        given["verbose"] = before.verbose + self.verbose
        return dataclasses.replace(before, **given)


def format_option(formats: tuple[Format, ...]) -> Any:
    """The type of --format for a command that has these."""
    option = typer.Option(
        "--format",
        metavar="|".join(formats),
        help="Form of stdout: table on a terminal, lines in a pipe." if Format.TABLE in formats else "Form of stdout.",
        rich_help_panel=SETTINGS,
    )
    return Annotated[Literal[tuple(map(str, formats))] | None, option]


SpecArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="SPEC",
        help="Spec files or folders; none: the folder of the configuration, else indexes/.",
        show_default=False,
        autocompletion=completion.specs,
    ),
]

PruneForeign = Annotated[
    bool,
    typer.Option(
        "--prune-foreign", help="Let `state: absent` and `extras: prune` drop indexes that dbopt did not make."
    ),
]
Adopt = Annotated[
    bool, typer.Option("--adopt", help="Put dbopt's mark on indexes that are as the specs say but were made by others.")
]
