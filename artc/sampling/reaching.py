"""The K steps that end nearest to a path, by dynamic programming over the states that they really reach.

X_j are a path's states at the nodes t_0 > ... > t_G of a fine grid. Of all ways to node j by k steps one is kept, with
its state z_k(j) and the memory of the solver on that way:

    z_ij = the solver's step from z_{k-1}(i) at t_i to t_j,
    z_k(j) = z_ij for the i < j that has the least mean |z_ij - X_j|^2.

Errors are carried on from step to step, and through the memory of a solver that has one. It is greedy: a way that is
further off at node j may have ended nearer. A row of k steps takes a call for each node that k - 1 steps reach, if the
solver asks at the beginning of its step alone: the answer is the same for every j. One that asks at the end of its step
too takes another call for every pair of nodes.

Source: Pei et al. 2503.21774 (OSS), algorithm 1, from its description; that the solver's memory goes with the state is
the plain way to have multistep solvers in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from artc.models.score_model import Field, Fields, Latents
from artc.sampling.solvers import Memory, Solver
from artc.sampling.solvers.solver import Level
from artc.sampling.trajectories import walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a node is reached: the nodes to it and with it, the state, the solver's memory, and the mean square error."""

    path: tuple[int, ...]
    x: Tensor
    memory: Memory
    error: float


Row = dict[int, Way]
"""By their nodes, the ways of k steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The nodes, the noises, and the path's state at each node."""

    levels: tuple[float, ...]
    latents: Latents
    states: tuple[Tensor, ...]


def path_through(fields: Fields, latents: Latents, levels: Sequence[float], solver: Solver) -> Path:
    """The path that a solver walks through all of these nodes."""
    batches = []
    for some in latents.split():
        start = some.noise * levels[0]
        batches.append([start, *(visit.x for visit in walk(fields(some.labels), start, levels, solver))])
    states = tuple(torch.cat(parts) for parts in zip(*batches, strict=True))
    return Path(levels=tuple(levels), latents=latents, states=states)


def first_row(path: Path) -> Row:
    """No step: at the first node, where all begins."""
    return {0: Way(path=(0,), x=path.states[0], memory=None, error=0.0)}


def next_row(fields: Fields, solver: Solver, path: Path, row: Row) -> Row:
    """One step more: from every node that is reached, but the last, to every node below it."""
    levels, found = path.levels, Row()
    last = len(levels) - 1
    for i, way in row.items():
        if i == last:
            continue
        known = _known(fields, path.latents, way.x, levels[i])
        for j in range(i + 1, last + 1):
            step = solver.step(known, way.x, levels[i], levels[j], way.memory)
            error = float((step.x - path.states[j]).square().mean())
            if j not in found or error < found[j].error:
                found[j] = Way(path=(*way.path, j), x=step.x, memory=step.memory, error=error)
    return found


def _denoised(fields: Fields, latents: Latents, x: Tensor, sigma: float) -> Tensor:
    parts, done = [], 0
    for some in latents.split():
        parts.append(fields(some.labels)(x[done : done + len(some)], sigma))
        done += len(some)
    return torch.cat(parts)


def _known(fields: Fields, latents: Latents, start: Tensor, at: float) -> Field:
    """A field that has been asked about one state, and is asked anew about any other."""
    answer = _denoised(fields, latents, start, at)

    def field(x: Tensor, sigma: Level) -> Tensor:
        return answer if x is start else _denoised(fields, latents, x, float(sigma))

    return field
