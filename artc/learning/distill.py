"""Distilling: from nodes of a learned clock to the warp an artifact stores.

The warp is kept at equally spaced clocks, so that a reader finds any k / K between two of them, and its ends are exact:
clock 0 is sigma_max and clock 1 is sigma 0.

Source: [ART] arXiv 2601.18681 distils by averaging theta over trajectories at each clock and normalising the sum; here
the policy is a function of the clock and the position alone, so that average is the policy itself.
"""

from __future__ import annotations

import numpy as np

from artc.artifact import Coordinate, Warp
from artc.learning.objective import Array

NODES = 257


def warp_through(clock: Array, progress: Array, coordinate: Coordinate, nodes: int = NODES) -> Warp:
    """The warp through increasing (clock, progress) points from (0, 0) to (1, 1), read at equally spaced clocks."""
    even = np.linspace(0.0, 1.0, nodes)
    sigma = coordinate.sigma(np.clip(np.interp(even, clock, progress), 0.0, 1.0))
    return Warp(clock=tuple(even.tolist()), sigma=tuple(sigma.tolist()), offset=coordinate.offset)
