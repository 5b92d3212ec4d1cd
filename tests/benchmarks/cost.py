"""What a compilation of five budgets costs beside GITS, which serves the same budgets, in one run on one machine.

Calls are those that were made, of one sample each; seconds are wall. Without the check means without the comparison of
the finished schedules with a teacher on noises of their own, which GITS has no counterpart of.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

import artc
from artc.artifact import steps_for
from artc.models.registry import find
from artc.models.score_model import ScoreModel
from artc.peers import PEERS
from artc.sampling.grids import names_for

from .record import record, show

MODELS, SOLVER, BUDGETS, EFFORTS = ("mnist", "cifar10"), "dpmpp_2m", (3, 4, 5, 6, 8), ("fast", "default")


def gits(model: ScoreModel) -> dict[str, Any]:
    """Calls and seconds of GITS for all budgets."""
    began, finder = time.perf_counter(), PEERS["gits"](model, 0)
    found = [finder(SOLVER, steps_for(SOLVER, nfe)) for nfe in BUDGETS]
    return {"method": "gits", "calls": found[-1].calls, "seconds": time.perf_counter() - began}


def compiled(model: ScoreModel, effort: str) -> dict[str, Any]:
    """The same of a compilation, in whole and without its check, and the share inside the denoiser."""
    began = time.perf_counter()
    artifact = artc.compile(model, nfe=BUDGETS, solver=SOLVER, effort=effort)
    wall, spent = time.perf_counter() - began, artifact.created.seconds
    checking = artc.planned_calls(nfe=BUDGETS, solver=SOLVER, effort=effort, baselines=len(names_for(model.info)))[
        "checking"
    ]
    return {
        "method": f"artc --effort {effort}",
        "calls": artifact.provenance.score_evals,
        "calls_without_check": artifact.provenance.score_evals - checking,
        "seconds": wall,
        "seconds_without_check": wall - spent["checking"],
        "denoiser_share": spent["denoiser"] / wall,
    }


def run(models: Sequence[str] = MODELS, device: str = "cpu") -> None:
    """Measure, print and record."""
    results, rows = [], []
    for name in models:
        model = find(name).load(torch.device(device))
        model.denoiser(torch.zeros(1, *model.info.shape, device=device), torch.ones(1, device=device))  # warm
        theirs = gits(model)
        for cost in (theirs, *(compiled(model, effort) for effort in EFFORTS)):
            plain = {key: cost.get(f"{key}_without_check", cost[key]) for key in ("calls", "seconds")}
            times = {f"{key}_ratio": plain[key] / theirs[key] for key in plain}
            results.append({"model": name, **cost, **times})
            share = f"{cost['denoiser_share']:.1%}" if "denoiser_share" in cost else "-"
            calls = (f"{cost['calls']:,}", f"{plain['calls']:,}", f"{times['calls_ratio']:.2f}")
            seconds = (f"{cost['seconds']:.1f}", f"{plain['seconds']:.1f}", f"{times['seconds_ratio']:.2f}")
            rows.append((name, cost["method"], *calls, *seconds, share))
    columns = ("model", "method", "calls", "no check", "/ gits", "seconds", "no check", "/ gits", "in denoiser")
    show(f"Five budgets of {SOLVER}: {', '.join(map(str, BUDGETS))}", columns, rows)
    record("cost", {"solver": SOLVER, "nfe": list(BUDGETS), "device": device, "results": results})


if __name__ == "__main__":
    run()
