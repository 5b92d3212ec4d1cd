"""The grids that `peers` left, walked again from more noises that neither a method nor `peers` saw.

    python -m tests.benchmarks.more_noises --model mnist cifar10 mixture-64d

Nothing is learned here. A root mean square can be ruled by a few noises that end in another mode than the teacher's, of
which 256 noises hold too few to tell two grids apart; so each cell also has the median over the noises, and the part of
the mean square that the furthest hundredth of them makes. Each is kept in `--cells` as soon as it is measured, and the
same command goes on from there. `python -m tests.benchmarks.results_page` makes the tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import artc
from artc.evaluation.endpoint import EndpointError
from artc.peers import PEERS

from .cells import keep_cell, key_of
from .peers import CELLS as GRIDS
from .peers import COMPILED, MODELS, NFES, SOLVER_NAMES, Settings, Study, grids_of

NOISES, NOISE, FURTHEST = 1024, 20_261_125, 0.01
CELLS = GRIDS.with_name("more_noises.jsonl")
METHODS = (*COMPILED, *PEERS, "edm", "edm-free")
FIGURES = ("error", "stderr", "median", "furthest")


def figures(error: EndpointError) -> dict[str, float]:
    """Root mean square with its standard error, median distance, and the furthest noises' part of the mean square."""
    squares = error.squares.sort(descending=True).values
    furthest = squares[: max(1, round(FURTHEST * len(squares)))]
    found = (error.value, error.stderr, float(squares.median().sqrt()), float(furthest.sum() / squares.sum()))
    return dict(zip(FIGURES, found, strict=True))


def run(study: Study, grids: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Walk what is not known yet, yielding every new cell; methods that found the same grid share its walk."""
    walks = {cell["walk"]: {name: cell[name] for name in FIGURES} for cell in study.known.values()}
    for grid in grids:
        walked = {name: grid[name] for name in ("solver", "sigmas", "model_sigmas")}
        settings = [study.settings.noises, study.settings.noise, study.settings.teacher_steps]
        walk = key_of(kind="more-noises-walk", settings=settings, weights=study.model.info.sha256, **walked)
        where = {name: grid[name] for name in ("model", "solver", "nfe", "method", "seed")}
        key = key_of(kind="more-noises", walk=walk, **where)
        if key in study.known:
            continue
        began = time.perf_counter()
        if walk not in walks:
            walks[walk] = figures(study.measured(**walked))
        took = {"noises": study.settings.noises, "seconds": round(time.perf_counter() - began, 1)}
        cell = {"key": key, "walk": walk, **where, **walks[walk], **took, "device": str(study.model.device)}
        yield keep_cell(study.cells, study.known, cell)


def measure(name: str, grids: Path, cells: Path, device: str, noises: int = NOISES) -> None:
    """Walk all grids of a model, a line for each new cell."""
    study = Study(name, cells, artc.__version__, device, Settings(noises=noises, noise=NOISE))
    for cell in run(study, grids_of(grids, name, SOLVER_NAMES, NFES, METHODS)):
        where = f"{name:12} {cell['solver']:9} {cell['nfe']:3}  {cell['method']:18}"
        print(f"{where} {cell['error']:.4f}  median {cell['median']:.4f} {cell['seconds']:6.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="The grids of `peers` from more noises, cell by cell.")
    parser.add_argument("--model", nargs="+", default=list(MODELS), help="registered models")
    parser.add_argument("--grids", type=Path, default=GRIDS, help="the cells that `peers` left")
    parser.add_argument("--cells", type=Path, default=CELLS, help="where cells are kept")
    parser.add_argument("--noises", type=int, default=NOISES)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for name in options.model:
        measure(name, options.grids, options.cells, options.device, options.noises)


if __name__ == "__main__":
    main()
