"""Frechet distance of few-step digits to the training digits, for every grid, solver, budget and seed.

    python -m tests.benchmarks.frechet --data mnist.npz

Features are those of the embedded digit classifier; the reference is the 60,000 training digits. The grids of a seed
start from the same noises. `art-rl` is the learned warp as it is, compiled once for each seed and not refined. The
seed changes the noises of the samples and of the compilation alike.

It is 50 million denoiser calls: hours on two cores, minutes on a GPU. So each cell is kept in `--cells` as soon as it
is measured, and the same command goes on from there; `--minutes 0` only writes down what there is. The cells that were
measured so far are kept beside the result.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artc.artifact import Warp, steps_for
from artc.evaluation.endpoint import Teacher
from artc.learning.actor_critic import LearnerConfig
from artc.learning.methods import Task, find_method
from artc.progress import drain
from artc.request import Request
from artc.sampling.grids import GRIDS, grid_for

from .banks import walked
from .cells import keep_cell, key_of, read_cells
from .judging import NOISE, Judging
from .record import RESULTS, record, show

MODEL, SAMPLES, SEEDS = "mnist", 10_000, (0, 1, 2)
NFES = {"rk4": (5, 9, 17, 25, 37, 69), "heun": (3, 5, 9, 13, 19, 35), "euler": (2, 3, 5, 7, 12, 30)}
NAMES = ("uniform", "logsnr", "edm", "edm-free", "art-rl")
TEACHER = Teacher(steps=64)
TRAJECTORIES = 256
"""What the learned warps were compiled from; more than the default, so that it is the grid that is judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One distance to be measured."""

    seed: int
    solver: str
    nfe: int
    grid: str
    sigmas: tuple[float, ...]


class Study:
    """The model, what its samples are held against, and the cells that are known."""

    def __init__(self, data: Path, cells: Path, samples: int, device: str, batch: int) -> None:
        self.judging = Judging(MODEL, data, samples, device, batch)
        self.model, self.probe = self.judging.model, self.judging.probe
        self.path, self.known, self.samples = cells, read_cells(cells), samples
        self.facts = {**self.judging.facts, "samples": samples}
        test = self.judging.test
        self.floor = {"images": len(test), "frechet": self.judging.distance(test)}

    def warp(self, seed: int, *, compile_it: bool) -> Warp | None:
        """The learned warp of a seed, from the cells or compiled."""
        request = Request(nfe=(9,), seed=seed, trajectories=TRAJECTORIES)
        asked = {"trajectories": request.trajectories, "nodes": request.nodes, "learner": asdict(LearnerConfig())}
        key = key_of(kind="warp", weights=self.facts["weights"], seed=seed, **asked)
        if key not in self.known and compile_it:
            before = self.probe.calls
            learned = drain(find_method("art-rl")(Task(energy=walked(self.probe, request).training, seed=seed)))
            warp = {"clock": learned.warp.clock, "sigma": learned.warp.sigma, "offset": learned.warp.offset}
            self.keep({"key": key, "seed": seed, "calls": self.probe.calls - before, "warp": warp})
        return Warp(**self.known[key]["warp"]) if key in self.known else None

    def plan(self, seed: int, solvers: Sequence[str], *, compile_it: bool) -> Iterator[Cell]:
        """The cells of a seed, fewest calls of each solver first; those of a warp not compiled yet are left out."""
        info, warp = self.model.info, self.warp(seed, compile_it=compile_it)
        for solver in solvers:
            for nfe in NFES[solver]:
                steps = steps_for(solver, nfe)
                grids = {name: tuple(grid_for(name, steps, info).tolist()) for name in NAMES if name in GRIDS}
                if warp is not None:
                    grids["art-rl"] = warp.baked(steps, info.sigma_min)
                for name, sigmas in grids.items():
                    yield Cell(seed=seed, solver=solver, nfe=nfe, grid=name, sigmas=sigmas)
        yield Cell(seed=seed, solver=TEACHER.solver, nfe=TEACHER.calls, grid="teacher", sigmas=TEACHER.sigmas(info))

    def key(self, cell: Cell) -> str:
        """Whatever its name, a grid of the same sigmas gives the same samples."""
        return key_of(kind="frechet", seed=cell.seed, solver=cell.solver, sigmas=cell.sigmas, **self.facts)

    def value(self, cell: Cell) -> float | None:
        """What is known of a cell."""
        found = self.known.get(self.key(cell))
        return None if found is None else float(found["frechet"])

    def measure(self, cell: Cell) -> None:
        """Draw the samples of a cell and keep their distance."""
        began = time.perf_counter()
        found = self.judging.distance(self.judging.drawn(cell.solver, cell.sigmas, cell.nfe, cell.seed))
        facts = {"key": self.key(cell), **asdict(cell), "frechet": found, "samples": self.samples}
        self.keep({**facts, "seconds": round(time.perf_counter() - began, 1), "device": str(self.model.device)})

    def keep(self, cell: dict[str, Any]) -> None:
        keep_cell(self.path, self.known, cell)


def results_of(study: Study, seeds: Sequence[int]) -> dict[str, Any]:
    """What is known of the whole study: a row for each solver and NFE, and how much of all it is."""
    values: dict[tuple[str, int], dict[str, dict[int, float]]] = {}
    for seed in seeds:
        for cell in study.plan(seed, tuple(NFES), compile_it=False):
            found = study.value(cell)
            if found is not None:
                values.setdefault((cell.solver, cell.nfe), {}).setdefault(cell.grid, {})[seed] = found
    teacher = values.pop((TEACHER.solver, TEACHER.calls), {}).get("teacher", {})
    rows = []
    for (solver, nfe), grids in values.items():
        ours = grids.get("art-rl", {})
        rows.append(
            {
                "solver": solver,
                "nfe": nfe,
                "steps": steps_for(solver, nfe),
                "grids": {name: summary(found) for name, found in grids.items()},
                # Of the seeds in which both are known, those in which the learned grid is nearer.
                "art-rl_is_nearer": {
                    name: [sum(ours[seed] < found[seed] for seed in both), len(both)]
                    for name, found in grids.items()
                    if name != "art-rl" and (both := sorted(set(ours) & set(found)))
                },
            }
        )
    done = len(teacher) + sum(len(found) for grids in values.values() for found in grids.values())
    total = len(seeds) * (1 + len(NAMES) * sum(map(len, NFES.values())))
    known = {"cells": done, "of": total, "complete": done == total}
    return {**known, "test_digits": study.floor, "teacher": summary(teacher), "results": rows}


def summary(found: dict[int, float]) -> dict[str, Any]:
    """Mean and spread over seeds, and the value of each."""
    values = list(found.values())
    return {
        "mean": float(np.mean(values)) if values else None,
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "seeds": {str(seed): value for seed, value in found.items()},
    }


def present(results: dict[str, Any], samples: int) -> None:
    """Print the table of means."""
    rows, best = [], []
    for row in results["results"]:
        means = [row["grids"].get(name, {}).get("mean") for name in NAMES]
        rows.append((row["solver"], str(row["nfe"]), *("-" if mean is None else f"{mean:.2f}" for mean in means)))
        known = [mean for mean in means if mean is not None]
        best.append(2 + means.index(min(known)))
    title = f"Frechet distance of {samples} digits to 60,000, {results['cells']} of {results['of']} cells"
    show(title, ("solver", "NFE", *NAMES), rows, best)
    teacher = results["teacher"]["mean"]
    ends = "not measured" if teacher is None else f"at {teacher:.2f}"
    print(f"test digits at {results['test_digits']['frechet']:.2f}, teacher's samples {ends}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Frechet distance of few-step digits, cell by cell.")
    parser.add_argument("--data", type=Path, required=True, help="npz of the digits")
    parser.add_argument("--cells", type=Path, default=RESULTS / "frechet.jsonl", help="where finished cells are kept")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--solvers", nargs="+", choices=NFES, default=tuple(NFES))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so long")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64, help="samples walked at once; some thousand on a GPU")
    options = parser.parse_args()
    study = Study(options.data, options.cells, options.samples, options.device, options.batch)
    ending = time.monotonic() + 60 * options.minutes
    for seed in options.seeds:
        if time.monotonic() >= ending:
            break
        for cell in study.plan(seed, options.solvers, compile_it=True):
            if study.value(cell) is None and time.monotonic() < ending:
                study.measure(cell)
                print(f"seed {seed}  {cell.solver:5} {cell.nfe:3}  {cell.grid:9} {study.value(cell):10.3f}", flush=True)
    seeds = SEEDS if options.samples == SAMPLES else options.seeds
    results = results_of(study, seeds)
    present(results, options.samples)
    if options.samples == SAMPLES:
        facts = {
            "model": MODEL,
            "reference": "60,000 training digits",
            "noise_seed": NOISE,
            "teacher_calls": TEACHER.calls,
        }
        devices = sorted({str(cell["device"]) for cell in study.known.values() if "device" in cell})
        record("frechet", {**facts, **study.facts, "devices": devices, **results})
    else:
        print(f"not recorded: the study draws {SAMPLES:,} samples")


if __name__ == "__main__":
    main()
