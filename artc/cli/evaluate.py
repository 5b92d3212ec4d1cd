"""`artc evaluate`: how good an artifact's schedules are on their own model, beside grids that cost the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artc.cli.options import (
    ArtifactPath,
    AsJson,
    Device,
    Labels,
    ModelArg,
    Quiet,
    load,
    parse_arguments,
    parse_labels,
    parse_names,
    parse_nfe,
)
from artc.console import Console
from artc.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from artc.artifact import Artifact
    from artc.evaluation.reported import EvaluationReport


def evaluate(
    path: ArtifactPath,
    against: Annotated[
        str,
        typer.Option(
            help="Hand-made grids, and methods that learn first, such as edm,gits,dmn. Default: all hand-made."
        ),
    ] = "",
    metric: Annotated[str, typer.Option(help="endpoint, frechet, or both with a comma.")] = "endpoint",
    nfe: Annotated[str, typer.Option(help="Denoiser calls, such as 3,9. Default: those of the artifact.")] = "",
    solver: Annotated[str, typer.Option(help="Such as heun,dpmpp_2m. Default: those of the artifact.")] = "",
    samples: Annotated[int, typer.Option(help="Noises of the end-point error; no compilation drew them.")] = 256,
    fid_samples: Annotated[int, typer.Option(help="Noises of the Frechet distance.")] = 10_000,
    teacher_steps: Annotated[int, typer.Option(help="Heun steps of the reference.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of the noises.")] = 0,
    device: Device = "auto",
    labels: Labels = "",
    model: Annotated[str | None, typer.Option(help="Where the model is now. Default: as the artifact says.")] = None,
    model_arg: ModelArg = None,
    features: Annotated[
        str | None,
        typer.Option(help="lenet, resnet, inception[:WEIGHTS], or your own as FILE.pt (TorchScript) or FILE.onnx."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Real images or their mu and sigma, .npz. Default: the teacher's samples.")
    ] = None,
    require_win: Annotated[
        bool, typer.Option("--require-win", help="Exit 1 if any baseline has a lower value, by however little.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Picture of the values against NFE: .png, .svg or .pdf.")] = None,
    grid: Annotated[Path | None, typer.Option(help="Picture of samples side by side: .png, .svg or .pdf.")] = None,
    report: Annotated[Path | None, typer.Option(help="All of it as one page, .html.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the report if it exists.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure schedules on their own model, beside other grids.

    Exit code 1 with --require-win if any schedule has lost, 2 if nothing could be measured.
    """
    from artc.evaluation.plan import Plan

    console = Console(json=as_json, quiet=quiet)
    plan = Plan(
        metrics=parse_names(metric),
        against=parse_names(against) if against else (),
        nfe=parse_nfe(nfe) if nfe else (),
        solvers=parse_names(solver) if solver else (),
        samples=samples,
        images=fid_samples,
        seed=seed,
        teacher_steps=teacher_steps,
    )
    chosen, arguments = parse_labels(labels), parse_arguments(model_arg)
    try:
        artifact = load(path)
    except ArtifactError as error:
        error.exit_code = 2  # 1 is the verdict on what was measured, and nothing was
        raise
    check_outputs(artifact, plot, grid, report, force=force)

    from artc.evaluation.evaluating import evaluation_steps, prepared
    from artc.evaluation.features import find_features
    from artc.evaluation.scoring import staged
    from artc.models.score_model import pick_device
    from artc.models.sources import model_for, source_of

    real = prepared(artifact, plan, features, reference)
    loaded = model_for(artifact, source_of(artifact, model, arguments), pick_device(device), chosen)
    seen = find_features(features, artifact.model, loaded.device) if "frechet" in plan.metrics else None
    from artc.evaluation.drawing import draw_rows, spread
    from artc.evaluation.endpoint import Teacher
    from artc.evaluation.error_plot import plot_drawn, plot_evaluation, square
    from artc.evaluation.noises import all_latents
    from artc.progress import drain

    with console.progress() as show:
        found = drain(evaluation_steps(artifact, loaded, plan, features=seen, reference=real), show)
        drawn = []
        if grid is not None or (report is not None and is_image(artifact)):
            latents = all_latents(loaded, square(plan.samples), plan.seed)
            rows, teacher = spread(found.rows, 8), Teacher(steps=plan.teacher_steps)
            drawn = drain(staged("samples", draw_rows(loaded, rows, latents, teacher)), show)
    for notice in found.notices:
        console.warn(notice)
    present(console, found)
    written = {"plot": plot, "grid": grid, "report": report}
    if plot is not None:
        plot_evaluation(found, plot)
    if grid is not None:
        plot_drawn(drawn, grid)
    if report is not None:
        from artc.artifact.writing import write_whole
        from artc.evaluation.report import page

        write_whole(report, page(found, drawn).encode(), force=force)
    files = {name: str(file) for name, file in written.items() if file is not None}
    for file in files.values():
        console.say(f"wrote {file}")
    console.document({"path": str(path), **found.facts(), "files": files})
    if require_win and found.losses:
        raise typer.Exit(1)


def check_outputs(
    artifact: Artifact, plot: Path | None, grid: Path | None, report: Path | None, *, force: bool
) -> None:
    """Refuse what could not be written, before there is work to lose."""
    from artc.artifact.writing import check_writable
    from artc.evaluation.plots import check_picture_path

    for picture in (plot, grid):
        if picture is not None:
            check_picture_path(picture)
    if grid is not None and not is_image(artifact):
        sizes = " x ".join(map(str, artifact.model.shape))
        raise InputError(f"Samples of shape {sizes} are not images.", hint="Leave out --grid.")
    if report is not None:
        if report.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"{str(report)!r} is no page.", hint="End it in .html.")
        check_writable(report, force=force)


def is_image(artifact: Artifact) -> bool:
    """Whether samples of the model can be shown."""
    shape = artifact.model.shape
    return len(shape) == 3 and shape[0] in (1, 3)


def present(console: Console, found: EvaluationReport) -> None:
    """Print what was found: how it was measured, a table for each metric, the verdict and each loss."""
    from artc.evaluation.reported import condition_facts, endpoint_table, frechet_table, verdict

    count = "1 schedule" if len(found.rows) == 1 else f"{len(found.rows)} schedules"
    console.say(f"{found.artifact.model.name}: {count} by {found.artifact.provenance.method}")
    console.facts(condition_facts(found))
    if "endpoint" in found.conditions:
        columns, rows, best = endpoint_table(found)
        console.table(columns, rows, best, keys=2)
    if "frechet" in found.conditions:
        columns, rows, best = frechet_table(found)
        console.table(columns, rows, best, keys=2)
    console.say(verdict(found))
    for loss in found.losses:
        console.say(f"  {loss}")
