"""DMN, also StepOptim: nodes chosen from the weights that a multistep solver gives to its denoised values; no network.

In lambda = -ln sigma a solver of order k computes, from node n to node n + 1,

    x_{n+1} / sigma_{n+1} = x_n / sigma_n + sum over i of w_{n,i} D_i,    w_{n,i} = int e^lambda l_i(lambda) dlambda,

the integral from lambda_n to lambda_{n+1}, l_i the Lagrange polynomials through its last k nodes. If D_i errs by
sigma_i^p, with p = 1 for pixels and p = 2 for latents, the end errs by no more than

    J = sum over i of sigma_i^p |sum over n of w_{n,i}|.

With at most six steps the first three are charged step by step instead, by the root of sum over i of
(sigma_i^p w_{n,i})^2: of so few steps the sums alone are met by nodes that lie on top of each other.

The order is 1 in the first and the last step, 2 in the second and the second to last, and 3 between, and never above
that of the solver the grid is for. The ends are sigma_max and sigma_min, and the last becomes 0: see
`artc.peers.peer`. Every interval is at least half of the mean one: the least J of all has the last nodes on top of
each other. The authors minimise with SciPy; here the intervals are a softmax, which keeps all constraints by
construction, and L-BFGS, on |z| rounded to sqrt(z^2 + round^2) less and less, starts from a uniform lambda and from
three curves that others use.

Source: Xue et al. 2402.17376 (DMN), from its description, and its authors' advice on the first three steps.
"""

from __future__ import annotations

import math
import time
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.models.domains import unscaled
from artc.models.score_model import ScoreModel
from artc.sampling.grids import edm
from artc.sampling.solvers import find_solver

from .kl_optimal import arctan_grid
from .peer import Finder, Found, check, finished

LEAST_GAP = 0.5
"""Of the mean interval."""
ROUNDING = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0)


def prepare(model: ScoreModel, seed: int, *, power: float = 1.0) -> Finder:
    """The finder of a model; it makes no call, and the seed plays no part."""
    del seed
    info = unscaled(model).info

    @cache
    def nodes(steps: int, order: int) -> NDArray[np.float64]:
        return best_nodes(info.sigma_min, info.sigma_max, steps, order, power)

    def find(solver: str, steps: int) -> Found:
        check(solver, steps)
        began = time.perf_counter()
        planned = nodes(steps, min(3, find_solver(solver).order))
        return Found(sigmas=finished(planned, model.info), calls=0, seconds=time.perf_counter() - began)

    return find


def best_nodes(sigma_min: float, sigma_max: float, steps: int, order: int, power: float = 1.0) -> NDArray[np.float64]:
    """The K + 1 sigmas from sigma_max to sigma_min that minimise J, with intervals not below the least."""
    top, bottom = -math.log(sigma_max), -math.log(sigma_min)
    floor = LEAST_GAP / steps

    def nodes(logits: Tensor) -> Tensor:
        shares = floor + (1.0 - steps * floor) * logits.softmax(dim=0)
        inner = top + (bottom - top) * shares.cumsum(dim=0)[:-1]
        ends = torch.tensor([top, bottom], dtype=torch.float64)
        return torch.cat([ends[:1], inner, ends[1:]])

    best, least = nodes(torch.zeros(steps, dtype=torch.float64)), math.inf
    if steps == 1:
        return best.neg().exp().numpy()
    for start in _starts(sigma_min, sigma_max, steps):
        shares = torch.from_numpy(np.diff(-np.log(start)) / (bottom - top))
        logits = ((shares - floor).clamp(min=1e-3 / steps)).log().requires_grad_()
        for rounding in ROUNDING:
            optimizer = torch.optim.LBFGS([logits], max_iter=25, line_search_fn="strong_wolfe")

            def closure(logits: Tensor = logits, rounding: float = rounding) -> Tensor:
                logits.grad = None
                # Its logarithm: J is large where the nodes are bad, and a line search likes numbers of order one.
                cost = error_bound(nodes(logits), order, power, rounding).log()
                cost.backward()
                return cost

            optimizer.step(closure)
            with torch.no_grad():
                found = nodes(logits)
                cost = float(error_bound(found, order, power))
            if cost < least:
                best, least = found, cost
    return best.neg().exp().numpy()


def _starts(sigma_min: float, sigma_max: float, steps: int) -> list[NDArray[np.float64]]:
    """Whole grids down to sigma_min: uniform in lambda, Karras' curve, and two of arctangents."""
    tails = [arctan_grid(steps, sigma_max, c) for c in (0.5, 2.0)]
    return [
        np.geomspace(sigma_max, sigma_min, steps + 1),
        edm(steps + 1, sigma_min, sigma_max)[:-1],
        *(np.append(np.maximum(tail[:-1], 2 * sigma_min), sigma_min) for tail in tails),
    ]


def error_bound(nodes: Tensor, order: int, power: float = 1.0, rounding: float = 0.0) -> Tensor:
    """J of K + 1 nodes lambda, increasing; a number with a gradient. With `rounding` it has no corners."""
    steps = len(nodes) - 1
    apart = 3 if steps <= 6 else 0
    error = (-power * nodes[:-1]).exp()
    received: list[list[Tensor]] = [[] for _ in range(steps)]
    cost = torch.zeros((), dtype=torch.float64)
    for n in range(steps):
        weights = lagrange_weights(nodes, n, min(order, ramp(n, steps)))
        if n < apart:
            charged = torch.stack([error[n - back] * weight for back, weight in enumerate(weights)])
            cost = cost + charged.norm()
            continue
        for back, weight in enumerate(weights):
            received[n - back].append(weight)
    for i, some in enumerate(received):
        if some:
            charge = error[i] * torch.stack(some).sum()
            cost = cost + (torch.hypot(charge, charge.new_tensor(rounding)) if rounding else charge.abs())
    return cost


def ramp(n: int, steps: int) -> int:
    """The order of step n of K: 1, 2, 3, ..., 3, 2, 1."""
    return min(n + 1, steps - n, 3)


def lagrange_weights(nodes: Tensor, n: int, order: int) -> list[Tensor]:
    """w_{n,n}, w_{n,n-1}, ... of a step of order 1, 2 or 3 from node n.

    With s = lambda - lambda_n and h the interval, the moments are
    M_0 = e^h - 1, M_1 = h e^h - M_0, M_2 = h^2 e^h - 2 M_1, all times e^lambda_n.
    """
    h, scale = nodes[n + 1] - nodes[n], nodes[n].exp()
    zeroth = h.expm1()
    if order == 1:
        return [scale * zeroth]
    first = h * h.exp() - zeroth
    a = nodes[n - 1] - nodes[n]
    if order == 2:
        return [scale * (zeroth - first / a), scale * first / a]
    second = h * h * h.exp() - 2 * first
    b = nodes[n - 2] - nodes[n]
    return [
        scale * (second - (a + b) * first + a * b * zeroth) / (a * b),
        scale * (second - b * first) / (a * (a - b)),
        scale * (second - a * first) / (b * (b - a)),
    ]
