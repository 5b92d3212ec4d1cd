"""What an artifact means, beyond its shape: every rule that JSON Schema cannot state, each with its own error code.

| code | rule |
|---|---|
| not-decreasing | the sigmas of a grid decrease strictly |
| end | a grid ends in exactly 0 |
| steps | a grid of N steps has N + 1 sigmas |
| nfe | a known solver spends exactly this NFE on that many steps, times the cost of guidance |
| model-sigmas | N of them, strictly decreasing, from the first of the grid to no less than sigma_min; never for rk4 |
| sigma-range | sigma_min < sigma_max, and sigma_max <= 1 in the flow domain |
| sigma-max | grids and warp start at the model's sigma_max |
| warp | clock and sigma are strictly monotone maps of [0, 1] onto [sigma_max, 0] |
| grid | a grid said to come from the warp is the warp read at k / N and not below sigma_min, to a relative 1e-9 |
| duplicate-schedule | no two schedules share solver and NFE |
| stiffness | as many means as sigmas, the sigmas strictly decreasing |
| policy-path | a policy is a file beside the artifact: a name with no directory part |

A solver that this version does not know is accepted, so that an artifact of a newer artc can still be sampled; only its
steps are checked. The rules take plain JSON values of a document that has the right shape, and need no NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from artc.artifact.budget import BUDGETS, nfe_of
from artc.artifact.warp import Warp, warp_defects
from artc.errors import ArtifactError, BudgetError

FORMAT = "art-schedule"
FORMAT_VERSION = "1.1"

FROM_WARP = frozenset({"distilled", "closed-form", "resampled"})
"""The origins whose grid is the warp read at k / N; the others move the nodes afterwards."""

GRID_TOLERANCE = 1e-9
"""Relative: far above what exp and log differ by between machines, far below what a sampler can feel."""


def meaning_defects(document: Mapping[str, Any]) -> Iterator[ArtifactError]:
    """Every rule that a document of the right shape breaks, in document order."""
    model, warp, schedules = document["model"], document["warp"], document["schedules"]
    yield from _model_defects(model)
    cost = (model.get("guidance") or {"calls": 1})["calls"]
    seen: dict[tuple[str, int], int] = {}
    for k, schedule in enumerate(schedules):
        path = f"$.schedules[{k}]"
        solver, nfe, sigmas = schedule["solver"], schedule["nfe"], schedule["sigmas"]
        yield from schedule_defects(solver, nfe, schedule["steps"], sigmas, path, cost)
        shown = schedule.get("model_sigmas")
        if shown is not None:
            yield from model_sigma_defects(solver, sigmas, shown, f"{path}.model_sigmas", model["sigma_min"])
        yield from _start_defects(sigmas, model["sigma_max"], path + ".sigmas[0]")
        first = seen.setdefault((solver, nfe), k)
        if first != k:
            message = f"{solver} at NFE {nfe} is already in schedules[{first}]."
            yield ArtifactError("duplicate-schedule", path, message)
    broken = list(warp_defects(warp["clock"], warp["sigma"], warp["offset"], "$.warp"))
    yield from broken
    yield from _start_defects(warp["sigma"], model["sigma_max"], "$.warp.sigma[0]")
    if not broken:
        curve = Warp(warp["clock"], warp["sigma"], warp["offset"])
        floor = model["sigma_min"] if model["sigma_min"] < warp["sigma"][0] else 0.0  # said above already
        for k, schedule in enumerate(schedules):
            if schedule["origin"] in FROM_WARP:
                yield from _grid_defects(curve, schedule, floor, f"$.schedules[{k}].sigmas")
    if document["stiffness"] is not None:
        yield from _stiffness_defects(document["stiffness"]["sigma"], document["stiffness"]["mean"])
    if document["policy"] is not None:
        yield from _policy_path_defects(document["policy"]["file"])


def schedule_defects(
    solver: str, nfe: int, steps: int, sigmas: Sequence[float], path: str, cost: int | None = None
) -> Iterator[ArtifactError]:
    """Every rule that one schedule breaks by itself, with JSON paths below `path`.

    A schedule alone does not know the `cost` of guidance; any whole multiple of the solver's own NFE will then do.
    """
    for k in range(1, len(sigmas)):
        if not sigmas[k] < sigmas[k - 1]:
            message = f"sigmas must decrease strictly, and {sigmas[k]!r} follows {sigmas[k - 1]!r}."
            yield ArtifactError("not-decreasing", f"{path}.sigmas[{k}]", message)
    if not sigmas or sigmas[-1] != 0:
        last = f"{path}.sigmas[{len(sigmas) - 1}]" if sigmas else f"{path}.sigmas"
        yield ArtifactError("end", last, "the last sigma must be exactly 0.")
    if steps != len(sigmas) - 1:
        message = f"{steps} steps need {steps + 1} sigmas, and there are {len(sigmas)}."
        yield ArtifactError("steps", f"{path}.steps", message)
    if solver in BUDGETS:
        spent = nfe_of(solver, steps, 1 if cost is None else cost) if steps >= 1 else 0
        if spent and (nfe == spent or (cost is None and nfe > 0 and nfe % spent == 0)):
            return
        message = f"{solver} spends {spent or 'no'} denoiser calls on {steps} steps, not {nfe}."
        yield ArtifactError("nfe", f"{path}.nfe", message)


def model_sigma_defects(
    solver: str, sigmas: Sequence[float], shown: Sequence[float], path: str, floor: float = 0.0
) -> Iterator[ArtifactError]:
    """Every rule that the sigmas shown to the network break; a schedule alone does not know the `floor`, sigma_min.

    A solver that asks between the nodes asks there for a noise level for which no number stands here. One that this
    version does not know is taken at its word.
    """
    if solver in BUDGETS and BUDGETS[solver].between_nodes:
        message = f"{solver} also asks the network between the nodes of its grid, and cannot have model sigmas."
        yield ArtifactError("model-sigmas", path, message)
    if len(shown) != len(sigmas) - 1:
        message = f"{len(sigmas) - 1} steps need as many model sigmas, and there are {len(shown)}."
        yield ArtifactError("model-sigmas", path, message)
    if shown and sigmas and shown[0] != sigmas[0]:
        message = f"the first must be that of the grid, {sigmas[0]!r}, not {shown[0]!r}."
        yield ArtifactError("model-sigmas", f"{path}[0]", message)
    for k in range(1, len(shown)):
        if not shown[k] < shown[k - 1]:
            message = f"model sigmas must decrease strictly, and {shown[k]!r} follows {shown[k - 1]!r}."
            yield ArtifactError("model-sigmas", f"{path}[{k}]", message)
    if shown and not (shown[-1] > 0 and shown[-1] >= floor):
        least = f"below the model's sigma_min, {floor!r}" if shown[-1] > 0 else "no noise at all"
        yield ArtifactError("model-sigmas", f"{path}[{len(shown) - 1}]", f"{shown[-1]!r} is {least}.")


def _model_defects(model: Mapping[str, Any]) -> Iterator[ArtifactError]:
    low, high = model["sigma_min"], model["sigma_max"]
    if not low < high:
        yield ArtifactError("sigma-range", "$.model.sigma_min", f"{low!r} is not below sigma_max, {high!r}.")
    if model["domain"] == "flow" and high > 1:
        message = f"a flow model ends at sigma 1, and {high!r} is beyond."
        yield ArtifactError("sigma-range", "$.model.sigma_max", message)


def _start_defects(sigmas: Sequence[float], sigma_max: float, path: str) -> Iterator[ArtifactError]:
    if sigmas and sigmas[0] != sigma_max:
        yield ArtifactError("sigma-max", path, f"starts at {sigmas[0]!r}, and the model's sigma_max is {sigma_max!r}.")


def _grid_defects(warp: Warp, schedule: Mapping[str, Any], floor: float, path: str) -> Iterator[ArtifactError]:
    sigmas = schedule["sigmas"]
    try:
        wanted = warp.baked(len(sigmas) - 1, floor)
    except BudgetError as error:
        yield ArtifactError("grid", path, error.message)
        return
    # The ends have rules of their own.
    for k in range(1, len(sigmas) - 1):
        if abs(sigmas[k] - wanted[k]) > GRID_TOLERANCE * wanted[k]:
            message = f"{sigmas[k]!r} is not the warp at {k}/{len(sigmas) - 1}, {wanted[k]!r}."
            hint = f"The origin {schedule['origin']!r} says that it is."
            yield ArtifactError("grid", f"{path}[{k}]", message, hint=hint)


def _stiffness_defects(sigma: Sequence[float], mean: Sequence[float]) -> Iterator[ArtifactError]:
    if len(sigma) != len(mean):
        message = f"{len(mean)} means for {len(sigma)} sigmas."
        yield ArtifactError("stiffness", "$.stiffness.mean", message)
    for k in range(1, len(sigma)):
        if not sigma[k] < sigma[k - 1]:
            message = f"sigma must decrease strictly, and {sigma[k]!r} follows {sigma[k - 1]!r}."
            yield ArtifactError("stiffness", f"$.stiffness.sigma[{k}]", message)


def _policy_path_defects(file: str) -> Iterator[ArtifactError]:
    # Both kinds of separator and drive letters, whatever the machine: the file may travel.
    if file in ("", ".", "..") or any(mark in file for mark in "/\\:\0"):
        message = f"{file!r} is not the bare name of a file beside the artifact."
        yield ArtifactError("policy-path", "$.policy.file", message)
