"""A denoiser of one's own as a `ScoreModel`: the facts a sampler needs beside the function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsFloat, SupportsIndex, get_args

import torch

from artc.arguments import whole
from artc.artifact import ModelInfo
from artc.artifact.types import Domain
from artc.errors import InputError, UnknownNameError
from artc.models.score_model import ConditionalDenoiser, Denoiser, ScoreModel, pick_device


def score_model(
    denoiser: Denoiser | ConditionalDenoiser,
    *,
    shape: Sequence[SupportsIndex],
    sigma_min: SupportsFloat,
    sigma_max: SupportsFloat,
    domain: str = "ve",
    shift: float | None = None,
    classes: SupportsIndex = 0,
    prediction: str = "denoised",
    name: str = "custom",
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float32,
) -> ScoreModel:
    """Describe a denoiser D(x; sigma) = E[x0 | x], so that it can be compiled and sampled.

    Args:
        denoiser: `(B, *shape), (B,) -> (B, *shape)` in the dtype of x, on `device`; with `classes` it takes `labels`
            too, `(B,)` int64, where -1 stands for no class.
        shape: of one sample, without the batch.
        sigma_min, sigma_max: the noise range that the denoiser knows.
        domain: "ve" for x = x0 + sigma n, "flow" for x = (1 - sigma) x0 + sigma n with sigma in (0, 1].
        shift: of a flow model whose host shifts time, m in s = m t / (1 + (m - 1) t). Sigma is s, after the shift.
        classes: how many classes, or prompts, there are.
        prediction: what the network itself puts out; a word for the artifact.
        dtype: in which the denoiser runs; the solver keeps its state in float64.

    Raises InputError or UnknownNameError for a description that makes no sense.
    """
    if domain not in get_args(Domain):
        raise UnknownNameError("domain", domain, get_args(Domain))
    count = whole(classes, "number of classes", least=0)
    size = tuple(whole(one, "size in a shape") for one in shape)
    if not size:
        raise InputError("A sample needs a shape.", hint="Give one number as shape=(1,).")
    if domain == "flow" and float(sigma_max) > 1:
        raise InputError(f"Sigma of a flow model ends at 1, not at {float(sigma_max):g}.")
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
        sigma_min=float(sigma_min),
        sigma_max=float(sigma_max),
        sigma_data=None,
    )
    place = pick_device(device) if isinstance(device, str) else device
    return ScoreModel(denoiser=denoiser, info=info, device=place, dtype=dtype, classes=count)
