"""The methods that `--method` names: four ways from the trajectories to a warp.

* `art-rl` learns the clock by actor-critic, the papers' method; its grids are read from the distilled warp.
* `closed-form` takes the known optimum of the same problem.
* `dp` takes the exact best clock of K steps for each K, by dynamic programming on the cells of the energy.
* `paper` learns each K by itself through the network, as the papers state it; for fidelity, not for use.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from artc.artifact import Certificate, ModelInfo, Warp
from artc.artifact.types import Origin
from artc.errors import InputError, UnknownNameError
from artc.journal import BLANK, Snapshots
from artc.learning.actor_critic import LearnerConfig, LearnerUpdate, learn
from artc.learning.closed_form import closed_form
from artc.learning.distill import warp_through
from artc.learning.dynamic_programming import optimal_progress
from artc.learning.failures import exploited
from artc.learning.objective import Array, Energy, grid_cost, lower_bound, state_spread, stiffness_at, warp_cost
from artc.learning.online import OnlineModel
from artc.learning.paper import OnlineProblem, PaperConfig, clamp_of, learn_online
from artc.learning.rollouts import mean_path
from artc.models.domains import domain_grid, domain_warp, unscaled_sigma
from artc.models.score_model import Fields, Latents
from artc.progress import Steps, shifted
from artc.sampling.grids import above


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a method learns from.

    Attributes:
        energy: the stiffness of the training trajectories.
        seed: of whatever is drawn at random.
        steps: the step counts K that schedules are wanted for.
        fields, latents: the model, unscaled, and the noises of the training trajectories, for a method that walks by
            itself; its calls are counted where the fields are.
        snapshots: by a name for each run within it, where a method that takes minutes keeps its state.
    """

    energy: Energy
    seed: int = 0
    steps: tuple[int, ...] = ()
    fields: Fields | None = None
    latents: Latents | None = None
    snapshots: Callable[[str], Snapshots] = BLANK.snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a method found.

    Attributes:
        warp: the clock of any number of steps.
        origin: how its grids come about.
        progress: the K + 1 nodes for a K that a grid was made for alone; every other is read from the warp.
        config, diagnostics: its settings, and how the search went.
    """

    warp: Warp
    origin: Origin
    progress: Mapping[int, Array] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


Method = Callable[[Task], Generator[Steps, None, Learned]]


def art_rl(task: Task) -> Generator[LearnerUpdate, None, Learned]:
    """Learn a policy on the trajectories and distil it."""
    config, energy = LearnerConfig(), task.energy
    trained = yield from learn(energy, config, task.seed)
    clock = np.linspace(0.0, 1.0, config.steps + 1)
    progress = mean_path(trained.actor, clock)
    last = trained.history[-1]
    diagnostics = {
        "learning_curve": _curve(trained.history),
        "explained_variance": last.explained_variance,
        "gradient_norm": last.gradient_norm,
        "state_spread": state_spread(energy).tolist(),
        # gamma* = -2 c sqrt(q) at the end of the clock: the multiplier that the hard budget implies.
        "implied_multiplier": -2 * float(np.sqrt(lower_bound(energy) * energy.mean[-1] * len(energy.mean))),
        "distance_from_uniform": float(np.abs(progress - clock).max()),
        "left_for_last_step": float(1 - progress[-2]),
    }
    warp = warp_through(clock, progress, energy.coordinate)
    return Learned(warp=warp, origin="distilled", config=asdict(config), diagnostics=diagnostics)


def _curve(history: Sequence[LearnerUpdate]) -> list[float]:
    """About thirty gaps along a run."""
    return [update.gap for update in history[:: max(1, len(history) // 30)]]


def known_optimum(task: Task) -> Generator[Steps, None, Learned]:
    """Take the closed form; nothing is learned and the seed plays no part."""
    yield from ()
    return Learned(warp=closed_form(task.energy), origin="closed-form")


def exact_per_budget(task: Task) -> Generator[Steps, None, Learned]:
    """Dynamic programming for each K alone; the warp runs through the best clock of 64 steps."""
    yield from ()
    steps, energy = 64, task.energy
    warp = warp_through(np.linspace(0.0, 1.0, steps + 1), optimal_progress(energy, steps), energy.coordinate)
    return Learned(
        warp=warp,
        origin="dp",
        progress={wanted: optimal_progress(energy, wanted) for wanted in task.steps},
        config={"cells": energy.cells.shape[1], "warp_steps": steps},
    )


def art_rl_online(task: Task) -> Generator[Steps, None, Learned]:
    """The papers' own way: for each K a policy of its own, learned through the network in K Euler steps."""
    if task.fields is None or task.latents is None:
        raise InputError("Paper mode walks the model itself: a task needs fields and latents.")
    config, energy = PaperConfig(), task.energy
    low, high = energy.coordinate.offset, energy.coordinate.sigma_max
    model = OnlineModel(
        fields=task.fields, sigma_min=low, sigma_max=high, clamp=clamp_of(energy, config.clamp) * high**2
    )
    bound = lower_bound(energy)
    first = -2 * high * float(np.sqrt(bound * stiffness_at(energy, np.array([0.0]))[0]))
    progress: dict[int, Array] = {1: np.array([0.0, 1.0])}  # which needs no learning
    runs: dict[str, Any] = {}
    wanted = [steps for steps in task.steps if steps > 1]
    for place, steps in enumerate(wanted):
        problem = OnlineProblem(model=model, latents=task.latents, steps=steps, bound=bound, multiplier=first)
        # One progress for all K; the cost of a single batch, at left ends only, is no gap that a user should be shown.
        run = learn_online(problem, config, task.seed, task.snapshots(str(steps)))
        trained = yield from shifted(run, place * config.iterations, len(wanted) * config.iterations)
        progress[steps] = energy.coordinate.progress(high * (1.0 - trained.progress))
        runs[str(steps)] = {
            "failures": [*trained.failures, *exploited(energy, progress[steps])],
            "reached": trained.reached,
            "multiplier": trained.multiplier / first,
            "spread": float(trained.spread.max()),
            "learning_curve": _curve(trained.history),
            "explained_variance": trained.history[-1].explained_variance,
        }
    longest = max(progress)
    warp = warp_through(np.linspace(0.0, 1.0, longest + 1), progress[longest], energy.coordinate)
    return Learned(warp=warp, origin="online", progress=progress, config=asdict(config), diagnostics={"paper": runs})


METHODS: dict[str, Method] = {
    "art-rl": art_rl,
    "closed-form": known_optimum,
    "dp": exact_per_budget,
    "paper": art_rl_online,
}


def find_method(name: str) -> Method:
    """A method by its name; raises UnknownNameError that lists the close names."""
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]


def bake(learned: Learned, steps: int, held_out: Energy, info: ModelInfo) -> tuple[tuple[float, ...], Certificate]:
    """The grid of K steps in the model's domain and its certificate, J and J* both taken on held-out trajectories.

    A grid read from a warp carries the certificate of that continuous warp; one made for its K alone carries its own
    J_K, which can only come near J* as K grows.
    """
    if steps in learned.progress:
        nodes = domain_grid(held_out.coordinate.sigma(learned.progress[steps]).tolist(), info)
        sigmas = tuple(above(info.sigma_min, np.array(nodes)).tolist())
        return sigmas, certificate_of(sigmas, held_out, info)
    sigmas, cost = domain_warp(learned.warp, info).baked(steps, info.sigma_min), warp_cost(held_out, learned.warp)
    return sigmas, _certificate(cost, held_out)


def certificate_of(sigmas: Sequence[float], held_out: Energy, info: ModelInfo) -> Certificate:
    """J_K of a grid of the model's domain by itself, against J*."""
    return _certificate(
        grid_cost(held_out, held_out.coordinate.progress(unscaled_sigma(sigmas, info.domain))), held_out
    )


def _certificate(cost: float, held_out: Energy) -> Certificate:
    bound = lower_bound(held_out)
    return Certificate(objective=cost, lower_bound=bound, gap=cost / bound - 1.0, order=1)
