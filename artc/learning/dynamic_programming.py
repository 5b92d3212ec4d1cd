"""The exact best K-step clock on a lattice, by dynamic programming.

Over candidate nodes y_0 < ... < y_M with step costs C[i, j] (infinite unless i < j),

    V_1[j] = C[0, j],        V_m[j] = min_i V_(m-1)[i] + C[i, j],

and V_K[M] is the optimum, in O(K M^2). With the path-integrated cost C[i, j] = (y_j - y_i) A(y_i, y_j) this is the
least J_K / K of any clock of K steps with its nodes on the lattice, and certifies what the learner finds at each K. It
falls towards J* / K as K grows, until K nears M and the lattice itself is too coarse.

The path-integrated cost is used and not [ART]'s left-end sum, whose optimum at small K is one giant first jump: |Q| is
tiny at high noise, and the left end is all that sum looks at.
"""

from __future__ import annotations

import numpy as np

from artc.errors import BudgetError
from artc.learning.objective import Array, Energy, stiffness_at


def step_costs(energy: Energy) -> Array:
    """C[i, j] = (y_j - y_i) (A(0, y_j) - A(0, y_i)) for i < j, else infinity: `(M + 1, M + 1)`."""
    reached, edges = energy.cumulative, energy.edges
    costs = (edges[None, :] - edges[:, None]) * (reached[None, :] - reached[:, None])
    return np.where(edges[None, :] > edges[:, None], costs, np.inf)


def left_end_costs(energy: Energy, clamp: float) -> Array:
    """[ART]'s own C[i, j] = |Q(sigma_i)| (sigma_i - sigma_j)^2 for i < j, |Q| at least `clamp`: `(M + 1, M + 1)`."""
    sigma = energy.coordinate.sigma(energy.edges)
    width = sigma[:, None] - sigma[None, :]
    return np.where(width > 0, np.maximum(stiffness_at(energy, sigma), clamp)[:, None] * width**2, np.inf)


def optimal_nodes(costs: Array, steps: int) -> list[int]:
    """Indices of the K + 1 nodes of the cheapest K-step path from the first node to the last.

    Raises BudgetError when there are fewer nodes than steps.
    """
    last = len(costs) - 1
    if not 1 <= steps <= last:
        raise BudgetError(f"Dynamic programming over {last} cells cannot make {steps} steps.")
    value, choices = costs[0], []
    for _ in range(steps - 1):
        total = value[:, None] + costs
        choices.append(total.argmin(axis=0))
        value = total.min(axis=0)
    path = [last]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return [0, *reversed(path)]


def optimal_progress(energy: Energy, steps: int) -> Array:
    """Progress of the K + 1 nodes of the best K-step clock on the cells of the energy."""
    best: Array = energy.edges[optimal_nodes(step_costs(energy), steps)]
    return best
