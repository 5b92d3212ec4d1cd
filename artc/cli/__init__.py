"""The command line: parse, call, print. No mathematics; torch is imported inside the commands that need it.

Exit codes: 0 done, 1 a negative verdict (such as an invalid artifact), 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, TextIO

import typer

from artc import __version__
from artc.cli import models
from artc.cli.artifacts import inspect, resample, validate
from artc.cli.compile import compile_command
from artc.cli.evaluate import evaluate
from artc.cli.export import export
from artc.cli.sample import sample
from artc.console import Console
from artc.errors import ArtcError, InputError

app = typer.Typer(
    name="artc",
    help="Compile sampling schedules for your diffusion or flow model, and use them in any sampler.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("compile")(compile_command)
app.command("inspect")(inspect)
app.command("validate")(validate)
app.command("resample")(resample)
app.command("sample")(sample)
app.command("evaluate")(evaluate)
app.command("export")(export)
app.add_typer(models.app, name="models")


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compile sampling schedules for your diffusion or flow model, and use them in any sampler."""
    del debug  # `main` has taken it already, wherever it stood
    if version:
        Console().say(f"artc {__version__}")
    elif context.invoked_subcommand is None:
        Console().say(context.get_help())


def main() -> None:
    """Run the command line: one or two lines for an error, never a traceback unless `--debug` asks for it."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    sys.stdout, sys.stderr = sys.stdout or nowhere(), sys.stderr or nowhere()  # closed before we started, as by `>&-`
    if isinstance(sys.stdout, io.TextIOWrapper):  # a bar of a sparkline that an old code page lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, prog_name="artc", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        if debug:
            raise
        explained = explain(error)
        Console().error(explained)
        code = explained.exit_code
    if code == 130:  # raised above, or answered by Typer, as its version has it
        Console().note("Interrupted; nothing was written.")
    sys.exit(code)


def nowhere() -> TextIO:
    """A stream that shows what it is given to nobody; it takes the number that the next file would have taken."""
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def explain(error: Exception) -> ArtcError:
    """Any error as a sentence, with a hint and an exit code."""
    if isinstance(error, ArtcError):
        return error
    # Typer's usage errors have no public class of their own that is the same in all of its versions.
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        where = "artc" if context is None else context.command_path
        message = error.format_message()
        return InputError(message + "." * message[-1:].isalnum(), hint=f"See {where} --help.")
    if isinstance(error, OSError) and error.strerror:  # a name too long, a device that fails: no fault of artc
        return InputError(f"{error.strerror}: {str(error.filename or '')!r}.")
    hint = "This is a defect of artc: please report it with the output of the same command and --debug."
    return ArtcError(f"{type(error).__name__}: {error}", hint=hint)
