"""A MODEL of ComfyUI and its conditioning, compiled where they live: inside ComfyUI's own sampling.

ComfyUI gives a sampler a denoiser D(x; sigma), in x = x0 + sigma n, or for a flow model in (1 - sigma) x0 + sigma n.
Compiling is such a sampler. It is started as SamplerCustom starts one, so that the weights are loaded, every patch and
hook is in place, and the conditioning is prepared for the latent, by ComfyUI itself; but it walks noises of its own,
and gives back what it was given.

* What solvers keep lies on the CPU, in float64: the memory of the device belongs to the model, and not every device has
  float64. One batch in float32 goes there and back at each call.
* The denoiser is a function of x and sigma alone. ComfyUI also tells a network the whole grid, and some look up where
  in it they are; here they find (sigma_max, sigma, 0) at every call. What changes with the calls before is refused.
* A guided value is one call. ComfyUI gives both halves to the network as one batch, so a schedule of NFE 8 is one of 8
  sampler calls at any cfg.
* Samples start at sigma_max n. ComfyUI starts those of eps and v models at sqrt(1 + sigma_max^2) n, which for SD 1.5 is
  a quarter of a percent more, and at sigma_max the denoiser hardly notices.
* The weights have no checksum. What lies in memory is cast, patched and perhaps quantised: the same file would have
  another sum on another card, or beside another LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from artc.artifact import Artifact, Guidance
from artc.errors import DenoiserError, InputError

from .jobs import Job
from .models import host_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    import artc


def compile_model(
    model: Any,
    positive: Sequence[Any],
    negative: Sequence[Any],
    latent: Mapping[str, Any],
    job: Job,
    *,
    name: str,
    on_update: Callable[[Any], object] = lambda _: None,
) -> Artifact:
    """Compile for a wired MODEL (a ModelPatcher) under this conditioning, at the size of one sample of the LATENT.

    Raises InputError for what no schedule can be made for; lets pass what the model itself raises, and ComfyUI's own
    exception when its user interrupts.
    """
    sample, samplers = import_module("comfy.sample"), import_module("comfy.samplers")
    _check(model, (*positive, *negative), latent)
    size = sample.fix_empty_latent_channels(model, latent["samples"])[:1]
    size = size.repeat(min(job.batch, job.trajectories), *[1] * (size.ndim - 1))
    mask = latent.get("noise_mask")
    made: list[Artifact] = []

    def compiling(
        denoise: Callable[..., Tensor],
        x: Tensor,
        sigmas: Tensor,
        extra_args: Mapping[str, Any],
        callback: object = None,
        disable: object = None,
    ) -> Tensor:
        del sigmas, callback, disable
        made.append(_compiled(_on_cpu(denoise, extra_args, x.device), x, model, job, name, on_update))
        return x

    noise = sample.prepare_noise(size, job.seed)
    ends = import_module("torch").tensor([host_model(model).sigma_max, 0.0])
    sample.sample_custom(
        model,
        noise,
        job.cfg,
        samplers.KSAMPLER(compiling),
        ends,
        positive,
        negative,
        size,
        noise_mask=None if mask is None else mask[:1],
        disable_pbar=True,
        seed=job.seed,
    )
    return made[0]


def _check(model: Any, conditioning: Sequence[Any], latent: Mapping[str, Any]) -> None:
    if getattr(latent["samples"], "is_nested", False):
        raise InputError("A latent of several parts, such as picture and sound, cannot be compiled for yet.")
    if "easycache" in model.model_options.get("transformer_options", {}):
        raise InputError(
            "EasyCache and LazyCache answer from the call before, so that no schedule can be made with them.",
            hint="Compile without that node; it can be used with the finished schedule.",
        )
    hooks = [hook for _, options in conditioning if options.get("hooks") for hook in options["hooks"].hooks]
    if any(hook.hook_keyframe.keyframes for hook in hooks):
        raise InputError(
            "Hook keyframes change the weights while a sample is made, so that no schedule can be made with them.",
            hint="Compile without keyframes; hooks of constant strength are fine.",
        )


def _on_cpu(
    denoise: Callable[..., Tensor], extra_args: Mapping[str, Any], device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    """D(x; sigma) for a batch on the CPU, in float32; stops where ComfyUI's user interrupts."""
    import torch

    interrupted = import_module("comfy.model_management").throw_exception_if_processing_interrupted
    extra_args = {**extra_args, "denoise_mask": None}  # a mask chooses what is painted, not what the model is
    told = extra_args["model_options"]["transformer_options"]
    top = told["sample_sigmas"][:1]

    def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        interrupted()
        level = sigma.to(device)
        told["sample_sigmas"] = torch.cat([top, level[:1][level[:1] < top], torch.zeros_like(top)])
        return denoise(x.to(device), level, **extra_args).to("cpu", x.dtype)

    return denoiser


def _compiled(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    model: Any,
    job: Job,
    name: str,
    on_update: Callable[[Any], object],
) -> Artifact:
    import torch

    import artc

    try:
        artifact = artc.compile(
            _described(denoiser, x, model, job, name),
            nfe=job.nfe,
            solver=job.solver,
            seed=job.seed,
            refine=job.refine,
            on_update=on_update,
            **job.settings,
        )
    except DenoiserError as error:
        # What the model raised is shown by ComfyUI as what it is, an interrupt and a lack of memory among them.
        raise (error.__cause__ or error) from None
    device = torch.cuda.get_device_name(x.device) if x.device.type == "cuda" else x.device.type
    return replace(artifact, provenance=replace(artifact.provenance, device=device), digest="").sealed()


def _described(
    denoiser: Callable[[Tensor, Tensor], Tensor], x: Tensor, model: Any, job: Job, name: str
) -> artc.ScoreModel:
    """The denoiser with what ComfyUI knows of the model."""
    import torch

    import artc

    host, sampling = host_model(model), model.get_model_object("model_sampling")
    described = artc.score_model(
        denoiser,
        shape=tuple(x.shape[1:]),
        sigma_min=host.sigma_min,
        sigma_max=min(host.sigma_max, 1.0) if host.domain == "flow" else host.sigma_max,
        domain=host.domain,
        shift=shift_of(model),
        prediction=_parametrisation(sampling),
        name=name,
        batch=len(x),
        device="cpu",
        dtype=torch.float32,
    )
    kind = type(getattr(model.model, "model_config", None) or model.model).__name__
    guided = None if math.isclose(job.cfg, 1.0) else Guidance(scale=job.cfg, calls=1)
    info = replace(described.info, source=f"comfyui:{kind}", conditioning="text", guidance=guided)
    record = {
        "host": f"ComfyUI {comfyui_version()}",
        "precision": precision(model),
        "prompts": 1,
        "patched_weights": len(model.patches),
        "batch": len(x),
    }
    return replace(described, info=info, record=record)


def shift_of(model: Any) -> float | None:
    """m of s = m t / (1 + (m - 1) t), the shift of a flow model's time; None for another law, and for other models.

    At t = 1/2 it is s / (1 - s). Flux keeps ln m, SD3 and others keep m: asked for a few sigmas, all say the same.
    """
    if host_model(model).domain != "flow":
        return None
    sigma_at = model.get_model_object("model_sampling").percent_to_sigma
    half = float(sigma_at(0.5))
    shift = half / (1 - half) if 0 < half < 1 else 0.0
    known = all(
        math.isclose(float(sigma_at(1 - t)), shift * t / (1 + (shift - 1) * t), abs_tol=1e-4) for t in (0.1, 0.9)
    )
    return shift if known else None


def precision(model: Any) -> str:
    """The dtype in which the network computes, as torch calls it."""
    dtype = model.get_model_object("manual_cast_dtype") or model.model_dtype()
    return str(dtype).removeprefix("torch.")


def comfyui_version() -> str:
    """ComfyUI's own, or an empty word where it does not say."""
    try:
        return str(import_module("comfyui_version").__version__)
    except (ImportError, AttributeError):
        return ""


def _parametrisation(sampling: Any) -> str:
    """ComfyUI's word for what the network puts out: the class that turns it into a denoised value."""
    owners = [owner for owner in type(sampling).__mro__ if "calculate_denoised" in vars(owner)]
    return owners[0].__name__.lower() if owners else "denoised"
