"""Models whose denoiser is known exactly: an isotropic Gaussian and mixtures of them, in any dimension.

For data x0 ~ sum_k w_k N(m_k, s_k^2 I) and x = x0 + sigma n,

    D(x; sigma) = sum_k r_k(x) (m_k + s_k^2 / (s_k^2 + sigma^2) (x - m_k)),      r_k = posterior weight of component k.

For one Gaussian the probability-flow ODE has the solution

    x(sigma) = m + sqrt((s^2 + sigma^2) / (s^2 + sigma_max^2)) (x(sigma_max) - m),
    |x''|(sigma) = s^2 / (s^2 + sigma^2)^(3/2) |z|,      z = (x(sigma_max) - m) / sqrt(s^2 + sigma_max^2).

They are the reference that every numerical test is held to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianMixture:
    """Data law sum_k w_k N(m_k, s_k^2 I); calling it denoises: `(B, *S), (B,) -> (B, *S)`.

    Args:
        weights: `(K,)`, positive, adding to one.
        means: `(K, *S)`.
        stds: `(K,)`, one standard deviation for all dimensions of a component.
    """

    weights: Tensor
    means: Tensor
    stds: Tensor

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x] by Bayes' rule, in the dtype of x."""
        means = self.means.to(x).flatten(1)
        spread = self.stds.to(x).square()
        noise = sigma.to(x).square()[:, None]
        away = x.flatten(1)[:, None, :] - means
        variance = spread + noise
        logits = self.weights.to(x).log() - away.square().sum(-1) / (2 * variance)
        posterior = (logits - 0.5 * means.shape[1] * variance.log()).softmax(dim=1)
        guesses = means + (spread / variance)[:, :, None] * away
        return (posterior[:, :, None] * guesses).sum(dim=1).reshape(x.shape)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Exact data samples `(count, *S)`, float64."""
        picked = torch.multinomial(self.weights.double(), count, replacement=True, generator=generator)
        noise = torch.randn((count, *self.means.shape[1:]), generator=generator, dtype=torch.float64)
        spread = self.stds.double()[picked].reshape(-1, *[1] * (noise.ndim - 1))
        drawn: Tensor = self.means.double()[picked] + spread * noise
        return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """Data law N(mean, std^2 I); calling it denoises, and the exact trajectory is known."""

    mean: float
    std: float

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return m + s^2 / (s^2 + sigma^2) (x - m)."""
        noise = sigma.to(x).square().reshape(-1, *[1] * (x.ndim - 1))
        return self.mean + self.std**2 / (self.std**2 + noise) * (x - self.mean)

    def trajectory(self, start: Tensor, sigma_max: float, sigma: float) -> Tensor:
        """Exact x(sigma) of the probability-flow ODE that passes through `start` at sigma_max."""
        ratio = math.sqrt((self.std**2 + sigma**2) / (self.std**2 + sigma_max**2))
        moved: Tensor = self.mean + ratio * (start - self.mean)
        return moved

    def stiffness(self, start: Tensor, sigma_max: float, sigma: float) -> Tensor:
        """Exact |x''|(sigma), the root mean square over dimensions, of the same trajectory: `(B,)`."""
        unit = (start - self.mean) / math.sqrt(self.std**2 + sigma_max**2)
        size: Tensor = unit.flatten(1).square().mean(dim=1).sqrt()
        return size * (self.std**2 / math.pow(self.std**2 + sigma**2, 1.5))


def three_modes() -> GaussianMixture:
    """A 1-D mixture of three unequal modes, the benchmark of the one-dimensional studies."""
    return GaussianMixture(
        weights=torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64),
        means=torch.tensor([[-2.0], [0.3], [1.5]], dtype=torch.float64),
        stds=torch.tensor([0.15, 0.4, 0.1], dtype=torch.float64),
    )


def eight_clusters(dimension: int = 64, seed: int = 7) -> GaussianMixture:
    """Eight clusters of widths 0.05 to 0.3 around standard normal centres in `dimension` dimensions."""
    generator = torch.Generator().manual_seed(seed)
    return GaussianMixture(
        weights=torch.full((8,), 1 / 8, dtype=torch.float64),
        means=torch.randn((8, dimension), generator=generator, dtype=torch.float64),
        stds=torch.linspace(0.05, 0.3, 8, dtype=torch.float64),
    )
