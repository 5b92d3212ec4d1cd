"""The node ART Schedule: an artifact and a budget in, SIGMAS out, for any node that takes SIGMAS.

The order of the inputs is a contract. A saved workflow lists the values of widgets by their places, so that an input is
only ever added at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from artc.errors import InputError

from ..fitting import check_fit, tail
from . import choosing, describing, folders, lent
from .models import host_model
from .widgets import COUNT, Widgets, explained

TOOLTIPS = {
    "artifact": f"A file in models/{folders.KEY}. Press R to see files that are new there.",
    "solver": (
        "The solver that the schedule was compiled for; sample with the sampler of that name, for ipndm_4 with ipndm. "
        "auto takes the artifact's only one."
    ),
    "budget": (
        "What count counts. steps: as in other schedulers. nfe: calls of the model, by which artifacts are compiled; "
        "heun makes two in each step but the last."
    ),
    "count": "How many steps, or model calls. If there is no such schedule, the error lists those there are.",
    "missing": (
        "When the artifact has no schedule of this budget. exact: say so, and list what there is. "
        "resample: make one from the artifact's clock, of which nothing was measured."
    ),
    "denoise": (
        "For image-to-image: the part of the schedule that is walked, its last round(steps x denoise) steps. "
        "Below 1, give the sampler the latent of an image."
    ),
    "model": (
        "The model that is to be sampled. Once wired, a schedule that cannot be for it is refused; "
        "the sigmas are the same either way."
    ),
}


class ArtSchedule:
    """Noise levels for one budget, read from an artifact; with a model wired, held against it first.

    It is no output node. One that is wired to nothing would then run as well: it would load the model that is wired to
    it, and its mistake would end a prompt that does not need it. The price: ComfyUI does not show what a node said in
    an earlier run, so that after a reload of the page its text comes with the next change.
    """

    CATEGORY = "sampling/custom_sampling/schedulers"
    DESCRIPTION = (
        "The sigmas of a schedule that artc compiled for one model. Wire them to SamplerCustom or "
        "SamplerCustomAdvanced, with the sampler that the schedule was compiled for."
    )
    FUNCTION = "schedule"
    RETURN_TYPES = ("SIGMAS", "STRING")
    RETURN_NAMES = ("sigmas", "info")
    OUTPUT_TOOLTIPS = (
        "The noise levels, from high to low, ending in 0.",
        "One line: model, solver, NFE, steps, noise, and what was measured of this schedule beside hand-made ones.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The inputs, as ComfyUI asks for them each time it lists the nodes or checks a prompt."""
        part = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}
        # Choices are lists: ComfyUI holds a value against nothing else.
        widgets: Widgets = {
            "artifact": (folders.artifact_names(), {}),
            "solver": (list(choosing.SOLVERS), {"default": choosing.AUTO}),
            "budget": (list(choosing.BUDGET_KINDS), {"default": choosing.STEPS}),
            "count": ("INT", COUNT),
            "missing": (list(choosing.MISSING), {"default": choosing.EXACT}),
            "denoise": ("FLOAT", part),
        }
        return {
            "required": explained(widgets, TOOLTIPS),
            "optional": {"model": ("MODEL", {"tooltip": TOOLTIPS["model"]})},
        }

    @classmethod
    def IS_CHANGED(cls, artifact: str | None, **_: Any) -> str | float:
        """What the result depends on besides the inputs: the contents of the file."""
        lent.watch()
        return folders.fingerprint(artifact)

    def schedule(
        self, artifact: str, solver: str, budget: str, count: int, missing: str, denoise: float, model: Any = None
    ) -> dict[str, Any]:
        """Choose, check and hand over; raises ArtcError, whose sentence ComfyUI shows."""
        loaded = choosing.opened(folders.find(artifact), artifact)
        found = choosing.chosen(loaded, artifact, solver=solver, budget=budget, count=count, missing=missing)
        grid = np.asarray(found.sigmas, dtype=np.float64)
        notices = () if model is None else check_fit(loaded.model, grid, host_model(model))
        walked = tail(grid, denoise)
        if denoise > 0 and not walked.size:
            raise InputError(
                f"With denoise {denoise:g}, none of the {found.steps} steps is left.",
                hint=f"One step is left at {1 / found.steps:.2f}.",
            )
        text = describing.line(loaded, found, max(len(walked) - 1, 0), notices)
        return {"ui": {"text": [text]}, "result": (lent.lend(walked), text)}
