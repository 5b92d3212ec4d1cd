"""Preconditioning: a raw network F becomes a denoiser D, in one of the four ways of Karras et al. 2206.00364, table 1.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)

| rule | c_skip | c_out | c_in | c_noise |
|---|---|---|---|---|
| EDM | s^2 / (sigma^2 + s^2) | sigma s / sqrt(sigma^2 + s^2) | 1 / sqrt(sigma^2 + s^2) | ln(sigma) / 4 |
| VP | 1 | -sigma | 1 / sqrt(sigma^2 + 1) | (M - 1) t(sigma) |
| VE | 1 | sigma | 1 | ln(sigma / 2) |
| iDDPM | 1 | -sigma | 1 / sqrt(sigma^2 + 1) | M - 1 - j, u_j the level nearest to sigma |

EDM, with s = sigma_data, gives the input and the training target of F unit variance at every sigma. The other rows say
in the same words what earlier networks were trained for:

* VP (Song et al. 2011.13456) is a diffusion in time t, whose sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1) has
  the inverse t(sigma) = (sqrt(beta_min^2 + 2 beta_d ln(1 + sigma^2)) - beta_min) / beta_d. It was trained from
  t = epsilon_t to t = 1: from sigma = 0.0010 to 152.17 as published.
* VE (the same paper) was trained from sigma = 0.02 to 100 as published.
* iDDPM (Nichol and Dhariwal 2102.09672) knows M levels u_0 > ... > u_{M-1}, 20291 to 0.0064 as published, and u_M = 0:

      u_{j-1}^2 = (u_j^2 + 1) / max(a_{j-1} / a_j, C_1) - 1,      a_j = sin^2(pi j / (2 M (C_2 + 1))).

  F is told the nearest level; c_skip, c_out and c_in follow sigma itself. A sampler that wants the two to agree takes
  its sigmas from `round_sigma`. F predicts a variance too, in channels after those of the image; D leaves them out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from artc.errors import DeviceError, InputError
from artc.models.forward_mode import carries_tangent

PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


class Rule(Protocol):
    """One row of the table."""

    @property
    def sigma_min(self) -> float:
        """Least noise level that the network was trained for."""
        ...

    @property
    def sigma_max(self) -> float:
        """Greatest noise level that the network was trained for."""
        ...

    def levels(self) -> list[float] | None:
        """The noise levels that the network knows, greatest first; None when it knows a whole range."""
        ...

    def scales(self, sigma: Tensor, /) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and 1 / c_in, which is the standard deviation of x: `(B,)` each."""
        ...

    def c_noise(self, level: Tensor, /) -> Tensor:
        """What F is told of the noise: `(B,)`, from sigma, or from its place among `levels`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EDM:
    """Karras et al. 2206.00364, equation 7. Raises InputError unless sigma_data > 0 and 0 <= sigma_min < sigma_max."""

    sigma_data: float = 0.5
    sigma_min: float = 0.0
    sigma_max: float = math.inf

    def __post_init__(self) -> None:
        _require(self.sigma_data > 0, f"sigma_data is {self.sigma_data:g}.", "It must be positive.")
        _require_range(self.sigma_min, self.sigma_max)

    def levels(self) -> None:
        return None

    def scales(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        variance = sigma.square() + self.sigma_data**2
        return self.sigma_data**2 / variance, sigma * self.sigma_data / variance.sqrt(), variance.sqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        return sigma.log() / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class VP:
    """Song et al. 2011.13456, in terms of sigma. Raises InputError for numbers that make no sense."""

    beta_d: float = 19.9
    beta_min: float = 0.1
    M: int = 1000
    epsilon_t: float = 1e-5

    def __post_init__(self) -> None:
        positive = min(self.beta_d, self.beta_min) > 0
        _require(positive, f"beta_d is {self.beta_d:g}, beta_min {self.beta_min:g}.", "Both must be positive.")
        _require(0 < self.epsilon_t < 1, f"epsilon_t is {self.epsilon_t:g}.", "It must be between 0 and 1.")
        _require(self.M > 1, f"M is {self.M}.", "It must be 2 at least.")

    @property
    def sigma_min(self) -> float:
        return self.sigma_at(self.epsilon_t)

    @property
    def sigma_max(self) -> float:
        return self.sigma_at(1.0)

    def sigma_at(self, time: float) -> float:
        """sigma(t) = sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1)."""
        return math.sqrt(math.expm1(0.5 * self.beta_d * time**2 + self.beta_min * time))

    def levels(self) -> None:
        return None

    def scales(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ones_like(sigma), -sigma, (sigma.square() + 1).sqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        # log1p: in float32, 1 + sigma^2 has forgotten a sigma of 0.001.
        root = (self.beta_min**2 + 2 * self.beta_d * sigma.square().log1p()).sqrt()
        return (self.M - 1) * (root - self.beta_min) / self.beta_d


@dataclass(frozen=True, slots=True, kw_only=True)
class VE:
    """Song et al. 2011.13456, in terms of sigma. Raises InputError unless 0 <= sigma_min < sigma_max."""

    sigma_min: float = 0.02
    sigma_max: float = 100.0

    def __post_init__(self) -> None:
        _require_range(self.sigma_min, self.sigma_max)

    def levels(self) -> None:
        return None

    def scales(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ones_like(sigma), sigma, torch.ones_like(sigma)

    def c_noise(self, sigma: Tensor) -> Tensor:
        return (0.5 * sigma).log()


@dataclass(frozen=True, slots=True, kw_only=True)
class IDDPM:
    """Nichol and Dhariwal 2102.09672, in terms of sigma. Raises InputError for numbers that give no falling levels."""

    C_1: float = 0.001
    C_2: float = 0.008
    M: int = 1000

    def __post_init__(self) -> None:
        _require(0 < self.C_1 < 1, f"C_1 is {self.C_1:g}.", "It must be between 0 and 1.")
        _require(self.C_2 > 0, f"C_2 is {self.C_2:g}.", "It must be positive.")
        _require(self.M > 1, f"M is {self.M}.", "It must be 2 at least.")

    @property
    def sigma_min(self) -> float:
        return self.levels()[-2]

    @property
    def sigma_max(self) -> float:
        return self.levels()[0]

    def levels(self) -> list[float]:
        kept = [math.sin(0.5 * math.pi * j / (self.M * (self.C_2 + 1))) ** 2 for j in range(self.M + 1)]
        variances = [0.0]
        for j in range(self.M, 0, -1):
            variances.append((variances[-1] + 1) / max(kept[j - 1] / kept[j], self.C_1) - 1)
        return [math.sqrt(variance) for variance in reversed(variances)]

    def scales(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ones_like(sigma), -sigma, (sigma.square() + 1).sqrt()

    def c_noise(self, index: Tensor) -> Tensor:
        return self.M - 1 - index


# By the names that files of NVlabs EDM have for them.
RULES: dict[str, Callable[..., Rule]] = {
    "EDMPrecond": EDM,
    "VPPrecond": VP,
    "VEPrecond": VE,
    "iDDPMPrecond": IDDPM,
}


class Preconditioned(nn.Module):
    """The denoiser `D(x; sigma)` around a raw network: `(B, *S), (B,), (B, label_dim) -> (B, *S)` in the dtype of x.

    Args:
        model: the raw network `F(c_in x; c_noise)`, or `F(c_in x; c_noise, labels)` when label_dim > 0.
        rule: the preconditioning.
        label_dim: number of classes that F was trained for; labels are one-hot, and zeros when left out.
        precision: what F computes in; the arithmetic around it stays in the dtype of x. Forward-mode derivatives are
            taken in the dtype of x throughout.

    Attributes:
        u: the noise levels of the rule, where it has any: `(M + 1,)`, part of the state.

    Raises InputError for labels of another shape or another precision, DeviceError for float16 without CUDA.
    """

    u: Tensor | None

    def __init__(
        self, model: nn.Module, rule: Rule, *, label_dim: int = 0, precision: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in PRECISIONS)
        _require(precision in PRECISIONS, f"A network cannot compute in {precision}.", f"Known: {known}.")
        self.model, self.rule, self.label_dim, self.precision = model, rule, label_dim, precision
        levels = rule.levels()
        self.register_buffer("u", None if levels is None else torch.tensor(levels, dtype=torch.float32))

    @property
    def sigma_min(self) -> float:
        """Least noise level that F was trained for; of its levels, the last above zero."""
        return self.rule.sigma_min if self.u is None else float(self.u[-2])

    @property
    def sigma_max(self) -> float:
        """Greatest noise level that F was trained for."""
        return self.rule.sigma_max if self.u is None else float(self.u[0])

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        level = sigma.to(x.dtype)
        skip, out, deviation = (scale.reshape(-1, *[1] * (x.ndim - 1)) for scale in self.rule.scales(level))
        c_noise = self.rule.c_noise(level if self.u is None else _nearest(level, self.u))
        classes = self._classes(labels, x)
        with self._autocast(x, level):
            raw = self.model(x / deviation, c_noise, *classes)
        denoised: Tensor = skip * x + out * raw[:, : x.shape[1]].to(x.dtype)
        return denoised

    def round_sigma(self, sigma: Tensor) -> Tensor:
        """The nearest noise level that F can tell from others, in the shape and dtype of sigma."""
        if self.u is None:
            return sigma
        return self.u.to(sigma.dtype)[_nearest(sigma, self.u).long()]

    def _classes(self, labels: Tensor | None, x: Tensor) -> tuple[Tensor, ...]:
        """The third argument of F, where it takes one."""
        if labels is None:
            return (x.new_zeros((len(x), self.label_dim)),) if self.label_dim else ()
        _require(self.label_dim > 0, "The network is unconditional: it takes no labels.", "Leave them out.")
        wanted = (len(x), self.label_dim)
        _require(
            labels.shape == wanted,
            f"Labels have shape {tuple(labels.shape)}, not {wanted}.",
            "Give one row for each image, with a 1 at its class and 0 elsewhere.",
        )
        return (labels.to(x.dtype),)

    def _autocast(self, x: Tensor, level: Tensor) -> AbstractContextManager[object]:
        if self.precision is torch.float16 and x.device.type != "cuda":
            raise DeviceError(f"float16 needs CUDA; this is {x.device.type}.", hint="Use bfloat16 or float32.")
        # Autocast does not reach through forward-mode derivatives, which then are exact at float32's cost. In float32,
        # whatever autocast the caller is in, as in training, is left alone.
        if self.precision is torch.float32 or carries_tangent(x) or carries_tangent(level):
            return nullcontext()
        return torch.autocast(x.device.type, self.precision)


def _nearest(sigma: Tensor, levels: Tensor) -> Tensor:
    """The place of the level nearest to each sigma, as a number of sigma's dtype; it has no derivative."""
    return (sigma[..., None] - levels).abs().argmin(dim=-1).to(sigma.dtype)


def _require(holds: bool, message: str, hint: str) -> None:
    if not holds:
        raise InputError(message, hint=hint)


def _require_range(low: float, high: float) -> None:
    _require(0 <= low < high, f"The sigma range is {low:g} to {high:g}.", "It must satisfy 0 <= sigma_min < sigma_max.")
