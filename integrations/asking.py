"""A network that is shown other noise levels than its host's sampler walks: the model sigmas of a schedule.

    D'(x; sigma_k) = D(x; m_k)        at the nodes sigma_k of the schedule, and D'(x; sigma) = D(x; sigma) elsewhere

The sampler walks `sigmas` and knows nothing of it: what it is given looks like the denoiser that it had. A level is
taken for a node when it is that number as its dtype has it, up to what a sampler loses when it takes the logarithm of a
sigma and raises it again in float32. Levels between nodes, as samplers that add noise or look ahead ask at, pass as
they are: nothing was compiled for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from artc.artifact import Schedule
from artc.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

NEAR = 2e-6
"""Relative: some sixteen last bits of float32, which exp(log(sigma)) can lose at the ends of the range."""


def shown_levels(sigma: Tensor, nodes: Sequence[float], model_sigmas: Sequence[float]) -> Tensor:
    """The levels to show a network that is asked at `sigma`, of any shape: in its shape, dtype and device."""
    import torch

    if not sigma.is_floating_point():
        sigma = sigma.to(torch.float64)
    # As the sampler's dtype has the nodes, since that is how the grid reached it.
    known = torch.tensor(nodes, dtype=torch.float64).to(sigma.dtype).to(torch.float64).to(sigma.device)
    others = torch.tensor(model_sigmas, dtype=torch.float64).to(sigma.dtype).to(sigma.device)
    away, place = (sigma.to(torch.float64)[..., None] - known).abs().min(dim=-1)
    return torch.where(away <= NEAR * known[place], others[place], sigma)


def forwarded(wrapper: Any, inner: Any, name: str) -> Any:
    """An attribute of what is inside, for its wrapper; a method that returns what is inside returns the wrapper."""
    value = getattr(inner, name)
    if not inspect.ismethod(value):
        return value

    def call(*args: Any, **kwargs: Any) -> Any:
        result = value(*args, **kwargs)
        return wrapper if result is inner else result

    return call


class AskedDenoiser:
    """A denoiser as it is, but for the noise levels that it is shown; made by `asked`.

    Attributes and calls go to the denoiser itself, and a method that returns the denoiser, such as `.to`, returns this.

    Attributes:
        denoiser: the one inside.
        nodes: where a sampler asks, K of them.
        model_sigmas: what the denoiser is shown there.
    """

    __slots__ = ("denoiser", "model_sigmas", "nodes")

    denoiser: Any
    nodes: tuple[float, ...]
    model_sigmas: tuple[float, ...]

    def __init__(self, denoiser: Any, nodes: Sequence[float], model_sigmas: Sequence[float]) -> None:
        for name, value in (("denoiser", denoiser), ("nodes", tuple(nodes)), ("model_sigmas", tuple(model_sigmas))):
            object.__setattr__(self, name, value)

    def __call__(self, x: Any, sigma: Any, *args: Any, **kwargs: Any) -> Any:
        import torch

        level = sigma if isinstance(sigma, torch.Tensor) else torch.tensor(sigma, dtype=torch.float64)
        shown = shown_levels(level, self.nodes, self.model_sigmas)
        return self.denoiser(x, shown if isinstance(sigma, torch.Tensor) else float(shown), *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return forwarded(self, self.denoiser, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.denoiser, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return AskedDenoiser, (self.denoiser, self.nodes, self.model_sigmas)

    def __repr__(self) -> str:
        return f"{type(self.denoiser).__name__}, shown {len(self.nodes)} model sigmas"


def asked(denoiser: Callable[..., Any], schedule: Schedule) -> Any:
    """The denoiser that is shown the model sigmas of a schedule at its nodes; itself where the schedule has none.

    Args:
        denoiser: `denoiser(x, sigma, ...)` is the denoised x, as k-diffusion's wrappers and EDM's networks have it.
        schedule: such as `artc.load("mine.art.json").schedule(9, "heun")`, whose grid the sampler is to walk.

    Raises InputError for what cannot be called, or what is no schedule.
    """
    if not callable(denoiser):
        raise InputError(f"A denoiser can be called, and {type(denoiser).__name__} cannot.")
    check_schedule(schedule)
    if isinstance(denoiser, AskedDenoiser):
        denoiser = denoiser.denoiser
    if schedule.model_sigmas is None:
        return denoiser
    return AskedDenoiser(denoiser, schedule.sigmas[:-1], schedule.model_sigmas)


def check_schedule(schedule: object) -> None:
    """Raise InputError for what is no schedule, such as the artifact that holds it."""
    if not isinstance(schedule, Schedule):
        raise InputError(
            f"Model sigmas are those of a schedule, not of {type(schedule).__name__}.",
            hint='Take artc.load("mine.art.json").schedule(9, "heun").',
        )
