"""What an artifact says of how it was made, and whether one that is there already was made by the same request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from artc import __version__
from artc.artifact import Artifact, Provenance
from artc.artifact.codec import to_document
from artc.models.conditioning import conditioned
from artc.models.score_model import ScoreModel, device_name
from artc.request import Request

LEARNER = "learner"
"""The part of the configuration that a method adds to what was asked for."""

NOTHING: Mapping[str, Any] = {}


def provenance(
    model: ScoreModel,
    request: Request,
    *,
    learner: Mapping[str, Any] = NOTHING,
    calls: int = 0,
    diagnostics: Mapping[str, Any] = NOTHING,
) -> Provenance:
    """The record of a compilation, of a model as it is conditioned: what was asked for, and what came of it."""
    return Provenance(
        artc=__version__,
        method=request.method,
        config={
            "nfe": list(request.nfe),
            "solvers": list(request.solvers),
            "trajectories": request.trajectories,
            "held_out": request.held,
            "nodes": request.nodes,
            "checks": request.checks,
            "teacher_steps": request.teacher_steps,
            "refine": request.refine,
            "trials": request.trials,
            "model_sigmas": request.model_sigmas,
            "policy": request.policy,
            LEARNER: dict(learner),
            **({"model": dict(model.record)} if model.record else {}),
        },
        seed=request.seed,
        device=device_name(model.device),
        torch=torch.__version__.split("+")[0],
        score_evals=calls,
        diagnostics=diagnostics,
    )


def answers(artifact: Artifact, model: ScoreModel, request: Request) -> bool:
    """Whether this request, made of this model by this version on this device, is what the artifact came from."""
    asked = conditioned(model, request.labels, request.guidance)
    return to_document(artifact.model) == to_document(asked.info) and (
        _wanted(artifact.provenance) == _wanted(provenance(asked, request))
    )


def _wanted(made: Provenance) -> dict[str, Any]:
    """A record without what came of it."""
    config = {**made.config, LEARNER: {}}
    return to_document(replace(made, config=config, score_evals=0, diagnostics={}))
