"""Models that ship inside the package: weights as safetensors, and a JSON card that says how they came to be."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import Any

import torch
from safetensors.torch import load

from artc.artifact import ModelInfo
from artc.errors import InputError
from artc.models.preconditioning import EDMDenoiser
from artc.models.score_model import ScoreModel
from artc.models.unet import UNet


def card(name: str) -> dict[str, Any]:
    """The model card: data, images seen, seed, time, final loss, sha256 and the figures measured on it."""
    text = (files("artc.models") / "embedded" / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def weights(name: str) -> dict[str, torch.Tensor]:
    """The tensors of an embedded network; raises InputError when the file is not the one its card describes."""
    data = (files("artc.models") / "embedded" / f"{name}.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != card(name)["sha256"]:
        raise InputError(f"The weights of {name!r} do not match their card.", hint="Install artc again.")
    return load(data)


def unet(architecture: dict[str, Any]) -> UNet:
    """The network that a card's `architecture` describes, untrained."""
    settings = {**architecture, "widths": tuple(architecture["widths"])}
    return UNet(**settings)


def load_embedded(name: str, device: torch.device) -> ScoreModel:
    """An embedded denoiser, in float32 and channels-last, ready to be sampled."""
    facts = card(name)
    model = EDMDenoiser(unet(facts["architecture"]), facts["sigma_data"])
    model.load_state_dict(weights(name))
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
