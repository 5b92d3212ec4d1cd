"""What both ways into diffusers share: the package itself, and a scheduler as the times of its network.

A diffusers scheduler is two things: the noise that a network was trained with, and a sampler. Only the first is read:

| scheduler | path | sigma range | the network is told |
|---|---|---|---|
| any with `alphas_cumprod` | vp | sqrt((1 - alpha-bar) / alpha-bar), first to last entry | its place in the table |
| FlowMatchEuler, FlowMatchHeun | flow | the scheduler's, after its shift | sigma times num_train_timesteps |

The table is taken as the scheduler holds it, in float32 and with its changes at the ends, so that D agrees with what
its own sampler computes. What only a sampler does (clipping, thresholding, timestep spacing) is not part of D.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from artc.artifact import ModelInfo
from artc.errors import InputError, UnknownNameError
from artc.models.times import Times, discrete_times, flow_times

PREDICTION_TYPES = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
"""diffusers' words for what a network predicts, and ours."""

FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noising:
    """The noise that a network was trained with: what it predicts, its times, and the shift inside a flow's sigma."""

    predicts: str
    times: Times
    shift: float | None = None

    def info(self, *, name: str, source: str, sha256: str, shape: tuple[int, ...], conditioning: str) -> ModelInfo:
        """The identity of a model with this noise."""
        return ModelInfo(
            name=name,
            source=source,
            sha256=sha256,
            domain=self.times.domain,
            shift=self.shift,
            prediction=self.predicts,
            shape=shape,
            conditioning=conditioning,
            sigma_min=self.times.sigma_min,
            sigma_max=self.times.sigma_max,
            sigma_data=None,
        )


def diffusers_package() -> Any:
    """The package diffusers; raises InputError that says how to install it."""
    try:
        import diffusers
    except ImportError as error:
        hint = 'Install it: pip install "artc[diffusers]".'
        raise InputError(f"A diffusers model needs the package diffusers ({error}).", hint=hint) from error
    return diffusers


def scheduler_of(config: Mapping[str, Any]) -> Any:
    """The scheduler that a `scheduler_config.json` describes.

    Raises InputError for a class that is not a scheduler of the installed diffusers (its name must not be enough to run
    other code), or settings that this class refuses.
    """
    diffusers = diffusers_package()
    name = config.get("_class_name")
    kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise InputError(
            f"The installed diffusers {diffusers.__version__} has no scheduler {name!r}.",
            hint="Save the pipeline with one of diffusers' own, such as DDPMScheduler.",
        )
    try:
        return kind.from_config(dict(config))  # type: ignore[attr-defined]  # diffusers ships no types
    except Exception as error:
        raise InputError(f"diffusers cannot make the {name} of scheduler_config.json: {one_line(error)}.") from error


def noising(scheduler: Any, *, rounded: bool = False) -> Noising:
    """What a scheduler says of its network; `rounded` for a network that takes whole timesteps only.

    Raises InputError for a scheduler of another kind, UnknownNameError for an unknown prediction type.
    """
    name, config = type(scheduler).__name__, scheduler.config
    if name in FLOW_SCHEDULERS:
        scale = float(config["num_train_timesteps"])
        times = flow_times(float(scheduler.sigma_min), float(scheduler.sigma_max), scale=scale)
        # With dynamic shifting the shift follows the size of the image, and none is in sigma yet.
        shift = None if config.get("use_dynamic_shifting") else float(config["shift"])
        return Noising(predicts="velocity", times=times, shift=shift)
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None or config.get("timestep_type") == "continuous":
        raise InputError(
            f"artc cannot tell from {name} which timestep belongs to a noise level.",
            hint="It reads schedulers with a table of alpha-bar, such as DDPMScheduler, and FlowMatchEulerDiscrete.",
        )
    kind = config.get("prediction_type", "epsilon")
    if kind not in PREDICTION_TYPES:
        raise UnknownNameError("prediction_type", str(kind), PREDICTION_TYPES)
    return Noising(predicts=PREDICTION_TYPES[kind], times=discrete_times(table, rounded=rounded))


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors: for each in the order of names its name, dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def size_of(sample_size: object) -> tuple[int, int]:
    """Height and width from a `sample_size`, one number or two; raises InputError when a config has none."""
    match sample_size:
        case (int(height), int(width)) | [int(height), int(width)] if min(height, width) > 0:
            return height, width
        case int(side) if side > 0:
            return side, side
    raise InputError(f"The network's config says sample_size = {sample_size!r}.", hint="Write the size there.")


def one_line(error: Exception) -> str:
    """The first line of what another library complained of, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
