"""How the policy that reads the state is trained: on the bank, without another call of the model.

First a start by hindsight. For K steps at the time-only places z_k = k / K the features of a trajectory do not depend
on the policy, which only says how much clock it spends on each step: s_{k+1} = s_k (r_{k+1} / r_k)^exp(-g_k). The cost

    sum_k (z_{k+1} - z_k) A_i(z_k, z_{k+1}) / (s_k - s_{k+1}),      A_i the energy of trajectory i there,

is then a plain function of the g_k, and its gradient is taken for all trajectories at once. Its least value over all g
is that of clocks which know each trajectory to its end; over functions of the features it is the best that they allow.

Then actor-critic, with what the start leaves out: that another g is another place. An episode follows one trajectory,
on K steps, K drawn anew in each iteration; theta ~ N(mu, lambda / |Q|) with lambda = (kappa c)^2; reward-to-go with the
control variate, as in `artc.learning.actor_critic`. The critic V = -(R_i^2 / s) exp v(z, features) knows the R_i of the
episode, what is left of the integral of sqrt|Q| along its trajectory. A baseline may know what the actor does not: it
shifts no gradient, and takes out what the episode's trajectory, and not its actions, decided.

After each stage the policy is held against the time-only clock on trajectories set aside from training, and the best
one so far is kept, the time-only clock itself among them.

Source: [JZ] 2111.11232 for the policy gradient; Pinto et al. 1710.06542 for a critic that knows more than the actor;
the rest is ours.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from artc.artifact import Warp
from artc.errors import InputError
from artc.learning.objective import Array, Energy
from artc.learning.state_features import CELLS, Courses, Frame, courses_of, data_scale, frame_of
from artc.learning.state_policy import BOUND, StatePolicy, fresh, network_inputs, roll_out
from artc.sampling.bank import TrajectoryBank

Layers = tuple[tuple[Array, Array], ...]

TRAINED_STEPS = (4, 5, 7, 9, 13, 18, 32, 64)
JUDGED_STEPS = (5, 9, 18, 48)
LEAST = 1e-5
"""The policy kept is changed for one that saves so much more: where no state differs, rounding is all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateConfig:
    """Settings of a run, all written into the artifact.

    Attributes:
        width: units of each of the two layers.
        start: iterations of the start by hindsight, and `start_rate` Adam's step there.
        iterations: policy updates, and `rate` Adam's step there.
        episodes: of an iteration.
        warmup: first iterations, in which only the critic learns.
        kappa: relative exploration noise.
        judged: the policy is held against the trajectories set aside every so many iterations.
        set_aside: share of the training trajectories that no gradient sees.
        decay: of the weights, for each unit of Adam's step.
    """

    width: int = 32
    start: int = 600
    start_rate: float = 5e-3
    iterations: int = 200
    rate: float = 1e-3
    episodes: int = 128
    warmup: int = 20
    kappa: float = 0.1
    judged: int = 50
    set_aside: float = 0.25
    decay: float = 0.02

    def __post_init__(self) -> None:
        if min(self.width, self.episodes, self.judged) < 1 or not 0 < self.set_aside < 1 or not 0 < self.kappa <= 0.5:
            raise InputError(f"These learner settings make no sense: {self}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateUpdate:
    """State of a run: iterations done, and what the policy saves of the time-only cost on trajectories set aside."""

    done: int
    total: int
    saved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedPolicy:
    """The best policy found, and how it was found.

    Attributes:
        saved: relative cost saved on the trajectories set aside, mean over `JUDGED_STEPS`; 0 for the time-only clock.
        stage: which stage made it: "time-only", "start" or "actor-critic".
        history: (stage, iteration, saved) each time it was judged.
    """

    policy: StatePolicy
    saved: float
    stage: str
    history: tuple[tuple[str, int, float], ...]


def learn_policy(
    bank: TrajectoryBank, energy: Energy, warp: Warp, config: StateConfig, seed: int
) -> Generator[StateUpdate, None, TrainedPolicy]:
    """Train a policy around a time-only warp on the training part of a bank, yielding progress.

    Args:
        energy: of this bank, `energy_of(bank, coordinate)`.
        warp: the clock that the policy departs from, unscaled: `closed_form(energy)`, the time-only optimum, or a
            distilled one. What that one is above the optimum is lost to the policy where the state tells little.
    """
    scale = data_scale(bank)
    courses = courses_of(bank, energy, warp, scale)
    aside = max(1, round(config.set_aside * len(courses)))
    training, judging = courses.part(slice(None, -aside)), courses.part(slice(-aside, None))
    frame = frame_of(training, scale)
    rng = np.random.default_rng(seed)
    weights = fresh(config.width, rng)
    history: list[tuple[str, int, float]] = [("time-only", 0, 0.0)]
    best, kept = history[0], weights
    total = config.start + config.iterations
    base = [roll_out(weights, frame, judging, steps).costs.mean() for steps in JUDGED_STEPS]
    stages = (
        ("start", 0, _start(weights, frame, training, config, rng)),
        ("actor-critic", config.start, None),
    )
    for stage, before, work in stages:
        if work is None:
            work = _actor_critic(kept, frame, training, config, rng)
        for iteration, weights in work:
            if iteration % config.judged == 0:
                found = [roll_out(weights, frame, judging, steps).costs.mean() for steps in JUDGED_STEPS]
                saved = float(1.0 - np.mean(np.array(found) / np.array(base)))
                history.append((stage, iteration, saved))
                if saved > best[2] + LEAST:
                    best, kept = history[-1], weights
            yield StateUpdate(done=before + iteration, total=total, saved=best[2])
    policy = StatePolicy(warp=warp, frame=frame, weights=kept)
    return TrainedPolicy(policy=policy, saved=best[2], stage=best[0], history=tuple(history))


def _start(
    weights: Layers, frame: Frame, courses: Courses, config: StateConfig, rng: np.random.Generator
) -> Generator[tuple[int, Layers], None, None]:
    """Minimise the cost of fixed places, by the clock that is spent between them."""
    network = _network(weights)
    adam = torch.optim.AdamW(network, lr=config.start_rate, weight_decay=config.decay)
    # At g = 0 a roll-out visits just these places, and sees just these features.
    tables = {steps: roll_out(weights, frame, courses, steps) for steps in TRAINED_STEPS}
    unit = float(courses.taken[:, -1].mean())
    for iteration in range(1, config.start + 1):
        steps = int(rng.choice(TRAINED_STEPS))
        for group in adam.param_groups:
            group["lr"] = config.start_rate * (1 - (iteration - 1) / config.start)
        with _one_thread():
            played = tables[steps]
            g = _gain(network, _inputs(played.seen, played.place))
            energy = torch.from_numpy(played.cost / unit)  # at g = 0 each step takes 1 / K of the clock
            left = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
            spent = torch.cumsum(torch.exp(-g[:-1]) * torch.log(left[1:-1] / left[:-2])[:, None], dim=0)
            ends = torch.zeros_like(spent[:1])
            remaining = torch.cat([ends + 1, torch.exp(spent), ends])
            cost = (energy / steps / (remaining[:-1] - remaining[1:])).sum(dim=0).mean()
            adam.zero_grad()
            cost.backward()
            adam.step()
        yield iteration, _arrays(network)


def _actor_critic(
    weights: Layers, frame: Frame, courses: Courses, config: StateConfig, rng: np.random.Generator
) -> Generator[tuple[int, Layers], None, None]:
    actor, critic = _network(weights), _network(fresh(config.width, rng))
    ascend_actor = torch.optim.AdamW(actor, lr=config.rate, weight_decay=config.decay)
    ascend_critic = torch.optim.AdamW(critic, lr=5 * config.rate, weight_decay=config.decay)
    bound = courses.bounds[0]
    roots = np.sqrt(courses.cells / CELLS)
    ahead = np.concatenate([roots[:, ::-1].cumsum(axis=1)[:, ::-1], np.zeros((len(roots), 1))], axis=1)
    averaged: Layers | None = None
    for iteration in range(1, config.iterations + 1):
        steps = int(rng.choice(TRAINED_STEPS))
        rate = config.rate * (1 - (iteration - 1) / config.iterations)
        which = rng.integers(len(courses), size=config.episodes)
        noise = rng.standard_normal((steps, config.episodes))
        played = roll_out(_arrays(actor), frame, courses, steps, noise, config.kappa * bound**0.5, which)
        cells = np.minimum((played.place * CELLS).astype(np.int64), CELLS - 1)
        known = ahead[which, cells] ** 2 / (1.0 - played.clock[:-1, None])
        with _one_thread():
            inputs = _inputs(played.seen, played.place)
            value = -torch.from_numpy(known) * torch.exp(_gain(critic, inputs))
            residual = torch.from_numpy(played.togo.copy()) - value
            loss = (residual / torch.from_numpy(known)).clamp(-2, 2).square().mean()
            ascend_critic.zero_grad()
            loss.backward()
            ascend_critic.step()
            if iteration > config.warmup and steps > 1:
                advantage = residual.detach()
                advantage = (advantage - advantage.mean(dim=1, keepdim=True)) / bound
                g, left = _gain(actor, inputs), torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:, None]
                rest = 1.0 - torch.from_numpy(played.place)
                speed = rest * (1.0 - (left[1:] / left[:-1]) ** torch.exp(g)) * steps
                score = torch.from_numpy((played.theta - played.speed) / played.spread**2 / steps) * speed
                gain = (score * advantage)[:-1].sum(dim=0).mean()
                for group in ascend_actor.param_groups:
                    group["lr"] = rate
                ascend_actor.zero_grad()
                (-gain).backward()
                ascend_actor.step()
        now = _arrays(actor)
        averaged = now if averaged is None else _mixed(averaged, now, 0.05)
        yield iteration, averaged


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: on arrays this small a second one only waits, and another sum would be another policy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _network(weights: Layers) -> list[Tensor]:
    return [torch.from_numpy(array.copy()).requires_grad_() for layer in weights for array in layer]


def _arrays(network: list[Tensor]) -> Layers:
    arrays = [tensor.detach().numpy().copy() for tensor in network]
    return tuple(zip(arrays[::2], arrays[1::2], strict=True))


def _mixed(old: Layers, new: Layers, share: float) -> Layers:
    return tuple(
        ((1 - share) * a + share * c, (1 - share) * b + share * d) for (a, b), (c, d) in zip(old, new, strict=True)
    )


def _inputs(seen: Array, place: Array) -> Tensor:
    return torch.from_numpy(network_inputs(seen, place))


def _gain(network: list[Tensor], inputs: Tensor) -> Tensor:
    """The same function as `artc.learning.state_policy.gain`, with gradients."""
    value = inputs
    for matrix, vector in zip(network[:-2:2], network[1:-2:2], strict=True):
        value = torch.tanh(value @ matrix + vector)
    return BOUND * torch.tanh((value @ network[-2] + network[-1])[..., 0] / BOUND)
