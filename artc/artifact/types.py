"""The records of an artifact, one for each object of the document, in the document's order.

Every record keeps in `extra` the fields that it does not know, so that an older artc can read and write back what a
newer minor version added. Sigmas are noise standard deviations in x = x0 + sigma n ("ve") or x = (1 - sigma) x0 +
sigma n ("flow"). The meaning of each field, for readers in any language, is in `schemas/README.md`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from artc.artifact.rules import model_sigma_defects, schedule_defects
from artc.errors import InputError

Domain = Literal["ve", "flow"]
Origin = Literal["distilled", "closed-form", "dp", "online", "order-aware", "refined", "resampled"]
StiffnessMethod = Literal["secant", "jvp", "finite-difference"]

ENDPOINT_RMS = "endpoint_rms"
WITH_MODEL_SIGMAS = "endpoint_rms_with_model_sigmas"
"""The metric of a schedule as any host can walk it, and of the same schedule with the network shown `model_sigmas`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """Classifier-free guidance, D = D_u + scale (D_c - D_u), and the network calls that one such value takes."""

    scale: float
    calls: int = 2
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale) or self.calls < 1:
            raise InputError(f"Guidance of scale {self.scale!r} in {self.calls} calls makes no sense.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The model that the schedules were made for, and the range of noise it knows.

    `prediction` is what the network itself puts out, `shape` that of one sample, `sha256` that of the weights as loaded
    (None for an analytic model), `shift` the flow shift already inside sigma. `guidance` is left out of a
    document that has none.
    """

    name: str
    source: str
    sha256: str | None
    domain: Domain
    shift: float | None
    prediction: str
    shape: tuple[int, ...]
    conditioning: str
    sigma_min: float
    sigma_max: float
    sigma_data: float | None
    guidance: Guidance | None = field(default=None, metadata={"optional": True})
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        """Network calls that one denoised value takes: 2 under guidance."""
        return 1 if self.guidance is None else self.guidance.calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """How far a grid is from optimal for the surrogate problem: objective J, lower bound J*, gap = J / J* - 1.

    For a "distilled" or "closed-form" schedule these are the values of the continuous warp. `order` is the order of the
    local error that J integrates.
    """

    objective: float
    lower_bound: float
    gap: float
    order: int
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One measurement of a schedule, with its standard error and the same metric of baselines at equal NFE.

    `teacher` is the reference it was measured against: {"solver": name, "steps": number}.
    """

    metric: str
    value: float
    stderr: float
    samples: int
    seed: int
    teacher: Mapping[str, Any]
    baselines: Mapping[str, float]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A grid, the solver and the number of denoiser calls it is for, and how it came about.

    `sigmas` are steps + 1 numbers, strictly decreasing, the last exactly 0. `model_sigmas`, where there are any, are
    what the network is shown in place of each of them but the last; the solver walks `sigmas` all the same. They are
    left out of a document that has none.

    Raises ArtifactError when they are not so, or when `nfe` is not what a known solver spends on `steps` steps.
    """

    solver: str
    nfe: int
    steps: int
    sigmas: tuple[float, ...]
    model_sigmas: tuple[float, ...] | None = field(default=None, metadata={"optional": True})
    origin: Origin
    certificate: Certificate | None = None
    evaluation: tuple[Evaluation, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", tuple(map(float, self.sigmas)))
        for defect in schedule_defects(self.solver, self.nfe, self.steps, self.sigmas, "$"):
            raise defect
        if self.model_sigmas is not None:
            object.__setattr__(self, "model_sigmas", tuple(map(float, self.model_sigmas)))
            for defect in model_sigma_defects(self.solver, self.sigmas, self.model_sigmas, "$.model_sigmas"):
                raise defect


@dataclass(frozen=True, slots=True, kw_only=True)
class Stiffness:
    """The stiffness profile that the certificate was computed from: the mean of |d2x/dsigma2| at each sigma.

    `sigma` decreases strictly; `state_gain` measures how much of the stiffness depends on the state rather than on
    sigma alone.
    """

    sigma: tuple[float, ...]
    mean: tuple[float, ...]
    state_gain: float
    method: StiffnessMethod
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", tuple(map(float, self.sigma)))
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The learned policy as an ONNX file beside the artifact: a bare file name, its SHA-256 and its interface.

    `content` is what the file holds, no part of the document: filled when the artifact is read from its file, and
    written beside it when it is saved.
    """

    file: str
    sha256: str
    opset: int
    inputs: tuple[str, ...]
    output: str
    features: tuple[str, ...]
    content: bytes | None = field(default=None, repr=False, compare=False, metadata={"unwritten": True})
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How the artifact was made: versions, method, every setting, seed, and the denoiser calls spent."""

    artc: str
    method: str
    config: Mapping[str, Any]
    seed: int
    device: str
    torch: str
    score_evals: int
    diagnostics: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model_record(self) -> Mapping[str, Any]:
        """What the loader of the model put on record; free, as every setting is, so that anything may stand there."""
        record = self.config.get("model")
        return record if isinstance(record, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """When it was made (UTC, such as 2026-11-22T12:00:00Z) and the seconds each stage took; outside the digest."""

    at: str
    seconds: Mapping[str, float]
    extra: Mapping[str, Any] = field(default_factory=dict)
