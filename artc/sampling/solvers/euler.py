"""Euler's rule, order 1, one call a step; the same as DDIM (Song et al. 2010.02502) in these coordinates.

    x' = x + (sigma' - sigma) (x - D) / sigma = D + (sigma' / sigma) (x - D)

Written in the second form it is exact at sigma' = 0, where it returns D: it is the last step of every other solver.
"""

from __future__ import annotations

from torch import Tensor

from artc.models.score_model import Field

from .solver import Level, Memory, Step


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None) -> Step:
    """One Euler step from sigma to sigma_next < sigma."""
    del memory
    denoised = denoise(x, sigma)
    return Step(x=denoised + (sigma_next / sigma) * (x - denoised), denoised=denoised, memory=None)
