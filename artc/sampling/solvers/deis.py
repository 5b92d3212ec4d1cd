"""DEIS, one call a step: Adams-Bashforth in sigma at the actual nodes (Zhang & Chen 2204.13902, rhoAB-DEIS).

In x = x0 + sigma n the flow is dx/dsigma = d(sigma) with d = (x - D) / sigma, so that a step is an integral, here of
the polynomial P through the last values of d. In Newton's form, with w = sigma' - sigma, the nodes before at sigma + a
and sigma + b, and their d_a and d_b:

    P(sigma + u) = d + u d1 + u (u - a) d2          d1 = (d_a - d) / a
    x' = x + w d + w^2 d1 / 2                       d2 = ((d_b - d_a) / (b - a) - d1) / b
           + (w^3 / 3 - a w^2 / 2) d2

Order 2 is without d2. The integrals of the Lagrange polynomials that the paper writes are the same numbers, and exact.
The first step has no past and is Euler's, the second has order 2. The last, to sigma' = 0, is x' = D.

A polynomial says little far outside its nodes: where one step is many times the one before, d2 is worth nothing and
harms. Of the paper's polynomials these are the ones in rho, which here is sigma. ComfyUI has those in the time of a VP
process (tAB-DEIS), diffusers those in ln sigma: other rules, of other weights on uneven steps.
"""

from __future__ import annotations

from torch import Tensor

from artc.models.score_model import Field

from .solver import Level, Memory, Node, Step, is_end


def step(denoise: Field, x: Tensor, sigma: Level, sigma_next: Level, memory: Memory = None, *, order: int) -> Step:
    """One step from sigma to sigma_next < sigma, of order 2 or 3 or of as many slopes as are known."""
    denoised = denoise(x, sigma)
    now, past = Node(sigma=sigma, x=x, denoised=denoised), memory or ()
    if is_end(sigma_next):
        return Step(x=denoised, denoised=denoised, memory=None)
    width = sigma_next - sigma
    reached = x + width * now.slope
    if past:
        before = past[0]
        back = before.sigma - sigma
        first = (before.slope - now.slope) / back
        reached = reached + 0.5 * width**2 * first
        if len(past) > 1:
            earlier = past[1]
            older = (earlier.slope - before.slope) / (earlier.sigma - before.sigma)
            second = (older - first) / (earlier.sigma - sigma)
            reached = reached + (width**3 / 3 - 0.5 * back * width**2) * second
    return Step(x=reached, denoised=denoised, memory=(now, *past)[: order - 1])
