"""artc beside other methods, measured anew in minutes: three models, one solver, three seeds.

It is `peers` with fewer cells and none kept from before, and without the two slowest methods. The seed is that of the
noises that a method learns from; all are judged on the same 256 others. `peers` has the whole of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean, mean, stdev
from typing import Any

import artc

from .peers import MODELS, OURS, WITH_MODEL_SIGMAS, Study
from .record import record, show

SOLVER, BUDGETS, SEEDS = "dpmpp_2m", (3, 5, 8), (0, 1, 2)
PEERS = ("gits", "dmn", "kl-optimal", "oss")
METHODS = ("edm", "edm-free", *PEERS, OURS, WITH_MODEL_SIGMAS)


def measured(model: str, seed: int, device: str) -> list[dict[str, Any]]:
    """The cells of a model and a seed."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study(model, Path(folder) / "cells.jsonl", artc.__version__, device, seed=seed)
        return list(study.run(METHODS, SOLVER, BUDGETS))


def of_seeds(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One method at one budget: error over the seeds, and what finding the grid took."""
    errors = [cell["error"] for cell in cells]
    return {
        **{name: cells[0][name] for name in ("model", "solver", "nfe", "method")},
        "error": mean(errors),
        "std": stdev(errors),
        "seeds": {str(cell["seed"]): cell["error"] for cell in cells},
        "calls": mean(cell["calls"] for cell in cells),
        "seconds": mean(cell["seconds"] for cell in cells),
    }


def run(models: Sequence[str] = MODELS, device: str = "cpu") -> None:
    """Measure, print and record."""
    cells = [cell for model in models for seed in SEEDS for cell in measured(model, seed, device)]
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["model"], cell["nfe"], cell["method"]), []).append(cell)
    results = {key: of_seeds(some) for key, some in groups.items()}
    rows, ratios = [], []
    for model in models:
        for nfe in BUDGETS:
            found = [results[model, nfe, name] for name in METHODS]
            best = min(one["error"] for one in found if one["method"] in PEERS)
            ratios.append({name: results[model, nfe, name]["error"] / best for name in (OURS, WITH_MODEL_SIGMAS)})
            rows.append((model, str(nfe), *(f"{one['error']:.4f} ± {one['std']:.4f}" for one in found)))
    show(f"End-point error of {SOLVER}, {len(SEEDS)} seeds", ("model", "NFE", *METHODS), rows)
    to_best = {name: geometric_mean(ratio[name] for ratio in ratios) for name in (OURS, WITH_MODEL_SIGMAS)}
    print(", ".join(f"{name} / best of {', '.join(PEERS)}: {value:.3f}" for name, value in to_best.items()))
    facts = {"solver": SOLVER, "seeds": list(SEEDS), "device": device, "peers": list(PEERS), "to_best_peer": to_best}
    record("peers_short", {**facts, "results": list(results.values())})


if __name__ == "__main__":
    run()
