"""What every method answers, and the few things they share: one form of grid, a teacher, a count of calls.

All grids here are K intervals from sigma_max to exactly 0, as everywhere in artc. Methods whose own grids stop at
sigma_min plan K intervals down to sigma_min and have that last node replaced by 0: none of their K - 1 interior nodes
is spent on sigma_min, and none of their K steps on the way from there to 0. So a win over one of them is no win over a
pinned node.

Each plans on the unscaled path x = x0 + sigma n, also for flow models, and its nodes are then put into the model's
domain and kept above its sigma_min, as those of artc itself are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from artc.artifact import ModelInfo
from artc.errors import BudgetError, InputError
from artc.models.domains import domain_grid
from artc.models.score_model import Fields, Latents, ScoreModel
from artc.sampling.grids import Grid, above, edm
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample

TEACHER_STEPS = 32
"""Heun steps of the end points that methods need: 63 calls a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A grid that a method found, and what finding it took.

    Attributes:
        sigmas: K + 1 of them in the model's domain, strictly decreasing from sigma_max to exactly 0.
        calls: network calls per sample that this grid needed, also those that serve other budgets too.
        shared: those of them that do serve the other budgets of the solver.
        seconds: wall time, likewise.
        model_sigmas: what the network is to be shown at the first K of them; None where it is the sigmas themselves.

    Raises InputError for a list that is no grid.
    """

    sigmas: tuple[float, ...]
    calls: int
    seconds: float
    model_sigmas: tuple[float, ...] | None = None
    shared: int = 0

    def __post_init__(self) -> None:
        nodes = np.asarray(self.sigmas)
        if len(nodes) < 2 or not np.isfinite(nodes).all() or not (np.diff(nodes) < 0).all() or nodes[-1] != 0:
            raise InputError(f"A method found a list that is no grid: {self.sigmas}.")
        shown = self.model_sigmas
        if shown is not None and (len(shown) != len(nodes) - 1 or not (np.diff(shown) < 0).all() or shown[-1] <= 0):
            raise InputError(f"A method found model sigmas that do not decrease with its grid: {shown}.")


Finder = Callable[[str, int], Found]
"""From the name of a solver and a number of steps to a grid; raises UnknownNameError and BudgetError."""

Check = Callable[[str, int], None]
"""From the name of a solver and a number of steps to nothing; raises what the finder would raise for them."""

Peer = Callable[[ScoreModel, int], Finder]
"""From a model and a seed to its finder, which keeps what serves all budgets once it is made."""


def check(solver: str, steps: int) -> None:
    """Raise UnknownNameError for an unknown solver, BudgetError for less than one step."""
    find_solver(solver)
    if steps < 1:
        raise BudgetError(f"A grid has at least one step, not {steps}.")


def finished(planned: Iterable[float], info: ModelInfo) -> tuple[float, ...]:
    """A plan as a grid of the model: K + 1 unscaled sigmas whose last, wherever it is, becomes 0."""
    nodes = [*planned]
    return tuple(above(info.sigma_min, np.array(domain_grid([*nodes[:-1], 0.0], info))).tolist())


def rho_nodes(count: int, info: ModelInfo) -> Grid:
    """Karras' curve, sigma^(1/7) linear, from sigma_max to sigma_min of an unscaled model: `(count,)`, count >= 2."""
    return edm(count, info.sigma_min, info.sigma_max)[:-1]


def teacher_ends(fields: Fields, latents: Latents, sigma_min: float, sigma_max: float) -> Tensor:
    """Where Heun ends on Karras' grid of an unscaled model: `(n, *S)`, at 2 `TEACHER_STEPS` - 1 calls a sample."""
    return sample(fields, latents, edm(TEACHER_STEPS, sigma_min, sigma_max).tolist(), find_solver("heun"))


def unit_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise of the shape and the place of `like`, the same on every device for one seed."""
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device)
