"""`artc inspect`, `validate` and `resample`: what is done to an artifact alone, without its model and without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artc.cli.options import ArtifactPath, AsJson, Force, load, parse_nfe
from artc.console import Console, show_artifact


def inspect(
    path: ArtifactPath,
    plot: Annotated[Path | None, typer.Option(help="Write a picture: .png, .svg or .pdf.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in an artifact, readable in five seconds."""
    from artc.evaluation.summary import summary

    console = Console(json=as_json)
    artifact = load(path)
    if plot is not None:
        from artc.evaluation.plots import plot_artifact

        plot_artifact(artifact, plot)
        console.note(f"wrote {plot}")
    show_artifact(console, artifact, details=True)
    console.document(summary(artifact))


def validate(path: ArtifactPath, as_json: AsJson = False) -> None:
    """Check that an artifact is what it says.

    First its schema, then its digest and its meaning; every violation with its JSON path.
    """
    from artc.artifact import violations

    console = Console(json=as_json)
    found = violations(path)
    console.say(f"{path} is {'not ' if found else ''}valid.")
    for violation in found:
        console.say(f"  {violation} [{violation.code}]")
    defects = [{"code": one.code, "path": one.path, "message": one.message, "hint": one.hint} for one in found]
    console.document({"path": str(path), "valid": not found, "violations": defects})
    if found:
        raise typer.Exit(1)


def resample(
    path: ArtifactPath,
    nfe: Annotated[str, typer.Option(help="Denoiser calls per sample, one schedule each, such as 7,11.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The artifact to write.")],
    solver: Annotated[str | None, typer.Option(help="Default: the artifact's only solver.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Add schedules of other budgets, read from the artifact's warp."""
    from artc.evaluation.summary import summary

    console = Console(json=as_json)
    artifact = load(path).resampled(parse_nfe(nfe), solver).sealed()
    artifact.save(output, force=force)
    show_artifact(console, artifact)
    console.say(f"wrote {output}")
    console.document({"path": str(output), **summary(artifact)})
