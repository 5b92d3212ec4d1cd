"""EDM preconditioning: a raw network F becomes a denoiser D (Karras et al. 2206.00364, equation 7 and table 1).

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)

    c_skip = s^2 / (sigma^2 + s^2)        c_out   = sigma s / sqrt(sigma^2 + s^2)
    c_in   = 1 / sqrt(sigma^2 + s^2)      c_noise = ln(sigma) / 4                  with s = sigma_data

so that the input and the training target of F have about unit variance at every noise level.
"""

from __future__ import annotations

from torch import Tensor, nn


class EDMDenoiser(nn.Module):
    """`D(x; sigma)` around a raw network `F(c_in x; c_noise)`: `(B, *S), (B,) -> (B, *S)` in the dtype of x."""

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
        variance = level.square() + self.sigma_data**2
        raw = self.network(x / variance.sqrt(), sigma.to(x.dtype).log() / 4)
        skip = self.sigma_data**2 / variance
        out = level * self.sigma_data / variance.sqrt()
        denoised: Tensor = skip * x + out * raw.to(x.dtype)
        return denoised
