"""Noise levels as vectors: sines and cosines of c_noise at many frequencies.

    positional:  frequencies 10000^(-j / last), j = 0 .. n - 1, for c_noise that counts timesteps
    Fourier:     frequencies drawn once from N(0, 16^2) and stored, for c_noise that is a logarithm of sigma

Angles reach hundreds of radians, of which half precision would leave no phase, and everything the network knows of the
noise passes through here: embeddings are computed without autocast, at next to no cost.
Sources: Vaswani et al. 1706.03762; Tancik et al. 2006.10739; Song et al. 2011.13456, appendix H.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def full_precision(device: torch.device) -> torch.autocast:
    """A context in which no autocast acts."""
    return torch.autocast(device.type, enabled=False)


def positional_angles(c_noise: Tensor, count: int, last: int) -> Tensor:
    """c_noise times each frequency 10000^(-j / last): `(B,) -> (B, count)`.

    Networks differ in `last`: count - 1 makes the smallest frequency 1 / 10000, count stops short of it.
    """
    # Made anew on every call: a buffer that no file stores would have no values after building on the meta device.
    exponents = torch.arange(count, device=c_noise.device, dtype=c_noise.dtype) / last
    return c_noise[:, None] * 10000.0**-exponents


class FourierAngles(nn.Module):
    """c_noise times 2 pi and each stored frequency: `(B,) -> (B, count)`."""

    freqs: Tensor

    def __init__(self, count: int, spread: float = 16.0) -> None:
        super().__init__()
        self.register_buffer("freqs", spread * torch.randn(count))

    def forward(self, c_noise: Tensor) -> Tensor:
        return c_noise[:, None] * (2 * math.pi * self.freqs)
