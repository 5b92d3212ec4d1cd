"""RL against the exact discrete optimum: J_K / J_DP on the time-only Gaussian problem, trained at K itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from artc.artifact import Coordinate
from artc.learning.actor_critic import LearnerConfig, learn
from artc.learning.dynamic_programming import optimal_progress
from artc.learning.objective import energy_of, grid_cost, lower_bound
from artc.learning.rollouts import mean_path
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.bank import build_bank

from .record import record, show

STEPS = (5, 20)
SEEDS = (0, 1, 2)


def run() -> None:
    """Train at each K with each seed, and compare with dynamic programming on the same costs."""
    model = find("gaussian").load(torch.device("cpu"))
    info = model.info
    bank = drain(build_bank(Probe(model).on, model.latents(64, 0), sigma_min=info.sigma_min, sigma_max=info.sigma_max))
    energy = energy_of(bank, Coordinate(info.sigma_min, info.sigma_max))
    results = []
    for steps in STEPS:
        best = grid_cost(energy, optimal_progress(energy, steps))
        for seed in SEEDS:
            trained = drain(learn(energy, replace(LearnerConfig(), steps=steps), seed))
            cost = grid_cost(energy, mean_path(trained.actor, np.linspace(0.0, 1.0, steps + 1)))
            bound = lower_bound(energy)
            results.append(
                {"steps": steps, "seed": seed, "J": cost, "J_DP": best, "J_star": bound, "ratio": cost / best}
            )
    rows = [
        (str(r["steps"]), str(r["seed"]), *(f"{r[key]:.4f}" for key in ("J", "J_DP", "J_star", "ratio")))
        for r in results
    ]
    show("RL against dynamic programming, Gaussian data", ("K", "seed", "J", "J_DP", "J*", "J / J_DP"), rows)
    record("dynamic_programming", {"model": "gaussian", "cells": len(energy.mean), "results": results})


if __name__ == "__main__":
    run()
