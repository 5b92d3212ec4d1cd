"""A model of one's own by its Python name, `MODULE:ATTRIBUTE`: a `ScoreModel`, or a function that makes one.

The module is found as `python` would find it from the current folder. Its function gets every `--model-arg name=value`
as a keyword, and the device if it takes one.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import operator
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from artc.errors import ArtcError, InputError
from artc.models.score_model import ScoreModel


def load_python(place: str, arguments: Mapping[str, Any], device: torch.device) -> ScoreModel:
    """Import the module and take or make the model; raises InputError for anything that goes wrong on the way."""
    name, _, attribute = place.partition(":")
    with contextlib.redirect_stdout(sys.stderr):  # what the module prints is no part of what artc prints
        made = _resolve(name, attribute)
        if arguments and not callable(made):
            raise InputError(f"{place} is no function and takes no --model-arg.")
        made = _call(place, made, arguments, device) if callable(made) else made
    if not isinstance(made, ScoreModel):
        raise InputError(
            f"{place} gives {_article(made)}, not an artc.ScoreModel.",
            hint="Let it return artc.score_model(denoiser, shape=..., sigma_min=..., sigma_max=...).",
        )
    source = f"python:{place}"
    title = attribute if made.info.name == "custom" else made.info.name
    info = replace(made.info, name=title, source=source)
    record = {"arguments": dict(arguments)} if arguments else {}
    return replace(made, info=info, record={**made.record, **record})


def _resolve(name: str, attribute: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or one that it imports: two different mistakes.
        whose = "" if name == error.name or name.startswith(f"{error.name}.") else f", which {name} imports"
        raise InputError(
            f"There is no Python module {error.name!r}{whose}.",
            hint="It is looked for in the current folder and among the installed packages.",
        ) from error
    except (Exception, SystemExit) as error:
        raise _blamed(f"Importing {name}", error) from error
    try:
        return operator.attrgetter(attribute)(found)
    except AttributeError as error:
        raise InputError(f"The module {name} has no {attribute!r}.") from error


def _call(place: str, function: Any, arguments: Mapping[str, Any], device: torch.device) -> Any:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none
        signature = inspect.Signature()
    given = dict(arguments)
    if "device" in signature.parameters and "device" not in given:
        given["device"] = device
    try:
        signature.bind(**given)
    except TypeError as error:
        raise InputError(
            f"{place}{signature} cannot be called so: {error}.", hint="Give what it needs with --model-arg name=value."
        ) from error
    try:
        return function(**given)
    except ArtcError:
        raise
    except (Exception, SystemExit) as error:
        raise _blamed(place, error) from error


def _blamed(what: str, error: BaseException) -> InputError:
    """The user's own error in one line, with the place it came from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename}, line {last.lineno}"
    return InputError(f"{what} raised {type(error).__name__}: {error} ({where}).", hint="--debug shows the traceback.")


def _article(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"
