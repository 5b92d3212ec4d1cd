"""`artc sample`: draw samples with an artifact's own model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artc.cli.options import (
    ArtifactPath,
    AsJson,
    Device,
    Labels,
    ModelArg,
    Quiet,
    check_seed,
    load,
    parse_arguments,
    parse_labels,
    parse_names,
)
from artc.console import Console


def sample(
    path: ArtifactPath,
    nfe: Annotated[int, typer.Option(help="Denoiser calls per sample.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A picture (.png, .svg, .pdf), or numbers (.npz).")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Samples to draw.")] = 64,
    solver: Annotated[str | None, typer.Option(help="Default: the artifact's only solver.")] = None,
    compare: Annotated[str, typer.Option(help="Grids to put beside it, such as edm or edm,logsnr.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    device: Device = "auto",
    labels: Labels = "",
    model: Annotated[str | None, typer.Option(help="Where the model is now. Default: as the artifact says.")] = None,
    model_arg: ModelArg = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw samples, beside those of a baseline if wanted."""
    from artc.evaluation.plots import check_samples_path, save_samples
    from artc.models.sources import model_for, source_of

    console = Console(json=as_json, quiet=quiet)
    check_seed(seed)
    chosen, arguments = parse_labels(labels), parse_arguments(model_arg)
    artifact = load(path)
    schedule = artifact.schedule(nfe, solver)
    names = parse_names(compare) if compare else ()
    check_samples_path(output, artifact.model.shape)
    source = source_of(artifact, model, arguments)

    from artc.evaluation.drawing import draw
    from artc.models.score_model import pick_device

    loaded = model_for(artifact, source, pick_device(device), chosen)
    for notice in loaded.notices:
        console.warn(notice)
    panels = draw(loaded, schedule, compare=names, count=count, seed=seed)
    save_samples(panels, output)
    shown = "" if schedule.model_sigmas is None else ", with model sigmas"
    console.say(f"wrote {output}: {', '.join(panels)}; {count} samples each, {schedule.solver}, {nfe} calls{shown}")
    facts = {"path": str(output), "panels": list(panels), "count": count, "solver": schedule.solver, "nfe": nfe}
    console.document({**facts, "seed": seed, "model_sigmas": schedule.model_sigmas is not None})
