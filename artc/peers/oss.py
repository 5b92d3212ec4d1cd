"""OSS: the K Euler steps that end nearest to a teacher, by dynamic programming over the states they really reach.

The teacher is Euler through all G intervals of a fine grid, X_j its state at node j. Of all ways to node j by k Euler
steps one is kept, with its state z_k(j), and

    z_ij = z_{k-1}(i) + (t_j - t_i) (z_{k-1}(i) - D(z_{k-1}(i); t_i)) / t_i,
    z_k(j) = z_ij for the i < j that has the least mean |z_ij - X_j|^2.

So unlike in GITS errors are carried on, at M calls for each node in place of one. Node 0 is sigma_max and node G is
exactly 0, as the last interval of all grids of artc; K steps are exactly K, with no shorter way inherited. The mean is
over a batch of noises, which share their grid: it is the error that is judged, where a median of a grid for each
image would be none of them. Row k of one table has the grid of k steps, for all budgets.

It is made for Euler, in which flow models are sampled, and here also serves the other solvers: what it finds for Euler
is used under them as it is. The candidates of a flow model are uniform in its own sigma, those of another lie on
Karras' curve, G = 100 intervals.

Source: Pei et al. 2503.21774 (OSS), algorithm 1, from its description.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import ModelInfo
from artc.errors import BudgetError
from artc.models.domains import FLOW_TOP, unscaled, unscaled_sigma
from artc.models.score_model import Fields, Latents, Probe, ScoreModel
from artc.sampling.grids import edm_free

from .peer import Finder, Found, check, finished

INTERVALS, NOISES = 100, 32


def oss(model: ScoreModel, seed: int, *, noises: int = NOISES, intervals: int = INTERVALS) -> Finder:
    """The finder of a model; a grid of K steps takes `noises` (G + 1 + the sum of G - k for 0 < k < K) calls.

    It raises BudgetError for more steps than intervals.
    """
    plain = unscaled(model)
    probe = Probe(plain)
    rows: list[Row] = []

    def find(solver: str, steps: int) -> Found:
        check(solver, steps)
        if steps > intervals:
            raise BudgetError(f"OSS finds at most {intervals} steps among as many intervals, not {steps}.")
        if not rows:
            rows.append(first_row(probe, plain.latents(noises, seed), candidates(model.info, intervals)))
        while len(rows) < steps:
            rows.append(next_row(probe, rows[-1]))
        sigmas = finished(rows[0].levels[path_of(rows[:steps])], model.info)
        taken = rows[steps - 1]
        return Found(sigmas=sigmas, calls=taken.calls, seconds=taken.seconds)

    return find


def candidates(info: ModelInfo, intervals: int) -> NDArray[np.float64]:
    """G + 1 unscaled sigmas from sigma_max to 0."""
    if info.domain == "flow":
        return unscaled_sigma(np.linspace(min(info.sigma_max, FLOW_TOP), 0.0, intervals + 1), info.domain)
    return edm_free(intervals, info.sigma_min, info.sigma_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All nodes reached by k steps.

    Attributes:
        levels: `(G + 1,)` sigmas of the nodes.
        states: `(n, G + 1, d)` where k steps reach each of them.
        before: `(G + 1,)` the node each was reached from; -1 where k steps do not reach.
        errors: `(G + 1,)` the mean square between these states and the teacher's.
        latents: the noises, and their `teacher (n, G + 1, d)`.
        steps: k.
        calls: network calls for this row and those before, the teacher's among them; `seconds` likewise.
    """

    levels: NDArray[np.float64]
    states: Tensor
    before: NDArray[np.intp]
    latents: Latents
    teacher: Tensor
    errors: NDArray[np.float64]
    calls: int
    seconds: float
    steps: int = 1


def first_row(probe: Probe, latents: Latents, levels: NDArray[np.float64]) -> Row:
    """Walk the teacher, whose first slope also reaches every node by one step."""
    began = time.perf_counter()
    nodes = torch.as_tensor(levels.copy(), dtype=torch.float64, device=latents.noise.device)
    x = latents.noise.flatten(1) * nodes[0]
    states = [x]
    reached = x[:, None]
    for i in range(len(levels) - 1):
        slope = _slopes(probe.on, latents, x[:, None], nodes[i : i + 1])[:, 0]
        if i == 0:
            reached = x[:, None] + (nodes - nodes[0])[None, :, None] * slope[:, None]
        x = x + (nodes[i + 1] - nodes[i]) * slope
        states.append(x)
    teacher = torch.stack(states, dim=1)
    before = np.zeros(len(levels), dtype=np.intp)
    before[0] = -1
    return Row(
        levels=levels,
        states=reached,
        before=before,
        latents=latents,
        teacher=teacher,
        errors=(reached - teacher).square().mean(dim=(0, 2)).cpu().numpy(),
        calls=probe.calls,
        seconds=time.perf_counter() - began,
    )


def next_row(probe: Probe, row: Row) -> Row:
    """One step more: from every node that k steps reach but the last, to every node below it."""
    began, calls = time.perf_counter(), probe.calls
    nodes = torch.as_tensor(row.levels.copy(), dtype=torch.float64, device=row.states.device)
    last = len(row.levels) - 1
    from_nodes = slice(row.steps, last)
    states = row.states[:, from_nodes]
    slopes = _slopes(probe.on, row.latents, states, nodes[from_nodes])
    reached, before, errors = row.states.clone(), np.full(last + 1, -1, dtype=np.intp), np.full(last + 1, np.inf)
    for j in range(row.steps + 1, last + 1):
        count = j - row.steps
        some = states[:, :count] + (nodes[j] - nodes[from_nodes][:count])[None, :, None] * slopes[:, :count]
        missed = (some - row.teacher[:, j : j + 1]).square().mean(dim=(0, 2))
        best = int(missed.argmin())
        reached[:, j], before[j], errors[j] = some[:, best], row.steps + best, float(missed[best])
    return Row(
        levels=row.levels,
        states=reached,
        before=before,
        latents=row.latents,
        teacher=row.teacher,
        errors=errors,
        calls=row.calls + probe.calls - calls,
        seconds=row.seconds + time.perf_counter() - began,
        steps=row.steps + 1,
    )


def _slopes(fields: Fields, latents: Latents, states: Tensor, levels: Tensor) -> Tensor:
    """(x - D(x; t)) / t of states `(n, m, d)` at their own levels `(m,)`."""
    shape, found, done = latents.noise.shape[1:], [], 0
    for some in latents.split():
        ours = states[done : done + len(some)]
        field_of = fields(some.labels)
        denoised = [
            field_of(ours[:, place].reshape(len(some), *shape), float(level)).flatten(1)
            for place, level in enumerate(levels)
        ]
        found.append((ours - torch.stack(denoised, dim=1)) / levels[None, :, None])
        done += len(some)
    return torch.cat(found)


def path_of(rows: list[Row]) -> list[int]:
    """The K + 1 nodes by which the last of K rows reaches the last node."""
    path = [len(rows[-1].levels) - 1]
    for row in reversed(rows):
        path.append(int(row.before[path[-1]]))
    return path[::-1]
