"""End-point refinement: move the nodes of one grid until few steps end where many would.

The surrogate counts the local errors of Euler steps. With a solver of higher order, and few steps, the grid that is
best for it may be worse than a hand-made one. What is wanted in the end is known, though: with x_i what K steps make of
noise i and x*_i its end point on the trajectory bank,

    e(sigmas) = sqrt(mean_i |x_i - x*_i|^2),        sigmas = (sigma_max, sigma_1, ..., sigma_{K-1}, 0).

A pattern search moves one node at a time, in progress y, by a fraction of the way to its neighbour on either side; the
fraction is halved when no move helps. So the nodes keep their order. The noises stay the same throughout, so the search
is deterministic, and it never ends above where it began.

Source: Hooke and Jeeves, J. ACM 8 (1961), for the search.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from artc.artifact import Coordinate
from artc.progress import Progress

FIRST, LAST = 0.4, 0.02
"""Fractions of the way to a neighbour, at first and at last."""

TRIALS = 40
"""Most grids tried for each free node, unless one says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """The grid found, its error on the noises of the search, and how many grids were tried."""

    sigmas: tuple[float, ...]
    error: float
    trials: int


def most_trials(steps: int, trials: int = TRIALS) -> int:
    """Grids that a search on so many steps tries at most, where it begins among them; `trials` for each free node."""
    return trials * (steps - 1) + 1


def refine(
    error: Callable[[Sequence[float]], float],
    start: Sequence[float],
    coordinate: Coordinate,
    floor: float = 0.0,
    trials: int = TRIALS,
) -> Generator[Progress, None, Refined]:
    """Lower `error` from a grid `start` of K steps, yielding progress; returns a grid at least as good.

    Args:
        error: end-point error of a grid; called at most `most_trials(K, trials)` times, always with a valid grid.
        floor: the least noise that the model knows, below which no node is moved.
        coordinate: in whose progress the nodes are moved; its sigma_max is the first of the grid.
    """
    most = most_trials(len(start) - 1, trials)
    progress = coordinate.progress(np.asarray(start, dtype=np.float64))
    best, lowest, tried = tuple(start), error(start), 1
    fraction = FIRST
    while fraction >= LAST:
        helped = False
        for node, toward in itertools.product(range(1, len(progress) - 1), (-1, 1)):
            if tried == most:
                return Refined(sigmas=best, error=lowest, trials=tried)
            moved = progress.copy()
            moved[node] += fraction * (progress[node + toward] - progress[node])
            sigmas = (best[0], *coordinate.sigma(moved[1:-1]).tolist(), 0.0)
            if sigmas[-2] < floor:
                continue
            found = error(sigmas)
            tried += 1
            yield Progress(done=tried, total=most)
            if found < lowest:
                best, lowest, progress, helped = sigmas, found, moved, True
        if not helped:
            fraction /= 2
    return Refined(sigmas=best, error=lowest, trials=tried)
