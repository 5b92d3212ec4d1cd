"""A denoiser of one's own as a `ScoreModel`: the facts a sampler needs beside the function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsIndex, get_args

import torch

from artc.arguments import whole
from artc.artifact import ModelInfo
from artc.artifact.types import Domain
from artc.errors import InputError, UnknownNameError
from artc.models.adapters import Adapted
from artc.models.ranges import Range, limited
from artc.models.score_model import ConditionalDenoiser, Denoiser, ScoreModel, pick_device


def score_model(
    denoiser: Denoiser | ConditionalDenoiser,
    *,
    shape: Sequence[SupportsIndex],
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    domain: str | None = None,
    shift: float | None = None,
    classes: SupportsIndex = 0,
    prediction: str = "denoised",
    name: str = "custom",
    batch: SupportsIndex = 64,
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float32,
) -> ScoreModel:
    """Describe a denoiser D(x; sigma) = E[x0 | x], so that it can be compiled and sampled.

    Args:
        denoiser: `(B, *shape), (B,) -> (B, *shape)` in the dtype of x, on `device`; with `classes` it takes `labels`
            too, `(B,)` int64, where -1 stands for no class.
        shape: of one sample, without the batch.
        sigma_min, sigma_max: the noise range to sample. An adapted network has one of its own, taken when left out.
        domain: "ve" (the default) for x = x0 + sigma n, "flow" for x = (1 - sigma) x0 + sigma n with sigma in (0, 1].
            An adapted network has one of its own, and no other may be said of it.
        shift: of a flow model whose host shifts time, m in s = m t / (1 + (m - 1) t). Sigma is s, after the shift.
        classes: how many classes, or prompts, there are.
        prediction: what the network itself puts out; a word for the artifact.
        batch: samples to call it with at once.
        dtype: in which the denoiser runs; the solver keeps its state in float64.

    Raises InputError or UnknownNameError for a description that makes no sense.
    """
    times = denoiser.times if isinstance(denoiser, Adapted) else None
    if domain is None:
        domain = "ve" if times is None else times.domain
    if domain not in get_args(Domain):
        raise UnknownNameError("domain", domain, get_args(Domain))
    if times is not None and domain != times.domain:
        raise InputError(f"The times of this network are those of domain {times.domain!r}, not {domain!r}.")
    asked = Range(sigma_min=sigma_min, sigma_max=sigma_max)
    if times is None and (sigma_min is None or sigma_max is None):
        raise InputError("A denoiser needs its sigma_min and sigma_max.", hint="Give the noise range that it knows.")
    count = whole(classes, "number of classes", least=0)
    size = tuple(whole(one, "size in a shape") for one in shape)
    for what, word in (("name", name), ("prediction", prediction)):
        if not word:
            raise InputError(f"The {what} of a model cannot be empty.")
    if len(size) > 16:
        raise InputError(f"A sample has at most 16 dimensions, not {len(size)}.")
    if not size:
        raise InputError("A sample needs a shape.", hint="Give one number as shape=(1,).")
    own = (sigma_min, sigma_max) if times is None else (times.sigma_min, times.sigma_max)
    low, high = (end or 0.0 for end in own)
    if domain == "flow" and high > 1:
        raise InputError(f"Sigma of a flow model ends at 1, not at {high:g}.")
    if shift is not None and (domain != "flow" or not 0 < shift < math.inf):
        raise InputError(f"A shift is a positive number and belongs to a flow model: {shift!r} makes no sense here.")
    info = ModelInfo(
        name=name,
        source="python:callable",
        sha256=None,
        domain="flow" if domain == "flow" else "ve",
        shift=None if shift is None else float(shift),
        prediction=prediction,
        shape=size,
        conditioning="class" if count else "none",
        sigma_min=float(low),
        sigma_max=float(high),
        sigma_data=None,
    )
    place = pick_device(device) if isinstance(device, str) else device
    notices = () if times is None else times.notices
    model = ScoreModel(
        denoiser=denoiser,
        info=info,
        device=place,
        dtype=dtype,
        classes=count,
        batch=whole(batch, "batch"),
        notices=notices,
    )
    return limited(model, asked)
