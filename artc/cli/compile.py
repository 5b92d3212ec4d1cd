"""`artc compile`: the main job."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artc.cli.models import fetch
from artc.cli.options import (
    AsJson,
    Device,
    Labels,
    ModelArg,
    Quiet,
    check_seed,
    parse_arguments,
    parse_labels,
    parse_names,
    parse_nfe,
)
from artc.console import Console, show_artifact
from artc.errors import ArtcError, InputError

if TYPE_CHECKING:
    from artc.artifact import Artifact
    from artc.models.published.catalogue import Published
    from artc.models.score_model import ScoreModel
    from artc.request import Request


def compile_command(
    model: Annotated[
        str,
        typer.Option(help="A name of `artc models list`, edm:FILE.pkl, diffusers:FOLDER, or MODULE:ATTRIBUTE."),
    ],
    nfe: Annotated[str, typer.Option(help="Denoiser calls per sample, one schedule each, such as 3,9,13.")],
    solver: Annotated[
        str,
        typer.Option(
            help="euler, heun, rk4, dpmpp_2m, dpmpp_3m, ipndm_2, ipndm_3, ipndm_4, unipc_2, unipc_3, deis_2 or deis_3; "
            "several with commas."
        ),
    ] = "heun",
    method: Annotated[str | None, typer.Option(help="art-rl, closed-form, dp or paper.", show_default="art-rl")] = None,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper", help="--method paper: as the papers state it, online; slow, to compare, never refined."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    device: Device = "auto",
    effort: Annotated[
        str, typer.Option(help="fast chooses between known grids; default and max also move their nodes.")
    ] = "default",
    trajectories: Annotated[
        int | None, typer.Option(help="Trajectories to learn from; 128 calls each.", show_default="by effort")
    ] = None,
    refine: Annotated[bool, typer.Option(help="Make each schedule for its solver, by its end points.")] = True,
    model_sigmas: Annotated[
        bool, typer.Option("--model-sigmas", help="Also find the sigmas to show the network at each node.")
    ] = False,
    policy: Annotated[
        bool,
        typer.Option("--policy", help="Also learn a clock that reads the state, an ONNX file."),
    ] = False,
    labels: Labels = "",
    guidance: Annotated[
        float | None, typer.Option(help="Scale of classifier-free guidance; every NFE then counts double.")
    ] = None,
    sigma_min: Annotated[float | None, typer.Option(help="Lowest noise level. Default: the model's.")] = None,
    sigma_max: Annotated[float | None, typer.Option(help="Highest noise level. Default: the model's.")] = None,
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float16, for files and folders.")] = "float32",
    model_arg: ModelArg = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: MODEL.art.json.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a compile that was stopped or killed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start over unless --resume; replace the output file.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn schedules for a model and write them to an artifact."""
    console = Console(json=as_json, quiet=quiet)
    budgets, solvers, chosen = parse_nfe(nfe), parse_names(solver), parse_labels(labels)
    check_seed(seed)
    if paper and method not in (None, "paper"):
        raise InputError(f"--paper is --method paper, and --method {method} was given too.", hint="Give one of them.")
    # What can be refused is refused here, most of it before torch is loaded and all before there is work to lose.
    from artc.artifact import steps_for
    from artc.artifact.writing import check_writable, policy_beside
    from artc.checkpoints.checkpoint import checkpoint_of, holds_work, refuse_unfinished
    from artc.models.published.catalogue import PUBLISHED
    from artc.models.published.store import present
    from artc.models.ranges import Range
    from artc.models.sources import Source, parse

    kind, place = parse(model)
    within = Range(sigma_min=sigma_min, sigma_max=sigma_max)
    source = Source(kind=kind, place=place, arguments=parse_arguments(model_arg), range=within, precision=precision)
    for name in solvers:
        for budget in budgets:
            steps_for(name, budget, 1 if guidance is None else 2)
    path = output or Path(default_name(kind, place))
    folder = checkpoint_of(path)
    if not (resume or force):
        refuse_unfinished(folder)
    for file in (path, policy_beside(path)) if policy else (path,):
        check_writable(file, force=force or resume)

    from artc.evaluation.diagnostics import troubles
    from artc.evaluation.summary import summary
    from artc.models.score_model import check_precision, pick_device
    from artc.models.sources import load
    from artc.request import requested

    request = requested(
        budgets,
        solvers,
        effort=effort,
        trajectories=trajectories,
        refine=refine,
        method="paper" if paper else method or "art-rl",
        seed=seed,
        policy=policy,
        labels=chosen,
        guidance=guidance,
        model_sigmas=model_sigmas,
    )
    where = pick_device(device)
    if kind == "published":
        check_request(PUBLISHED[place], chosen, guidance)
        check_precision(source.dtype, where)
        if not present(PUBLISHED[place]):
            fetch(console, PUBLISHED[place])
    loaded = load(source, where)
    for notice in loaded.notices:
        console.warn(notice)
    replaced = force and holds_work(folder)  # then the file that is there is an older one
    finished = finished_before(path, loaded, request) if resume and not replaced else None
    artifact = finished or compiled(console, path, loaded, request, resume=resume, force=force)
    show_artifact(console, artifact)
    for trouble in troubles(artifact.provenance.diagnostics):
        console.warn(f"{trouble}.")
    console.say(f"{path} was finished already" if finished else f"wrote {path}")
    console.document({"path": str(path), **summary(artifact)})


def finished_before(path: Path, model: ScoreModel, request: Request) -> Artifact | None:
    """The artifact, if it is there already: a kill may come when all is done but the removal of the checkpoint."""
    from artc.artifact import read
    from artc.checkpoints.checkpoint import checkpoint_of, discard, sweep
    from artc.recording import answers

    try:
        artifact = read(path)
    except ArtcError:
        return None
    if not answers(artifact, model, request):
        return None
    discard(checkpoint_of(path))
    sweep(path)
    return artifact


def compiled(
    console: Console, path: Path, model: ScoreModel, request: Request, *, resume: bool, force: bool
) -> Artifact:
    """Compile and write the artifact, keeping finished work beside it until it is written."""
    from artc.artifact.writing import check_writable, named_for
    from artc.checkpoints.checkpoint import checkpoint_of, holds_work, opened, sweep
    from artc.checkpoints.fingerprint import fingerprint
    from artc.pipeline import compile_steps
    from artc.progress import drain

    folder = checkpoint_of(path)
    check_writable(path, force=force)
    if resume and not holds_work(folder):
        console.note(f"No unfinished compile lies in {str(folder)!r}: this one begins at the start.")
    try:
        with opened(folder, fingerprint(model, request), resume=resume, force=force) as units:
            if resume or force:
                sweep(path)
            with console.progress() as show:
                artifact = named_for(drain(compile_steps(model, request, units), show), path)
            artifact.save(path, force=force)
    except KeyboardInterrupt:
        if not holds_work(folder):
            raise
        console.warn("Stopped; continue with the same command and --resume.")
        raise SystemExit(130) from None
    return artifact


def default_name(kind: str, place: str) -> str:
    """MODEL.art.json, MODEL being the last word of where the model is, as far as it makes a file name."""
    last = place.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem = last.removesuffix(".pkl") if kind == "edm" else last
    word = re.sub(r"[^\w.-]+", "-", stem).strip("-.")
    return f"{word or kind}.art.json"


def check_request(published: Published, labels: tuple[int, ...], guidance: float | None) -> None:
    """Refuse what the model cannot be asked for, before it is fetched."""
    if not published.classes and (labels or guidance is not None):
        raise InputError(f"{published.name} is unconditional: labels and guidance make no sense for it.")
    if any(label >= published.classes for label in labels):
        raise InputError(f"{published.name} has classes 0 to {published.classes - 1}, not {max(labels)}.")
