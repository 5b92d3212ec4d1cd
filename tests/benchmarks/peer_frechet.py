"""Frechet distance of the samples on artc's grids and on those of other methods, seed by seed.

    python -m tests.benchmarks.peer_frechet --model mnist --data mnist.npz

The grids are those that `peers` left in its cells: nothing is learned here. Features are those of the embedded
classifier of the data, the reference is all of its training images, and the grids of a seed start from the same noises,
so that two of them are compared seed by seed. It is 100 million denoiser calls: minutes on a GPU and days on two cores,
where `--samples` asks for fewer. Each cell is kept in `--cells` as soon as it is measured, and the same command goes on
from there; `--minutes` begins no cell after so long. `python -m tests.benchmarks.results_page` makes the tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from artc.evaluation.classifier import CLASSIFIERS
from artc.evaluation.endpoint import Teacher

from .cells import keep_cell, key_of, read_cells
from .judging import NOISE, Judging
from .peers import CELLS as GRIDS
from .peers import NFES, OURS, PLANNED, SOLVER_NAMES, WITH_MODEL_SIGMAS, budgets, grids_of
from .record import RESULTS

SAMPLES, SEEDS = 10_000, (0, 1, 2)
CELLS = RESULTS / "peer_frechet.jsonl"
METHODS = (OURS, WITH_MODEL_SIGMAS, *PLANNED)
TEACHER, TEACHER_STEPS, TEST = "teacher", 64, "test images"


class Study:
    """One model, what its samples are held against, and the cells that are known."""

    def __init__(self, name: str, data: Path, cells: Path, samples: int, device: str, batch: int) -> None:
        self.name, self.path, self.samples = name, cells, samples
        self.judging = Judging(name, data, samples, device, batch)
        self.facts = {**self.judging.facts, "noise": NOISE}
        self.known = read_cells(cells)
        self.walks = {cell["walk"]: cell["frechet"] for cell in self.known.values()}
        """Distances by what they depend on: methods that find the same grid have the same samples."""

    def run(self, grids: Sequence[dict[str, Any]], seed: int) -> Iterator[dict[str, Any]]:
        """Measure what is not known of a seed, yielding every new cell: what a distance can be, and then the grids."""
        teacher = Teacher(steps=TEACHER_STEPS)
        fine = {"solver": teacher.solver, "nfe": teacher.calls, "sigmas": teacher.sigmas(self.judging.model.info)}
        for grid in ({"method": TEST}, {"method": TEACHER, **fine}, *grids):
            walked = {name: grid.get(name) for name in ("solver", "sigmas", "model_sigmas")}
            samples = min(self.samples, len(self.judging.test)) if grid["method"] == TEST else self.samples
            walk = key_of(kind="walk", seed=seed, samples=samples, **walked, **self.facts)
            where = {name: grid.get(name) for name in ("method", "solver", "nfe")}
            key = key_of(kind="peer-frechet", walk=walk, **where)
            if key in self.known:
                continue
            began, cell = time.perf_counter(), {"key": key, "walk": walk, "model": self.name, **where, "seed": seed}
            if walk not in self.walks:
                images = self._test(seed, samples) if grid["method"] == TEST else self._drawn(grid, seed)
                self.walks[walk] = self.judging.distance(images)
            took = {"seconds": round(time.perf_counter() - began, 1), "device": str(self.judging.model.device)}
            found = {**cell, "samples": samples, "frechet": self.walks[walk], **took}
            yield keep_cell(self.path, self.known, found)

    def _test(self, seed: int, samples: int) -> Tensor:
        """As many of the test images, others for each seed."""
        test = self.judging.test
        return test[torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))[:samples]]

    def _drawn(self, grid: dict[str, Any], seed: int) -> Tensor:
        """Samples of a grid."""
        return self.judging.drawn(grid["solver"], grid["sigmas"], grid["nfe"], seed, grid.get("model_sigmas"))


def measure(study: Study, grids: Sequence[dict[str, Any]], seeds: Sequence[int], ending: float = float("inf")) -> None:
    """Measure what is not known yet of these seeds, a line for each new cell; none is begun after `ending`."""
    for seed in seeds:
        for cell in study.run(grids, seed):
            where = f"{study.name:8} seed {seed}  {cell['solver'] or '':9} {cell['nfe'] or '':3}  {cell['method']:18}"
            print(f"{where} {cell['frechet']:9.3f} {cell['seconds']:6.1f} s", flush=True)
            if time.monotonic() >= ending:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description="Frechet distance on the grids of artc and of others, cell by cell.")
    parser.add_argument("--model", choices=sorted(CLASSIFIERS), required=True)
    parser.add_argument("--data", type=Path, required=True, help="npz of its images")
    parser.add_argument("--grids", type=Path, default=GRIDS, help="the cells that `peers` left")
    parser.add_argument("--cells", type=Path, default=CELLS, help="where cells are kept")
    parser.add_argument("--solver", default=",".join(SOLVER_NAMES))
    parser.add_argument("--nfe", type=budgets, default=NFES, help="such as 3-10 or 3,5,7")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so long")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64, help="samples walked at once; some thousand on a GPU")
    options = parser.parse_args()
    ending = time.monotonic() + 60 * options.minutes
    study = Study(options.model, options.data, options.cells, options.samples, options.device, options.batch)
    grids = grids_of(options.grids, options.model, options.solver.split(","), options.nfe, METHODS)
    measure(study, grids, options.seeds, ending)


if __name__ == "__main__":
    main()
