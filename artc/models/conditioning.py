"""What a conditional model is compiled for: which classes or prompts, and how strong the guidance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from artc.artifact.types import Guidance
from artc.errors import InputError
from artc.models.guidance import guided

if TYPE_CHECKING:
    from artc.models.score_model import ConditionalDenoiser, ScoreModel


def conditioned(model: ScoreModel, labels: tuple[int, ...] = (), guidance: float | None = None) -> ScoreModel:
    """The model with latents of these labels only, and under classifier-free guidance of this scale.

    A host may guide its model itself, and give both halves to the network as one call: such a one stays as it is.
    Raises InputError when the model has no classes to speak of, or not these; and for guidance of one that was never
    trained without a class, or is guided already.
    """
    if model.info.guidance is not None:
        if labels or guidance is not None or model.info.cost > 1:
            raise InputError(
                f"{model.info.name} is guided already.", hint="Give the model itself, with labels and guidance."
            )
        return model
    if not model.classes:
        for asked, what in ((labels, "labels"), (guidance is not None, "guidance")):
            if asked:
                raise InputError(f"{model.info.name} is unconditional: {what} make no sense for it.")
        return model
    for label in labels:
        if model.labels and label not in model.labels:
            raise InputError(f"The label {label} of {model.info.name} stands for no class.")
        if labels.count(label) > 1:
            raise InputError(f"The label {label} is given twice.", hint="Labels are drawn uniformly; give each once.")
    model = replace(model, labels=labels or model.labels, record={**model.record, "labels": list(labels) or "uniform"})
    if guidance is None:
        return model
    if not model.unconditional:
        raise InputError(
            f"{model.info.name} was never trained without a class, which guidance needs.",
            hint="Compile it without guidance; or say what stands for no class, if anything does: "
            "null_label of a diffusers folder, negative_prompt_embeds of a pipeline.",
        )
    scale = float(guidance)
    return replace(
        model,
        denoiser=guided(cast("ConditionalDenoiser", model.denoiser), scale),
        fine=None if model.fine is None else guided(cast("ConditionalDenoiser", model.fine), scale),
        info=replace(model.info, guidance=Guidance(scale=scale)),
        batch=max(1, model.batch // 2),  # both halves go through the network at once
    )
