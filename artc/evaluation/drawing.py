"""Drawing samples with a schedule of an artifact, and with baselines from the same noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Artifact, Schedule
from artc.models.registry import model_of
from artc.models.score_model import Probe, pick_device
from artc.sampling.grids import baseline
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample


def draw(
    artifact: Artifact, schedule: Schedule, *, compare: tuple[str, ...], count: int, seed: int, device: str
) -> dict[str, NDArray[np.float64]]:
    """Samples `(count, *S)` of the schedule, named `compiled`, and of each baseline, all from one noise.

    Raises UnknownNameError for a grid that does not exist and InputError for a model that artc cannot load.
    """
    info = artifact.model
    grids = {name: baseline(name, schedule.steps, info.sigma_min, info.sigma_max).tolist() for name in compare}
    model = model_of(info, pick_device(device))
    denoise, solver, noise = Probe(model), find_solver(schedule.solver), model.noise(count, seed)
    return {
        name: sample(denoise, noise, sigmas, solver).cpu().numpy()
        for name, sigmas in {"compiled": schedule.sigmas, **grids}.items()
    }
