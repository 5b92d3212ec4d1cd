"""`artc compile`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artc.cli.options import AsJson, Device, Force, Quiet, check_seed, parse_names, parse_nfe
from artc.console import Console, show_artifact


def compile_command(
    model: Annotated[str, typer.Option(help="A name of `artc models list`.")],
    nfe: Annotated[str, typer.Option(help="Denoiser calls per sample, one schedule each, such as 3,9,13.")],
    solver: Annotated[str, typer.Option(help="euler, heun, rk4 or dpmpp_2m; several with commas.")] = "heun",
    method: Annotated[str, typer.Option(help="art-rl, closed-form or dp.")] = "art-rl",
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    device: Device = "auto",
    trajectories: Annotated[int, typer.Option(help="Trajectories to learn from; 128 calls each.")] = 256,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: MODEL.art.json.")] = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn schedules for a model and write them to an artifact."""
    console = Console(json=as_json, quiet=quiet)
    path = output or Path(f"{model.replace(':', '-').replace('/', '-')}.art.json")
    budgets, solvers = parse_nfe(nfe), parse_names(solver)
    check_seed(seed)
    # What can be refused is refused here, most of it before torch is loaded and all before there is work to lose.
    from artc.artifact import steps_for
    from artc.artifact.writing import check_writable
    from artc.models.registry import find

    entry = find(model)
    for name in solvers:
        for budget in budgets:
            steps_for(name, budget)
    check_writable(path, force=force)

    from artc.evaluation.summary import summary
    from artc.models.score_model import pick_device
    from artc.pipeline import compile_steps
    from artc.progress import drain
    from artc.request import Request

    request = Request(nfe=budgets, solvers=solvers, method=method, seed=seed, trajectories=trajectories)
    loaded = entry.load(pick_device(device))
    with console.progress() as show:
        artifact = drain(compile_steps(loaded, request), show)
    artifact.save(path, force=force)
    show_artifact(console, artifact)
    console.say(f"wrote {path}")
    console.document({"path": str(path), **summary(artifact)})
