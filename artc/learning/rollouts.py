"""Rollouts on the trajectory bank: the environment is a table, and an episode costs no denoiser call.

A time-only clock drives all trajectories of the bank at once, so an episode is charged the mean over all of them and
not that of one drawn at random: the expectation in the objective is taken exactly, and the only noise left in the
policy gradient is the policy's own.

A step from y to y' in the clock time dt costs (y' - y) A(y, y') / dt, its speed times the stiffness it crossed. The
left-end cost |Q(y)| theta^2 dt has the same limit, but at few steps its optimum is one giant first jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artc.learning.objective import Array, Energy
from artc.learning.policy import features, speed

CLOSEST = 1e-9  # to the end, in progress, before the last step: the position stays strictly monotone


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """B episodes of K steps; every array is `(K, B)`.

    Attributes:
        clock, progress: where each step began.
        mean, spread, theta: the policy's mean and standard deviation there, and the speed it drew.
        reward: minus the cost of the step, with the control variate added.
    """

    clock: Array
    progress: Array
    mean: Array
    spread: Array
    theta: Array
    reward: Array

    @property
    def reward_to_go(self) -> Array:
        """Sum of the rewards from each step to the end."""
        return self.reward[::-1].cumsum(axis=0)[::-1]


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment: mean energy of the trajectories as a function of progress."""

    reached: Array
    density: Array

    @classmethod
    def of(cls, energy: Energy) -> Environment:
        """The environment of the mean over all trajectories."""
        return cls(energy.cumulative, energy.mean * len(energy.mean))

    def taken(self, progress: Array) -> Array:
        """A(0, y): energy from the start up to y."""
        position = progress * len(self.density)
        cell = np.minimum(position.astype(np.int64), len(self.density) - 1)
        upto: Array = self.reached[cell] + (position - cell) * (self.reached[cell + 1] - self.reached[cell])
        return upto

    def stiffness(self, progress: Array) -> Array:
        """q_y at y."""
        cell = np.minimum((progress * len(self.density)).astype(np.int64), len(self.density) - 1)
        return self.density[cell]


def roll_out(environment: Environment, actor: Array, clock: Array, noise: Array, exploration: float) -> Rollouts:
    """Play B episodes of the Gaussian policy N(mu, lambda / |Q|), lambda = exploration^2, on K steps of a clock.

    Args:
        actor: weights `(knots, 2)`.
        clock: `(K + 1,)` from 0 to 1.
        noise: `(K, B)` standard normal; zero plays the mean.
        exploration: kappa c; at the optimum, theta = c / sqrt|Q|, the relative noise is kappa everywhere.

    The spread is capped at half the mean, so that a policy still far from the optimum does not walk backwards, and the
    last action is forced: it lands at the end. The control variate |Q| ((theta - mu)^2 - spread^2) dt has mean zero and
    is even in the noise, so it leaves the policy gradient as it is and takes out most of its variance.
    """
    steps, episodes = noise.shape
    shape = (steps, episodes)
    progress, mean, spread, theta, reward = (np.empty(shape) for _ in range(5))
    y, taken = np.zeros(episodes), np.zeros(episodes)
    for k in range(steps):
        now, width = np.full(episodes, clock[k]), clock[k + 1] - clock[k]
        mu = speed(actor, now, y, features(now, y, len(actor)))
        stiffness = environment.stiffness(y)
        sd = np.minimum(exploration / np.sqrt(stiffness), 0.5 * mu)
        if k < steps - 1:
            drawn = mu + sd * noise[k]
            y_next = np.clip(y + drawn * width, y + CLOSEST / steps, 1 - CLOSEST * (steps - 1 - k))
            variate = stiffness * ((drawn - mu) ** 2 - sd**2) * width
        else:
            y_next, variate = np.ones(episodes), 0.0
            drawn = (y_next - y) / width
        taken_next = environment.taken(y_next)
        progress[k], mean[k], spread[k], theta[k] = y, mu, sd, drawn
        reward[k] = -(y_next - y) * (taken_next - taken) / width + variate
        y, taken = y_next, taken_next
    clocks = np.broadcast_to(clock[:-1, None], shape)
    return Rollouts(clock=clocks, progress=progress, mean=mean, spread=spread, theta=theta, reward=reward)


def mean_path(actor: Array, clock: Array) -> Array:
    """Progress `(K + 1,)` at the nodes of a clock when the actor's mean is followed: what is distilled."""
    y, path = np.zeros(1), [0.0]
    for k in range(len(clock) - 2):
        now = np.full(1, clock[k])
        y = y + speed(actor, now, y, features(now, y, len(actor))) * (clock[k + 1] - clock[k])
        y = np.minimum(y, 1 - CLOSEST * (len(clock) - 2 - k))
        path.append(float(y[0]))
    return np.array([*path, 1.0])
