"""A diffusers pipeline in memory as a denoiser, conditioned on prompts that were embedded beforehand.

Pipelines of the Stable Diffusion kind denoise in the latent space of a VAE, with a UNet2DConditionModel that attends to
the embedding of a prompt. Text encoders and VAE play no part in a schedule: one embeds the prompts once (with the
pipeline's own `encode_prompt`), and compiles the field that the network makes of them:

    prompt, negative, *_ = pipe.encode_prompt(["a cat", "a tree"], device, 1, True)
    model = from_pipeline(pipe, prompt_embeds=prompt, negative_prompt_embeds=negative)

The P prompts are the model's classes. The unconditional denoiser of guidance is the one of the negative prompt. SDXL's
network is also given a pooled embedding and the size of the image: six numbers, here those of an image that was neither
resized nor cropped, (height, width, 0, 0, height, width).

Transformers (SD3, Flux, PixArt and others) are another kind of pipeline, and not read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from artc.arguments import whole
from artc.errors import InputError
from artc.models.adapters import Network, adapt
from artc.models.diffusers.parts import diffusers_package, digest_of, noising, size_of
from artc.models.score_model import NO_CLASS, ScoreModel


def from_pipeline(
    pipe: Any,
    *,
    prompt_embeds: Tensor,
    negative_prompt_embeds: Tensor | None = None,
    pooled_prompt_embeds: Tensor | None = None,
    negative_pooled_prompt_embeds: Tensor | None = None,
    height: int | None = None,
    width: int | None = None,
    name: str | None = None,
) -> ScoreModel:
    """The denoiser of a Stable Diffusion or SDXL pipeline in its latent space, where its network is and in its dtype.

    Args:
        pipe: a pipeline with `unet`, `scheduler` and `vae_scale_factor`. It is not changed.
        prompt_embeds: `(P, tokens, dim)`, one for each prompt.
        negative_prompt_embeds: `(1, tokens, dim)`, or P times the same; only guidance needs it.
        pooled_prompt_embeds: `(P, dim)`, for SDXL; `negative_pooled_prompt_embeds` likewise.
        height, width: of the image in pixels; the network's own size when left out.
        name: what to call the model; the pipeline's own name when left out.

    Raises InputError for another kind of pipeline, or arguments that do not fit its network.
    """
    unet = _checked(pipe)
    config = unet.config
    scale = int(pipe.vae_scale_factor)
    own = size_of(config.sample_size) if height is None or width is None else (1, 1)
    size = (
        scale * own[0] if height is None else whole(height, "height", least=scale),
        scale * own[1] if width is None else whole(width, "width", least=scale),
    )
    if size[0] % scale or size[1] % scale:
        raise InputError(f"An image of {size[0]} x {size[1]} has no latents.", hint=f"Give multiples of {scale}.")
    prompts = _prompts(unet, prompt_embeds, negative_prompt_embeds, "prompt_embeds", 3)
    pooled = None
    if config.addition_embed_type == "text_time":
        if pooled_prompt_embeds is None:
            raise InputError(
                "The network of this pipeline needs pooled_prompt_embeds.", hint="encode_prompt gives them."
            )
        pooled = _prompts(unet, pooled_prompt_embeds, negative_pooled_prompt_embeds, "pooled_prompt_embeds", 2)
        _check_pooled(config, prompts, pooled)
    elif pooled_prompt_embeds is not None:
        raise InputError("The network of this pipeline takes no pooled_prompt_embeds.")
    noise = noising(pipe.scheduler)
    title = name or str(pipe.config.get("_name_or_path") or type(pipe).__name__).rstrip("/").rpartition("/")[2]
    info = noise.info(
        name=title,
        source=f"pipeline:{title}",
        sha256=digest_of(unet.state_dict()),
        shape=(config.in_channels, size[0] // scale, size[1] // scale),
        conditioning="text",
    )
    texts = {"prompts": prompts.rows} | ({} if pooled is None else {"pooled": pooled.rows})
    return ScoreModel(
        denoiser=adapt(_called(unet, prompts, pooled, size), predicts=noise.predicts, times=noise.times),
        info=info,
        device=unet.device,
        classes=prompts.count,
        unconditional=negative_prompt_embeds is not None,
        record={
            "precision": str(unet.dtype).removeprefix("torch."),
            "prompts": prompts.count,
            "prompts_sha256": digest_of(texts),
            "height": size[0],
            "width": size[1],
        },
        notices=noise.times.notices,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompts:
    """Embeddings by label: `count` of prompts, then that of the negative prompt where there is one."""

    rows: Tensor
    count: int

    def of(self, labels: Tensor) -> Tensor:
        free = labels == NO_CLASS
        if len(self.rows) == self.count and bool(free.any()):
            raise InputError("Guidance needs negative_prompt_embeds.", hint="Give them to from_pipeline.")
        return self.rows[labels.masked_fill(free, self.count)]


def _prompts(unet: Any, given: Tensor, negative: Tensor | None, what: str, ndim: int) -> _Prompts:
    if given.ndim != ndim or not len(given):
        wanted = "(prompts, tokens, dim)" if ndim == 3 else "(prompts, dim)"
        raise InputError(f"{what} has shape {tuple(given.shape)}; it must be {wanted}.")
    rows = given
    if negative is not None:
        if negative.shape[1:] != given.shape[1:] or not len(negative) or not _one_for_all(negative):
            raise InputError(
                f"negative_{what} of shape {tuple(negative.shape)} is not one for all of {what}, {tuple(given.shape)}.",
                hint="Give one negative prompt, embedded to as many tokens.",
            )
        rows = torch.cat([given, negative[:1].to(given)])
    return _Prompts(rows=rows.detach().to(unet.device, unet.dtype), count=len(given))


def _one_for_all(rows: Tensor) -> bool:
    """Whether all rows embed one text: equal but for the rounding of a batched encoder, bfloat16's at the most.

    A matrix product may round the rows of a batch differently, so that one text in it has no one embedding to the bit.
    """
    spread = (rows - rows[:1]).abs().max()
    return bool(spread <= 4 * torch.finfo(torch.bfloat16).eps * rows.abs().max())


def _check_pooled(config: Any, prompts: _Prompts, pooled: _Prompts) -> None:
    if (len(pooled.rows), pooled.count) != (len(prompts.rows), prompts.count):
        raise InputError("There must be as many pooled_prompt_embeds as prompt_embeds, negative ones too.")
    width = pooled.rows.shape[1] + 6 * config.addition_time_embed_dim
    if width != config.projection_class_embeddings_input_dim:
        raise InputError(
            f"The network adds {config.projection_class_embeddings_input_dim} numbers to a prompt, not {width}.",
            hint="pooled_prompt_embeds must be those of its own text encoder; refiners are not read.",
        )


def _checked(pipe: Any) -> Any:
    """The network of a pipeline, if it is one that needs a noisy latent, a timestep and a prompt, and nothing else."""
    diffusers = diffusers_package()
    unet = getattr(pipe, "unet", None)
    if not isinstance(unet, diffusers.UNet2DConditionModel) or getattr(pipe, "vae_scale_factor", None) is None:
        raise InputError(
            f"{type(pipe).__name__} has no UNet2DConditionModel with a VAE, as pipelines of Stable Diffusion do.",
            hint="Give any other denoiser to artc.score_model; artc.adapt makes one of a network.",
        )
    config = unet.config
    extra = {
        "another number of channels out than in": config.out_channels
        not in (config.in_channels, 2 * config.in_channels),
        "classes": config.class_embed_type is not None or config.num_class_embeds is not None,
        "an image embedding": config.encoder_hid_dim_type not in (None, "text_proj"),
        f"an addition of type {config.addition_embed_type!r}": config.addition_embed_type not in (None, "text_time"),
        "guidance distilled into it": config.time_cond_proj_dim is not None,
    }
    for what, found in extra.items():
        if found:
            raise InputError(
                f"The network of this pipeline has {what}.",
                hint="artc reads those that take a prompt and nothing else.",
            )
    return unet


def _called(unet: Any, prompts: _Prompts, pooled: _Prompts | None, size: tuple[int, int]) -> Network:
    """The network as adapters call it."""
    dtype: torch.dtype = unet.dtype
    image = torch.tensor([[*size, 0, 0, *size]], dtype=dtype, device=unet.device)

    def network(z: Tensor, timestep: Tensor, labels: Tensor) -> Tensor:
        added = pooled and {"text_embeds": pooled.of(labels), "time_ids": image.expand(len(z), -1)}
        raw: Tensor = unet(z.to(dtype), timestep, prompts.of(labels), added_cond_kwargs=added, return_dict=False)[0]
        return raw

    return network
