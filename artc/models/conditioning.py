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

    Raises InputError when the model has no classes to speak of, or not these.
    """
    if not model.classes:
        for asked, what in ((labels, "labels"), (guidance is not None, "guidance")):
            if asked:
                raise InputError(f"{model.info.name} is unconditional: {what} make no sense for it.")
        return model
    model = replace(model, labels=labels or model.labels, record={**model.record, "labels": list(labels) or "uniform"})
    if guidance is None:
        return model
    info = replace(model.info, guidance=Guidance(scale=float(guidance)))
    return replace(model, denoiser=guided(cast("ConditionalDenoiser", model.denoiser), float(guidance)), info=info)
