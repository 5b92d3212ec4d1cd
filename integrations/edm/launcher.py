"""The programs of EDM and EDM2 as they are, on the grid of an artifact:

    python -m artc.integrations.edm mine.art.json --nfe 9 -- edm/generate.py --network=net.pkl --outdir=out --seeds=0-7

What stands after `--` is the command line as it would be without artc. The file is imported, not changed, and the one
function in it that draws samples is replaced before its own command line runs; see `programs.py`. Options that shape a
grid would be without effect, or take the steps in a time other than sigma: they are refused.

The program itself unpickles the network, which runs code out of that file, as it does without artc.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from artc.errors import ArtcError, InputError

from ..choosing import opened, schedule_for
from ..fitting import check_domain
from ..samplers import OWN
from .programs import PROGRAMS, REFUSED, Launch


def main(argv: Sequence[str] | None = None) -> None:
    """The command line: ours up to `--`, the program's own after it. Exits as the program does, or with a sentence."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    parser = _parser()
    options, command = parser.parse_args(words[:cut]), words[cut + 1 :]
    if not command:
        parser.error("which program? Give its path and its own options after --.")
    try:
        _run(options, Path(command[0]), command[1:])
    except ArtcError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m artc.integrations.edm",
        usage="%(prog)s ARTIFACT (--nfe N | --steps N) [options] -- path/to/generate.py [its own options]",
        description="Run generate.py of NVlabs/edm, or generate_images.py of NVlabs/edm2, on the grid of an artifact.",
        epilog="The program's own --steps is filled in. In all else it runs as it does by itself.",
    )
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file *.art.json")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--nfe", type=int, metavar="N", help="denoiser calls for each image")
    budget.add_argument("--steps", type=int, metavar="N", help="steps of the grid")
    parser.add_argument("--solver", choices=OWN, default="heun", help="EDM has heun (the default) and euler")
    parser.add_argument("--resample", action="store_true", help="read a budget that is not held from the warp")
    return parser


def _run(options: argparse.Namespace, script: Path, arguments: list[str]) -> None:
    artifact = opened(options.artifact)
    check_domain(artifact.model, "ve", "EDM")
    schedule = schedule_for(artifact, options.solver, nfe=options.nfe, steps=options.steps, resample=options.resample)
    churn, say = _checked(script, arguments, schedule.steps), functools.cache(_note)
    program = _imported(script)
    prepare = next((prepare for names, prepare in PROGRAMS if names <= vars(program).keys()), None)
    if prepare is None:
        raise InputError(f"{str(script)!r} is neither generate.py of EDM nor generate_images.py of EDM2.")
    launch = Launch(artifact=artifact, schedule=schedule, resample=options.resample, churn=churn, say=say)
    entry, more = prepare(program, launch)
    ends = f"{schedule.sigmas[0]:g} to {schedule.sigmas[-2]:g} and 0"
    say(f"{artifact.model.name}, {schedule.solver}, NFE {schedule.nfe}: {schedule.steps} steps, sigma = {ends}")
    sys.argv = [str(script), f"--steps={schedule.steps}", *more, *arguments]
    entry()


def _checked(script: Path, arguments: list[str], steps: int) -> float:
    """The S_churn that the program is asked for; raises InputError for what does not go with a schedule."""
    # Of the program's options it knows a few, and so has no usage to show.
    parser = argparse.ArgumentParser(script.name, usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)
    for flag in ("--steps", "--S_churn", *REFUSED):
        parser.add_argument(flag, dest=flag)
    given = vars(parser.parse_known_args(arguments)[0])
    for flag, reason in REFUSED.items():
        if given[flag] is not None:
            raise InputError(f"{flag} does not go with a schedule: {reason}.", hint="Leave it out.")
    if given["--steps"] not in (None, str(steps)):
        raise InputError(f"--steps={given['--steps']}, and the schedule has {steps} steps.", hint="Leave it out.")
    try:
        return float(given["--S_churn"] or 0)
    except ValueError:
        raise InputError(f"--S_churn={given['--S_churn']} is not a number.") from None


def _imported(script: Path) -> ModuleType:
    """The program as a module, with its own folder first on the path, as when it is run."""
    spec = importlib.util.spec_from_file_location(script.stem, script) if script.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(f"There is no Python file {str(script)!r}.", hint="Give the path of generate.py.")
    sys.path.insert(0, str(script.resolve().parent))
    module = sys.modules[script.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        hint = "Use the environment in which it runs by itself, with artc installed."
        raise InputError(f"{str(script)!r} cannot be imported: {error}.", hint=hint) from None
    return module


def _note(sentence: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # as torchrun numbers its processes
        sys.stderr.write(f"artc: {sentence}\n")
