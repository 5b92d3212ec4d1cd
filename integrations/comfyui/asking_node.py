"""The node ART Model Sigmas: a MODEL in, and the same MODEL out, shown the model sigmas of a schedule at its nodes.

ComfyUI lets one function stand around the call of a model; it is given that call and its arguments, the noise level
among them, and everything that follows from the noise level (scalings, the network's own time, what is made of its
output) happens inside the call. So this function gives it another level. One that an earlier node put there is kept,
and called in place of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from artc.artifact import Schedule

from ..asking import shown_levels
from ..fitting import check_fit
from . import choosing, describing, folders
from .models import host_model
from .widgets import COUNT, Widgets, explained

WRAPPER = "model_function_wrapper"
"""What ComfyUI calls the function among a model's options."""

TOOLTIPS = {
    "model": "The model that is to be sampled. It stays as it is; the one that comes out is shown other noise levels.",
    "artifact": f"A file in models/{folders.KEY} with model sigmas. Press R to see files that are new there.",
    "solver": "As in the ART Schedule beside it. auto takes the artifact's only one.",
    "budget": "As in the ART Schedule beside it: what count counts.",
    "count": "As in the ART Schedule beside it: how many steps, or model calls.",
}


class ArtModelSigmas:
    """A model that is shown other noise levels than its sampler walks, where the schedule has such."""

    CATEGORY = "sampling/custom_sampling/schedulers"
    DESCRIPTION = (
        "Shows the model slightly other noise levels than the sampler walks, as they were compiled beside the sigmas "
        "of a schedule. Put it between model and sampler, with the same artifact, solver and count as ART Schedule."
    )
    FUNCTION = "patch"
    RETURN_TYPES = ("MODEL", "STRING")
    RETURN_NAMES = ("model", "info")
    OUTPUT_TOOLTIPS = (
        "The model for the sampler, to walk the SIGMAS of the same schedule.",
        "One line: which noise levels the model is shown, and what was measured with them.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The inputs, as ComfyUI asks for them each time it lists the nodes or checks a prompt."""
        widgets: Widgets = {
            "model": ("MODEL", {}),
            "artifact": (folders.artifact_names(), {}),
            "solver": (list(choosing.SOLVERS), {"default": choosing.AUTO}),
            "budget": (list(choosing.BUDGET_KINDS), {"default": choosing.STEPS}),
            "count": ("INT", COUNT),
        }
        return {"required": explained(widgets, TOOLTIPS)}

    @classmethod
    def IS_CHANGED(cls, artifact: str | None, **_: Any) -> str | float:
        """What the result depends on besides the inputs: the contents of the file."""
        return folders.fingerprint(artifact)

    def patch(self, model: Any, artifact: str, solver: str, budget: str, count: int) -> dict[str, Any]:
        """Choose, check and wrap; raises ArtcError, whose sentence ComfyUI shows."""
        loaded = choosing.opened(folders.find(artifact), artifact)
        found = choosing.chosen(loaded, artifact, solver=solver, budget=budget, count=count, missing=choosing.EXACT)
        check_fit(loaded.model, np.asarray(found.sigmas, dtype=np.float64), host_model(model))
        text = describing.asked_line(loaded, found)
        if found.model_sigmas is not None:
            model = model.clone()
            model.set_model_unet_function_wrapper(wrapped(found, model.model_options.get(WRAPPER)))
        return {"ui": {"text": [text]}, "result": (model, text)}


def wrapped(schedule: Schedule, before: Callable[..., Any] | None) -> Callable[..., Any]:
    """The function around a model's call, and around the one that stood there before."""
    nodes, shown = schedule.sigmas[:-1], schedule.model_sigmas
    assert shown is not None

    def call(apply_model: Callable[..., Any], given: dict[str, Any]) -> Any:
        levels = shown_levels(given["timestep"], nodes, shown)
        if before is not None:
            return before(apply_model, {**given, "timestep": levels})
        return apply_model(given["input"], levels, **given["c"])

    return call
