"""How a network is told the noise level: from sigma to its own timestep, and the coordinates of what it looks at.

Every Gaussian path z = a x0 + s n is x = x0 + sigma n, sigma = s / a, up to the scale a. Three paths are in use:

| path | z | a | s | sigma |
|---|---|---|---|---|
| vp, variance preserving | x / sqrt(1 + sigma^2) | 1 / sqrt(1 + sigma^2) | sigma / sqrt(1 + sigma^2) | that of x |
| ve, variance exploding | x | 1 | sigma | that of x |
| flow | x_s itself | 1 - s | s | s, in (0, 1] |

Which timestep belongs to a sigma is a convention of whoever trained the network:

* a table of alpha-bar (Ho et al. 2006.11239): a^2 = alpha-bar_t, so sigma_t = sqrt((1 - alpha-bar_t) / alpha-bar_t).
  Between two entries t is linear in ln(sigma), as k-diffusion and diffusers have it: networks read t through smooth
  waves and answer well in between. One that reads it from a table of its own needs whole timesteps;
* the continuous VP process (Song et al. 2011.13456, equation 33), beta(t) = beta_min + beta_d t:
  sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1, solved for t in closed form;
* the cosine process (Salimans and Ho 2202.00512): a = cos(pi t / 2), s = sin(pi t / 2), sigma = tan(pi t / 2);
* sigma itself, or ln(sigma) / 4 (Karras et al. 2206.00364), on the ve path;
* flow time s, times a factor (Esser et al. 2403.03206); or 1 - s, where time runs from noise to data (Lipman et al.
  2210.02747, Liu et al. 2209.03003).

Outside of its range a network was never trained, and whatever it answers there looks like an answer: it is not asked.
Timesteps are computed in float64, whatever the network runs in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact.types import Domain
from artc.errors import InputError

PathName = Literal["vp", "ve", "flow"]

TOLERANCE = 1e-6
"""Relative overshoot at the ends of a range that is taken for rounding: a sigma of float32 has 6e-8 of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What a network knows of noise: its path, its range of sigma, and a timestep for each sigma in it.

    Attributes:
        path: the coordinates of the network's input; see the table above.
        timestep_of: from sigma `(B,)`, float64 and inside the range, to the network's own time `(B,)`.
        sigma_of: the inverse of it.
        rounded: the network takes whole timesteps only.
        notices: sentences that a user of the network should read.

    Raises InputError when the range is not 0 < sigma_min < sigma_max, or goes beyond 1 on a flow path.
    """

    path: PathName
    sigma_min: float
    sigma_max: float
    timestep_of: Callable[[Tensor], Tensor]
    sigma_of: Callable[[Tensor], Tensor]
    rounded: bool = False
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        top = 1.0 if self.path == "flow" else math.inf
        if not 0 < self.sigma_min < self.sigma_max <= top or self.sigma_max == math.inf:
            raise InputError(
                f"A network cannot know sigma from {self.sigma_min:g} to {self.sigma_max:g}.",
                hint="It must be 0 < sigma_min < sigma_max, with sigma_max at most 1 for a flow and finite else.",
            )

    @property
    def domain(self) -> Domain:
        """The coordinates in which artc walks this network's samples."""
        return "flow" if self.path == "flow" else "ve"

    def told(self, sigma: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The timestep that the network is given for sigma, `(B,)`, in this dtype, or int64 where it is rounded.

        Raises InputError for a sigma outside of the range by more than 1e-6 of it.
        """
        # On the CPU for any device: it is B numbers, and not every device has float64.
        level = sigma.to("cpu", torch.float64)
        known = (level >= self.sigma_min * (1 - TOLERANCE)) & (level <= self.sigma_max * (1 + TOLERANCE))
        if not bool(known.all()):
            raise InputError(
                f"The network was asked for sigma = {float(level[~known][0]):g}; "
                f"it knows {self.sigma_min:g} to {self.sigma_max:g}.",
                hint="Choose sigma_min and sigma_max inside of that.",
            )
        time = self.timestep_of(level.clamp(self.sigma_min, self.sigma_max))
        return time.round().to(sigma.device, torch.int64) if self.rounded else time.to(sigma.device, dtype)


def discrete_times(alphas_cumprod: Tensor | NDArray[np.floating] | Sequence[float], *, rounded: bool = False) -> Times:
    """The times of a network trained on a table of alpha-bar, entry t at timestep t: `(T,)`, strictly decreasing.

    A last entry of 0 (zero terminal SNR, Lin et al. 2305.08891) is pure noise, sigma infinite; the range then ends one
    entry earlier, and `notices` says so.

    Raises InputError for a table with fewer than two levels, or one that does not fall strictly between 1 and 0.
    """
    table = torch.as_tensor(alphas_cumprod, dtype=torch.float64, device="cpu").detach()
    notices = []
    endless = table.ndim == 1 and len(table) > 2 and float(table[-1]) == 0
    finite = table[:-1] if endless else table
    falling = finite.ndim == 1 and len(finite) > 1 and bool((finite.diff() < 0).all())
    if not falling or not 0 < float(finite[-1]) < float(finite[0]) < 1:
        raise InputError(
            "A table of alpha-bar must hold two levels or more and fall strictly, between 1 and 0.",
            hint="Give the scheduler's alphas_cumprod, timestep 0 first; only its last may be 0.",
        )
    # ln(sigma) = (ln(1 - alpha-bar) - ln(alpha-bar)) / 2, strictly increasing because alpha-bar falls.
    logs = ((-finite).log1p() - finite.log()) / 2
    places = torch.arange(len(logs), dtype=torch.float64)
    low, high = float(logs[0].exp()), float(logs[-1].exp())
    if endless:
        notices.append(
            f"The last timestep, {len(finite)}, is pure noise (zero terminal SNR), where sigma is infinite: "
            f"the range ends at timestep {len(finite) - 1}, sigma = {high:g}."
        )
    if rounded:
        worst = math.expm1(float(logs.diff().max()) / 2)
        notices.append(
            f"The network takes whole timesteps: it is told a sigma that is off by {worst:.2g} of it at most."
        )
    return Times(
        path="vp",
        sigma_min=low,
        sigma_max=high,
        timestep_of=lambda sigma: _interpolated(sigma.log(), logs, places),
        sigma_of=lambda time: _interpolated(time.double(), places, logs).exp(),
        rounded=rounded,
        notices=tuple(notices),
    )


def linear_vp_times(*, beta_min: float = 0.1, beta_d: float = 19.9, t_min: float = 1e-5, scale: float = 1.0) -> Times:
    """The times of the continuous VP process: t(sigma) = 2 L / (beta_min + sqrt(beta_min^2 + 2 beta_d L)), t_min to 1.

    L is ln(1 + sigma^2); the network is told scale t. With the constants of EDM, sigma goes from 0.0010005 to 152.17.
    (EDM itself has 0.00098 for the lower end: in float32, exp(1e-6) - 1 keeps little of its digits.)
    """

    def sigma_of(time: Tensor) -> Tensor:
        t = time.double() / scale
        return (0.5 * beta_d * t.square() + beta_min * t).expm1().sqrt()

    def timestep_of(sigma: Tensor) -> Tensor:
        grown = sigma.square().log1p()
        # The usual (sqrt(...) - beta_min) / beta_d subtracts equals at small sigma.
        return scale * 2 * grown / (beta_min + (beta_min**2 + 2 * beta_d * grown).sqrt())

    ends = sigma_of(torch.tensor([t_min * scale, scale], dtype=torch.float64)).tolist()
    return Times(path="vp", sigma_min=ends[0], sigma_max=ends[1], timestep_of=timestep_of, sigma_of=sigma_of)


def cosine_times(sigma_min: float, sigma_max: float, *, scale: float = 1.0) -> Times:
    """The times of the cosine process, t(sigma) = (2 / pi) atan(sigma); the network is told scale t."""
    turn = 2 * scale / math.pi
    return Times(
        path="vp",
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        timestep_of=lambda sigma: turn * sigma.atan(),
        sigma_of=lambda time: (time.double() / turn).tan(),
    )


def sigma_times(sigma_min: float, sigma_max: float, *, logarithmic: bool = False) -> Times:
    """The times of a network on the ve path that is told sigma itself, or ln(sigma) / 4."""
    return Times(
        path="ve",
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        timestep_of=lambda sigma: sigma.log() / 4 if logarithmic else sigma,
        sigma_of=lambda time: (4 * time.double()).exp() if logarithmic else time.double(),
    )


def flow_times(sigma_min: float = 1e-3, sigma_max: float = 1.0, *, scale: float = 1.0, to_data: bool = False) -> Times:
    """The times of a flow network, told scale s; or scale (1 - s), where its time runs from noise to data."""
    return Times(
        path="flow",
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        timestep_of=lambda sigma: scale * (1 - sigma if to_data else sigma),
        sigma_of=lambda time: 1 - time.double() / scale if to_data else time.double() / scale,
    )


def _interpolated(at: Tensor, nodes: Tensor, values: Tensor) -> Tensor:
    """The piecewise linear function through (nodes, values), nodes increasing; all float64, differentiable in `at`."""
    right = torch.searchsorted(nodes, at.detach().contiguous()).clamp(1, len(nodes) - 1)
    left = right - 1
    weight = (at - nodes[left]) / (nodes[right] - nodes[left])
    return torch.lerp(values[left], values[right], weight)
