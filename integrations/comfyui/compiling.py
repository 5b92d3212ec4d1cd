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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from artc.artifact import Artifact, Guidance, steps_for
from artc.errors import DenoiserError, InputError
from artc.learning.refining import most_trials

from .models import host_model

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    import artc

SOLVERS = ("dpmpp_2m", "euler", "heun")
"""Those of artc that ComfyUI has a sampler of the same name for."""

TRIALS = 4
"""Most grids tried for each node of a schedule that a hand-made grid beats. More of them fit a few noises too well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to compile, and how much to spend on it. Raises BudgetError or InputError before anything is loaded.

    Attributes:
        nfe: model calls of each schedule, as a sampler of ComfyUI counts them.
        trajectories: noises that are walked; at least 8.
        batch: how many of them at once.
        cfg: guidance scale; 1 for none.
    """

    nfe: tuple[int, ...]
    solver: str = SOLVERS[0]
    cfg: float = 1.0
    trajectories: int = 8
    refine: bool = True
    batch: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise InputError(f"There is no solver {self.solver!r}.", hint=f"Choose {', '.join(SOLVERS)}.")
        if len(set(self.nfe)) < len(self.nfe) or not self.nfe:
            raise InputError("nfe takes one or more different numbers.", hint="Such as 8, 12.")
        for nfe in self.nfe:
            steps_for(self.solver, nfe)

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(steps_for(self.solver, nfe) for nfe in self.nfe)

    @property
    def settings(self) -> dict[str, int]:
        """What a compilation spends, little as it can be.

        The trajectories are the reference of the refining, and the teacher that of the check: both have several nodes
        for one of the finest schedule. In half precision more nodes are no better: the rounding of two neighbours
        weighs the more, the nearer they are.
        """
        finest = max(self.steps)
        return {
            "trajectories": self.trajectories,
            "nodes": min(max(32, 4 * finest), 128),
            "checks": min(max(4, self.trajectories // 2), 64),
            "teacher_steps": min(max(32, 2 * finest), 64),
            "trials": TRIALS,
        }


def planned(job: Job, grids: int = 5) -> dict[str, int]:
    """Model calls of each stage, for one sample each; `grids` hand-made ones are compared with, 4 or 5.

    Refining is named at its worst: it is left out for a schedule that no hand-made grid beats.
    """
    spent = job.settings
    walked, checks = job.trajectories, spent["checks"]
    seen = min(walked, 64) if job.refine else 0
    every = (1 + grids) * sum(job.nfe)
    tried = sum(most_trials(steps, TRIALS) * nfe for steps, nfe in zip(job.steps, job.nfe, strict=True))
    return {
        "trajectories": walked * spent["nodes"],
        "comparing": seen * every,
        "refining": seen * tried,
        "checking": checks * (2 * spent["teacher_steps"] - 1 + every),
    }


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
        with torch.inference_mode():  # as ComfyUI calls its models: weights may be patched in place on the way
            denoised = denoise(x.to(device), level, **extra_args)
        return denoised.to("cpu", x.dtype)

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

    with torch.inference_mode(mode=False):  # learning needs gradients
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
        shift=shift_of(sampling) if host.domain == "flow" else None,
        prediction=_parametrisation(sampling),
        name=name,
        batch=len(x),
        device="cpu",
        dtype=torch.float32,
    )
    kind = type(getattr(model.model, "model_config", None) or model.model).__name__
    guided = None if abs(job.cfg - 1.0) < 1e-9 else Guidance(scale=job.cfg, calls=1)
    info = replace(described.info, source=f"comfyui:{kind}", conditioning="text", guidance=guided)
    record = {
        "host": f"ComfyUI {comfyui_version()}",
        "precision": precision(model),
        "patched_weights": len(model.patches),
        "batch": len(x),
    }
    return replace(described, info=info, record=record)


def shift_of(sampling: Any) -> float | None:
    """m of s = m t / (1 + (m - 1) t), the shift that a flow model's `model_sampling` applies; None for another law.

    At t = 1/2 it is s / (1 - s). Flux keeps ln m, SD3 and others keep m: asked for a few sigmas, both say the same.
    """
    half = float(sampling.percent_to_sigma(0.5))
    shift = half / (1 - half) if 0 < half < 1 else 0.0
    for percent in (0.1, 0.9):
        time = 1 - percent
        if not abs(float(sampling.percent_to_sigma(percent)) - shift * time / (1 + (shift - 1) * time)) < 1e-4:
            return None
    return shift


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
