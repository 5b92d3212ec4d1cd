"""DPM-Solver++(3M), one call a step: the code of Lu et al. 2211.01095, with data prediction and without noise.

In lambda = -ln sigma, with h = ln(sigma / sigma'), and the two steps before being r h and q h long:

    A = (D - D_before) / r                        x' = (sigma' / sigma) x + c0 D + c1 D1 + c2 D2
    B = (D_before - D_earlier) / q                c0 = 1 - sigma' / sigma
    D2 = (A - B) / (r + q)                        c1 = 1 - c0 / h
    D1 = A + r D2                                 c2 = 1 / 2 - 1 / h + c0 / h^2

The paper states the rule for two values only; this is what its authors' code and diffusers do with three. D1 is h times
the slope of the parabola through them, exactly, and D2 is h^2 / 2 times its second derivative, of which c2 takes half:
the integral of exp(-(h - u)) (u / h)^2 is 2 c2. So the rule is of order 2, with a third of the error that 2M makes, and
not of order 3 as it is called. It is kept as it is because that is what hosts run; `unipc` integrates the parabola.

The first step has no past and is Euler's, the second is that of 2M. The last, to sigma' = 0, is x' = D. diffusers
takes 2M in the last but one of less than 15 steps, unless it is told not to (`lower_order_final`); this does not.
"""

from __future__ import annotations

from torch import Tensor

from artc.models.score_model import Field

from .solver import Level, Memory, Node, Step, is_end, log_ratio


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None) -> Step:
    """One step from sigma to sigma_next < sigma; `memory` is what the step before returned."""
    denoised = denoise(x, sigma)
    now, past = Node(sigma=sigma, x=x, denoised=denoised), memory or ()
    if is_end(sigma_next):
        return Step(x=denoised, denoised=denoised, memory=None)
    shrink = sigma_next / sigma
    rest = 1 - shrink
    reached = shrink * x + rest * denoised
    if past:
        before, length = past[0], log_ratio(sigma, sigma_next)
        ratio = log_ratio(before.sigma, sigma) / length
        first = (denoised - before.denoised) / ratio
        if len(past) == 1:
            reached = reached + 0.5 * rest * first
        else:
            earlier = past[1]
            other = log_ratio(earlier.sigma, before.sigma) / length
            second = (first - (before.denoised - earlier.denoised) / other) / (ratio + other)
            first = first + ratio * second
            reached = reached + (1 - rest / length) * first + (0.5 - 1 / length + rest / length**2) * second
    return Step(x=reached, denoised=denoised, memory=(now, *past)[:2])
