"""Artifacts with grids that a test writes down, and the exact end of a sampler on them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from artc.artifact import Artifact, Guidance, Schedule, Warp, nfe_of
from tests.golden.example import example

MNIST = Path(__file__).parents[2] / "artifacts" / "mnist" / "mnist.art.json"


def artifact(
    *grids: tuple[float, ...], solver: str = "heun", guidance: float | None = None, **model: object
) -> Artifact:
    """An artifact that holds these grids, each with its trailing 0 and all from one sigma_max, for one solver."""
    top = grids[0][0]
    cost = 1 if guidance is None else 2
    info = {"name": "written", "sigma_max": top, "guidance": None if guidance is None else Guidance(scale=guidance)}
    schedules = [
        Schedule(
            solver=solver, nfe=nfe_of(solver, len(grid) - 1, cost), steps=len(grid) - 1, sigmas=grid, origin="refined"
        )
        for grid in grids
    ]
    return example(
        model=replace(example().model, **{**info, **model}),
        schedules=tuple(schedules),
        warp=Warp((0.0, 0.5, 1.0), (top, top / 9, 0.0), top / 63),
    )


def flow_artifact() -> Artifact:
    """One of a flow model, whose sigma is a time in (0, 1]."""
    return artifact((0.99, 0.8, 0.3, 0.0), domain="flow", sigma_min=0.01)


def shrinking(
    sigmas: tuple[float, ...], spread: float, solver: str, model_sigmas: tuple[float, ...] | None = None
) -> float:
    """What Heun or Euler multiplies x with on a grid, when the data is N(0, spread^2): plain numbers, no tensors.

    A network that is shown m at the node s answers D(x; m) = x spread^2 / (spread^2 + m^2), and the slope is over the
    true s: dx/ds = (x - D) / s = x m^2 / (spread^2 + m^2) / s, which is linear in x. Without `model_sigmas`, m = s.
    """

    def slope_at(node: float, shown: float) -> float:
        return shown**2 / (spread**2 + shown**2) / node

    factor, shown = 1.0, model_sigmas or sigmas
    for k, (now, then) in enumerate(pairwise(sigmas)):
        slope = slope_at(now, shown[k])
        ahead = 1 + (then - now) * slope
        if solver == "heun" and then > 0:
            slope = (slope + ahead * slope_at(then, shown[k + 1])) / 2
        factor *= 1 + (then - now) * slope
    return factor


def calls_at(levels: Sequence[float], solver: str) -> list[float]:
    """The levels that a network is called at, in order; by Heun twice at each but the first, if the grid ends in 0."""
    return [levels[0], *(level for level in levels[1:] for _ in range(2 if solver == "heun" else 1))]
