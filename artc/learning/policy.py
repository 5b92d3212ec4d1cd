"""Actor and critic: two small functions of clock t and progress y, linear in the same kind of features.

The budget int theta dt = 1 is met by construction and not by a multiplier, which diverges in a log coordinate:

    actor    mu(t, y) = (1 - y) / (1 - t) exp h(t, y)
    critic   V(t, y)  = -S (1 - y)^2 / (1 - t) exp g(t, y)

h = 0 is the uniform clock of the coordinate. The critic has the shape of the exact solution of the problem,
V = -R^2 / (1 - t) with R the stiffness still to come, so that it is 0 at the end and never of the wrong sign.
h and g are linear in hat functions of y times (1, t): at the optimum h depends on y alone, and follows q_y closely.

Sources: the mean of the optimal Gaussian policy, [ART] arXiv 2601.18681, theorem 1; hard budget and shapes are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artc.learning.objective import Array

LIMIT = 4.0  # |h| and |g| at most: a speed or a value 55 times away from its first guess is a run gone wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Hat functions of y at equally spaced knots, each times 1 and times t, at N points.

    Only the two hats around a point are not zero: `left` is the index of the first, `weight` the value of the second.
    """

    left: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    weight: Array
    clock: Array

    def dot(self, table: Array) -> Array:
        """Inner product with weights `(knots, 2)`."""
        first, second = table[self.left], table[self.left + 1]
        level = first[..., 0] + self.weight * (second[..., 0] - first[..., 0])
        slope = first[..., 1] + self.weight * (second[..., 1] - first[..., 1])
        return level + slope * self.clock

    def weighted_sum(self, coefficients: Array, knots: int) -> Array:
        """sum_n coefficient_n * features_n, `(knots, 2)`: the adjoint of `dot`."""
        left, weight, clock = self.left.ravel(), self.weight.ravel(), self.clock.ravel()
        columns = []
        for column in (coefficients.ravel(), coefficients.ravel() * clock):
            lower = np.bincount(left, (1 - weight) * column, minlength=knots)
            columns.append(lower + np.bincount(left + 1, weight * column, minlength=knots))
        return np.stack(columns, axis=1)


def features(clock: Array, progress: Array, knots: int) -> Features:
    """Features of points (t, y), both of one shape, y in [0, 1]."""
    position = progress * (knots - 1)
    left = np.minimum(position.astype(np.int64), knots - 2)
    return Features(left=left, weight=position - left, clock=clock)


def speed(table: Array, clock: Array, progress: Array, at: Features) -> Array:
    """The actor's mean mu(t, y), positive."""
    return (1 - progress) / (1 - clock) * np.exp(np.clip(at.dot(table), -LIMIT, LIMIT))


def value(table: Array, clock: Array, progress: Array, at: Features, scale: float) -> Array:
    """The critic's V(t, y), negative; `scale` is S."""
    return -scale * (1 - progress) ** 2 / (1 - clock) * np.exp(np.clip(at.dot(table), -LIMIT, LIMIT))
