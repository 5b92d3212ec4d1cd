"""Drawing samples with a schedule of an artifact, and with baselines from the same noise."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import Schedule
from artc.evaluation.endpoint import Teacher
from artc.evaluation.reported import Row
from artc.models.score_model import Latents, Probe, ScoreModel
from artc.progress import Progress, shifted
from artc.sampling.grids import grid_for
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample, sample_steps


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


Drawn = tuple[Row, dict[str, NDArray[np.float64]]]
"""A measured schedule, and samples `(n, *S)` of the teacher, of itself and of its baselines from the same noises."""


def draw_rows(
    model: ScoreModel, rows: Sequence[Row], latents: Latents, teacher: Teacher
) -> Generator[Progress, None, list[Drawn]]:
    """Samples of measured schedules and their baselines, and of the teacher, all from the same noises."""
    fields, steps = Probe(model).on, teacher.steps
    done, total = 0, len(latents) * (steps + sum(row.schedule.steps * len(row.grids) for row in rows))

    def walked(
        sigmas: Sequence[float], solver: str, shown: Sequence[float] | None = None
    ) -> Generator[Progress, None, NDArray[np.float64]]:
        nonlocal done
        worth = len(latents) * (len(sigmas) - 1)
        walk = sample_steps(fields, latents, sigmas, find_solver(solver), model_sigmas=shown)
        reached: Tensor = yield from shifted(walk, done, total, worth=worth)
        done += worth
        drawn: NDArray[np.float64] = reached.cpu().numpy()
        return drawn

    taught = yield from walked(teacher.sigmas(model.info), teacher.solver)
    found: list[Drawn] = []
    for row in rows:
        panels = {f"teacher, {teacher.calls} calls": taught}
        for scored in row.grids:
            panels[scored.name] = yield from walked(scored.sigmas, row.schedule.solver, scored.model_sigmas)
        found.append((row, panels))
    return found


def spread(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many of the rows, evenly spaced, the first and the last among them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / (most - 1))] for place in range(most)]
