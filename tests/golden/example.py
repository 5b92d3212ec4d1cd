"""A small artifact whose every number can be checked by hand.

With offset 1 and sigma_max 63 the warp's coordinate is log2(sigma + 1), which runs from 6 to 0: the grid of 3 steps is
2^6 - 1, 2^4 - 1, 2^2 - 1, 2^0 - 1, and that of 6 steps takes every power between.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from artc.artifact import (
    Artifact,
    Certificate,
    Created,
    Evaluation,
    ModelInfo,
    Provenance,
    Schedule,
    Stiffness,
    Warp,
)
from artc.artifact.canonical import digest

GOLDEN = Path(__file__).with_name("powers.art.json")
ASKED = Path(__file__).with_name("asked.art.json")


def example(**changes: Any) -> Artifact:
    """The artifact of `powers.art.json`, built in Python."""
    parts: dict[str, Any] = {
        "format_version": "1.0",
        "model": ModelInfo(
            name="powers",
            source="python:tests:powers",
            sha256=None,
            domain="ve",
            shift=None,
            prediction="denoised",
            shape=(1, 2, 2),
            conditioning="none",
            sigma_min=0.002,
            sigma_max=63.0,
            sigma_data=0.5,
        ),
        "schedules": (
            Schedule(
                solver="heun",
                nfe=5,
                steps=3,
                sigmas=(63.0, 15.0, 3.0, 0.0),
                origin="distilled",
                certificate=Certificate(objective=1.5, lower_bound=1.25, gap=0.2, order=1),
                evaluation=(
                    Evaluation(
                        metric="endpoint_rms",
                        value=0.21,
                        stderr=0.01,
                        samples=256,
                        seed=1,
                        teacher={"solver": "heun", "steps": 128},
                        baselines={"edm": 0.36, "edm-free": 0.3, "logsnr": 0.62, "uniform": 0.35},
                    ),
                ),
            ),
            Schedule(solver="heun", nfe=3, steps=2, sigmas=(63.0, 6.5, 0.0), origin="refined"),
        ),
        "warp": Warp((0.0, 0.5, 1.0), (63.0, 7.0, 0.0), 1.0),
        "stiffness": Stiffness(sigma=(63.0, 7.0, 1.0), mean=(0.0, 0.125, 2.0), state_gain=0.041, method="secant"),
        "provenance": Provenance(
            artc="0.1.0",
            method="art-rl",
            config={"clock_nodes": 3, "learning_rate": 1e-05, "note": "Füße, 10²³"},
            seed=0,
            device="cpu",
            torch="2.13.0",
            score_evals=31232,
            diagnostics={"entropy": [0.5, 1e23, 1e-7]},
        ),
        "created": Created(at="2026-11-22T12:00:00Z", seconds={"bank": 41.0, "train": 9.25}),
    }
    return Artifact(**{**parts, **changes})


def asked_example() -> Artifact:
    """The artifact of `asked.art.json`, of format 1.1: the same with model sigmas, half a power from their nodes."""
    measured, bare = example().schedules
    shown = (63.0, 2**3.5 - 1, 2**2.5 - 1)
    second = replace(measured.evaluation[0], metric="endpoint_rms_with_model_sigmas", value=0.125)
    asked = replace(measured, model_sigmas=shown, evaluation=(*measured.evaluation, second))
    return example(format_version="1.1", schedules=(asked, bare))


def golden_document() -> dict[str, Any]:
    """The golden document as plain JSON values, free to be changed."""
    document: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return document


def resealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the digest of what it now says."""
    return {**document, "digest": digest(document)}
