"""Walks of K steps as least squares: on a grid with what the network is shown, and with and without it at once.

`GridWalker` knows one grid, and only the sigmas that are shown at its nodes move. In `JointWalker` both lists move, and
what the grid does without model sigmas is told beside what it does with them,

    r(v, u) = [ x(grid moved by v, shown moved by u) - x*;  w (x(grid moved by v) - x*) ],

so that |r|^2 = e_shown^2 + w^2 e_alone^2. All moves are in ln sigma (for a flow model, ln of s / (1 - s)), within half
of the way to the neighbours: no order can be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import BUDGETS, ModelInfo
from artc.learning.asking import Walked
from artc.models.domains import domain_sigma, unscaled_sigma
from artc.models.score_model import Fields, Latents
from artc.sampling.solvers import Memory, Solver
from artc.sampling.trajectories import asked, sample, walk

REACH = 0.49
"""Of the way to a neighbouring node: just under a half, so that no two of the sigmas can meet."""


def bounds(sigmas: Sequence[float], info: ModelInfo) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each sigma but the first may be moved, down and up, in ln sigma: `(K - 1,)` not above and not below 0."""
    levels = np.log(unscaled_sigma(sigmas[:-1], info.domain))
    gaps = -np.diff(levels)
    # Below the last node there is none to measure by: as far as above it.
    low = np.maximum(
        -REACH * np.append(gaps[1:], gaps[-1:]), np.log(unscaled_sigma(info.sigma_min, info.domain)) - levels[1:]
    )
    return np.minimum(low, 0.0), REACH * gaps


def shown_sigmas(sigmas: Sequence[float], moves: NDArray[np.float64], info: ModelInfo) -> tuple[float, ...]:
    """The K sigmas that these moves `(K - 1,)` make of the nodes; a node that is not moved stays what it is."""
    nodes = np.asarray(sigmas[1:-1], dtype=np.float64)
    moved = domain_sigma(unscaled_sigma(nodes, info.domain) * np.exp(moves), info.domain)
    return (float(sigmas[0]), *np.where(moves == 0, nodes, np.maximum(moved, info.sigma_min)).tolist())


def residual_of(reached: Tensor, ends: Tensor) -> Tensor:
    """Differences of all noises and dimensions in a row, whose square is the mean square error."""
    differences = (reached.double() - ends.double()).flatten()
    residual: Tensor = differences / differences.numel() ** 0.5
    return residual


@dataclass(frozen=True, slots=True, kw_only=True)
class GridWalker:
    """A `Walker` on a grid. The square of its residual is the mean square error of the noises.

    A walk in which the sigma shown at node k changes begins where the solver first asks at that node: at its own step,
    or for a solver that looks ahead to the end of a step, at the one before.
    """

    fields: Fields
    latents: Latents
    ends: Tensor
    info: ModelInfo
    sigmas: tuple[float, ...]
    solver: Solver

    def __call__(self, moves: NDArray[np.float64], since: int = 0, base: Walked | None = None) -> Walked:
        """Walk all noises, or only the steps that can differ from those of `base`."""
        shown = shown_sigmas(self.sigmas, moves, self.info)
        begin = 0 if base is None else since + 1 - (BUDGETS[self.solver.name].calls_per_step > 1)
        states: list[list[tuple[Tensor, Memory]]] = []
        reached: list[Tensor] = []
        for place, some in enumerate(self.latents.split()):
            field = asked(self.fields(some.labels), self.sigmas, shown)
            x, memory = (some.noise * self.sigmas[0], None) if base is None else _kept(base)[place][begin]
            known: list[tuple[Tensor, Memory]] = [(x, memory)]
            for visit in walk(field, x, self.sigmas[begin:], self.solver, memory=memory):
                x = visit.x
                known.append((x, visit.memory))
            states.append(known)
            reached.append(x)
        return Walked(residual=residual_of(torch.cat(reached), self.ends), states=states if base is None else None)


def _kept(base: Walked) -> list[list[tuple[Tensor, Memory]]]:
    assert isinstance(base.states, list)
    return base.states


@dataclass(frozen=True, slots=True, kw_only=True)
class JointWalker:
    """A `Walker` whose unknowns are the moves of the nodes `(K - 1,)`, and then those of the model sigmas `(K - 1,)`.

    Two walks in each of its own, but for one where no node differs from those of the base.
    """

    fields: Fields
    latents: Latents
    ends: Tensor
    info: ModelInfo
    sigmas: tuple[float, ...]
    model_sigmas: tuple[float, ...]
    solver: Solver
    weight: float

    def moved(self, moves: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The grid and its model sigmas."""
        nodes, shown = np.split(moves, 2)
        return (
            (*shown_sigmas(self.sigmas, nodes, self.info), 0.0),
            shown_sigmas((*self.model_sigmas, 0.0), shown, self.info),
        )

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far the unknowns may go, down and up."""
        nodes, shown = bounds(self.sigmas, self.info), bounds((*self.model_sigmas, 0.0), self.info)
        return np.concatenate([nodes[0], shown[0]]), np.concatenate([nodes[1], shown[1]])

    def __call__(self, moves: NDArray[np.float64], since: int = 0, base: Walked | None = None) -> Walked:
        """Walk all noises with the model sigmas, and without."""
        sigmas, shown = self.moved(moves)
        found = self._residual(sigmas, shown)
        if base is not None and since >= len(moves) // 2:
            return Walked(residual=torch.cat([found, base.residual[len(found) :]]))
        return Walked(residual=torch.cat([found, self.weight * self._residual(sigmas, None)]))

    def _residual(self, sigmas: Sequence[float], shown: Sequence[float] | None) -> Tensor:
        return residual_of(sample(self.fields, self.latents, sigmas, self.solver, model_sigmas=shown), self.ends)
