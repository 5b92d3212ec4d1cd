"""`artc export`: the numbers of one schedule as the text that a host takes, for whoever has no adapter there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artc.cli.options import ArtifactPath, AsJson, Force, load
from artc.console import Console
from artc.errors import InputError

MOST = 1000


def export(
    path: ArtifactPath,
    to: Annotated[str, typer.Option(help="edm, k-diffusion, comfyui, diffusers, a1111 or csv.")],
    nfe: Annotated[int | None, typer.Option(min=1, max=MOST, help="Denoiser calls per sample; or --steps.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=MOST, help="Steps of the solver; or --nfe.")] = None,
    solver: Annotated[str | None, typer.Option(help="Default: the artifact's only solver.")] = None,
    resample: Annotated[bool, typer.Option("--resample", help="Read a budget that is missing from the warp.")] = False,
    denoise: Annotated[float, typer.Option(help="Only the last part of the steps, for image-to-image.")] = 1.0,
    shift: Annotated[
        float | None, typer.Option(help="Shift of the host's flow scheduler. Default: the artifact's, else 1.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="For timesteps: sd, ddpm, or a scheduler_config.json. Default: sd.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file for the text. Default: print it.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Print a schedule as the numbers that another program takes.

    The numbers alone are on stdout; where they go, and what that program does to them, is on stderr.
    """
    from artc.artifact.writing import write_whole
    from artc.integrations import exporting

    console = Console(json=as_json)
    artifact = load(path)
    made = exporting.export(
        artifact,
        to,
        nfe=nfe,
        steps=steps,
        solver=solver,
        resample=resample,
        denoise=denoise,
        shift=shift,
        table=table,
    )
    if output is not None:
        if output.exists() and output.samefile(path):
            raise InputError(f"{str(output)!r} is the artifact itself.", hint="Choose another name.")
        write_whole(output, f"{made.text}\n".encode(), force=force)
    if not as_json:  # there they are in the document
        console.note(made.headline)
        for name, said in made.notes:
            console.note(f"  {name:<9}  {said}")
    console.say(made.text if output is None else f"wrote {output}")
    console.document({"path": None if output is None else str(output), "artifact": str(path), **made.document()})
