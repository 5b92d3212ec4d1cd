"""The node ART Policy Sampler: an artifact with a policy in, a SAMPLER out that chooses noise levels by the picture.

ComfyUI takes a function of k-diffusion's signature for a SAMPLER. Which model it will be given is known only when it
samples, so that the domain is checked there.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from artc.artifact import BUDGETS

from ..fitting import check_domain
from ..policy import policy_sampler
from . import choosing, folders
from .models import host_model
from .widgets import COUNT, Widgets, explained

TOOLTIPS = {
    "artifact": f"A file in models/{folders.KEY} that has a policy: mine.art.json with mine.art.onnx beside it.",
    "solver": "The rule that walks from one noise level to the next.",
    "budget": (
        "What count counts. steps: as in other samplers. nfe: calls of the model; heun makes two in each step but the "
        "last."
    ),
    "count": "How many steps, or model calls. The number of SIGMAS that are wired to the sampler does not matter.",
}


class ArtPolicySampler:
    """A sampler that walks by the policy of an artifact, each picture of a batch by its own noise levels."""

    CATEGORY = "sampling/custom_sampling/samplers"
    DESCRIPTION = (
        "A sampler that chooses each noise level by what the picture looks like so far. Wire it to SamplerCustom or "
        "SamplerCustomAdvanced; of the sigmas wired there only the first is used. Needs onnxruntime."
    )
    FUNCTION = "sampler"
    RETURN_TYPES = ("SAMPLER",)
    RETURN_NAMES = ("sampler",)
    OUTPUT_TOOLTIPS = ("The sampler. It keeps its own count of steps.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The inputs, as ComfyUI asks for them each time it lists the nodes or checks a prompt."""
        widgets: Widgets = {
            "artifact": (folders.artifact_names(), {}),
            "solver": (list(BUDGETS), {"default": "heun"}),
            "budget": (list(choosing.BUDGET_KINDS), {"default": choosing.STEPS}),
            "count": ("INT", COUNT),
        }
        return {"required": explained(widgets, TOOLTIPS)}

    @classmethod
    def IS_CHANGED(cls, artifact: str | None, **_: Any) -> str | float:
        """What the result depends on besides the inputs: the contents of the file, which name those of the policy."""
        return folders.fingerprint(artifact)

    def sampler(self, artifact: str, solver: str, budget: str, count: int) -> tuple[Any]:
        """Open the policy and wrap it; raises ArtcError, whose sentence ComfyUI shows."""
        loaded = choosing.opened(folders.find(artifact), artifact)
        nfe, steps = (count, None) if budget == choosing.NFE else (None, count)
        walk = policy_sampler(loaded, nfe, steps=steps, solver=solver)

        def sample(model: Any, x: Any, sigmas: Any, **given: Any) -> Any:
            host = host_model(model.inner_model.model_patcher)
            check_domain(loaded.model, host.domain, host.name)
            return walk(model, x, sigmas, **given)

        return (import_module("comfy.samplers").KSAMPLER(sample),)
