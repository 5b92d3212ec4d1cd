"""ART-RL: the clock learned by actor-critic, in continuous time.

Policy N(mu, lambda / |Q|) with the actor's mean; reward rate -|Q| theta^2. With delta_k the martingale increment
V_(k+1) - V_k + r_k dt of [JZ], the papers' updates are

    critic   sum_k grad V_k delta_k               actor   sum_k (|Q_k| / lambda) (theta_k - mu_k) grad mu_k delta_k.

Here delta_k is summed to the end of the episode (GAE with parameter 1): the critic regresses V on the realised
reward-to-go, and the actor's advantage is reward-to-go minus V, less its mean over the episodes at that step. One-step
increments need an accurate dV/dy and stop 7 to 9 % above the optimum; the sums reach it. The mean is mostly the bias
-lambda (1 - t) of the Gaussian policy and the critic's own error, and would drown the rest. Both gradients are
explicit, because mu and V are exponentials of linear functions: grad mu = mu * features and grad V = V * features.

The result is the average of the actor over the second half of the run (Polyak averaging), walked by its mean.

Sources: [ART] arXiv 2601.18681 and 2607.02137; [JZ] Jia and Zhou 2108.06655, 2111.11232. The hard budget, the control
variate, lambda = (kappa c)^2 and the rollouts on a bank are ours.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from artc.errors import InputError
from artc.learning.objective import Array, Energy, grid_cost, lower_bound
from artc.learning.policy import features, value
from artc.learning.rollouts import Environment, Rollouts, mean_path, roll_out


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerConfig:
    """Settings of a run, all written into the artifact.

    Attributes:
        steps: control steps K of an episode. Few steps bend the optimum away from the continuous one.
        rollouts: episodes of an iteration.
        iterations: policy updates.
        warmup: first iterations, in which only the critic learns.
        knots: hat functions of actor and critic.
        kappa: relative exploration noise at the optimum.
        rate: Adam's step, cut to 0.3 after half of the run and to 0.05 after four fifths.
    """

    steps: int = 96
    rollouts: int = 128
    iterations: int = 300
    warmup: int = 20
    knots: int = 24
    kappa: float = 0.1
    rate: float = 0.05

    def __post_init__(self) -> None:
        if min(self.steps, self.rollouts, self.iterations, self.knots) < 2 or not 0 < self.kappa <= 0.5:
            raise InputError(f"These learner settings make no sense: {self}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerUpdate:
    """State of a run after an iteration.

    Attributes:
        done, total: iterations.
        gap: J_K / J* - 1 of the mean policy on the training trajectories.
        explained_variance: 1 - Var(reward-to-go - V) / Var(reward-to-go); near 0 the critic is useless.
        gradient_norm: of the actor's last policy gradient.
    """

    done: int
    total: int
    gap: float
    explained_variance: float
    gradient_norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The averaged actor `(knots, 2)`, and every update on the way to it."""

    actor: Array
    history: tuple[LearnerUpdate, ...]


class Adam:
    """Adam's ascent step (Kingma and Ba 1412.6980), on one array.

    `mean` and `square` are the running moments of the gradient after `count` steps: all there is to keep of it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.mean, self.square, self.count = np.zeros(shape), np.zeros(shape), 0

    def step(self, gradient: Array, rate: float) -> Array:
        """The change to add to the parameters."""
        self.count += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.99 * self.square + 0.01 * gradient**2
        mean = self.mean / (1 - 0.9**self.count)
        square = self.square / (1 - 0.99**self.count)
        return np.asarray(rate * mean / (np.sqrt(square) + 1e-12))


def policy_gradient(rollouts: Rollouts, advantage: Array, knots: int) -> Array:
    """Mean over steps and episodes of (theta - mu) / spread^2 * grad mu * advantage, `(knots, 2)`.

    spread^2 is lambda / |Q|. The forced last action was not drawn and has no part in it.
    """
    score = (rollouts.theta - rollouts.mean) / rollouts.spread**2 * rollouts.mean
    score[-1] = 0.0
    at = features(rollouts.clock, rollouts.progress, knots)
    return at.weighted_sum(score * advantage, knots) / advantage.size


def value_gradient(rollouts: Rollouts, residual: Array, predicted: Array, knots: int) -> Array:
    """Mean of the relative residual (G - V) / |V| times grad V / |V|, clipped to [-2, 2]: `(knots, 2)`.

    Relative, because V falls to zero towards the end and its late values would otherwise never be learned.
    """
    relative = np.clip(residual / np.abs(predicted), -2.0, 2.0)
    at = features(rollouts.clock, rollouts.progress, knots)
    return at.weighted_sum(-relative, knots) / residual.size


def learn(energy: Energy, config: LearnerConfig, seed: int) -> Generator[LearnerUpdate, None, Trained]:
    """Train an actor on the mean energy of the trajectories, yielding progress."""
    rng = np.random.default_rng(seed)
    environment, bound = Environment.of(energy), lower_bound(energy)
    actor, critic = np.zeros((config.knots, 2)), np.zeros((config.knots, 2))
    ascend_actor, ascend_critic = Adam(actor.shape), Adam(critic.shape)
    averaged, count = np.zeros_like(actor), 0
    history: list[LearnerUpdate] = []
    even = np.linspace(0.0, 1.0, config.steps + 1)
    for iteration in range(1, config.iterations + 1):
        share = iteration / config.iterations
        rate = config.rate * (1.0 if share <= 0.5 else 0.3 if share <= 0.8 else 0.05)
        noise = rng.standard_normal((config.steps, config.rollouts))
        # c = sqrt(J*) on a clock of length 1: theta* = c / sqrt(q).
        rollouts = roll_out(environment, actor, even, noise, config.kappa * bound**0.5)
        at = features(rollouts.clock, rollouts.progress, config.knots)
        predicted = value(critic, rollouts.clock, rollouts.progress, at, bound)
        residual = rollouts.reward_to_go - predicted
        critic = critic + ascend_critic.step(value_gradient(rollouts, residual, predicted, config.knots), rate)
        # What all episodes share at a step says nothing about the actions: without it the gradient is far quieter.
        advantage = residual - residual.mean(axis=1, keepdims=True)
        gradient = policy_gradient(rollouts, advantage, config.knots)
        if iteration > config.warmup:
            actor = actor + ascend_actor.step(gradient, rate)
        if share > 0.5:
            averaged, count = averaged + actor, count + 1
        current = averaged / count if count else actor
        update = LearnerUpdate(
            done=iteration,
            total=config.iterations,
            gap=grid_cost(energy, mean_path(current, even)) / bound - 1.0,
            explained_variance=1.0 - float(residual.var() / rollouts.reward_to_go.var()),
            gradient_norm=float(np.linalg.norm(gradient)) / bound,
        )
        history.append(update)
        yield update
    return Trained(actor=averaged / count, history=tuple(history))
