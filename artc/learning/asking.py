"""Least squares with few unknowns and dear residuals: which sigmas to show a network at the nodes of a grid.

With r(u) the distances of K-step samples from their end points, one number for each dimension of each noise, and u_k
how far the sigma shown at node k is moved, in ln sigma, from the node's own, what is wanted is the least

    F(u) = |r(u)|^2,        low_k <= u_k <= high_k,        beginning at u = 0.

r is known by walking only. Its derivatives by forward differences cost a walk each, and are the columns of J. With them

    (J'J + mu diag(J'J)) d = -J'r        (Levenberg-Marquardt, d kept within the bounds)

and u + d is walked. Where F falls u is moved and mu made smaller, else mu is made larger. Either way the walk has told
how r changes along d, and J is corrected there, which costs nothing (Broyden's rank-one update):

    J <- J + (r(u + d) - r(u) - J d) d' / d'd.

J is made anew only when two steps in a row were refused. No walk is random, so neither is what is found.

Sources: Marquardt, J. SIAM 11 (1963); Broyden, Math. Comp. 19 (1965).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.progress import Progress

STEP = 0.02
"""Of a forward difference, in ln sigma: far above what float32 rounds away, small beside the bounds."""

DAMPING, LESS, MORE = 1e-2, 0.25, 8.0
"""The first mu, and what it is multiplied with after a step that was taken, or refused."""

ENOUGH = 1e-4
"""A part of F; steps that gain less than this are not worth a walk."""

REFUSED = 4
"""Steps in a row, with a fresh J, after which nothing more is to be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """Where a walk ended, `residual (m,)`, and whatever the walker needs to begin another from its middle."""

    residual: Tensor
    states: object = None

    @property
    def error(self) -> float:
        """F."""
        return float(self.residual.square().sum())


class Walker(Protocol):
    """Walks with the unknowns `moves (P,)`. Those before `since` are the same in `base`, whose states can be reused."""

    def __call__(self, moves: NDArray[np.float64], since: int = 0, base: Walked | None = None) -> Walked:
        """Return where that ends."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The unknowns found, F at the start and there, and the walks that it took."""

    moves: NDArray[np.float64]
    start: float
    error: float
    walks: int


def most_walks(steps: int) -> int:
    """Walks that a search on so many steps makes at most, unless one says otherwise: enough for two or three J."""
    return 3 * steps + 12


def most_together(steps: int) -> int:
    """Walks at most of a search that moves nodes too and takes two for each: one J, and some steps."""
    return 2 * (2 * (steps - 1) + steps + 3) if steps > 1 else 0


def fit(
    walk: Walker, low: NDArray[np.float64], high: NDArray[np.float64], most: int, damping: float = DAMPING
) -> Generator[Progress, None, Moved]:
    """Lower F from u = 0 within `low <= u <= high`, both `(P,)` and low <= 0 <= high; yields progress in walks.

    Never ends above where it began, and makes at most `most` walks, one at least. `damping` is the first mu.
    """
    moves, walks = np.zeros(len(low)), 1
    base = walk(moves)
    start = base.error
    yield Progress(done=walks, total=most)
    (free,) = np.nonzero(high > low)
    columns, refused, fresh = None, 0, False
    while len(free) and walks < most and base.error > 0:
        if columns is None:
            if walks + len(free) >= most:
                break  # none would be left for the step itself
            made = []
            for place in free.tolist():
                moved, width = moves.copy(), min(STEP, (high[place] - low[place]) / 4)
                moved[place] += width if moves[place] + width <= high[place] else -width
                there = walk(moved, place, base)
                made.append((there.residual - base.residual) / (moved[place] - moves[place]))
                walks += 1
                yield Progress(done=walks, total=most)
            columns, fresh, refused = torch.stack(made), True, 0
        step = bounded_step(
            (columns @ columns.T).cpu().numpy(),
            (columns @ base.residual).cpu().numpy(),
            low[free] - moves[free],
            high[free] - moves[free],
            damping,
        )
        if not step.any():
            break
        moved = moves.copy()
        moved[free] = np.clip(moved[free] + step, low[free], high[free])
        found = walk(moved)
        walks += 1
        yield Progress(done=walks, total=most)
        if math.isfinite(found.error):
            along = torch.from_numpy(step).to(columns)
            missed = found.residual - base.residual - along @ columns
            columns = columns + torch.outer(along, missed) / along.square().sum()
        gained = 1 - found.error / base.error
        if gained > 0:  # false for a walk that ended nowhere
            moves, base = moved, found
            damping, refused = damping * LESS, 0
            if gained < ENOUGH:
                if fresh:
                    break
                columns = None
            fresh = False
        else:
            damping, refused = damping * MORE, refused + 1
            if fresh and refused == REFUSED:
                break
            if not fresh and refused == 2:
                columns = None
    return Moved(moves=moves, start=start, error=base.error, walks=walks)


def bounded_step(
    gram: NDArray[np.float64],
    slope: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    damping: float,
) -> NDArray[np.float64]:
    """d with (G + mu diag G) d = -g in its free entries; the others are at the bounds that they would leave.

    Entries are fixed until no free one leaves its bounds: low <= d <= high, both around 0.
    """
    diagonal = np.diag(gram)
    least = max(float(diagonal.max()), 1e-300) * 1e-12  # an unknown that changes nothing must not divide by zero
    system = gram + np.diag(damping * diagonal + least)
    step, free = np.zeros(len(slope)), np.ones(len(slope), dtype=bool)
    while free.any():
        fixed = ~free
        wanted = -slope[free] - system[np.ix_(free, fixed)] @ step[fixed]
        step[free] = np.linalg.solve(system[np.ix_(free, free)], wanted)
        leaves = free & ((step < low) | (step > high))
        if not leaves.any():
            break
        step[leaves] = np.clip(step, low, high)[leaves]
        free &= ~leaves
    return step
