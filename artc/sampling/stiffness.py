"""Stiffness: how fast the probability-flow field turns along its own trajectory.

    Q = d^2 x / dsigma^2 = -(1 / sigma) dD/dsigma along the path = -(1 / sigma) JVP of D with tangent (d, 1),

with d = (x - D) / sigma, and |Q| its root mean square over the data dimensions, `(B,)`. It is the total derivative
along the path, not the partial one at fixed x. Three ways to take it:

* `by_jvp`: exact, by one forward-mode derivative; the operators of the network must have one.
* `by_difference`: one more call, a little further along the path.
* `by_secant`: from two denoised values that a fine walk stored anyway; no call at all. The trajectory bank uses it.

Source: [ART] arXiv 2601.18681, the residual Q; the form in D is ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from artc.models.score_model import Denoiser, Field


def rms(values: Tensor) -> Tensor:
    """Root mean square over all dimensions but the first: `(B, *S) -> (B,)`."""
    return values.flatten(1).square().mean(dim=1).sqrt()


def by_jvp(denoiser: Denoiser, x: Tensor, sigma: float) -> Tensor:
    """|Q| at (x, sigma) by a Jacobian-vector product, in the dtype of x.

    Raises NotImplementedError, from torch, for an operator without a forward-mode derivative.
    """
    level = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
    with torch.no_grad():
        slope = (x - denoiser(x, level)) / sigma
        change = torch.func.jvp(denoiser, (x, level), (slope, torch.ones_like(level)))[1]
    return rms(change) / sigma


def by_difference(
    denoise: Field, x: Tensor, sigma: float | Tensor, slope: Tensor | None = None, relative: float = 1e-3
) -> Tensor:
    """|Q| at (x, sigma) from a second denoised value, one Euler step of `relative` * sigma further along the path.

    `sigma` is one for the batch or one for each sample; `slope` is (x - D) / sigma where it is known already, or else
    takes a call.
    """
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    spread = level.reshape(-1, *[1] * (x.ndim - 1))
    denoised = denoise(x, sigma) if slope is None else x - spread * slope
    width = relative * level
    moved = denoise(x - relative * (x - denoised), level - width)
    return rms(denoised - moved) / (width * (level * (level - width)).sqrt())


def by_secant(denoised: Tensor, denoised_next: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """Mean |Q| between two points of one path: |D' - D| / (sqrt(sigma sigma') (sigma - sigma')), sigma > sigma' > 0."""
    return rms(denoised_next - denoised) / (math.sqrt(sigma * sigma_next) * (sigma - sigma_next))
