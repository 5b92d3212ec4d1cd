"""The grid that `k_diffusion.sampling.sample_*` walks, out of an artifact.

Those samplers take the whole grid as one tensor, trailing 0 included, and the state as noise times its first sigma:

    sample_X(model, x = sigmas[0] n, sigmas)        model(x, sigma) = D(x; sigma)

They compute in the wider dtype of x and the grid, so the grid is made in the dtype of x. The last step is told by its
sigma being exactly 0. The adapter needs nothing of k-diffusion, and imports nothing of it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from artc.artifact.types import Domain
from artc.errors import InputError

from ..choosing import AnyArtifact, opened, sigmas_for
from ..fitting import HostModel, check_fit
from ..samplers import AnySampler, find_sampler, name_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

BREAKS_AT_ONE_STEP = frozenset({"dpmpp_2m_sde", "dpmpp_3m_sde"})
"""These read, after the step to 0, a step size that only another step would have set."""

ADDS_NOISE = ("ancestral", "sde")
"""In the names of samplers that add fresh noise, as much of it as x = x0 + sigma n wants."""


def sigmas(
    artifact: AnyArtifact,
    *,
    nfe: int | None = None,
    steps: int | None = None,
    sampler: AnySampler = "heun",
    like: Tensor | None = None,
    denoise: float = 1.0,
    domain: Domain = "ve",
    model: Any = None,
    resample: bool = False,
) -> Tensor:
    """The grid for a `sample_*`: a tensor (steps + 1,), strictly decreasing to exactly 0.

    Args:
        artifact: an artifact, or the path of one.
        nfe: calls of the model, exactly as many as the sampler will make, and twice that for an artifact that was
            compiled with guidance, which counts both halves of a call; or `steps`, one of the two.
        sampler: the function or its name. One with no schedules of its own gets those of its nearest relative.
        like: the state x, whose dtype and device the grid takes. Without it: float32 on the CPU.
        denoise: the last round(steps * denoise) steps only; start them from image + sigmas[0] * noise.
        domain: how the model writes noise, as every wrapper of k-diffusion does unless "flow" is said.
        model: what the sampler will be given; where it knows its range of noise, the grid is held against it.
        resample: read a budget that the artifact does not hold from its warp.

    Raises BudgetError, InputError and UnknownNameError, each with a sentence, and what `artc.load` raises. Warns when
    the grid starts well below what `model` can start from.
    """
    artifact, name = opened(artifact), name_of(sampler)
    grid = sigmas_for(artifact, sampler, nfe=nfe, steps=steps, resample=resample, denoise=denoise)
    notes = check_fit(artifact.model, grid, _host_model(model, domain))
    if domain == "flow" and any(mark in name for mark in ADDS_NOISE):
        raise InputError(
            f"{name} adds noise as x = x0 + sigma n wants it, which a flow model is not.", hint="Use euler."
        )
    if len(grid) == 2 and name in BREAKS_AT_ONE_STEP:
        raise InputError(f"{name} of k-diffusion breaks on a grid of one step.", hint="Use euler or dpmpp_2m.")
    for note in notes if denoise == 1 else ():
        warnings.warn(note, stacklevel=2)
    return _tensor(grid, like)


def nfe(sampler: AnySampler, steps: int) -> int:
    """Calls of the model that a `sample_*` makes on a grid of `steps` that ends in 0; errors of `find_sampler`."""
    return find_sampler(sampler).nfe(steps)


def _host_model(model: Any, domain: Domain) -> HostModel:
    """What a wrapper knows of its range of noise: `sigma_min` and `sigma_max`, its own or those of what it wraps."""
    name, layer = "k-diffusion" if model is None else type(model).__name__, model
    while layer is not None:
        low, high = (getattr(layer, end, None) for end in ("sigma_min", "sigma_max"))
        if low is not None and high is not None:
            return HostModel(name=name, domain=domain, sigma_min=float(low), sigma_max=float(high))
        layer = getattr(layer, "inner_model", None)
    return HostModel(name=name, domain=domain)


def _tensor(grid: NDArray[np.float64], like: object) -> Tensor:
    import torch

    if like is not None and not (isinstance(like, torch.Tensor) and like.is_floating_point()):
        kind = like.dtype if isinstance(like, torch.Tensor) else type(like).__name__
        raise InputError(f"like is the state x, a tensor of floats, and this is {kind}.")
    made = torch.as_tensor(grid, dtype=torch.float32 if like is None else like.dtype)
    (same,) = torch.nonzero(made[1:] >= made[:-1], as_tuple=True)
    if len(same):
        k, dtype = int(same[0]), str(made.dtype).removeprefix("torch.")
        raise InputError(
            f"In {dtype} the sigmas {grid[k]:.9g} and {grid[k + 1]:.9g} are one and the same.",
            hint="Keep x in float32, and let the model work in less.",
        )
    return made if like is None else made.to(like.device)
