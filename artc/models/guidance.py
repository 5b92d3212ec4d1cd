"""Classifier-free guidance (Ho and Salimans 2207.12598): away from the unconditional guess, past the conditional one.

    D(x; sigma, c) = D_u(x; sigma) + w (D_c(x; sigma) - D_u(x; sigma))

Scale w = 1 is the plain conditional model, 0 the unconditional one. The paper's own weight, which multiplies scores, is
w - 1. The guided D is no posterior mean for any data, but it is a field like any other, and that is all a sampler asks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from artc.errors import InputError
from artc.models.score_model import NO_CLASS, ConditionalDenoiser, check_denoised


def guided(denoiser: ConditionalDenoiser, scale: float) -> ConditionalDenoiser:
    """`D_u + scale (D_c - D_u)` of a conditional denoiser, with both halves in one batch of 2 B.

    The second half has the label `NO_CLASS`, -1. A value costs two network calls.

    Raises InputError for a scale that is not finite; the result raises DenoiserError when the denoiser breaks its
    contract, which the difference of two broken halves might hide.
    """
    if not math.isfinite(scale):
        raise InputError(f"The guidance scale is {scale}.", hint="It must be a finite number; 1 is no guidance.")

    def combined(x: Tensor, sigma: Tensor, /, labels: Tensor) -> Tensor:
        pair = torch.cat([x, x])
        both = denoiser(pair, torch.cat([sigma, sigma]), labels=torch.cat([labels, torch.full_like(labels, NO_CLASS)]))
        check_denoised(both, pair, float(sigma[0]))
        conditional, unconditional = both.chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return combined
