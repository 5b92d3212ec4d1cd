"""DPM-Solver++(2M), order 2, one call a step (Lu et al. 2211.01095, algorithm 2, in x = x0 + sigma n).

In lambda = -ln sigma the flow is linear but for D, which is extrapolated from this step and the one before:

    h = ln(sigma / sigma')        r = ln(sigma_before / sigma) / h
    D* = D + (D - D_before) / (2 r)
    x' = (sigma' / sigma) x + (1 - sigma' / sigma) D*

The first step has no past and the last, to sigma' = 0, has h infinite: both use D* = D, which is Euler's step.
"""

from __future__ import annotations

from torch import Tensor

from artc.models.score_model import Field

from .solver import Level, Memory, Node, Step, is_end, log_ratio


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None) -> Step:
    """One step from sigma to sigma_next < sigma; `memory` is what the step before returned."""
    denoised = denoise(x, sigma)
    guess = denoised
    if memory and not is_end(sigma_next):
        before = memory[0]
        ratio = log_ratio(before.sigma, sigma) / log_ratio(sigma, sigma_next)
        guess = denoised + (denoised - before.denoised) / (2 * ratio)
    shrink = sigma_next / sigma
    kept = (Node(sigma=sigma, x=x, denoised=denoised),)
    return Step(x=shrink * x + (1 - shrink) * guess, denoised=denoised, memory=kept)
