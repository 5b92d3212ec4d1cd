"""What goes wrong with a schedule that was learned as the papers state it, and how it is told.

* *left end exploited*: |Q| is charged at the left end of a step only, so that a step may begin where |Q| is small and
  cross all of it for nothing (`EXPLOITED`). Two forms of this have names of their own:
* *degenerate jump*: |Q| is tiny at high noise, and one of the first steps goes nearly all the way (`GIANT_JUMP`);
* *collapse to uniform*: evenly spaced sigmas never visit the low noise where |Q| is large (`NEARLY_UNIFORM`);
* *budget missed*: nothing but the multiplier holds y(1) at 1, and it may run away (`BUDGET_MISSED`);
* *state-dependent*: the policy reads the state, and what is distilled is its mean (`STATE_DEPENDENT`).

Progress is that in sigma, y = 1 - sigma / sigma_max, where nothing else is said. The limits are ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from artc.learning.dynamic_programming import optimal_progress
from artc.learning.objective import Array, Energy, grid_cost

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


def failures(progress: Array, reached: float, spread: Array) -> Iterator[str]:
    """What went wrong with a schedule `(K + 1,)` whose mean policy reached y(1) = `reached`, in words."""
    steps = len(progress) - 1
    landing = 1.0 - progress[np.argmax(progress >= 0.5)]
    if steps > 2 and landing < GIANT_JUMP:
        yield f"degenerate jump: one step of {steps} goes from high noise to {landing:.2g} of sigma_max"
    if steps > 1 and np.abs(progress - np.linspace(0.0, 1.0, steps + 1)).max() < NEARLY_UNIFORM:
        yield "collapse to uniform: low noise, where the cost is, is stepped over and never charged"
    if not abs(reached - 1.0) <= BUDGET_MISSED:
        yield f"budget missed: the policy, held by the multiplier alone, ends {reached:.0%} of the way to sigma = 0"
    if (spread**2).max() > STATE_DEPENDENT:
        yield f"state-dependent: theta varies by {spread.max():.0%} between trajectories, and only its mean is kept"


def exploited(energy: Energy, progress: Array) -> Iterator[str]:
    """Whether a schedule, in progress of the energy's coordinate, is cheap only where the papers' cost looks."""
    least = grid_cost(energy, optimal_progress(energy, len(progress) - 1))
    ratio = grid_cost(energy, progress) / least
    if ratio > EXPLOITED:
        yield f"left end exploited: its steps cross {ratio:.1f} times the least cost of {len(progress) - 1} steps"
