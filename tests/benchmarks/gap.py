"""RL gap: J(warp) / J* - 1 on held-out trajectories, for four models and three seeds."""

from __future__ import annotations

from dataclasses import replace

import torch

from artc.artifact import Coordinate
from artc.learning.closed_form import closed_form
from artc.learning.methods import Task, find_method
from artc.learning.objective import energy_of, gap, state_gain
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.progress import drain
from artc.request import Request
from artc.sampling.bank import build_bank

from .record import record, show

MODELS = ("mnist", "cifar10", "mixture-1d", "mixture-64d")
SEEDS = (0, 1, 2)


def run() -> None:
    """Compile the clock of each model with each seed and hold it to the bound of trajectories it has not seen."""
    results, asked = [], Request(nfe=(9,))
    for name in MODELS:
        model = find(name).load(torch.device("cpu"))
        coordinate = Coordinate(model.info.sigma_min, model.info.sigma_max)
        for seed in SEEDS:
            request, probe = replace(asked, seed=seed), Probe(model)
            latents = model.latents(request.trajectories, request.bank_seed)
            limits = {"sigma_min": model.info.sigma_min, "sigma_max": model.info.sigma_max}
            bank = drain(build_bank(probe.on, latents, nodes=request.nodes, **limits))
            training, held_out = (energy_of(part, coordinate) for part in bank.split(request.held))
            learned = drain(find_method("art-rl")(Task(energy=training, seed=seed)))
            results.append(
                {
                    "model": name,
                    "seed": seed,
                    "gap_held_out": gap(held_out, learned.warp),
                    "gap_training": gap(training, learned.warp),
                    "closed_form_gap_held_out": gap(held_out, closed_form(training)),
                    "state_gain": state_gain(training),
                    "score_evals": probe.calls,
                }
            )
    columns = ("model", "seed", "gap held out", "gap training", "closed form, held out", "state gain")
    keys = ("gap_held_out", "gap_training", "closed_form_gap_held_out", "state_gain")
    rows = [(r["model"], str(r["seed"]), *(f"{r[key]:.2%}" for key in keys)) for r in results]
    show("RL gap to the lower bound", columns, rows)
    record("gap", {"trajectories": asked.trajectories, "held_out": asked.held, "results": results})


if __name__ == "__main__":
    run()
