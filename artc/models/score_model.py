"""The one thing a model must be: a denoiser D(x; sigma) = E[x0 | x], and the facts a sampler needs beside it.

Samplers walk in float64 on a grid of plain numbers; networks run in a dtype of their own on batches. `Probe` stands
between the two: it casts, counts every sample-call, keeps the time spent inside the network, and holds the denoiser to
its contract, so that a broken one is named at the sigma where it broke instead of becoming a bad schedule.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from artc.artifact import ModelInfo
from artc.errors import DenoiserError, DeviceError, InputError, UnknownNameError


class Denoiser(Protocol):
    """`D(x; sigma)`: clean guess for noisy x, `(B, *S), (B,) -> (B, *S)`, in the dtype of x."""

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        """Return E[x0 | x] at noise level sigma."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreModel:
    """A denoiser with its identity, its device and the dtype in which it runs.

    Raises InputError when its sigma range is not 0 < sigma_min < sigma_max.
    """

    denoiser: Denoiser
    info: ModelInfo
    device: torch.device
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if not 0 < self.info.sigma_min < self.info.sigma_max < float("inf"):
            raise InputError(
                f"The sigma range of {self.info.name} is {self.info.sigma_min:g} to {self.info.sigma_max:g}.",
                hint="It must satisfy 0 < sigma_min < sigma_max.",
            )

    def noise(self, count: int, seed: int) -> Tensor:
        """Standard normal latents `(count, *shape)` in float64, the same on every device for one seed."""
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn((count, *self.info.shape), generator=generator, dtype=torch.float64)
        return latents.to(self.device)


class Probe:
    """A counted, checked denoiser for samplers: `(B, *S) float64, sigma -> (B, *S) float64`.

    Attributes:
        calls: denoiser calls so far, counted per sample: a batch of B costs B.
        seconds: wall time inside the denoiser.

    Raises DenoiserError when the denoiser returns another shape or dtype, a NaN or an infinity, or no tensor.
    """

    def __init__(self, model: ScoreModel) -> None:
        self.model = model
        self.calls = 0
        self.seconds = 0.0

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        model = self.model
        began = time.perf_counter()
        given = x.to(model.dtype)
        level = torch.full((len(x),), sigma, dtype=model.dtype, device=x.device)
        with torch.no_grad():
            denoised = model.denoiser(given, level)
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        self.seconds += time.perf_counter() - began
        self.calls += len(x)
        check_denoised(denoised, given, sigma)
        return denoised.to(x.dtype)


def check_denoised(denoised: object, given: Tensor, sigma: float) -> None:
    """Hold one answer to the contract; raises DenoiserError that says at which sigma it was broken."""
    where = f"at sigma = {sigma:g}"
    if not isinstance(denoised, Tensor):
        raise DenoiserError(f"The denoiser returned {type(denoised).__name__}, not a tensor, {where}.")
    if denoised.shape != given.shape:
        shapes = f"shape {tuple(denoised.shape)} for an input of shape {tuple(given.shape)}"
        raise DenoiserError(f"The denoiser returned {shapes} {where}.", hint="It must return D(x; sigma), shaped as x.")
    if denoised.dtype != given.dtype:
        hint = f"Return the dtype of x, or compile with dtype={denoised.dtype}."
        raise DenoiserError(f"The denoiser returned {denoised.dtype} for {given.dtype} {where}.", hint=hint)
    if not bool(torch.isfinite(denoised).all()):
        bad = int((~torch.isfinite(denoised)).sum())
        raise DenoiserError(
            f"The denoiser returned NaN or infinity in {bad} of {denoised.numel()} values {where}.",
            hint="A narrower sigma_min or sigma_max may keep it inside the range it was trained on.",
        )


def pick_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; raises DeviceError or UnknownNameError."""
    if name not in ("auto", "cpu", "cuda"):
        raise UnknownNameError("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("This machine or this build of torch has no CUDA.", hint="Use --device cpu, or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
