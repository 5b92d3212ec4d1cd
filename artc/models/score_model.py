"""The one thing a model must be: a denoiser D(x; sigma) = E[x0 | x], and the facts a sampler needs beside it.

Samplers walk in float64 on a grid of plain numbers; networks run in a dtype of their own on batches. `Probe` stands
between the two: it casts, counts every sample-call, keeps the time spent inside the network, and holds the denoiser to
its contract, so that a broken one is named at the sigma where it broke instead of becoming a bad schedule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from artc.artifact import ModelInfo
from artc.errors import ArtcError, DenoiserError, DeviceError, InputError, UnknownNameError

NO_CLASS = -1
"""The label of the unconditional denoiser, in a model that has labels."""


class Denoiser(Protocol):
    """`D(x; sigma)`: clean guess for noisy x, `(B, *S), (B,) -> (B, *S)`, in the dtype of x."""

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        """Return E[x0 | x] at noise level sigma."""
        ...


class ConditionalDenoiser(Protocol):
    """`D(x; sigma, c)`: the same given a class (or the place of a prompt) for each sample, `labels (B,)` int64.

    A label of -1 asks for the unconditional D(x; sigma); only guidance does.
    """

    def __call__(self, x: Tensor, sigma: Tensor, /, labels: Tensor) -> Tensor:
        """Return E[x0 | x, c] at noise level sigma."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Latents:
    """What samples start from: unit noise `(n, *S)`, and where the model has classes a label for each, `(n,)` int64.

    `batch` of them are walked at once.
    """

    noise: Tensor
    labels: Tensor | None = None
    batch: int = 64

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.noise):
            raise InputError(f"{len(self.noise)} latents have {len(self.labels)} labels.", hint="Give one for each.")

    def __len__(self) -> int:
        return len(self.noise)

    def first(self, count: int) -> Latents:
        """The first `count` of them."""
        return self.part(slice(count))

    def part(self, which: slice) -> Latents:
        """Some of them."""
        return replace(self, noise=self.noise[which], labels=None if self.labels is None else self.labels[which])

    def split(self, batch: int | None = None) -> Iterator[Latents]:
        """The same in parts of at most `batch`."""
        size = batch or self.batch
        parts = self.noise.split(size)
        labels = [None] * len(parts) if self.labels is None else self.labels.split(size)
        return (replace(self, noise=noise, labels=some) for noise, some in zip(parts, labels, strict=True))


Field = Callable[[Tensor, float | Tensor], Tensor]
"""A denoiser as solvers call it: a batch in float64, and one sigma for all of it or one for each sample, `(B,)`."""

Fields = Callable[[Tensor | None], Field]
"""From the labels of a batch to its field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreModel:
    """A denoiser with its identity, its device and the dtype in which it runs.

    Attributes:
        denoiser: a `Denoiser`, or with `classes` a `ConditionalDenoiser`.
        classes: number of classes or prompts; 0 for an unconditional model.
        labels: those that latents draw from, uniformly; empty for all of them.
        unconditional: whether the label -1 means something to it, as guidance needs.
        fine: the same denoiser in float32, where `denoiser` computes in less. The trajectories that a clock is learned
            from are walked with it: in bfloat16 the stiffness is mostly rounding noise.
        batch: samples to walk at once.
        own_range: the sigmas that the network itself knows; None where they are those of `info`.
        record: what else an artifact should say of the model, such as the range that was asked for.
        notices: sentences that the user should read, such as that the range is narrower than asked.

    Raises InputError when its sigma range is not 0 < sigma_min < sigma_max, or a label is none of its classes.
    """

    denoiser: Denoiser | ConditionalDenoiser
    info: ModelInfo
    device: torch.device
    dtype: torch.dtype = torch.float32
    classes: int = 0
    labels: tuple[int, ...] = ()
    unconditional: bool = True
    fine: Denoiser | ConditionalDenoiser | None = None
    batch: int = 64
    own_range: tuple[float, float] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.info.sigma_min < self.info.sigma_max < float("inf"):
            raise InputError(
                f"The sigma range of {self.info.name} is {self.info.sigma_min:g} to {self.info.sigma_max:g}.",
                hint="It must satisfy 0 < sigma_min < sigma_max.",
            )
        for label in self.labels:
            if not 0 <= label < self.classes:
                classes = f"classes 0 to {self.classes - 1}" if self.classes else "no classes"
                raise InputError(f"The label {label} makes no sense: {self.info.name} has {classes}.")

    def latents(self, count: int, seed: int) -> Latents:
        """Standard normal noise `(count, *shape)` in float64 and labels, the same on every device for one seed."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((count, *self.info.shape), generator=generator, dtype=torch.float64)
        labels = None
        if self.classes:  # drawn after the noise, which is then the same with labels and without
            allowed = torch.tensor(self.labels or range(self.classes))
            labels = allowed[torch.randint(len(allowed), (count,), generator=generator)].to(self.device)
        return Latents(noise=noise.to(self.device), labels=labels, batch=self.batch)

    def on(self, labels: Tensor | None) -> Denoiser:
        """The denoiser of a batch with these labels."""
        if labels is None:
            return cast("Denoiser", self.denoiser)
        return partial(cast("ConditionalDenoiser", self.denoiser), labels=labels)


class Probe:
    """A counted, checked denoiser for samplers: `(B, *S) float64, sigma -> (B, *S) float64`, sigma a number or `(B,)`.

    Attributes:
        calls: network calls so far, counted per sample: a batch of B costs B, and under guidance 2 B.
        seconds: wall time inside the denoiser.

    Raises DenoiserError when the denoiser returns another shape or dtype, a NaN or an infinity, or no tensor.
    """

    def __init__(self, model: ScoreModel) -> None:
        self.model = model
        self.calls = 0
        self.seconds = 0.0

    def on(self, labels: Tensor | None) -> Field:
        """The field of a batch with these labels; the probe itself where there are none."""
        return self if labels is None else partial(self, labels=labels)

    def __call__(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None) -> Tensor:
        model = self.model
        denoiser = model.on(labels)
        began = time.perf_counter()
        given = x.to(model.dtype, copy=True)  # whatever is done to it in place, the state of the sampler stays
        # Half precision cannot tell sigma from its neighbours: it stays in float32 at least.
        wide = torch.promote_types(model.dtype, torch.float32)
        level = torch.as_tensor(sigma, dtype=wide, device=x.device).expand(len(x)).contiguous()
        worst = float(sigma.max()) if isinstance(sigma, Tensor) else sigma  # what an error names
        try:
            with torch.no_grad(), full_float32():
                denoised = denoiser(given, level)
        except ArtcError:
            raise
        except torch.cuda.OutOfMemoryError as error:
            hint = f"It was called with {len(x)} samples; describe it with a smaller batch."
            raise DenoiserError(f"The denoiser ran out of memory at sigma = {worst:g}.", hint=hint) from error
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            message = f"The denoiser raised {said} at sigma = {worst:g}, for x of shape {tuple(given.shape)}."
            raise DenoiserError(message, hint="--debug shows the traceback.") from error
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        self.seconds += time.perf_counter() - began
        self.calls += len(x) * model.info.cost
        check_denoised(denoised, given, worst)
        return denoised.to(x.dtype)


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep a GPU from rounding the factors of float32 products to ten bits (TF32), as its convolutions do by default.

    The second derivative of a path is a small difference of large numbers: rounded, it is several times too large.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


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


def check_precision(precision: torch.dtype, device: torch.device) -> None:
    """Raise DeviceError for a precision that networks cannot run in on this device."""
    if precision is torch.float16 and device.type != "cuda":
        raise DeviceError("float16 needs CUDA.", hint="Use --precision bfloat16 or float32.")


def pick_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; raises DeviceError or UnknownNameError."""
    if name not in ("auto", "cpu", "cuda"):
        raise UnknownNameError("device", name, ("auto", "cpu", "cuda"))
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("This machine or this build of torch has no CUDA.", hint="Use --device cpu, or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """The name of a GPU, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
