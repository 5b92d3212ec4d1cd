"""From an artifact and the name of a host to the text that is pasted there."""

from __future__ import annotations

import os
from collections.abc import Sequence

from artc.artifact import Schedule, nfe_of
from artc.errors import BudgetError, InputError, UnknownNameError

from ..choosing import AnyArtifact, opened, walked
from .for_diffusers import diffusers
from .for_webuis import a1111
from .lists import comfyui, csv, edm, k_diffusion
from .parts import Export, Grid, Target
from .tables import find_table

TARGETS: dict[str, Target] = {
    "edm": edm,
    "k-diffusion": k_diffusion,
    "comfyui": comfyui,
    "diffusers": diffusers,
    "a1111": a1111,
    "csv": csv,
}
"""By the name of the host."""

SHIFTED = ("diffusers", "a1111")
TABLED = ("diffusers", "a1111")
CUT_BY_HOST = {"diffusers": "strength", "a1111": "Denoising strength"}
"""Hosts that cut a list for image-to-image themselves, and by what."""


def export(
    artifact: AnyArtifact,
    target: str,
    *,
    nfe: int | None = None,
    steps: int | None = None,
    solver: str | None = None,
    resample: bool = False,
    denoise: float = 1.0,
    shift: float | None = None,
    table: str | os.PathLike[str] | None = None,
) -> Export:
    """The schedule of a budget as a host's text; budget, solver and `resample` are as in `Artifact.sigmas`.

    `denoise` below 1 keeps the last part of the grid, for image-to-image. `shift` is that of the host's flow scheduler,
    `table` the timesteps of the host's model: "sd", "ddpm", or the path of a diffusers scheduler_config.json.

    Raises UnknownNameError for a target, solver or table that does not exist, BudgetError for a budget that the
    artifact does not hold, InputError for what makes no sense in that host, and ArtifactError for a bad file.
    """
    if target not in TARGETS:
        raise UnknownNameError("target", str(target), TARGETS)
    artifact = opened(artifact)
    model = artifact.model
    _check(target, flow=model.domain == "flow", denoise=denoise, shift=shift, table=table)
    if nfe is None and steps is None:
        raise BudgetError(
            "Which schedule of the artifact? Give its NFE or its steps.", hint=f"It holds {_held(artifact.schedules)}."
        )
    schedule = artifact.schedule(nfe, solver, steps=steps, resample=resample)
    sigmas, spent = walked(schedule, denoise), schedule.nfe
    if len(sigmas) <= schedule.steps:
        spent = nfe_of(schedule.solver, len(sigmas) - 1, model.cost)
    grid = Grid(
        model=model,
        schedule=schedule,
        sigmas=sigmas,
        nfe=spent,
        denoise=denoise,
        shift=shift,
        table=None if table is None else find_table(table),
    )
    return Export(target=target, grid=grid, printed=TARGETS[target](grid))


def _check(target: str, *, flow: bool, denoise: float, shift: float | None, table: object) -> None:
    """Refuse an option that the target, or this kind of model, has no use for."""
    if denoise != 1 and target in CUT_BY_HOST:
        raise InputError(
            f"{target} cuts the list for image-to-image itself.", hint=f"Set its {CUT_BY_HOST[target]} instead."
        )
    if shift is not None and target not in SHIFTED:
        raise InputError(f"{target} shifts nothing that it is given.", hint="Leave the shift out.")
    if shift is not None and not flow:
        raise InputError("The artifact is of no flow model, and only those have a shift.")
    if table is not None and (flow or target not in TABLED):
        what = "a flow model has no such table" if flow else f"{target} counts in none"
        raise InputError(f"A table is for timesteps, and {what}.", hint="Leave it out.")


def _held(schedules: Sequence[Schedule]) -> str:
    return ", ".join(f"{held.solver} at NFE {held.nfe} ({held.steps} steps)" for held in schedules) or "none"
