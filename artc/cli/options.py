"""What the commands share: options with one name and one meaning everywhere, and how their values are read."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artc.errors import ArtifactError, BudgetError, InputError

if TYPE_CHECKING:
    from artc.artifact import Artifact

ArtifactPath = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An artifact, such as mine.art.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No tables, no progress.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Labels = Annotated[str, typer.Option(help="Classes to draw from, such as 0,3. Default: all, uniformly.")]
ModelArg = Annotated[
    list[str] | None, typer.Option(help="name=value for the function of MODULE:ATTRIBUTE; may be repeated.")
]


def load(path: Path) -> Artifact:
    """Read an artifact; an ArtifactError names the file."""
    from artc.artifact import read

    try:
        return read(path)
    except ArtifactError as error:
        error.message = f"{path} is not a valid artifact: {error.message}"
        error.hint = error.hint or f"See all that is wrong with artc validate {path}."
        raise


def parse_names(text: str) -> tuple[str, ...]:
    """Turn `edm, logsnr` into names."""
    return tuple(word.strip() for word in text.split(","))


def parse_labels(text: str) -> tuple[int, ...]:
    """Turn `0,3` into classes; nothing means all of them. Raises InputError for what is no whole number."""
    words = parse_names(text) if text else ()
    if not all(word.isdecimal() and len(word) < 9 for word in words):
        raise InputError(f"--labels {text!r} are not whole numbers from 0.", hint="Try --labels 0,3.")
    return tuple(map(int, words))


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that torch or an artifact could not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"A seed is a whole number from 0 to {2**32 - 1}, not {seed}.")


def parse_nfe(text: str) -> tuple[int, ...]:
    """Turn `3,9,13` into numbers; raises BudgetError unless they are different whole numbers from 1 to 1000."""
    budgets: list[int] = []
    for word in parse_names(text):
        value = int(word) if word.isdecimal() and len(word) < 9 else 0
        if not 1 <= value <= 1000:
            raise BudgetError(f"--nfe {word!r} is not a whole number from 1 to 1000.", hint="Try --nfe 3,9,13.")
        if value in budgets:
            raise BudgetError(f"--nfe {value} is given twice.", hint="Give each once.")
        budgets.append(value)
    return tuple(budgets)


def parse_arguments(words: list[str] | None) -> dict[str, Any]:
    """`size=64` as {"size": 64}: numbers, tuples, true, false and none as Python's, anything else as text."""
    arguments: dict[str, Any] = {}
    for word in words or []:
        name, equals, text = word.partition("=")
        if not (equals and name.isidentifier()) or name in arguments:
            twice = " is given twice." if name in arguments else " is not of the form name=value."
            raise InputError(f"--model-arg {word!r}{twice}", hint="Such as --model-arg size=64.")
        arguments[name] = _value(text)
    return arguments


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if _is_plain(value) else text


def _is_plain(value: Any) -> bool:
    """A number that an artifact can record, or a tuple or list of such."""
    if isinstance(value, (tuple, list)):
        return all(not isinstance(item, (tuple, list)) and _is_plain(item) for item in value)
    return isinstance(value, str) or (isinstance(value, (int, float)) and abs(value) < 2**53)
