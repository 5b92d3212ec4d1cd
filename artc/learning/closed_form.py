"""The best time-only clock, in closed form: equal increments of S(y) = int_0^y sqrt(q_y) dy.

Cauchy-Schwarz gives theta* proportional to q_y^(-1/2), so the clock at progress y is S(y) / S(1) and the warp is its
inverse. It is the oracle that the learner is measured against, and a method of its own.
"""

from __future__ import annotations

import numpy as np

from artc.artifact import Warp
from artc.learning.distill import warp_through
from artc.learning.objective import Energy


def closed_form(energy: Energy) -> Warp:
    """The warp of theta* proportional to q_y^(-1/2) on the mean energy."""
    spent = np.concatenate([[0.0], np.cumsum(np.sqrt(energy.mean))])
    return warp_through(spent / spent[-1], energy.edges, energy.coordinate)
