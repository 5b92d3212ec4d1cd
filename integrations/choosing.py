"""Which schedule of an artifact a host's sampler is given, and which part of it. Torch is not needed for that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from artc.artifact import Artifact, Schedule, nfe_of, read
from artc.errors import ArtifactError, InputError

from .fitting import tail
from .samplers import AnySampler, find_sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AnyArtifact = Artifact | str | os.PathLike[str]
"""An artifact, or the path of one: reading a file that was read before takes microseconds."""


def opened(artifact: AnyArtifact) -> Artifact:
    """The artifact itself; raises what `artc.load` raises, with the name of the file."""
    if isinstance(artifact, Artifact):
        return artifact
    try:
        return read(artifact)
    except ArtifactError as error:
        error.message = f"{os.fspath(artifact)} is not a valid artifact: {error.message}"
        raise


def schedule_for(
    artifact: AnyArtifact,
    sampler: AnySampler,
    *,
    nfe: int | None = None,
    steps: int | None = None,
    resample: bool = False,
    solver: str | None = None,
) -> Schedule:
    """The schedule for a sampler of k-diffusion or ComfyUI: exactly this NFE, or this number of steps.

    It is one for the solver that the sampler is; where the artifact holds none of this budget, one for its relative.
    `solver` says which of the two, or that of a host that can be set to several.

    Raises BudgetError for a budget that the sampler cannot make, or that the artifact does not hold (with `resample` it
    is then read from the warp); InputError for a sampler that takes no grid.
    """
    artifact, known = opened(artifact), find_sampler(sampler)
    if nfe is not None:
        # What the sampler spends on a grid need not be what the solver spends on it that it is a relative of.
        cost = artifact.model.cost
        nfe = nfe_of(known.solver, known.steps_for(nfe, cost), cost)
    solvers = known.solvers if solver is None else (solver,)
    return artifact.schedule(nfe, held_for(artifact, solvers, nfe, steps), steps=steps, resample=resample)


def held_for(artifact: Artifact, solvers: Sequence[str], nfe: int | None = None, steps: int | None = None) -> str:
    """The first of these solvers that there is a schedule for: of this budget, else of any; else the first of all."""
    every = [one for one in artifact.schedules if one.solver in solvers]
    right = [one for one in every if nfe in (None, one.nfe) and steps in (None, one.steps)]
    held = {one.solver for one in right or every}
    return next((solver for solver in solvers if solver in held), solvers[0])


def walked(schedule: Schedule, denoise: float) -> tuple[float, ...]:
    """The grid of a schedule with its trailing 0, or its last round(steps * denoise) steps.

    Raises InputError for a `denoise` outside [0, 1], or one that leaves no step.
    """
    kept = tail(schedule.sigmas, denoise)
    if not kept:
        raise InputError(
            f"denoise = {denoise:g} leaves no step of {schedule.steps}.",
            hint=f"One step is denoise = {1 / schedule.steps:.3g}.",
        )
    return kept


def sigmas_for(
    artifact: AnyArtifact,
    sampler: AnySampler,
    *,
    nfe: int | None = None,
    steps: int | None = None,
    resample: bool = False,
    denoise: float = 1.0,
) -> NDArray[np.float64]:
    """The grid of `schedule_for` as float64, or the part of it that `walked` gives; raises what both raise.

    The budget is that of the whole grid.
    """
    import numpy as np

    found = schedule_for(artifact, sampler, nfe=nfe, steps=steps, resample=resample)
    return np.asarray(walked(found, denoise), dtype=np.float64)
