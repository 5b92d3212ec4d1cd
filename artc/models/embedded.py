"""Models that ship inside the package: weights as safetensors, and a JSON card that says how they came to be."""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from artc.artifact import ModelInfo
from artc.models.cards import card, weight_bytes
from artc.models.preconditioning import EDM, Preconditioned
from artc.models.score_model import ScoreModel
from artc.models.unet import UNet


def unet(architecture: dict[str, Any]) -> UNet:
    """The network that a card's `architecture` describes, untrained."""
    settings = {**architecture, "widths": tuple(architecture["widths"])}
    return UNet(**settings)


def named_weights(content: bytes) -> dict[str, Tensor]:
    """The tensors of a weight file under the names that `Preconditioned` has for them.

    Every name begins with that of the raw network: `network` in the files that ship, `model` in those made since.
    """
    return {f"model.{name.split('.', 1)[1]}": tensor for name, tensor in load(content).items()}


def load_embedded(name: str, device: torch.device) -> ScoreModel:
    """An embedded denoiser, in float32 and channels-last, ready to be sampled."""
    facts = card(name)
    model = Preconditioned(unet(facts["architecture"]), EDM(sigma_data=facts["sigma_data"]))
    model.load_state_dict(named_weights(weight_bytes(name)))
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
