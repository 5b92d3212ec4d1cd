"""GITS: where Euler's shots leave a teacher's trajectory, and the path of least cost through its nodes.

W trajectories are walked once through G = 61 nodes of Karras' grid by iPNDM of order 4, keeping the state X_i and the
slope d_i = (X_i - D(X_i; t_i)) / t_i at every node. A jump from node i to node j > i is judged by Euler's shot

    Y_ij = X_i + (t_j - t_i) d_i.

With dev(z) the distance of z from the straight line through X_0 and X_{G-1} of its own trajectory, it costs

    c_ij = mean over trajectories of dev(Y_ij) - dev(X_j),        dev(X_{G-1}) = 0,

signed: a shot may end nearer to the line than the trajectory is. Dynamic programming then finds K jumps,

    V_i(1) = c_{i,G-1},        V_i(k) = min over j > i of c_ij + gamma V_j(k - 1),

where gamma = 1.15 weighs what is still to come, and moves the nodes towards 0. One matrix of W (G - 1) calls serves
every K, and whatever the solver is. The last node, sigma_min, becomes 0: see `artc.peers.peer`.

A shot is a straight line too, so dev(Y_ij)^2 = |p_i + (t_j - t_i) q_i|^2 with p_i and q_i what X_i - X_0 and d_i have
across the line: three inner products a node in place of a shot for each pair of nodes. Data of one dimension is never
off its line, and all paths cost the same: the method is for more dimensions.

Source: Chen et al. 2405.11326 (GITS), from its description; its default cost `dev`, G, W, and gamma for small images.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.errors import BudgetError
from artc.models.domains import unscaled
from artc.models.score_model import Fields, Latents, Probe, ScoreModel
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import walk

from .peer import Finder, Found, check, finished, rho_nodes

NODES, NOISES, GAMMA = 61, 256, 1.15
TEACHER = find_solver("ipndm_4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The matrix `(G, G)` above its diagonal, infinite elsewhere, and what it took."""

    matrix: NDArray[np.float64]
    calls: int
    seconds: float


def prepare(model: ScoreModel, seed: int, *, noises: int = NOISES, nodes: int = NODES, gamma: float = GAMMA) -> Finder:
    """The finder of a model: `noises` (`nodes` - 1) calls at its first grid, and none after that.

    It raises BudgetError for more steps than there are intervals between the nodes.
    """
    plain = unscaled(model)
    levels = rho_nodes(nodes, plain.info)

    @cache
    def costs() -> Costs:
        began, probe = time.perf_counter(), Probe(plain)
        matrix = cost_matrix(probe.on, plain.latents(noises, seed), levels)
        return Costs(matrix=matrix, calls=probe.calls, seconds=time.perf_counter() - began)

    def find(solver: str, steps: int) -> Found:
        check_nodes(solver, steps, nodes)
        known, began = costs(), time.perf_counter()
        sigmas = finished(levels[cheapest_path(known.matrix, steps, gamma)], model.info)
        seconds = known.seconds + time.perf_counter() - began
        return Found(sigmas=sigmas, calls=known.calls, shared=known.calls, seconds=seconds)

    return find


def check_nodes(solver: str, steps: int, nodes: int = NODES) -> None:
    """Raise what `check` raises, and BudgetError for more steps than there are intervals between the nodes."""
    check(solver, steps)
    if steps >= nodes:
        raise BudgetError(f"GITS finds at most {nodes - 1} steps on {nodes} nodes, not {steps}.")


def cost_matrix(fields: Fields, latents: Latents, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """c_ij for all i < j of the nodes, `(G, G)`, infinite elsewhere."""
    total = torch.zeros(len(levels), len(levels), dtype=torch.float64)
    for some in latents.split():
        total += _cost_of(fields, some, levels) * (len(some) / len(latents))
    above_diagonal = np.triu(np.ones(total.shape, dtype=bool), 1)
    return np.where(above_diagonal, total.numpy(), np.inf)


def _cost_of(fields: Fields, latents: Latents, levels: NDArray[np.float64]) -> Tensor:
    nodes = levels.tolist()
    states, slopes = [latents.noise * nodes[0]], []
    for visit in walk(fields(latents.labels), states[0], nodes, TEACHER):
        slopes.append((states[-1] - visit.denoised) / visit.sigma)
        states.append(visit.x)
    start = states[0].flatten(1)
    line = states[-1].flatten(1) - start
    line = line / line.norm(dim=1, keepdim=True)

    def across(z: Tensor) -> Tensor:
        part: Tensor = z - (z * line).sum(dim=1, keepdim=True) * line
        return part

    level = torch.as_tensor(nodes, dtype=torch.float64, device=start.device)
    away = torch.stack([across(x.flatten(1) - start).norm(dim=1) for x in states])  # (G, B)
    away[-1] = 0.0
    costs = torch.zeros(len(nodes), len(nodes), dtype=torch.float64)
    for i, slope in enumerate(slopes):
        p, q = across(states[i].flatten(1) - start), across(slope.flatten(1))
        jump = (level - level[i])[:, None]  # (G, 1)
        square = p.square().sum(1) + 2 * jump * (p * q).sum(1) + jump.square() * q.square().sum(1)
        costs[i] = (square.clamp(min=0.0).sqrt() - away).mean(dim=1).cpu()
    return costs


def cheapest_path(costs: NDArray[np.float64], steps: int, gamma: float) -> list[int]:
    """The nodes of the cheapest path of K jumps from the first to the last, K + 1 of them; K < G."""
    to_go, choices = costs[:, -1], []
    for _ in range(steps - 1):
        through = costs + gamma * to_go
        choices.append(through.argmin(axis=1))
        to_go = through.min(axis=1)
    path = [0]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return [*path, len(costs) - 1]
