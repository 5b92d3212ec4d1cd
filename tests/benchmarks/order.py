"""Fitted order of convergence of every solver on the exact Gaussian trajectory, in float64.

The steps are equal in ln sigma, where iPNDM, whose order is that on steps equal in sigma, is of order 2.
"""

from __future__ import annotations

import numpy as np
import torch

from artc.artifact import BUDGETS
from artc.models.analytic import Gaussian
from artc.sampling.solvers import SOLVERS, Solver
from artc.sampling.trajectories import walk

from .record import record, show

SIGMA_MAX, SIGMA_END = 20.0, 0.05
STEPS = (32, 64, 128, 256)


def end_error(solver: Solver, steps: int) -> float:
    """Distance from the exact solution at sigma = 0.05 after so many log-spaced steps from sigma = 20."""
    model = Gaussian(mean=0.3, std=0.5)
    start = torch.tensor([[25.0], [-7.0]], dtype=torch.float64)
    grid = np.geomspace(SIGMA_MAX, SIGMA_END, steps + 1).tolist()

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return model(x, torch.full((len(x),), sigma, dtype=x.dtype))

    x = start
    for visit in walk(denoise, x, grid, solver):
        x = visit.x
    return float((x - model.trajectory(start, SIGMA_MAX, SIGMA_END)).abs().max())


def fitted_order(solver: Solver) -> float:
    """Slope of log error over log number of steps, its sign changed."""
    errors = [end_error(solver, steps) for steps in STEPS]
    return -float(np.polyfit(np.log(STEPS), np.log(errors), 1)[0])


def run() -> None:
    """Fit the order of each solver."""
    results = [{"solver": name, "order": BUDGETS[name].order, "fitted": fitted_order(s)} for name, s in SOLVERS.items()]
    rows = [(str(r["solver"]), str(r["order"]), f"{r['fitted']:.3f}") for r in results]
    show("Order of convergence", ("solver", "order", "fitted"), rows)
    record("order", {"sigma_max": SIGMA_MAX, "sigma_end": SIGMA_END, "steps": STEPS, "results": results})


if __name__ == "__main__":
    run()
