"""Schedules used where they were not compiled for, beside the ones that were: other data, step counts and solvers.

    python -m tests.benchmarks.transfer
    python -m tests.benchmarks.transfer --frechet 5000 --data mnist=mnist.npz cifar10=cifar10.npz

`data`: the learned warp of one embedded denoiser under the other, Heun. Both know the same sigmas, and a grid carries
over as it is.

`steps`: what was compiled for 18 steps, used at other step counts: its warp read again, and its list alone resampled
log-linearly as papers do. Beside them the warp learned at that step count alone, the exact optimum for it (DP), and
the warp that `artc compile` makes for all step counts at once, learned at 96.

`solvers`: a learned warp is the same for every solver; what is made for one is a grid refined on its end points. The
one refined for Heun under the others, beside the one refined for each and the warp that none was refined from.

Errors are root mean squares to the end points of 128 Heun steps on noises that no compilation saw.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artc.artifact import Coordinate, Warp, nfe_of
from artc.evaluation.classifier import feature_moments, load_classifier
from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.evaluation.frechet import frechet
from artc.evaluation.selection import Noises, residuals_of
from artc.learning.actor_critic import LearnerConfig, learn
from artc.learning.distill import warp_through
from artc.learning.dynamic_programming import optimal_progress
from artc.learning.matching import match
from artc.learning.methods import certificate_of
from artc.learning.objective import Energy
from artc.learning.rollouts import mean_path
from artc.models.registry import find
from artc.models.score_model import Latents, Probe
from artc.progress import drain
from artc.request import EFFORTS, Request
from artc.sampling.grids import above, grid_for, log_linear
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample
from artc.training.datasets import DATASETS

from .banks import walked
from .record import record, show

MODELS, HAND_MADE = ("mnist", "cifar10"), ("edm", "edm-free")
SEED, NOISE = 0, 20_261_123
COMPILED_AT = 18

Grids = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much of everything; `QUICK` tries the program and is not recorded."""

    noises: int = 256
    teacher_steps: int = 128
    trajectories: int = 256
    refine: int = 64
    trials: int = EFFORTS["default"].trials
    data_steps: tuple[int, ...] = (2, 3, 5, 7, 10, 18)
    other_steps: tuple[int, ...] = (2, 3, 5, 7, 10, 13, 35)
    solver_steps: tuple[int, ...] = (2, 3, 5, 7)
    solvers: tuple[str, ...] = ("euler", "heun", "rk4")


STUDY = Settings()
QUICK = Settings(
    noises=4,
    teacher_steps=8,
    trajectories=8,
    refine=4,
    trials=2,
    data_steps=(2, 3),
    other_steps=(2, 35),
    solver_steps=(2, 3),
)


class Subject:
    """One model with its bank, the noises it is judged on, and where they end."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.probe = Probe(find(name).load(torch.device("cpu")))
        self.info = self.probe.model.info
        self.settings = settings
        self.bank = walked(
            self.probe, Request(nfe=(9,), seed=SEED, trajectories=settings.trajectories), ends=settings.refine
        )
        self.latents: Latents = self.probe.model.latents(settings.noises, NOISE)
        self.ends: Tensor = Teacher(steps=settings.teacher_steps).endpoints(self.probe.on, self.latents, self.info)
        self.warp_at = cache(self._warp_at)

    def _warp_at(self, steps: int) -> Warp:
        """The warp learned with so many control steps."""
        energy: Energy = self.bank.training
        trained = drain(learn(energy, replace(LearnerConfig(), steps=steps), SEED))
        clock = np.linspace(0.0, 1.0, steps + 1)
        return warp_through(clock, mean_path(trained.actor, clock), energy.coordinate)

    @property
    def warp(self) -> Warp:
        """The warp that `artc compile` makes."""
        return self.warp_at(LearnerConfig().steps)

    def hand_made(self, steps: int) -> dict[str, Sequence[float]]:
        return {name: grid_for(name, steps, self.info).tolist() for name in HAND_MADE}

    def measured(self, solver: str, steps: int, grids: Grids) -> dict[str, Any]:
        """End-point error of each grid, and what its clock costs above the lower bound on held-out trajectories."""
        found: dict[str, Any] = {}
        for name, sigmas in grids.items():
            error = endpoint_error(sample(self.probe.on, self.latents, sigmas, find_solver(solver)), self.ends)
            gap = certificate_of(sigmas, self.bank.held_out, self.info).gap
            found[name] = {"error": error.value, "stderr": error.stderr, "gap": gap, "sigmas": list(sigmas)}
        return {"model": self.name, "solver": solver, "nfe": nfe_of(solver, steps), "steps": steps, "grids": found}

    def refined(self, solver: str, steps: int) -> Sequence[float]:
        """The best of the learned and hand-made grids for a solver on noises of the bank, refined there."""

        def error(sigmas: Sequence[float]) -> float:
            return endpoint_error(
                sample(self.probe.on, self.bank.latents, sigmas, find_solver(solver)), self.bank.ends
            ).value

        start = min([self.warp.baked(steps, self.info.sigma_min), *self.hand_made(steps).values()], key=error)
        coordinate: Coordinate = self.bank.training.coordinate
        residuals = residuals_of(self.probe.on, Noises(latents=self.bank.latents, ends=self.bank.ends), solver)
        count, trials = self.settings.refine, self.settings.trials
        return drain(match(residuals, count, start, coordinate, trials=trials, floor=self.info.sigma_min)).sigmas


def across_data(subjects: Mapping[str, Subject], settings: Settings) -> list[dict[str, Any]]:
    """Each model under its own warp and under that of every other."""
    results = []
    for subject in subjects.values():
        for steps in settings.data_steps:
            warps = {
                f"compiled on {name}": other.warp.baked(steps, subject.info.sigma_min)
                for name, other in subjects.items()
            }
            results.append(subject.measured("heun", steps, {**warps, **subject.hand_made(steps)}))
    return results


def add_distances(
    results: list[dict[str, Any]], subjects: Mapping[str, Subject], data: Mapping[str, Path], samples: int
) -> None:
    """The Frechet distance of so many samples of each grid to the training images, in the classifier's features."""
    for name, subject in subjects.items():
        classifier = load_classifier(name)
        reference = feature_moments(classifier, DATASETS[name].images(data[name], "train"))
        latents = subject.probe.model.latents(samples, NOISE)
        for row in (row for row in results if row["model"] == name):
            for facts in row["grids"].values():
                drawn = sample(subject.probe.on, latents, facts["sigmas"], find_solver(row["solver"]))
                facts["frechet"] = frechet(feature_moments(classifier, drawn), reference)


def other_steps(subject: Subject, settings: Settings) -> list[dict[str, Any]]:
    """What was compiled for 18 steps at other step counts, under Heun."""
    floor, results = subject.info.sigma_min, []
    coordinate, energy = subject.bank.training.coordinate, subject.bank.training
    for steps in settings.other_steps:
        grids = {
            "learned at K": subject.warp_at(steps).baked(steps, floor),
            "DP at K": above(floor, coordinate.sigma(optimal_progress(energy, steps))).tolist(),
            "warp of 18 read again": subject.warp_at(COMPILED_AT).baked(steps, floor),
            "list of 18 resampled": log_linear(subject.warp_at(COMPILED_AT).baked(COMPILED_AT, floor), steps).tolist(),
            "warp of 96": subject.warp.baked(steps, floor),
        }
        results.append(subject.measured("heun", steps, {**grids, **subject.hand_made(steps)}))
    return results


def other_solvers(subject: Subject, settings: Settings) -> list[dict[str, Any]]:
    """The grid refined for Heun under every solver, beside the one refined for it."""
    results = []
    for steps in settings.solver_steps:
        for_heun = subject.refined("heun", steps)
        for solver in settings.solvers:
            own = for_heun if solver == "heun" else subject.refined(solver, steps)
            grids = {
                "refined for it": own,
                "refined for heun": for_heun,
                "warp": subject.warp.baked(steps, subject.info.sigma_min),
            }
            results.append(subject.measured(solver, steps, {**grids, **subject.hand_made(steps)}))
    return results


def present(title: str, results: Sequence[dict[str, Any]], fact: str = "error") -> None:
    """Print one table: a row for each model, solver and step count, a column for each grid."""
    names = list(dict.fromkeys(name for row in results for name in row["grids"]))
    rows = [
        (row["model"], row["solver"], str(row["nfe"]), *(f"{row['grids'][name][fact]:.4f}" for name in names))
        for row in results
    ]
    best = [3 + int(np.argmin([row["grids"][name][fact] for name in names])) for row in results]
    show(title, ("model", "solver", "NFE", *names), rows, best)


def main() -> None:
    parser = argparse.ArgumentParser(description="Schedules used where they were not compiled for.")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument(
        "--frechet", type=int, default=0, metavar="N", help="samples for a Frechet distance across data"
    )
    parser.add_argument(
        "--data", nargs="+", default=[], metavar="NAME=FILE", help="npz of each data set, for --frechet"
    )
    parser.add_argument("--quick", action="store_true", help="a few noises, to try the program; nothing is recorded")
    options = parser.parse_args()
    settings = QUICK if options.quick else STUDY
    data = {name: Path(file) for name, _, file in (pair.partition("=") for pair in options.data)}
    if options.frechet and set(data) != set(options.models):
        parser.error(f"--frechet needs --data {' '.join(f'{name}=FILE' for name in options.models)}")
    subjects = {name: Subject(name, settings) for name in options.models}
    tables: dict[str, list[dict[str, Any]]] = {"across_data": across_data(subjects, settings)}
    present("Schedules of one data set on another, end-point error", tables["across_data"])
    if options.frechet:
        add_distances(tables["across_data"], subjects, data, options.frechet)
        present(f"The same, Frechet distance of {options.frechet} samples", tables["across_data"], "frechet")
    tables["other_steps"] = [row for subject in subjects.values() for row in other_steps(subject, settings)]
    present("Compiled for 18 steps, used at others, end-point error", tables["other_steps"])
    tables["other_solvers"] = [row for subject in subjects.values() for row in other_solvers(subject, settings)]
    present("Refined for Heun, used under others, end-point error", tables["other_solvers"])
    if settings == STUDY:
        facts = {name: {"weights": one.info.sha256, "score_evals": one.probe.calls} for name, one in subjects.items()}
        made = {"models": facts, "seed": SEED, "noise_seed": NOISE, "noises": settings.noises}
        record(
            "transfer", {**made, "teacher_steps": settings.teacher_steps, "frechet_samples": options.frechet, **tables}
        )


if __name__ == "__main__":
    main()
