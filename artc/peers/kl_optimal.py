"""The grid that is best for Euler and Gaussian data: arctan(sigma / c) linear in the index.

    sigma_k = c tan((1 - k / K) arctan(sigma_max / c))

For data N(0, c^2 I) and a = arctan(sigma / c), Euler's step from u to t shrinks x by

    (c^2 + t u) / (c^2 + u^2) = cos(a_u - a_t) cos(a_u) / cos(a_t),

and the exact solution by cos(a_u) / cos(a_t). So K steps miss a product of K cosines, which is nearest to 1 where all
angles are equal. Hosts know the grid as `kl_optimal`, with c = 1; here c is the model's sigma_data where that is known.
Theirs is pinned to sigma_min before 0; here all of its K - 1 interior nodes are free.

Source: Sabour et al. 2404.14507 (AYS), theorem 3.1.
"""

from __future__ import annotations

import math
import time

import numpy as np

from artc.models.domains import unscaled
from artc.models.score_model import ScoreModel
from artc.sampling.grids import Grid

from .peer import Finder, Found, check, finished


def arctan_grid(steps: int, sigma_max: float, c: float) -> Grid:
    """K + 1 sigmas, from sigma_max to exactly 0."""
    grid: Grid = c * np.tan((1.0 - np.arange(steps + 1) / steps) * math.atan(sigma_max / c))
    grid[0] = sigma_max
    return grid


def prepare(model: ScoreModel, seed: int) -> Finder:
    """The finder of a model; it makes no call, and the seed plays no part."""
    del seed
    c = model.info.sigma_data or 1.0
    info = unscaled(model).info

    def find(solver: str, steps: int) -> Found:
        began = time.perf_counter()
        check(solver, steps)
        sigmas = finished(arctan_grid(steps, info.sigma_max, c), model.info)
        return Found(sigmas=sigmas, calls=0, seconds=time.perf_counter() - began)

    return find
