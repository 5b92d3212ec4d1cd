"""The two ways to write a noisy sample, and the map between them.

    ve      x = x0 + sigma n                          flow    x_s = (1 - s) x0 + s n,  s in (0, 1]

One sample in both is x = x_s / (1 - s) at sigma = s / (1 - s), and back s = sigma / (1 + sigma). The clean guess is the
same, D(x; sigma) = D_flow(x / (1 + sigma); s), so a flow model is one of the first kind, seen through a lens.

A clock is always learned on the unscaled path x. The stiffness of x_s is that of x times a factor that has to do with
how the path is written and nothing with the model, and the schedules would differ; yet an Euler step is the same step
in both. Learned on x, a schedule does not depend on how the author of a model wrote the noise; and in most cases, the
network among them, it also samples a flow model better (`tests/benchmarks/domains.py` measures both).

At s = 1 sigma is infinite. Beyond s = 0.999 a sample is noise to a part in a thousand: the clock is learned up to
there, and its first node put at the model's own sigma_max.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from artc.artifact import ModelInfo, Warp

if TYPE_CHECKING:  # grids and plots are made without torch
    from torch import Tensor

    from artc.models.score_model import ScoreModel

FLOW_TOP = 0.999


def unscaled_sigma(sigma: ArrayLike, domain: str) -> NDArray[np.float64]:
    """Sigma of x = x0 + sigma n at a sigma of the domain: for flow s / (1 - s), with s up to 0.999."""
    value = np.asarray(sigma, dtype=np.float64)
    if domain != "flow":
        return value
    value = np.minimum(value, FLOW_TOP)
    return np.asarray(value / (1.0 - value))


def domain_sigma(sigma: ArrayLike, domain: str) -> NDArray[np.float64]:
    """The sigma of a domain at which x = x0 + sigma n is: for flow sigma / (1 + sigma)."""
    value = np.asarray(sigma, dtype=np.float64)
    return value if domain != "flow" else np.asarray(value / (1.0 + value))


def domain_grid(sigmas: Iterable[float], info: ModelInfo) -> tuple[float, ...]:
    """An unscaled grid as one of the model's domain; it starts at exactly the model's sigma_max."""
    mapped = domain_sigma(list(sigmas), info.domain).tolist()
    return (info.sigma_max, *mapped[1:])


def domain_warp(warp: Warp, info: ModelInfo) -> Warp:
    """An unscaled warp as one of the model's domain, node by node."""
    if info.domain == "ve":
        return warp
    return Warp(warp.clock, domain_grid(warp.sigma, info), float(domain_sigma(warp.offset, info.domain)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unscaled:
    """D(x; sigma) = D_flow(x / (1 + sigma); sigma / (1 + sigma)), with labels or without."""

    model: ScoreModel

    def __call__(self, x: Tensor, sigma: Tensor, /, labels: Tensor | None = None) -> Tensor:
        scale = (1.0 + sigma).reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
        return self.model.on(labels)(x / scale, sigma / (1.0 + sigma))


def unscaled(model: ScoreModel) -> ScoreModel:
    """The same model in x = x0 + sigma n; a model of that domain is itself."""
    info = model.info
    if info.domain == "ve":
        return model
    low, high = unscaled_sigma([info.sigma_min, info.sigma_max], info.domain).tolist()
    seen = replace(info, domain="ve", shift=None, sigma_min=low, sigma_max=high)
    return replace(model, denoiser=_Unscaled(model=model), info=seen, own_range=None)
