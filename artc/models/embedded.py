"""Models that ship inside the package: weights as safetensors, and a JSON card that says how they came to be."""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load

from artc.artifact import ModelInfo
from artc.models.cards import card, weight_bytes
from artc.models.preconditioning import EDMDenoiser
from artc.models.score_model import ScoreModel
from artc.models.unet import UNet


def unet(architecture: dict[str, Any]) -> UNet:
    """The network that a card's `architecture` describes, untrained."""
    settings = {**architecture, "widths": tuple(architecture["widths"])}
    return UNet(**settings)


def load_embedded(name: str, device: torch.device) -> ScoreModel:
    """An embedded denoiser, in float32 and channels-last, ready to be sampled."""
    facts = card(name)
    model = EDMDenoiser(unet(facts["architecture"]), facts["sigma_data"])
    model.load_state_dict(load(weight_bytes(name)))
    model.eval().requires_grad_(False)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    info = ModelInfo(
        name=name,
        source=f"embedded:{name}",
        sha256=facts["sha256"],
        domain="ve",
        shift=None,
        prediction="denoised",
        shape=tuple(facts["shape"]),
        conditioning="none",
        sigma_min=facts["sigma_min"],
        sigma_max=facts["sigma_max"],
        sigma_data=facts["sigma_data"],
    )
    return ScoreModel(denoiser=model, info=info, device=device)
