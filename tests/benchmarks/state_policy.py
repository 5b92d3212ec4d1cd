"""What it is worth to read the state: the cost a policy saves, and whether its samples end nearer to the teacher's.

`share` is the part of the state gain that a policy reaches on held-out trajectories, (J* - J) / (J* - E J*_i), when it
looks K times; it departs from the best time-only clock of the training trajectories. End points are those of the
held-out noises, against 64 Heun steps: on that clock, by the policy, and by hindsight, each trajectory on the best
clock of its own stiffness, which no policy can know.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artc.artifact import Coordinate, Warp
from artc.artifact.policy import INPUTS, open_policy
from artc.integrations.policy import policy_sampler
from artc.learning.closed_form import closed_form
from artc.learning.objective import Energy, energy_of, state_gain
from artc.learning.state_features import courses_of
from artc.learning.state_policy import StatePolicy, roll_out
from artc.learning.state_training import StateConfig, TrainedPolicy, learn_policy
from artc.models.registry import find
from artc.models.score_model import Field, Latents, Probe, ScoreModel
from artc.progress import drain
from artc.sampling.bank import TrajectoryBank, build_bank
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample
from tests.integrations.policy_artifacts import artifact_of

from .record import record, show

MODELS, SEEDS = ("gaussian", "mixture-1d", "mixture-64d", "mnist", "cifar10"), (0, 1, 2)
LOOKS = (5, 9, 18, 96)
BUDGETS = (("heun", 3), ("heun", 5), ("heun", 7), ("euler", 4), ("euler", 8))
ALONE = StateConfig(start=0, iterations=600, rate=5e-3)
MANY = 2048


def run() -> None:
    """Train a policy for each model and seed, and measure what it saves, where it ends and what it costs."""
    results: list[dict[str, Any]] = []
    for name in MODELS:
        model = find(name).load(torch.device("cpu"))
        for seed in SEEDS:
            results.append(one(model, seed))
            record("state_policy", {"trajectories": 256, "held_out": 64, "results": results})
    rows = [
        (
            r["model"],
            str(r["seed"]),
            f"{r['state_gain']:.1%}",
            r["stage"],
            *(_percent(r["share"].get(k)) for k in LOOKS),
        )
        for r in results
    ]
    show("Share of the state gain", ("model", "seed", "state gain", "stage", *(f"{k} looks" for k in LOOKS)), rows)
    ends = [
        (r["model"], str(r["seed"]), e["solver"], str(e["nfe"]), *(f"{e[k]:.4f}" for k in KINDS))
        for r in results
        for e in r["endpoint_rms"]
    ]
    show("End-point RMS error, held-out noises", ("model", "seed", "solver", "NFE", *KINDS), ends)


KINDS = ("time_only", "policy", "hindsight")


def one(model: ScoreModel, seed: int) -> dict[str, Any]:
    """Everything about one model and seed."""
    info, probe = model.info, Probe(model)
    coordinate, latents = Coordinate(info.sigma_min, info.sigma_max), model.latents(256, seed)
    limits = {"sigma_min": info.sigma_min, "sigma_max": info.sigma_max}
    bank = drain(build_bank(probe.on, latents, nodes=128, **limits))
    training, held_out = bank.split(64)
    energy, unseen = energy_of(training, coordinate), energy_of(held_out, coordinate)
    warp = closed_form(energy)
    found, seconds = _trained(training, energy, warp, StateConfig(), seed)
    result: dict[str, Any] = {
        "model": info.name,
        "seed": seed,
        "state_gain": state_gain(unseen),
        "state_gain_training": state_gain(energy),
        "stage": found.stage,
        "seconds": seconds,
        "share": shares(found, held_out, unseen),
    }
    if seed == 0 and result["state_gain"] > 1e-6:
        alone, took = _trained(training, energy, warp, ALONE, seed)
        result["actor_critic_alone"] = {"share": shares(alone, held_out, unseen), "seconds": took}
        if info.name.startswith("mixture"):
            more = drain(build_bank(probe.on, model.latents(MANY, 1000), nodes=128, batch=256, **limits))
            config = replace(StateConfig(), iterations=0)
            many, _ = _trained(more, energy_of(more, coordinate), warp, config, seed)
            result["many_trajectories"] = {"trajectories": MANY, "share": shares(many, held_out, unseen)}
    noise = latents.noise[-64:]
    result["endpoint_rms"] = list(ends(model, noise, unseen, found.policy))
    result["overhead_cpu_ms"] = overhead(found.policy, noise)
    return result


def _trained(
    bank: TrajectoryBank, energy: Energy, warp: Warp, config: StateConfig, seed: int
) -> tuple[TrainedPolicy, float]:
    begun = time.perf_counter()
    found = drain(learn_policy(bank, energy, warp, config, seed))
    return found, round(time.perf_counter() - begun, 2)


def shares(found: TrainedPolicy, bank: TrajectoryBank, energy: Energy) -> dict[int, float]:
    """The share of the state gain by how often the policy looks; empty where there is nothing to gain."""
    policy = found.policy
    courses = courses_of(bank, energy, policy.warp, policy.frame.scale)
    best, known = courses.bounds
    if best - known < 1e-6 * best:
        return {}
    costs = {looks: roll_out(policy.weights, policy.frame, courses, looks).costs.mean() for looks in LOOKS}
    return {looks: float((best - cost) / (best - known)) for looks, cost in costs.items()}


def ends(model: ScoreModel, noise: Tensor, energy: Energy, policy: StatePolicy) -> Any:
    """For each budget the end-point error of the three clocks, with the standard error of policy less time-only."""
    info, fields = model.info, Probe(model).on
    field, latents, artifact = fields(None), Latents(noise=noise), artifact_of(policy, sigma_min=info.sigma_min)
    own = [closed_form(replace(energy, cells=row[None])) for row in energy.cells]
    teacher = sample(fields, latents, policy.warp.baked(64, info.sigma_min), SOLVERS["heun"])
    for solver, steps in BUDGETS:
        walk = policy_sampler(artifact, steps=steps, solver=solver)
        grids = torch.tensor([each.baked(steps, info.sigma_min) for each in own], dtype=torch.float64)
        reached = (
            sample(fields, latents, policy.warp.baked(steps, info.sigma_min), SOLVERS[solver]),
            walk(field, noise * info.sigma_max, torch.tensor([info.sigma_max, 0.0])),
            walk_each(field, noise * info.sigma_max, grids, solver),
        )
        errors = [(each - teacher).flatten(1).square().mean(dim=1) for each in reached]
        difference = errors[1].sqrt() - errors[0].sqrt()
        yield {
            "solver": solver,
            "nfe": 2 * steps - 1 if solver == "heun" else steps,
            **{kind: float(error.mean().sqrt()) for kind, error in zip(KINDS, errors, strict=True)},
            "policy_less_time_only": float(difference.mean()),
            "standard_error": float(difference.std() / len(difference) ** 0.5),
        }


def walk_each(field: Field, x: Tensor, grids: Tensor, solver: str) -> Tensor:
    """Walk every sample on a grid of its own, `(B, K + 1)`."""
    memory, spread = None, (-1, *[1] * (x.ndim - 1))

    def denoise(at, sigma):
        return field(at, sigma.flatten())

    for k in range(grids.shape[1] - 1):
        after = grids[:, k + 1].reshape(spread) if k < grids.shape[1] - 2 else 0.0
        step = SOLVERS[solver].step(denoise, x, grids[:, k].reshape(spread), after, memory)
        x, memory = step.x, step.memory
    return x


def overhead(policy: StatePolicy, noise: Tensor, steps: int = 50, rounds: int = 15) -> dict[str, float]:
    """CPU milliseconds a step for a batch of 64: the graph alone, and the whole walk beside one on a list of sigmas."""
    artifact, x = artifact_of(policy), noise.float() * policy.warp.sigma_max
    session = open_policy(artifact)
    given = dict.fromkeys(INPUTS, np.full(len(x), 0.5, dtype=np.float32))
    start, walk = torch.tensor([policy.warp.sigma_max, 0.0]), policy_sampler(artifact, steps=steps, solver="euler")
    sigmas = policy.warp.baked(steps)
    grids = torch.tensor([sigmas] * len(x), dtype=torch.float32)

    def still(at, _):
        return 0.5 * at

    def best(work) -> float:
        # Of one thread's own time, and the least of some rounds: what else the machine does is no cost of the policy.
        times = []
        for _ in range(rounds):
            begun = time.process_time()
            work()
            times.append(time.process_time() - begun)
        return 1e3 * min(times) / steps

    graph = best(lambda: [session.next_sigma(given) for _ in range(steps)])
    whole = best(lambda: walk(still, x, start)) - best(lambda: walk_each(still, x, grids, "euler"))
    return {"graph": round(graph, 4), "with_statistics": round(whole, 4), "batch": len(x)}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


if __name__ == "__main__":
    run()
