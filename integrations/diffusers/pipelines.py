"""From a pipeline and prompts to an artifact for them, with the pipeline's own text encoders.

A schedule depends on the network, on what it is told, and on the guidance: it is compiled for prompts like those that
will be drawn, with the guidance that will be used. A handful of different prompts will do: they are the model's classes
and every latent draws one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any, SupportsIndex

import torch

import artc
from artc.artifact import Artifact
from artc.errors import InputError

from .host import diffusers_package
from .kinds import kind_for

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
"""In the order in which `encode_prompt` gives them: the first two with Stable Diffusion, all with SDXL."""

Show = Callable[[Any], object]
"""What is called with every `Update` of a compilation: stage, done, total."""


def compile_pipeline(
    pipe: Any,
    prompts: str | Iterable[str] | None = None,
    *,
    nfe: SupportsIndex | Iterable[SupportsIndex],
    solver: str | Iterable[str] | None = None,
    guidance: float | None = None,
    negative_prompt: str | None = None,
    prompt_embeds: Tensor | None = None,
    negative_prompt_embeds: Tensor | None = None,
    pooled_prompt_embeds: Tensor | None = None,
    negative_pooled_prompt_embeds: Tensor | None = None,
    height: int | None = None,
    width: int | None = None,
    name: str | None = None,
    on_update: Show | None = None,
    **options: Any,
) -> Artifact:
    """Compile schedules for a pipeline of Stable Diffusion or SDXL, where it is and in its dtype; it is not changed.

        artifact = compile_pipeline(pipe, ["a cat", "a street at night"], nfe=[16], solver="dpmpp_2m", guidance=7.5)

    Args:
        prompts: like those that will be drawn; instead of them `prompt_embeds` and its relatives, ready made.
        nfe: network calls of each schedule wanted. Under guidance each counts double: 16 are 8 steps of dpmpp_2m.
        solver: euler, heun, dpmpp_2m, or several; what the pipeline's scheduler walks when left out.
        guidance: the pipeline's `guidance_scale`. None, or as in the pipeline 1 and less, for no guidance.
        negative_prompt: as in the pipeline; None for what it does without one.
        height, width: of the image in pixels; the network's own size when left out.
        name: what to call the model; the pipeline's own name when left out.
        on_update: called with every progress update; the pipeline's progress bar when left out.
        options: of `artc.compile`, such as method, seed, trajectories.

    Raises InputError for a pipeline of another kind, or prompts that it cannot encode; what `artc.compile` raises.
    """
    if not isinstance(getattr(pipe, "unet", None), diffusers_package().UNet2DConditionModel):
        hint = "artc.score_model and artc.adapt describe any other denoiser to artc.compile."
        what = f"{type(pipe).__name__} has no UNet2DConditionModel, as pipelines of Stable Diffusion and SDXL do."
        raise InputError(what, hint=hint)
    scale = _scale(guidance)
    given = (prompt_embeds, negative_prompt_embeds, pooled_prompt_embeds, negative_pooled_prompt_embeds)
    embeddings = {name: tensor for name, tensor in zip(EMBEDDINGS, given, strict=True) if tensor is not None}
    if (prompts is None) == (prompt_embeds is None):
        raise InputError("What is to be drawn? Give prompts or prompt_embeds, one of them.")
    if negative_prompt if prompts is None else embeddings:
        raise InputError("Give prompts, or embeddings ready made; a negative prompt in the same way.")
    solvers = kind_for(pipe.scheduler, None).solver if solver is None else solver
    if prompts is not None:
        embeddings = _encoded(pipe, _texts(prompts), negative_prompt, guided=scale is not None)
    model = artc.from_pipeline(pipe, **embeddings, height=height, width=width, name=name)
    with _shown(pipe, on_update) as show:
        return artc.compile(
            model,
            nfe=nfe,
            solver=solvers if isinstance(solvers, str) else tuple(solvers),
            guidance=scale,
            on_update=show,
            **options,
        )


def _scale(guidance: Any) -> float | None:
    """The scale of guidance, None where the pipeline has none; raises InputError for what is no number."""
    if guidance is None:
        return None
    if not isinstance(guidance, Real):
        raise InputError(f"The guidance scale must be a number, not {guidance!r}.")
    return None if guidance <= 1 else float(guidance)


def _texts(prompts: Any) -> list[str]:
    """The prompts one by one; raises InputError when there are none, or they are no texts."""
    texts = list(prompts) if isinstance(prompts, Iterable) and not isinstance(prompts, str) else [prompts]
    if not texts:
        raise InputError("There are no prompts.", hint="Give some like those that will be drawn.")
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"A prompt is a text, not {type(text).__name__}.")
    return texts


@torch.no_grad()
def _encoded(pipe: Any, texts: list[str], negative: str | None, *, guided: bool) -> dict[str, Tensor]:
    """The embeddings of prompts, and with guidance that of the negative prompt, as the pipeline makes them itself."""
    encoders = [getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2")]
    if not hasattr(pipe, "encode_prompt") or encoders == [None, None]:
        raise InputError(
            f"{type(pipe).__name__} has no text encoder.", hint="Give it prompt_embeds instead of prompts."
        )
    found = [
        pipe.encode_prompt(
            prompt=text,
            device=pipe.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=negative,
        )
        for text in texts
    ]
    # One by one, which needs the memory of one; the negative prompt is the same each time.
    joined = {name: [each[k] for each in found] for k, name in enumerate(EMBEDDINGS[: len(found[0])])}
    return {
        name: tensors[0] if name.startswith("negative") else torch.cat(tensors)
        for name, tensors in joined.items()
        if tensors[0] is not None
    }


@contextmanager
def _shown(pipe: Any, show: Show | None) -> Iterator[Show]:
    """Where progress goes: to the given function, or a bar for each stage as the pipeline's user has set them."""
    bars: dict[str, Any] = {}

    def draw(update: Any) -> None:
        if update.stage not in bars:
            _close(bars)
            bars[update.stage] = pipe.progress_bar(total=update.total)
            bars[update.stage].set_description(update.stage)
        bars[update.stage].update(update.done - bars[update.stage].n)

    try:
        yield draw if show is None else show
    finally:
        _close(bars)


def _close(bars: dict[str, Any]) -> None:
    for bar in bars.values():
        bar.close()
