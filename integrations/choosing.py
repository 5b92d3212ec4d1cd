"""Which schedule of an artifact a host's sampler is given."""

from __future__ import annotations

import os

from artc.artifact import Artifact, Schedule, read

from .samplers import find_sampler

AnyArtifact = Artifact | str | os.PathLike[str]
"""An artifact, or the path of one: reading a file that was read before takes microseconds."""


def opened(artifact: AnyArtifact) -> Artifact:
    """The artifact itself; raises what `artc.load` raises."""
    return artifact if isinstance(artifact, Artifact) else read(artifact)


def schedule_for(
    artifact: AnyArtifact, sampler: str, *, nfe: int | None = None, steps: int | None = None, resample: bool = False
) -> Schedule:
    """The schedule for a sampler by its name in k-diffusion or ComfyUI: exactly this NFE, or this number of steps.

    Raises BudgetError for a budget that the sampler cannot make, or that the artifact does not hold (with `resample` it
    is then read from the warp); InputError for a sampler that takes no grid.
    """
    artifact, known = opened(artifact), find_sampler(sampler)
    if nfe is not None and steps is None:
        steps, nfe = known.steps_for(nfe, artifact.model.cost), None
    return artifact.schedule(nfe, known.solver, steps=steps, resample=resample)
