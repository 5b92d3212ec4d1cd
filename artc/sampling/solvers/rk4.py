"""The classical Runge-Kutta rule, order 4, four calls a step but one for the last.

    k1 = f(x, sigma)                 k2 = f(x + h k1 / 2, sigma + h / 2)
    k3 = f(x + h k2 / 2, sigma + h / 2)       k4 = f(x + h k3, sigma + h),        h = sigma' - sigma < 0
    x' = x + h (k1 + 2 k2 + 2 k3 + k4) / 6

At sigma' = 0 the last slope does not exist and the step is Euler's.
"""

from __future__ import annotations

from torch import Tensor

from artc.models.score_model import Field

from . import euler
from .solver import Level, Memory, Step, is_end, slope


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None) -> Step:
    """One Runge-Kutta step from sigma to sigma_next < sigma."""
    if is_end(sigma_next):
        return euler.step(denoise, x, sigma, sigma_next, memory)
    width = sigma_next - sigma
    middle = sigma + 0.5 * width
    denoised = denoise(x, sigma)
    k1 = (x - denoised) / sigma
    k2 = slope(denoise, x + 0.5 * width * k1, middle)
    k3 = slope(denoise, x + 0.5 * width * k2, middle)
    k4 = slope(denoise, x + width * k3, sigma_next)
    return Step(x=x + width / 6 * (k1 + 2 * k2 + 2 * k3 + k4), denoised=denoised, memory=None)
