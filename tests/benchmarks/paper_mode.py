"""Paper mode against the trajectory bank on the embedded digits: how near the optimum, for how many model calls.

Both are held to the same certificate, J_K of the grid itself over J* on trajectories held out. J_K of few steps cannot
come near J*: the least that dynamic programming reaches on the same trajectories stands beside them.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from artc.artifact import Coordinate
from artc.learning.dynamic_programming import optimal_progress
from artc.learning.methods import Task, bake, certificate_of, find_method
from artc.learning.objective import energy_of, grid_cost, lower_bound
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.progress import drain
from artc.request import Request
from artc.sampling.bank import build_bank

from .record import record, show

NFE = (3, 9, 13)
STEPS = (2, 5, 7)  # Heun's


def run() -> None:
    """Learn both, count, and compare."""
    model, request = find("mnist").load(torch.device("cpu")), Request(nfe=NFE)
    info, probe, began = model.info, Probe(model), time.perf_counter()
    latents, held = model.latents(request.trajectories, request.bank_seed), request.held
    bank = drain(build_bank(probe.on, latents, sigma_min=info.sigma_min, sigma_max=info.sigma_max, nodes=request.nodes))
    coordinate, spent, walked = Coordinate(info.sigma_min, info.sigma_max), probe.calls, time.perf_counter() - began
    training, held_out = (energy_of(part, coordinate) for part in bank.split(held))
    task = Task(energy=training, steps=STEPS, fields=probe.on, latents=latents.first(len(latents) - held))
    results: list[dict[str, Any]] = []
    for method in ("art-rl", "paper"):
        before, began = probe.calls, time.perf_counter()
        learned = drain(find_method(method)(task))
        seconds, calls = time.perf_counter() - began, probe.calls - before
        for steps in STEPS:
            sigmas, _ = bake(learned, steps, held_out, info)
            best = grid_cost(held_out, optimal_progress(held_out, steps)) / lower_bound(held_out) - 1
            gap = certificate_of(sigmas, held_out, info).gap
            run = learned.diagnostics.get("paper", {}).get(str(steps), {})
            results.append(
                {
                    "method": method,
                    "steps": steps,
                    "gap": gap,
                    "gap_of_DP": best,
                    "sigmas": list(sigmas),
                    "failures": run.get("failures", []),
                    "calls_of_the_method": calls if method == "paper" else spent,
                    "seconds_of_the_method": seconds if method == "paper" else walked + seconds,
                }
            )
    rows = [
        (
            cell["method"],
            str(cell["steps"]),
            f"{cell['gap']:.1%}",
            f"{cell['gap_of_DP']:.1%}",
            "; ".join(cell["failures"]),
        )
        for cell in results
    ]
    show(
        "Paper mode and the bank, mnist, J_K over J* on held-out trajectories",
        ("method", "K", "gap", "gap of DP", "trouble"),
        rows,
    )
    paper = next(cell["calls_of_the_method"] for cell in results if cell["method"] == "paper")
    record("paper_mode", {"model": "mnist", "nfe": NFE, "bank_calls": spent, "paper_calls": paper, "results": results})


if __name__ == "__main__":
    run()
