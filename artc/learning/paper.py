"""Paper mode: ART-RL as its authors state it, online through the network, one number of steps at a time.

With the rollouts of `artc.learning.online`, V(t, x, y) linear in the features around gamma t + lambda, which is the
papers' V(1, .) = gamma + lambda at the end, and before it what the multiplier has yet to pay where progress is that of
the clock, y = t; and with the one-step martingale increment

    delta_k = V_{k+1} - V_k + (-|Q_k| theta_k^2 - gamma theta_k) dt,

an iteration makes the three updates of [ART], each summed over the steps and averaged over a batch of episodes:

    critic      w     <- w     + a  sum_k grad V_k delta_k
    actor       phi   <- phi   + a  sum_k (|Q_k| / lambda) (theta_k - mu_k) grad mu_k delta_k
    multiplier  gamma <- gamma + a_gamma (y(1) - 1)

The schedule is distilled from the mean policy: theta averaged over trajectories at each clock, scaled so that the K
steps end at sigma = 0.

It is here for fidelity and to be measured against; `art-rl` on the trajectory bank is the better learner. What goes
wrong with it is in `artc.learning.failures`.

Source: [ART] arXiv 2601.18681, section 4 and algorithm 1; [JZ] Jia and Zhou 2108.06655, 2207.00713. Features, rates,
batch, lambda = (kappa c)^2, the clamp and the first multiplier, which the papers leave open, are ours.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from artc.journal import BLANK, Arrays, Facts, Snapshots
from artc.learning.actor_critic import Adam, LearnerUpdate
from artc.learning.failures import failures
from artc.learning.objective import Array, Energy, stiffness_at
from artc.learning.online import SIZE, Episodes, OnlineModel
from artc.models.score_model import Latents


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """Settings of a run, all written into the artifact.

    Attributes:
        iterations, episodes: updates, and trajectories played for each.
        warmup: first iterations, in which only the critic learns.
        kappa: exploration, lambda = (kappa c)^2 with c^2 the least cost there is.
        rate: Adam's step for the actor, cut to 0.3 after half of the run and to 0.05 after four fifths.
        critic_rate: the same for the critic.
        multiplier_rate: a_gamma in units of the first multiplier, cut as the others are.
        clamp: |Q| is held above this share of its median over the trajectories.
        distilled: trajectories whose theta is averaged.
    """

    iterations: int = 1500
    episodes: int = 16
    warmup: int = 100
    kappa: float = 0.15
    rate: float = 0.01
    critic_rate: float = 0.03
    multiplier_rate: float = 0.01
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


@dataclass(slots=True, kw_only=True)
class _State:
    """What a run consists of between two iterations."""

    gamma: float
    actor: Array
    critic: Array
    ascend_actor: Adam
    ascend_critic: Adam
    history: list[LearnerUpdate]

    @classmethod
    def fresh(cls, gamma: float) -> _State:
        adams = {name: Adam((SIZE,)) for name in ("ascend_actor", "ascend_critic")}
        return cls(gamma=gamma, actor=np.zeros(SIZE), critic=np.zeros(SIZE), history=[], **adams)

    def kept(self) -> tuple[dict[str, Array], dict[str, float]]:
        """The state as arrays and numbers."""
        adams = (self.ascend_actor, self.ascend_critic)
        rows = [[update.gap, update.explained_variance, update.gradient_norm] for update in self.history]
        moments = np.stack([moment for adam in adams for moment in (adam.mean, adam.square)])
        counts = {"actor_steps": adams[0].count, "critic_steps": adams[1].count}
        arrays = {"actor": self.actor, "critic": self.critic, "moments": moments, "history": np.array(rows)}
        return arrays, {"gamma": self.gamma, **counts}

    @classmethod
    def recalled(cls, arrays: Arrays, facts: Facts, total: int) -> _State:
        """The state that `kept` made arrays and numbers of."""
        state = cls.fresh(facts["gamma"])
        state.actor, state.critic, moments = (
            np.asarray(arrays[key], dtype=np.float64) for key in ("actor", "critic", "moments")
        )
        for adam, place, count in ((state.ascend_actor, 0, "actor_steps"), (state.ascend_critic, 2, "critic_steps")):
            adam.mean, adam.square, adam.count = moments[place], moments[place + 1], facts[count]
        for done, (gap, explained, norm) in enumerate(np.asarray(arrays["history"]).tolist(), 1):
            state.history.append(
                LearnerUpdate(done=done, total=total, gap=gap, explained_variance=explained, gradient_norm=norm)
            )
        return state


def learn_online(
    problem: OnlineProblem, config: PaperConfig, seed: int, snapshots: Snapshots | None = None
) -> Generator[LearnerUpdate, None, PaperTrained]:
    """Train a policy of K steps through the model, yielding progress; go on from the latest of `snapshots`."""
    steps, bound = problem.steps, problem.bound
    spread = config.kappa * bound**0.5
    snapshots = snapshots or BLANK.snapshots("")
    left = snapshots.latest()
    state = _State.recalled(*left, config.iterations) if left else _State.fresh(problem.multiplier)
    for iteration in range(len(state.history) + 1, config.iterations + 1):
        # Drawn anew from its own seed: an iteration needs nothing of those before it but the state.
        rng = np.random.default_rng([seed, steps, iteration])
        starts = drawn(problem.latents, rng.integers(len(problem.latents), size=config.episodes))
        episodes = problem.model.play(starts, state.actor, rng.standard_normal((steps, config.episodes)), spread)
        increment, explained = increments(episodes, state.critic, state.gamma, spread**2, bound)
        share = iteration / config.iterations
        cut = 1.0 if share <= 0.5 else 0.3 if share <= 0.8 else 0.05
        state.critic = state.critic + state.ascend_critic.step(
            critic_gradient(episodes, increment, bound), config.critic_rate * cut
        )
        gradient = actor_gradient(episodes, increment, spread**2)
        if iteration > config.warmup:
            state.actor = state.actor + state.ascend_actor.step(gradient, config.rate * cut)
            state.gamma += config.multiplier_rate * cut * abs(problem.multiplier) * (float(episodes.end.mean()) - 1.0)
        update = LearnerUpdate(
            done=iteration,
            total=config.iterations,
            gap=float((episodes.stiffness * episodes.theta**2).mean()) / bound - 1.0,
            explained_variance=explained,
            gradient_norm=float(np.linalg.norm(gradient)) / bound,
        )
        state.history.append(update)
        snapshots.put(*state.kept())
        yield update
    some = problem.latents.first(config.distilled)
    played = problem.model.play(some, state.actor, np.zeros((steps, len(some))), 0.0)
    return distilled(played, state.gamma, tuple(state.history))


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


def drawn(latents: Latents, places: NDArray[np.int64]) -> Latents:
    """The latents at these places."""
    picked = torch.as_tensor(places, device=latents.noise.device)
    return replace(
        latents, noise=latents.noise[picked], labels=None if latents.labels is None else latents.labels[picked]
    )
