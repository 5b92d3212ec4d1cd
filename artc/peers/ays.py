"""AYS: an upper bound on how far a linearised SDE ends from the true one, lowered node by node.

An SDE solver that keeps the denoised value of node u over its interval down to l is away from the true process by no
more than, up to a factor,

    KLUB = sum over intervals of  int_l^u t^-3 g(t, u) dt,        g(t, u) = E |D(x_t; t) - D(x_u; u)|^2,

with x_t = x0 + t n and x_u = x_t + sqrt(u^2 - t^2) n'. As in the paper g is measured as a multiple of what Gaussian
data of deviation c = 0.5 has,

    g(t, u) = R(t, u) (1 / (t^2 + c^2) - 1 / (u^2 + c^2)),

so that R varies little. Samples x0 are those of a teacher: no data is asked for.

The paper draws new x0, t and noise for each candidate, some million calls a sweep. Here x_t of each x0 is one Brownian
path, so every pair of its levels has the right joint law: M levels take M calls a path, g is then known for all pairs,
and R is read between them bilinearly in (ln t, ln u). One table serves all budgets, and its candidates are compared on
common random numbers.

The search is the paper's: sweeps over the interior nodes from Karras' curve, 11 candidates a node and the present one
among them, evenly spaced in ln sigma. The least KLUB itself is a worse grid than what is met on the way there, and the
authors stop early, by how samples look. Here of the grids after each sweep, the first one among them, the one is taken
with which the solver ends nearest to the teacher on noises of its own. The last node, sigma_min, becomes 0: see
`artc.peers.peer`.

Source: Sabour et al. 2404.14507 (AYS), section 3 and appendix B.1, from its description.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.models.domains import unscaled
from artc.models.score_model import Field, Fields, Latents, Probe, ScoreModel
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample

from .peer import Finder, Found, check, finished, rho_nodes, teacher_ends, unit_noise

Array = NDArray[np.float64]

PATHS, LEVELS = 256, 64
CANDIDATES, SWEEPS, PATIENCE = 11, 30, 5
REACH = 0.5
"""Of the way to the neighbouring nodes, where the candidates of a sweep end."""
C = 0.5
POINTS = 48
"""Of the quadrature in ln t over one interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Klub:
    """R at pairs of levels: `levels (M,)` increasing, `ratio (M, M)` at `[t, u]`, meaningful for t < u."""

    levels: Array
    ratio: Array

    def __call__(self, low: Array, high: Array) -> Array:
        """The part of KLUB of each interval from `high` down to `low`, both `(n,)`: the trapezium rule in ln t."""
        place = np.linspace(0.0, 1.0, POINTS)
        log_t = np.log(low)[:, None] + place * np.log(high / low)[:, None]
        t, u = np.exp(log_t), high[:, None]
        values = t**-2 * gaussian_change(t, u) * self._read(log_t, np.log(u))
        found: Array = (0.5 * (values[:, 1:] + values[:, :-1]) * np.diff(log_t)).sum(axis=1)
        return found

    def total(self, grid: Array) -> float:
        """KLUB of a whole grid down to sigma_min."""
        return float(self(grid[1:], grid[:-1]).sum())

    def _read(self, log_t: Array, log_u: Array) -> Array:
        """R between the levels, bilinear in the logarithms of both."""
        known = np.log(self.levels)
        row, right = _places(known, log_t)
        column, upper = _places(known, log_u)
        table = self.ratio
        lower_part = (1 - right) * table[row, column] + right * table[row + 1, column]
        upper_part = (1 - right) * table[row, column + 1] + right * table[row + 1, column + 1]
        read: Array = (1 - upper) * lower_part + upper * upper_part
        return read


def _places(known: Array, wanted: Array) -> tuple[NDArray[np.intp], Array]:
    index = np.clip(np.searchsorted(known, wanted, side="right") - 1, 0, len(known) - 2)
    return index, np.clip((wanted - known[index]) / (known[index + 1] - known[index]), 0.0, 1.0)


def gaussian_change(t: Array, u: Array) -> Array:
    """1 / (t^2 + c^2) - 1 / (u^2 + c^2) for t <= u, without loss of digits where they are close."""
    change: Array = (u - t) * (u + t) / ((t * t + C * C) * (u * u + C * C))
    return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The table; half of its noises and where the teacher ends from them, to stop by; and what they took."""

    klub: Klub
    latents: Latents
    ends: Tensor
    calls: int
    seconds: float


def prepare(model: ScoreModel, seed: int, *, paths: int = PATHS, levels: int = LEVELS) -> Finder:
    """The finder of a model: `paths` (63 + `levels`) calls at first, and walks of half of them for each grid."""
    plain = unscaled(model)
    info = plain.info

    @cache
    def prepared() -> Prepared:
        began, probe, latents = time.perf_counter(), Probe(plain), plain.latents(paths, seed)
        ends = teacher_ends(probe.on, latents, info.sigma_min, info.sigma_max)
        klub = klub_table(probe.on, latents, ends, rho_nodes(levels, info)[::-1], seed)
        watched = latents.first(max(2, paths // 2))
        return Prepared(
            klub=klub,
            latents=watched,
            ends=ends[: len(watched)],
            calls=probe.calls,
            seconds=time.perf_counter() - began,
        )

    def find(solver: str, steps: int) -> Found:
        check(solver, steps)
        known, began, probe = prepared(), time.perf_counter(), Probe(model)

        def error(sigmas: tuple[float, ...]) -> float:
            reached = sample(probe.on, known.latents, sigmas, find_solver(solver))
            return float((reached - known.ends).square().mean())

        best = finished(rho_nodes(steps + 1, info), model.info)
        if steps > 1:
            least, waited = error(best), 0
            for swept in sweeps(rho_nodes(steps + 1, info), known.klub):
                sigmas = finished(swept, model.info)
                found = error(sigmas)
                best, waited = (sigmas, 0) if found < least else (best, waited + 1)
                least = min(least, found)
                if waited >= PATIENCE:
                    break
        seconds = known.seconds + time.perf_counter() - began
        return Found(sigmas=best, calls=known.calls + probe.calls, shared=known.calls, seconds=seconds)

    return find


def klub_table(fields: Fields, latents: Latents, clean: Tensor, levels: Array, seed: int) -> Klub:
    """The table of samples `clean (n, *S)`, each on a path of its own, and of the labels that they came with."""
    generator = torch.Generator().manual_seed(seed)
    total, done = np.zeros((len(levels), len(levels))), 0
    for some in latents.split():
        total += _changes(fields(some.labels), clean[done : done + len(some)], levels, generator)
        done += len(some)
    return Klub(levels=levels, ratio=_ratio(total / done, levels))


def _changes(field: Field, x: Tensor, levels: Array, generator: torch.Generator) -> Array:
    """The sum over the paths of |D - D'|^2 / d between all levels, `(M, M)`."""
    before, denoised = 0.0, []
    for level in levels.tolist():
        x = x + (level**2 - before**2) ** 0.5 * unit_noise(x, generator)
        denoised.append(field(x, level).flatten(1))
        before = level
    values = torch.stack(denoised)
    size = values.shape[-1]
    found: Array = torch.stack([(values - one).square().sum(dim=(1, 2)) / size for one in denoised]).cpu().numpy()
    return found


def _ratio(squares: Array, levels: Array) -> Array:
    """R from g. On the diagonal and below, where there is none, that of the nearest pair above."""
    t, u = levels[:, None], levels[None, :]
    above_diagonal = t < u
    ratio = np.where(above_diagonal, squares, 0.0) / np.where(above_diagonal, gaussian_change(t, u), 1.0)
    for row in range(len(levels)):
        ratio[row, : row + 1] = ratio[row, min(row + 1, len(levels) - 1)]
    ratio[-1] = ratio[-2]  # t at the highest level: there is no u above
    return ratio


def sweeps(grid: Array, klub: Klub, count: int = SWEEPS) -> Iterator[Array]:
    """Sweep the interior nodes of a grid down to sigma_min, yielding it after each; every one has a lower KLUB."""
    present = grid.copy()
    for sweep in range(count):
        # Half of the sweeps with wide eyes, then closer and closer: a node must be able to settle.
        reach = REACH * min(1.0, 2.0 ** (count / 2 - sweep))
        for k in range(1, len(grid) - 1):
            tried = _candidates(present[k - 1], present[k], present[k + 1], reach)
            costs = klub(tried, np.full_like(tried, present[k - 1]))
            costs += klub(np.full_like(tried, present[k + 1]), tried)
            present[k] = tried[int(costs.argmin())]
        yield present.copy()


def _candidates(high: float, node: float, low: float, reach: float) -> Array:
    """Eleven sigmas between two neighbours, the present one in their middle, evenly spaced in ln sigma on each side."""
    side = reach * np.arange(1, CANDIDATES // 2 + 1) / (CANDIDATES // 2 + 1)
    return np.concatenate([node * (high / node) ** side[::-1], [node], node * (low / node) ** side])
