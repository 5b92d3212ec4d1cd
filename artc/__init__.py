"""Schedules for diffusion and flow samplers, compiled for one model and written to one portable file.

    artifact = artc.compile(denoiser, shape=(3, 32, 32), sigma_min=0.002, sigma_max=80, nfe=[3, 9, 13])
    artifact.save("mine.art.json")
    sigmas = artc.load("mine.art.json").sigmas(nfe=9)

Importing `artc` imports neither torch nor NumPy; `artc.compile` does, on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from artc.artifact import Artifact
    from artc.artifact import read as load
    from artc.compiling import compile, planned_calls  # noqa: A004 - the command line's own word
    from artc.errors import ArtcError
    from artc.evaluation.evaluating import evaluate
    from artc.models.adapters import adapt
    from artc.models.custom import score_model
    from artc.models.diffusers.pipeline import from_pipeline
    from artc.models.score_model import ScoreModel
    from artc.models.times import cosine_times, discrete_times, flow_times, linear_vp_times, sigma_times

_HOMES = {
    "Artifact": ("artc.artifact", "Artifact"),
    "ArtcError": ("artc.errors", "ArtcError"),
    "compile": ("artc.compiling", "compile"),
    "planned_calls": ("artc.compiling", "planned_calls"),
    "evaluate": ("artc.evaluation.evaluating", "evaluate"),
    "load": ("artc.artifact", "read"),
    "ScoreModel": ("artc.models.score_model", "ScoreModel"),
    "adapt": ("artc.models.adapters", "adapt"),
    "cosine_times": ("artc.models.times", "cosine_times"),
    "discrete_times": ("artc.models.times", "discrete_times"),
    "flow_times": ("artc.models.times", "flow_times"),
    "from_pipeline": ("artc.models.diffusers.pipeline", "from_pipeline"),
    "linear_vp_times": ("artc.models.times", "linear_vp_times"),
    "score_model": ("artc.models.custom", "score_model"),
    "sigma_times": ("artc.models.times", "sigma_times"),
}

__all__ = [
    "ArtcError",
    "Artifact",
    "ScoreModel",
    "adapt",
    "compile",
    "cosine_times",
    "discrete_times",
    "evaluate",
    "flow_times",
    "from_pipeline",
    "linear_vp_times",
    "load",
    "planned_calls",
    "score_model",
    "sigma_times",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
