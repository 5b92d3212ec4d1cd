"""Run the benchmarks, the quickest first; with `--full` also what takes a GPU, or days."""

from __future__ import annotations

import argparse
from pathlib import Path

import artc

from . import (
    adapters,
    cost,
    domains,
    dynamic_programming,
    edm_files,
    endpoint,
    exhaustive,
    gap,
    more_noises,
    order,
    peer_frechet,
    peers,
    peers_short,
    results_page,
    speed,
)

SHORT = (adapters, order, dynamic_programming, gap, domains, edm_files, endpoint, speed, cost, peers_short)
FULL_SEEDS = (0, 1, 2)


def full(device: str, data: dict[str, Path]) -> None:
    """Every cell of `peers` and `peer_frechet` that is not known yet, all grids of few steps, and the page."""
    for seed in FULL_SEEDS:
        for name in peers.MODELS:
            methods = (*peers.HAND_MADE, *peers.PLANNED, *peers.COMPILED, *peers.LEARNED)
            study = peers.Study(name, peers.CELLS, artc.__version__, device, seed=seed)
            peers.measure(study, methods, peers.SOLVER_NAMES, peers.NFES)
    for name in peers.MODELS:
        more_noises.measure(name, peers.CELLS, more_noises.CELLS, device)
    exhaustive.run(tuple(data), device)
    for name, path in data.items():
        batch = 2048 if device.startswith("cuda") else 64
        drawn = peer_frechet.Study(name, path, peer_frechet.CELLS, peer_frechet.SAMPLES, device, batch)
        grids = peers.grids_of(peers.CELLS, name, peers.SOLVER_NAMES, peers.NFES, peer_frechet.METHODS)
        peer_frechet.measure(drawn, grids, peer_frechet.SEEDS)
    results_page.write()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every study of artc beside other methods too")
    parser.add_argument("--device", default="cpu", help="of --full; cuda if you can")
    parser.add_argument("--mnist", type=Path, help="npz of the digits, for --full")
    parser.add_argument("--cifar10", type=Path, help="npz of the photographs, for --full")
    options = parser.parse_args()
    data = {"mnist": options.mnist, "cifar10": options.cifar10}
    if options.full and None in data.values():
        parser.error("--full also draws samples to compare with real images: give --mnist and --cifar10.")
    for benchmark in SHORT:
        benchmark.run()
    if options.full:
        full(options.device, data)


if __name__ == "__main__":
    main()
