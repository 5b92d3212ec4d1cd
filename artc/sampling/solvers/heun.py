"""Heun's rule, order 2, two calls a step but one for the last (Karras et al. 2206.00364, algorithm 1).

    d = (x - D(x; sigma)) / sigma            e = x + (sigma' - sigma) d
    x' = x + (sigma' - sigma) (d + (e - D(e; sigma')) / sigma') / 2

At sigma' = 0 the second slope does not exist and the step is Euler's.
"""

from __future__ import annotations

from torch import Tensor

from artc.models.score_model import Field

from . import euler
from .solver import Level, Memory, Step, is_end, slope


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None) -> Step:
    """One Heun step from sigma to sigma_next < sigma."""
    first = euler.step(denoise, x, sigma, sigma_next, memory)
    if is_end(sigma_next):
        return first
    before = (x - first.denoised) / sigma
    after = slope(denoise, first.x, sigma_next)
    return Step(x=x + 0.5 * (sigma_next - sigma) * (before + after), denoised=first.denoised, memory=None)
