"""A MODEL of ComfyUI, as far as a schedule has to fit it: how it writes noise, and the noise it knows.

ComfyUI keeps both in one object, `model_sampling`, which nodes such as ModelSamplingSD3 replace. Its class mixes a
parametrisation with a table of sigmas. CONST is the parametrisation of flow models, x = (1 - sigma) x0 + sigma n, with
the model's shift already inside sigma; all others write x = x0 + sigma n. That holds for COSMOS_RFLOW too: a flow
model, whose sampler works on s / (1 - s).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..fitting import HostModel


def host_model(model: Any) -> HostModel:
    """What a wired MODEL (a ModelPatcher) says of itself."""
    sampling = model.get_model_object("model_sampling")
    flow = import_module("comfy.model_sampling").CONST
    return HostModel(
        name=f"the wired model ({type(model.model).__name__})",
        domain="flow" if isinstance(sampling, flow) else "ve",
        sigma_min=float(sampling.sigma_min),
        sigma_max=float(sampling.sigma_max),
    )
