"""Drawing samples with a schedule of an artifact, and with baselines from the same noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Schedule
from artc.models.score_model import Probe, ScoreModel
from artc.sampling.grids import grid_for
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample


def draw(
    model: ScoreModel, schedule: Schedule, *, compare: tuple[str, ...], count: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Samples `(count, *S)` of the schedule, named `compiled`, and of each baseline, all from one noise.

    The network is shown the schedule's model sigmas where it has them.

    Raises UnknownNameError for a grid that does not exist.
    """
    grids = {name: grid_for(name, schedule.steps, model.info).tolist() for name in compare}
    fields, solver, latents = Probe(model).on, find_solver(schedule.solver), model.latents(count, seed)
    ours = sample(fields, latents, schedule.sigmas, solver, model_sigmas=schedule.model_sigmas)
    theirs = {name: sample(fields, latents, sigmas, solver) for name, sigmas in grids.items()}
    return {name: samples.cpu().numpy() for name, samples in {"compiled": ours, **theirs}.items()}
