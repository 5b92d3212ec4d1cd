"""Paper mode: ART-RL as its authors state it, online through the network, one number of steps at a time.

With the rollouts of `artc.learning.online`, V(t, x, y) linear in the features around gamma t + lambda, which is
what a policy that keeps to the budget gets from the multiplier, V(1, .) = gamma + lambda, and the one-step martingale
increment

    delta_k = V_{k+1} - V_k + (-|Q_k| theta_k^2 - gamma theta_k) dt,

an iteration makes the three updates of [ART], each summed over the steps and averaged over a batch of episodes:

    critic      w     <- w     + a  sum_k grad V_k delta_k
    actor       phi   <- phi   + a  sum_k (|Q_k| / lambda) (theta_k - mu_k) grad mu_k delta_k
    multiplier  gamma <- gamma + a_gamma (y(1) - 1)

The schedule is distilled from the mean policy: theta averaged over trajectories at each clock, scaled so that the K
steps end at sigma = 0.

It is here for fidelity and to be measured against; `art-rl` on the trajectory bank is the better learner. What goes
wrong with it is looked for at the end of each run, and named:

* *left end exploited*: |Q| is charged at the left end of a step only, so that a step may begin where |Q| is small and
  cross all of it for nothing (`EXPLOITED`). Two forms of this have names of their own:
* *degenerate jump*: |Q| is tiny at high noise, and one of the first steps goes nearly all the way (`GIANT_JUMP`);
* *collapse to uniform*: evenly spaced sigmas never visit the low noise where |Q| is large (`NEARLY_UNIFORM`);
* *budget missed*: nothing but the multiplier holds y(1) at 1, and it may run away (`BUDGET_MISSED`);
* *state-dependent*: the policy reads the state, and what is distilled is its mean (`STATE_DEPENDENT`).

Source: [ART] arXiv 2601.18681, section 4 and algorithm 1; [JZ] Jia and Zhou 2108.06655, 2207.00713. Features, rates,
batch, lambda = (kappa c)^2, the clamp and the first multiplier, which the papers leave open, are ours.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from artc.learning.actor_critic import Adam, LearnerUpdate
from artc.learning.dynamic_programming import optimal_progress
from artc.learning.objective import Array, Energy, grid_cost, stiffness_at
from artc.learning.online import SIZE, Episodes, OnlineModel
from artc.models.score_model import Latents

EXPLOITED = 2.0
"""A schedule whose steps cross so many times the least J_K of any of K steps is cheap at their left ends only."""

GIANT_JUMP = 0.01
"""A step from above half of sigma_max that ends below this share of it, one of more than two, is degenerate."""

NEARLY_UNIFORM = 0.02
"""A schedule that differs from the uniform one by less than this share of sigma_max everywhere has collapsed to it."""

BUDGET_MISSED = 0.1
"""A mean policy that ends so far from sigma = 0, in units of sigma_max, has not met the budget."""


STATE_DEPENDENT = 0.1
"""A variance of theta over trajectories, relative to its squared mean, beyond which its mean is a poor summary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """Settings of a run, all written into the artifact.

    Attributes:
        iterations, episodes: updates, and trajectories played for each.
        warmup: first iterations, in which only the critic learns.
        kappa: exploration, lambda = (kappa c)^2 with c^2 the least cost there is.
        rate: Adam's step for the actor, cut to 0.3 after half of the run and to 0.05 after four fifths.
        critic_rate: the same for the critic.
        multiplier_rate: a_gamma in units of c^2, cut as the others are.
        clamp: |Q| is held above this share of its median over the trajectories.
        distilled: trajectories whose theta is averaged.
    """

    iterations: int = 1500
    episodes: int = 16
    warmup: int = 100
    kappa: float = 0.15
    rate: float = 0.01
    critic_rate: float = 0.03
    multiplier_rate: float = 0.06
    clamp: float = 1e-3
    distilled: int = 64


def clamp_of(energy: Energy, share: float) -> float:
    """`share` of the median of E|Q| over log-spaced sigmas, in units of sigma."""
    low, high = energy.coordinate.offset, energy.coordinate.sigma_max
    return share * float(np.median(stiffness_at(energy, np.geomspace(high, low, 512))))


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrained:
    """What a run of K steps ends with.

    Attributes:
        progress: `(K + 1,)` y of the distilled schedule, from 0 to exactly 1.
        reached: y(1) of the mean policy before it was scaled.
        multiplier: gamma at the end.
        spread: standard deviation of theta over trajectories at each clock, relative to its mean, `(K,)`.
        history: the updates of the run.
        failures: what went wrong, in words; empty when nothing did.
    """

    progress: Array
    reached: float
    multiplier: float
    spread: Array
    history: tuple[LearnerUpdate, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineProblem:
    """What a run is about: the model to walk, the noises to start from, K, c^2 in units of y, and the first gamma."""

    model: OnlineModel
    latents: Latents
    steps: int
    bound: float
    multiplier: float


def learn_online(
    problem: OnlineProblem, config: PaperConfig, seed: int
) -> Generator[LearnerUpdate, None, PaperTrained]:
    """Train a policy of K steps through the model, yielding progress."""
    steps, bound = problem.steps, problem.bound
    spread = config.kappa * bound**0.5
    actor, critic, gamma = np.zeros(SIZE), np.zeros(SIZE), problem.multiplier
    ascend_actor, ascend_critic = Adam(actor.shape), Adam(critic.shape)
    history: list[LearnerUpdate] = []
    for iteration in range(1, config.iterations + 1):
        # Drawn anew from its own seed: an iteration needs nothing of those before it but the parameters.
        rng = np.random.default_rng([seed, steps, iteration])
        starts = drawn(problem.latents, rng.integers(len(problem.latents), size=config.episodes))
        episodes = problem.model.play(starts, actor, rng.standard_normal((steps, config.episodes)), spread)
        increment, explained = increments(episodes, critic, gamma, spread**2, bound)
        share = iteration / config.iterations
        cut = 1.0 if share <= 0.5 else 0.3 if share <= 0.8 else 0.05
        critic = critic + ascend_critic.step(critic_gradient(episodes, increment, bound), config.critic_rate * cut)
        gradient = actor_gradient(episodes, increment, spread**2)
        if iteration > config.warmup:
            actor = actor + ascend_actor.step(gradient, config.rate * cut)
            gamma += config.multiplier_rate * cut * bound * (float(episodes.end.mean()) - 1.0)
        update = LearnerUpdate(
            done=iteration,
            total=config.iterations,
            gap=float((episodes.stiffness * episodes.theta**2).mean()) / bound - 1.0,
            explained_variance=explained,
            gradient_norm=float(np.linalg.norm(gradient)) / bound,
        )
        history.append(update)
        yield update
    some = problem.latents.first(config.distilled)
    played = problem.model.play(some, actor, np.zeros((steps, len(some))), 0.0)
    return distilled(played, gamma, tuple(history))


def increments(episodes: Episodes, critic: Array, gamma: float, lam: float, bound: float) -> tuple[Array, float]:
    """delta_k of every step and episode, `(K, B)`, and the share of the variance of the return that V explains.

    V(t, .) = gamma t + lambda + (1 - t) c^2 w . features, and gamma + lambda at the end of the clock.
    """
    steps = len(episodes.theta)
    clock = np.arange(steps)[:, None] / steps
    value = gamma * clock + lam + (1.0 - clock) * bound * np.einsum("kfb,f->kb", episodes.features, critic)
    reward = (-episodes.stiffness * episodes.theta**2 - gamma * episodes.theta) / steps
    after = np.concatenate([value[1:], np.full((1, value.shape[1]), gamma + lam)])
    returned = reward[::-1].cumsum(axis=0)[::-1] + gamma + lam
    explained = 1.0 - float((returned - value).var() / max(returned.var(), np.finfo(np.float64).tiny))
    return after - value + reward, explained


def critic_gradient(episodes: Episodes, increment: Array, bound: float) -> Array:
    """sum_k grad V_k delta_k over c^4, averaged over the episodes: `(F,)`."""
    steps, count = increment.shape
    left = 1.0 - np.arange(steps)[:, None] / steps
    return np.asarray(np.einsum("kfb,kb->f", episodes.features, left * increment) / (bound * count))


def actor_gradient(episodes: Episodes, increment: Array, lam: float) -> Array:
    """sum_k (|Q_k| / lambda) (theta_k - mu_k) grad mu_k delta_k, averaged over the episodes: `(F,)`."""
    # mu is the exponential of a linear function, and its gradient mu times the features.
    score = episodes.stiffness / lam * (episodes.theta - episodes.mean) * episodes.mean
    return np.asarray(np.einsum("kfb,kb->f", episodes.features, score * increment) / increment.shape[1])


def distilled(played: Episodes, multiplier: float, history: tuple[LearnerUpdate, ...] = ()) -> PaperTrained:
    """The schedule of the mean theta of these episodes, scaled to end at y = 1, and all that is wrong with it."""
    mean, deviation = played.theta.mean(axis=1), played.theta.std(axis=1)
    progress = np.concatenate([[0.0], np.cumsum(mean) / mean.sum()])
    progress[-1] = 1.0
    reached, spread = float(played.end.mean()), deviation / mean
    return PaperTrained(
        progress=progress,
        reached=reached,
        multiplier=multiplier,
        spread=spread,
        history=history,
        failures=tuple(failures(progress, reached, spread)),
    )


def failures(progress: Array, reached: float, spread: Array) -> Iterator[str]:
    """What went wrong with a schedule `(K + 1,)` whose mean policy reached y(1) = `reached`, in words."""
    steps = len(progress) - 1
    landing = 1.0 - progress[np.argmax(progress >= 0.5)]
    if steps > 2 and landing < GIANT_JUMP:
        yield f"degenerate jump: one step of {steps} goes from high noise to {landing:.2g} of sigma_max"
    if steps > 1 and np.abs(progress - np.linspace(0.0, 1.0, steps + 1)).max() < NEARLY_UNIFORM:
        yield "collapse to uniform: low noise, where the cost is, is stepped over and never charged"
    if not abs(reached - 1.0) <= BUDGET_MISSED:
        yield f"budget missed: the multiplier let the policy go {reached:.0%} of the way to sigma = 0"
    if (spread**2).max() > STATE_DEPENDENT:
        yield f"state-dependent: theta varies by {spread.max():.0%} between trajectories, and only its mean is kept"


def exploited(energy: Energy, progress: Array) -> Iterator[str]:
    """Whether a schedule, in progress of the energy's coordinate, is cheap only where the papers' cost looks."""
    least = grid_cost(energy, optimal_progress(energy, len(progress) - 1))
    ratio = grid_cost(energy, progress) / least
    if ratio > EXPLOITED:
        yield f"left end exploited: its steps cross {ratio:.1f} times the least cost of {len(progress) - 1} steps"


def drawn(latents: Latents, places: NDArray[np.int64]) -> Latents:
    """The latents at these places."""
    picked = torch.as_tensor(places, device=latents.noise.device)
    return replace(
        latents, noise=latents.noise[picked], labels=None if latents.labels is None else latents.labels[picked]
    )
