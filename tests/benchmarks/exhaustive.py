"""Compiled grids of few steps beside the best grid that there is, found by trying all.

    python -m tests.benchmarks.exhaustive
    python -m tests.benchmarks.exhaustive --model mnist

Every grid of K steps whose free nodes are among `LEVELS` sigmas, evenly spaced in ln sigma, is walked on `SEARCHED`
noises. From the best of them the nodes are moved by a long matching on more noises. What comes of it and what
`artc compile` makes by default are then both measured on 256 noises that neither saw.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import artc
from artc.artifact import Coordinate, nfe_of
from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.evaluation.selection import Noises, residuals_of
from artc.learning.matching import match
from artc.models.registry import find
from artc.models.score_model import Probe, ScoreModel
from artc.progress import drain
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample

from .record import record, show

MODELS, SOLVERS, STEPS = ("mnist", "cifar10"), ("heun", "dpmpp_2m"), (2, 3, 4)
HIGHEST, LOWEST, LEVELS = 40.0, 0.05, 24
SEARCHED, MATCHED, TRIALS = 32, 96, 60
JUDGED, TEACHER_STEPS = 256, 128
SEARCH_SEED, NOISE = 20_261_122, 20_261_124


def best_of_all(model: ScoreModel, solver: str, steps: int, noises: Noises) -> tuple[float, ...]:
    """The best grid of all on the first noises, with its nodes then moved on the others too."""
    probe, rule, levels = Probe(model), find_solver(solver), np.geomspace(HIGHEST, LOWEST, LEVELS).tolist()
    few = noises.part(slice(SEARCHED))

    def error(free: tuple[float, ...]) -> float:
        grid = (model.info.sigma_max, *free, 0.0)
        return endpoint_error(sample(probe.on, few.latents, grid, rule), few.ends).value

    best = min(itertools.combinations(levels, steps - 1), key=error)
    search = match(
        residuals_of(probe.on, noises, solver),
        len(noises.latents),
        (model.info.sigma_max, *best, 0.0),
        Coordinate(model.info.sigma_min, model.info.sigma_max),
        trials=TRIALS,
        floor=model.info.sigma_min,
    )
    return drain(search).sigmas


def compared(name: str, device: str) -> list[dict[str, Any]]:
    """One model: for each solver and number of steps the two errors."""
    model = find(name).load(torch.device(device))
    probe, teacher = Probe(model), Teacher(steps=TEACHER_STEPS)
    searched, judged = model.latents(MATCHED, SEARCH_SEED), model.latents(JUDGED, NOISE)
    noises = Noises(latents=searched, ends=teacher.endpoints(probe.on, searched, model.info))
    ends = teacher.endpoints(probe.on, judged, model.info)
    results = []
    for solver in SOLVERS:
        budgets = [nfe_of(solver, steps) for steps in STEPS]
        artifact = artc.compile(model, nfe=budgets, solver=solver)
        for steps, nfe in zip(STEPS, budgets, strict=True):
            grids = {
                "compiled": artifact.schedule(nfe, solver).sigmas,
                "exhaustive": best_of_all(model, solver, steps, noises),
            }
            made = {
                which: endpoint_error(sample(probe.on, judged, sigmas, find_solver(solver)), ends)
                for which, sigmas in grids.items()
            }
            results.append(
                {
                    "model": name,
                    "solver": solver,
                    "steps": steps,
                    "nfe": nfe,
                    "errors": {which: found.value for which, found in made.items()},
                    "stderrs": {which: found.stderr for which, found in made.items()},
                    "ratio": made["compiled"].value / made["exhaustive"].value,
                    "sigmas": {which: list(sigmas) for which, sigmas in grids.items()},
                }
            )
    return results


def run(models: Sequence[str] = MODELS, device: str = "cpu") -> None:
    """Compare on each model, print and record."""
    results = [result for name in models for result in compared(name, device)]
    rows = [
        (
            *(str(result[key]) for key in ("model", "solver", "steps", "nfe")),
            *(f"{result['errors'][which]:.4f}" for which in ("compiled", "exhaustive")),
            f"{result['ratio']:.3f}",
        )
        for result in results
    ]
    show("Compiled beside the best of all grids", ("model", "solver", "K", "NFE", "compiled", "best", "ratio"), rows)
    settings = {"levels": LEVELS, "searched": SEARCHED, "matched": MATCHED, "trials": TRIALS, "noises": JUDGED}
    record("exhaustive", {"settings": settings, "results": results})


def main() -> None:
    parser = argparse.ArgumentParser(description="Compiled grids beside the best that there are.")
    parser.add_argument("--model", nargs="+", default=list(MODELS), help="registered models")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    run(options.model, options.device)


if __name__ == "__main__":
    main()
