"""A clock that reads the state: a time-only clock, hurried or held back by what the trajectory looks like.

Let z be the place in the time of that clock's warp, r = 1 - z what is left of it, and s = 1 - t what is left of the
sampler's own clock. The policy's speed is

    mu = dz/dt = (r / s) exp g(z, features),        g = b tanh(net / b),      |g| < b,

the form (remaining distance / remaining clock) exp h of `artc.learning.policy`, in the one coordinate in which the best
time-only clock is h = 0. Held at one g, a step from t to t' is solved exactly:

    r' = r (s' / s)^(exp g)                                   sigma' = warp(1 - r').

So g = 0 walks the time-only grid, sigma_k = warp(k / K), at every K; the budget is met by construction, because s' = 0
gives r' = 0 whatever g is; and no step can overshoot. A policy need not know t: with the budget met in this way the
best g of a trajectory depends on where it is alone, log of (mean of sqrt(q) over what is left / sqrt(q) here).

`net` is a tanh network of two layers on the features of `artc.learning.state_features` and hat functions of z.

Source: the HJB of [ART] arXiv 2601.18681, solved by characteristics (ours): theta* = R / (s sqrt|Q|), R = what is left
of the integral of sqrt|Q| along this trajectory.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Warp
from artc.artifact.policy import FEATURES
from artc.learning.objective import Array
from artc.learning.state_features import Courses, Frame, raw_features

HATS = 12
BOUND = 1.5
"""b: a step is at most 4.5 times as fast, or as slow, as the time-only clock's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePolicy:
    """A trained policy: plain arrays, and everything that a sampler needs.

    Attributes:
        warp: the time-only clock that it departs from, on the unscaled path.
        frame: what the features are measured against.
        weights: matrix and vector of each layer, `(in, out)` and `(out,)`.
    """

    warp: Warp
    frame: Frame
    weights: tuple[tuple[Array, Array], ...]

    def gain(self, seen: Array, place: Array) -> Array:
        """g `(B,)` of features `(B, 7)` at places `(B,)`."""
        return gain(self.weights, seen, place)

    def place(self, sigma: Array) -> Array:
        """z of a sigma."""
        level = np.log1p(sigma / self.warp.offset)
        found = np.interp(-level, -np.log1p(np.array(self.warp.sigma) / self.warp.offset), np.array(self.warp.clock))
        return np.asarray(found)

    def next_sigma(
        self, clock: Array, clock_next: Array, sigma: Array, sigma_before: Array, statistics: Array, change: Array
    ) -> Array:
        """The next sigma `(B,)` of a step from `clock` to `clock_next`.

        Args:
            sigma, sigma_before: of the state, and of the step before; the same at the first step.
            statistics: `(B, 5)` the `STATISTICS` of x and D.
            change: `(B,)` rms(D - D_before), 0 at the first step.
        """
        place = self.place(sigma)
        raw = raw_features(sigma, statistics, self.frame.scale)
        seen = self.frame.observe(raw, change, place, self.place(sigma_before))
        left = advance(1.0 - place, clock, clock_next, self.gain(seen, place))
        remaining, level = 1.0 - np.array(self.warp.clock), np.log1p(np.array(self.warp.sigma) / self.warp.offset)
        return np.asarray(self.warp.offset * np.expm1(np.interp(left, remaining[::-1], level[::-1])))


def gain(weights: tuple[tuple[Array, Array], ...], seen: Array, place: Array) -> Array:
    """g of a network given by its layers."""
    value = network_inputs(seen, place)
    for matrix, vector in weights[:-1]:
        value = np.tanh(value @ matrix + vector)
    matrix, vector = weights[-1]
    found: Array = BOUND * np.tanh((value @ matrix + vector)[..., 0] / BOUND)
    return found


def network_inputs(seen: Array, place: Array) -> Array:
    """Features and hat functions of the place, `(..., 7 + hats)`."""
    hats = np.maximum(0.0, 1.0 - np.abs(place[..., None] * (HATS - 1) - np.arange(HATS)))
    return np.concatenate([seen, hats], axis=-1)


def advance(left: Array, clock: Array, clock_next: Array, gain: Array) -> Array:
    """r' = r (s' / s)^(exp g): what is left of the time-only clock after a step."""
    return np.asarray(left * ((1.0 - clock_next) / (1.0 - clock)) ** np.exp(gain))


def fresh(width: int, rng: np.random.Generator) -> tuple[tuple[Array, Array], ...]:
    """Layers of a network whose g is 0 everywhere: the time-only clock itself."""
    sizes = (len(FEATURES) + HATS, width, width)
    hidden = [
        (rng.uniform(-1, 1, (size, out)) / np.sqrt(size), rng.uniform(-1, 1, out) / np.sqrt(size))
        for size, out in itertools.pairwise(sizes)
    ]
    return (*hidden, (np.zeros((width, 1)), np.zeros(1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRollouts:
    """Episodes of K steps, each on one trajectory of its own; arrays are `(K, B)` but for `seen`, `(K, B, 7)`.

    Attributes:
        clock, place: where each step began; `clock` is `(K + 1,)`.
        seen: the features there.
        speed, spread, theta: the policy's mean, standard deviation and draw of dz/dt.
        cost: of each step, dz A(z, z') / dt.
        variate: the control variate |Q| ((theta - mu)^2 - spread^2) dt.
    """

    clock: Array
    place: Array
    seen: Array
    speed: Array
    spread: Array
    theta: Array
    cost: Array
    variate: Array

    @property
    def costs(self) -> Array:
        """Of whole episodes, `(B,)`."""
        return np.asarray(self.cost.sum(axis=0))

    @property
    def togo(self) -> Array:
        """Reward of each step and all after it: minus the cost, with the control variate added."""
        return np.asarray((self.variate - self.cost)[::-1].cumsum(axis=0)[::-1])


def roll_out(
    weights: tuple[tuple[Array, Array], ...],
    frame: Frame,
    courses: Courses,
    steps: int,
    noise: Array | None = None,
    exploration: float = 0.0,
    which: NDArray[np.int64] | None = None,
) -> StateRollouts:
    """Play an episode on each of the trajectories `which` (all of them): on its mean, or with noise `(K, B)`.

    K is how often the policy looks. Between two looks a place moves evenly in z, so that on the time-only clock, g = 0,
    an episode costs what the continuous warp costs, at any K; what K changes is what is known, and when.

    The rules are those of `artc.learning.rollouts`: spread exploration / sqrt|Q|, at most half of the mean; the
    last action is forced; a step costs the stiffness it crossed along this very trajectory.
    """
    index = np.arange(len(courses)) if which is None else which
    clock = np.linspace(0.0, 1.0, steps + 1)
    count, cells = len(index), courses.taken.shape[1] - 1
    place, before, sketch = np.zeros(count), np.zeros(count), courses.sketches[index, 0].astype(np.float64)
    taken, sketch_before = np.zeros(count), sketch
    rows: list[tuple[Array, ...]] = []
    for k in range(steps):
        width = clock[k + 1] - clock[k]
        raw = _along(courses.raw, index, place)
        sketch = _along(courses.sketches, index, place)
        change = np.linalg.norm(sketch - sketch_before, axis=1)
        seen = frame.observe(raw, change, place, before)
        g = gain(weights, seen, place)
        left = advance(1.0 - place, np.full(count, clock[k]), np.full(count, clock[k + 1]), g)
        mean = (1.0 - left - place) / width
        cell = np.minimum((place * cells).astype(np.int64), cells - 1)
        stiffness = (courses.taken[index, cell + 1] - courses.taken[index, cell]) * cells
        spread = np.minimum(exploration / np.sqrt(stiffness), 0.5 * mean)
        theta, variate = mean, np.zeros(count)
        if noise is not None and k < steps - 1:
            theta = mean + spread * noise[k]
            variate = stiffness * ((theta - mean) ** 2 - spread**2) * width
        after = np.minimum(np.maximum(place + theta * width, place + 1e-9), 1.0 - 1e-9 * (steps - 1 - k))
        if k == steps - 1:
            after = np.ones(count)
        taken_after = _along(courses.taken[..., None], index, after)[:, 0]
        rows.append((place, seen, mean, spread, theta, (after - place) * (taken_after - taken) / width, variate))
        before, place, taken, sketch_before = place, after, taken_after, sketch
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    names = ("place", "seen", "speed", "spread", "theta", "cost", "variate")
    return StateRollouts(clock=clock, **dict(zip(names, columns, strict=True)))


def _along(table: Array | NDArray[np.float32], index: NDArray[np.int64], place: Array) -> Array:
    """A table `(W, N + 1, m)` of trajectories, each read at a place of its own: `(B, m)`."""
    cells = table.shape[1] - 1
    position = place * cells
    left = np.minimum(position.astype(np.int64), cells - 1)
    weight = (position - left)[:, None]
    found: Array = table[index, left] * (1 - weight) + table[index, left + 1] * weight
    return found
