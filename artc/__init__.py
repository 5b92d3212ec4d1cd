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
    from artc.errors import ArtcError
    from artc.models.custom import score_model
    from artc.models.score_model import ScoreModel
    from artc.pipeline import compile  # noqa: A004 - the command line's own word

_HOMES = {
    "Artifact": ("artc.artifact", "Artifact"),
    "ArtcError": ("artc.errors", "ArtcError"),
    "compile": ("artc.pipeline", "compile"),
    "load": ("artc.artifact", "read"),
    "ScoreModel": ("artc.models.score_model", "ScoreModel"),
    "score_model": ("artc.models.custom", "score_model"),
}

__all__ = ["ArtcError", "Artifact", "ScoreModel", "compile", "load", "score_model"]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
