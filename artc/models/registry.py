"""Names of models that need no file: what `--model NAME` may be. Listing them does not import torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from artc.artifact import ModelInfo
from artc.errors import UnknownNameError
from artc.models.cards import card, denoisers

if TYPE_CHECKING:
    import torch

    from artc.models.score_model import Denoiser, ScoreModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One registered model: what it is in a line, its shape, and how to load it."""

    summary: str
    shape: tuple[int, ...]
    load: Callable[[torch.device], ScoreModel]
    embedded: bool = False


def _embedded(name: str) -> Entry:
    def load(device: torch.device) -> ScoreModel:
        from artc.models.embedded import load_embedded

        return load_embedded(name, device)

    facts = card(name)
    return Entry(summary=facts["summary"], shape=tuple(facts["shape"]), load=load, embedded=True)


def _analytic(name: str, shape: tuple[int, ...], denoiser: Denoiser, device: torch.device) -> ScoreModel:
    import torch

    from artc.models.score_model import ScoreModel

    info = ModelInfo(
        name=name,
        source=f"analytic:{name}",
        sha256=None,
        domain="ve",
        shift=None,
        prediction="denoised",
        shape=shape,
        conditioning="none",
        sigma_min=0.002,
        sigma_max=80.0,
        sigma_data=None,
    )
    return ScoreModel(denoiser=denoiser, info=info, device=device, dtype=torch.float64, own_range=(0.0, math.inf))


def _gaussian(device: torch.device) -> ScoreModel:
    from artc.models.analytic import Gaussian

    return _analytic("gaussian", (16,), Gaussian(mean=0.0, std=0.5), device)


def _mixture_1d(device: torch.device) -> ScoreModel:
    from artc.models.analytic import three_modes

    return _analytic("mixture-1d", (1,), three_modes(), device)


def _mixture_64d(device: torch.device) -> ScoreModel:
    from artc.models.analytic import eight_clusters

    return _analytic("mixture-64d", (64,), eight_clusters(64), device)


MODELS: dict[str, Entry] = {
    **{name: _embedded(name) for name in denoisers()},
    "gaussian": Entry(summary="one isotropic Gaussian, exact denoiser and trajectory", shape=(16,), load=_gaussian),
    "mixture-1d": Entry(summary="three unequal modes on a line, exact denoiser", shape=(1,), load=_mixture_1d),
    "mixture-64d": Entry(summary="eight clusters in 64 dimensions, exact denoiser", shape=(64,), load=_mixture_64d),
}


def find(name: str) -> Entry:
    """The entry of a registered model; raises UnknownNameError that lists the close names."""
    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    return MODELS[name]
