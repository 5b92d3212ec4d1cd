"""Where to learn the clock of a flow model: on the unscaled path x, or on its own x_s = x / (1 + sigma).

The stiffness of x_s is that of x times 1 - s, so the two closed forms differ. Three models of the first kind are
sampled as flow models, from s = 80/81, with both, and the end points held against a fine solution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from artc.artifact import Coordinate, Schedule, steps_for
from artc.evaluation.endpoint import Teacher, compare
from artc.learning.closed_form import closed_form
from artc.learning.objective import Energy, energy_of
from artc.models.domains import domain_sigma, domain_warp
from artc.models.registry import find
from artc.models.score_model import Probe, ScoreModel
from artc.progress import drain
from artc.sampling.bank import build_bank

from .record import record, show

MODELS = ("mixture-1d", "mixture-64d", "mnist")
SOLVERS = ("euler", "heun", "dpmpp_2m")
NFES = (3, 5, 9, 13)
TRAJECTORIES, CHECKS, SEED = 128, 128, 20261122


@dataclass(frozen=True)
class Flow:
    """D_flow(x_s; s) = D(x_s / (1 - s); s / (1 - s))."""

    model: ScoreModel

    def __call__(self, x: Tensor, s: Tensor, /) -> Tensor:
        kept = (1 - s).reshape(-1, *[1] * (x.ndim - 1))
        return self.model.on(None)(x / kept, s / (1 - s))


def as_flow(model: ScoreModel) -> ScoreModel:
    """A model of the first kind written as a flow model."""
    low, high = domain_sigma([model.info.sigma_min, model.info.sigma_max], "flow").tolist()
    info = replace(model.info, domain="flow", sigma_min=low, sigma_max=high)
    return replace(model, denoiser=Flow(model), info=info)


def run() -> None:
    """Measure both clocks on every model, solver and budget."""
    results = []
    for name in MODELS:
        model = find(name).load(torch.device("cpu"))
        flow, low, high = as_flow(model), model.info.sigma_min, model.info.sigma_max
        latents = model.latents(TRAJECTORIES, seed=0)
        bank = drain(build_bank(Probe(model).on, latents, sigma_min=low, sigma_max=high))
        energy = energy_of(bank, Coordinate(low, high))
        middle = energy.coordinate.sigma((np.arange(energy.cells.shape[1]) + 0.5) / energy.cells.shape[1])
        scaled = Energy(coordinate=energy.coordinate, cells=energy.cells / (1 + middle))
        for path, learned_on in (("x", energy), ("x_s", scaled)):
            warp = domain_warp(closed_form(learned_on), flow.info)
            schedules = {}
            for solver in SOLVERS:
                for nfe in NFES:
                    steps = steps_for(solver, nfe)
                    grid = warp.baked(steps)
                    schedules[solver, nfe] = Schedule(
                        solver=solver, nfe=nfe, steps=steps, sigmas=grid, origin="closed-form"
                    )
            checks = flow.latents(CHECKS, SEED)
            errors = drain(compare(Probe(flow).on, checks, flow.info, schedules, Teacher(steps=96)))
            for (solver, nfe), found in errors.items():
                error = found["schedule"]
                facts = {"model": name, "path": path, "solver": solver, "nfe": nfe}
                results.append({**facts, "error": error.value, "stderr": error.stderr})
    rows, ratios = [], []
    for entry in results:
        if entry["path"] == "x":
            key = {**entry, "path": "x_s"}
            other = next(r for r in results if all(r[k] == key[k] for k in ("model", "path", "solver", "nfe")))
            ratios.append(entry["error"] / other["error"])
            cells = (f"{entry['error']:.4f}", f"{other['error']:.4f}", f"{ratios[-1]:.2f}")
            rows.append((entry["model"], entry["solver"], str(entry["nfe"]), *cells))
    show("A flow model's clock, learned on x and on x_s", ("model", "solver", "NFE", "on x", "on x_s", "ratio"), rows)
    mean = float(np.exp(np.mean(np.log(ratios))))
    summary = {"geometric_mean_ratio": mean, "better_on_x": sum(ratio < 1 for ratio in ratios), "cells": len(ratios)}
    record("domains", {"trajectories": TRAJECTORIES, "noises": CHECKS, "seed": SEED, **summary, "results": results})


if __name__ == "__main__":
    run()
