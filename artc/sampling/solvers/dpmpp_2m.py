"""DPM-Solver++(2M), order 2, one call a step (Lu et al. 2211.01095, algorithm 2, in x = x0 + sigma n).

In lambda = -ln sigma the flow is linear but for D, which is extrapolated from this step and the one before:

    h = ln(sigma / sigma')        r = ln(sigma_before / sigma) / h
    D* = D + (D - D_before) / (2 r)
    x' = (sigma' / sigma) x + (1 - sigma' / sigma) D*

The first step has no past and the last, to sigma' = 0, has h infinite: both use D* = D, which is Euler's step.
"""

from __future__ import annotations

import math

from torch import Tensor

from artc.models.score_model import Field

from .solver import Level, Memory, Step, is_end


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None) -> Step:
    """One step from sigma to sigma_next < sigma; `memory` is what the step before returned."""
    denoised = denoise(x, sigma)
    guess = denoised
    if memory is not None and not is_end(sigma_next):
        before, sigma_before = memory
        ratio = _log(sigma_before / sigma) / _log(sigma / sigma_next)
        guess = denoised + (denoised - before) / (2 * ratio)
    shrink = sigma_next / sigma
    return Step(x=shrink * x + (1 - shrink) * guess, denoised=denoised, memory=(denoised, sigma))


def _log(ratio: Level) -> Level:
    return ratio.log() if isinstance(ratio, Tensor) else math.log(ratio)
