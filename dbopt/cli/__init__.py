"""The command line: `main` is `dbopt`, the only place where an error becomes text and an exit code."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from dbopt import __version__
from dbopt.cli.frame import Commands, shared_of, with_shared
from dbopt.cli.messages import Messages
from dbopt.errors import EXIT_DONE, EXIT_FAILED, Error, UsageError
from dbopt.render.output import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "main"]

EXIT_INTERRUPTED = 130
# Rows by the ten thousand are alive at once and none of them is garbage: looking for it among them over and over costs
# a sixth of a snapshot of 12,000 relations.
_GC_THRESHOLD = 200_000
EXIT_PIPE = 141  # what a shell reports of any program that a closed pipe ended: 128 + SIGPIPE

app = typer.Typer(
    name="dbopt",
    cls=Commands,
    invoke_without_command=True,
    rich_markup_mode=None,  # help in plain text: rich need not be imported for it
    help=(
        "The operational toolkit for PostgreSQL: indexes as code, applied online.\n\n"
        "Options may stand before the command or after it. `dbopt COMMAND --help` explains one command."
    ),
)


def root(context: typer.Context, version: bool, **values: Any) -> int:
    """What stands before the command's name; without a command the help, or the settings."""
    if version:
        typer.echo(f"dbopt {__version__}")
        raise typer.Exit(EXIT_DONE)
    messages: Messages = context.obj
    shared = shared_of(values)
    context.obj = (messages, shared)
    if context.invoked_subcommand is not None:
        return EXIT_DONE
    if shared.show_config:
        from dbopt.cli.session import Session

        return Session("show-config", shared, messages).print_config()
    typer.echo(context.get_help())
    return EXIT_DONE


_VERSION = Annotated[bool, typer.Option("-V", "--version", help="Print the version.", is_eager=True)]
app.callback()(with_shared(root, tuple(Format), version=(_VERSION, False)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code is the result. Nothing is raised, whatever happens."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no error
    gc.set_threshold(_GC_THRESHOLD)
    messages = Messages(sys.stderr)
    with messages.listening():
        try:
            result = app(
                list(sys.argv[1:] if argv is None else argv), prog_name="dbopt", standalone_mode=False, obj=messages
            )
            code = int(result or EXIT_DONE)
            sys.stdout.flush()
        except BrokenPipeError:
            code = _silence()
        except SystemExit as exc:  # completion leaves so, and typer when the pipe is closed
            code = _silence() if isinstance(exc.__context__, BrokenPipeError) else _as_code(exc.code)
        except BaseException as exc:  # noqa: BLE001 - the outermost frame: no traceback may get past it
            code = fail(exc, messages)
    return code


def fail(exc: BaseException, messages: Messages) -> int:
    """An exception as text on stderr and as exit code."""
    messages.traceback(exc)
    if isinstance(exc, KeyboardInterrupt):  # while something is changed, Interrupts takes the signal instead
        messages.interrupted()
        return EXIT_INTERRUPTED
    error = as_error(exc)
    messages.error(error)
    return error.exit_code


def as_error(exc: BaseException) -> Error:
    """What came up, in the form of the error tree."""
    match exc:
        case Error():
            return exc
        case TyperException():
            return _usage(exc)
        case OSError() if exc.filename is not None:
            return Error(f'could not use "{os.fsdecode(exc.filename)}"', detail=exc.strerror)
        case _ if "psycopg" in sys.modules and isinstance(exc, sys.modules["psycopg"].Error):
            return _of_server(exc)
    return Error(
        f"internal error: {type(exc).__name__}: {' '.join(str(exc).split())}",
        hint="This is a defect of dbopt. Run the command again with -vv, and report what it prints.",
    )


def _usage(exc: TyperException) -> UsageError:
    """typer's sentence in our form."""
    context = getattr(exc, "ctx", None)
    hint = f"Try {context.command_path if context is not None else 'dbopt'} --help."
    name, near = getattr(exc, "option_name", None), getattr(exc, "possibilities", None)
    if near is not None or (name is not None and "No such option" in exc.message):
        return UsageError(f"unknown option {name}", hint=f"Did you mean {sorted(near)[0]}? {hint}" if near else hint)
    words = " ".join(exc.format_message().split()).rstrip(".")
    return UsageError(words[:1].lower() + words[1:], hint=hint)


_STATEMENT_TOO_SLOW = ("57014", "55P03")  # query_canceled, lock_not_available


def _of_server(exc: Any) -> Error:
    """An error of the server that no command has words of its own for."""
    diag = exc.diag
    facts = [f"SQLSTATE {exc.sqlstate}" if exc.sqlstate else None, diag.message_detail, diag.context]
    hint = (
        "A limit on time was reached: is the server busy, or a lock held?"
        if exc.sqlstate in _STATEMENT_TOO_SLOW
        else None
    )
    return Error(
        diag.message_primary or " / ".join(str(exc).strip().splitlines()) or "the connection to the server was lost",
        detail="\n".join(fact for fact in facts if fact) or None,
        hint=diag.message_hint or hint,
    )


def _as_code(code: object) -> int:
    return code if isinstance(code, int) else EXIT_DONE if code is None else EXIT_FAILED


def _silence() -> int:
    """Nobody reads stdout any more: what is still buffered goes nowhere, and Python's own exit says nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE
