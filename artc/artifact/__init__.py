"""The artifact: what `artc` writes and samplers read. Standard library, NumPy and jsonschema only; no torch.

    artifact = artc.artifact.read("mine.art.json")
    sigmas = artifact.sigmas(nfe=9, solver="heun")

The document is described in `schemas/`, where a JSON Schema is normative. This package reads it in order, from the
bytes to their meaning, and trusts nothing that it has not checked.
"""

from artc.artifact.artifact import Artifact
from artc.artifact.budget import BUDGETS, Budget, nfe_of, steps_for
from artc.artifact.reading import loads, read, violations
from artc.artifact.types import (
    Certificate,
    Created,
    Evaluation,
    Guidance,
    ModelInfo,
    Policy,
    Provenance,
    Schedule,
    Stiffness,
)
from artc.artifact.warp import Coordinate, Warp
from artc.artifact.writing import dumps, write

__all__ = [
    "BUDGETS",
    "Artifact",
    "Budget",
    "Certificate",
    "Coordinate",
    "Created",
    "Evaluation",
    "Guidance",
    "ModelInfo",
    "Policy",
    "Provenance",
    "Schedule",
    "Stiffness",
    "Warp",
    "dumps",
    "loads",
    "nfe_of",
    "read",
    "steps_for",
    "violations",
    "write",
]
