"""Study in one dimension: how near the law of K Euler steps comes to that of very many, for every way to space them.

Data are mixtures of Gaussians on a line, whose score is exact. W2 is the distance between the law of K-step samples and
the law of the end points of a fine walk from the same noises; on a line it is the RMS difference of the sorted values.
Beside it stands what each learner itself minimises: for ART-RL on the bank the path-integrated J, for paper mode its
left-end cost, both over the least that dynamic programming finds.

"ART-RL" is what `artc compile` bakes: one warp for all K. "ART-RL at K" is the same learner trained at K itself, as the
papers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from artc.artifact import Coordinate
from artc.evaluation.endpoint import Teacher
from artc.learning.actor_critic import LearnerConfig, learn
from artc.learning.closed_form import closed_form
from artc.learning.dynamic_programming import left_end_costs, optimal_nodes, optimal_progress
from artc.learning.failures import exploited, failures
from artc.learning.methods import METHODS, Task
from artc.learning.objective import Array, Energy, energy_of, grid_cost, left_end_cost
from artc.learning.paper import PaperConfig, clamp_of
from artc.learning.rollouts import mean_path
from artc.models.analytic import GaussianMixture, three_modes
from artc.models.registry import find
from artc.models.score_model import Latents, Probe, ScoreModel
from artc.progress import drain
from artc.sampling.bank import build_bank
from artc.sampling.grids import GRIDS, baseline
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample

from .record import record, show

STEPS = (2, 5, 10, 20, 50, 100)
SEEDS = (0, 1, 2, 3, 4)
NOISES = 8192
TRAJECTORIES = 256
TEACHER = Teacher(steps=1000)


def two_modes() -> GaussianMixture:
    """Two equal, narrow and distant modes."""
    return GaussianMixture(
        weights=torch.tensor([0.5, 0.5]), means=torch.tensor([[-1.0], [1.0]]), stds=torch.tensor([0.1, 0.1])
    )


def problems() -> Iterator[tuple[str, ScoreModel]]:
    """Each mixture from sigma = 80, and one from a sigma as large as its data, where the papers' cost makes sense."""
    model = find("mixture-1d").load(torch.device("cpu"))
    for law, top, name in (
        (three_modes(), 80.0, "three modes"),
        (two_modes(), 80.0, "two modes"),
        (three_modes(), 3.0, "three modes, sigma_max 3"),
    ):
        yield name, replace(model, denoiser=law, info=replace(model.info, name=name, sigma_max=top))


def wasserstein(samples: torch.Tensor, references: torch.Tensor) -> float:
    """W2 between two equally many points on a line."""
    return float((samples.flatten().sort().values - references.flatten().sort().values).square().mean().sqrt())


def cells(name: str, model: ScoreModel, seed: int) -> Iterator[dict[str, Any]]:
    """What every grid of every K does on one problem with one seed."""
    low, high, probe = model.info.sigma_min, model.info.sigma_max, Probe(model)
    known = model.latents(TRAJECTORIES, 2 * seed)
    energy = energy_of(drain(build_bank(probe.on, known, sigma_min=low, sigma_max=high)), Coordinate(low, high))
    spent, latents = probe.calls, replace(model.latents(NOISES, 2 * seed + 1), batch=NOISES)
    ends = TEACHER.endpoints(probe.on, latents, model.info)
    task = Task(energy=energy, seed=seed, fields=probe.on, latents=known)
    learned = drain(METHODS["art-rl"](task))
    for steps in STEPS:
        before = probe.calls
        online = drain(METHODS["paper"](replace(task, steps=(steps,))))
        online_calls = probe.calls - before
        trained = drain(learn(energy, replace(LearnerConfig(), steps=steps), seed))
        progress = {key: energy.coordinate.progress(baseline(key, steps, low, high)) for key in GRIDS}
        progress |= {
            "closed form": energy.coordinate.progress(closed_form(energy).grid(steps)),
            "DP": optimal_progress(energy, steps),
            "ART-RL": energy.coordinate.progress(learned.warp.grid(steps)),
            "ART-RL at K": mean_path(trained.actor, np.linspace(0.0, 1.0, steps + 1)),
            "paper": online.progress[steps],
        }
        grids = {key: energy.coordinate.sigma(nodes) for key, nodes in progress.items()}
        cost = {key: grid_cost(energy, nodes) for key, nodes in progress.items()}
        yield {
            "problem": name,
            "seed": seed,
            "steps": steps,
            "w2": {key: wasserstein(walked(probe, latents, grid), ends) for key, grid in grids.items()},
            "J_over_DP": {key: value / cost["DP"] for key, value in cost.items()},
            "paper": {**left_end(energy, grids["paper"]), **online.diagnostics["paper"][str(steps)]},
            "model_calls": {"bank": spent, "paper": online_calls},
        }


def walked(probe: Probe, latents: Latents, grid: Array) -> torch.Tensor:
    """What Euler steps on a grid make of the noises."""
    return sample(probe.on, latents, grid.tolist(), find_solver("euler"))


def left_end(energy: Energy, grid: Array) -> dict[str, Any]:
    """A grid against the optimum of the left-end cost, and what is wrong with that optimum."""
    clamp, steps = clamp_of(energy, PaperConfig().clamp), len(grid) - 1
    best = energy.edges[optimal_nodes(left_end_costs(energy, clamp), steps)]
    sigmas = energy.coordinate.sigma(best)
    least = left_end_cost(energy, sigmas, clamp)
    wrong = [*failures(1.0 - sigmas / sigmas[0], 1.0, np.zeros(steps)), *exploited(energy, best)]
    return {"left_end_over_DP": left_end_cost(energy, grid, clamp) / least, "DP_failures": wrong}


def run() -> None:
    """Every problem, seed and K; results as JSON."""
    results = [cell for name, model in problems() for seed in SEEDS for cell in cells(name, model, seed)]
    for name, _ in problems():
        table(name, [cell for cell in results if cell["problem"] == name])
    record(
        "one_dimensional",
        {
            "solver": "euler",
            "noises": NOISES,
            "trajectories": TRAJECTORIES,
            "teacher": f"{TEACHER.solver}, {TEACHER.steps} steps",
            "results": results,
        },
    )


def table(name: str, results: Sequence[Mapping[str, Any]]) -> None:
    """W2 of every grid, mean and spread over the seeds."""
    columns, rows, best = list(results[0]["w2"]), [], []
    for steps in STEPS:
        values = np.array([list(cell["w2"].values()) for cell in results if cell["steps"] == steps])
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(columns))
        pairs = zip(values.mean(axis=0), spread, strict=True)
        rows.append([str(steps), *(f"{mean:.4f} +- {error:.4f}" for mean, error in pairs)])
        best.append(1 + int(values.mean(axis=0).argmin()))
    show(f"W2 of K Euler steps, {name}", ["K", *columns], rows, best)


if __name__ == "__main__":
    run()
