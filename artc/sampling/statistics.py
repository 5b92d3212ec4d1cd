"""What is kept of a state for a policy to read: averages over the data, the same kind of number at any resolution."""

from __future__ import annotations

import torch
from torch import Tensor

STATISTICS = ("rms_x", "rms_denoised", "rms_difference", "mean_x", "mean_denoised")
"""Root mean squares of x, D and x - D, means of x and D, over all dimensions of a sample."""


def state_statistics(x: Tensor, denoised: Tensor) -> Tensor:
    """The `STATISTICS` of a batch, `(B, *S), (B, *S) -> (B, 5)`."""
    x, denoised = x.flatten(1), denoised.flatten(1)
    sizes = (root_mean_square(x), root_mean_square(denoised), root_mean_square(x - denoised))
    return torch.stack([*sizes, x.mean(dim=1), denoised.mean(dim=1)], dim=1)


def root_mean_square(values: Tensor) -> Tensor:
    """`(B, n) -> (B,)` in one pass over the data: a sampler asks for it four times a step."""
    size: Tensor = torch.linalg.vector_norm(values, dim=1) / values.shape[1] ** 0.5
    return size
