"""What is kept of a state for a policy to read: averages over the data, the same kind of number at any resolution."""

from __future__ import annotations

import torch
from torch import Tensor

from artc.sampling.stiffness import rms

STATISTICS = ("rms_x", "rms_denoised", "rms_difference", "mean_x", "mean_denoised")
"""Root mean squares of x, D and x - D, means of x and D, over all dimensions of a sample."""


def state_statistics(x: Tensor, denoised: Tensor) -> Tensor:
    """The `STATISTICS` of a batch, `(B, *S), (B, *S) -> (B, 5)`."""
    means = (x.flatten(1).mean(dim=1), denoised.flatten(1).mean(dim=1))
    return torch.stack([rms(x), rms(denoised), rms(x - denoised), *means], dim=1)
