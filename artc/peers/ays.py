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
among them, evenly spaced in ln sigma and in each sweep closer by. It stops early, at the grid that does best on a table
of other paths. The last node, sigma_min, becomes 0: see `artc.peers.peer`. For Gaussian data its optimum is arctan,
`artc.peers.kl_optimal`.

Source: Sabour et al. 2404.14507 (AYS), section 3 and appendix B.1, from its description.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from artc.models.domains import unscaled
from artc.models.score_model import Fields, Latents, Probe, ScoreModel

from .peer import Finder, Found, check, finished, rho_nodes, teacher_ends, unit_noise

Array = NDArray[np.float64]

PATHS, LEVELS = 256, 64
CANDIDATES, SWEEPS, PATIENCE, SHRINK = 11, 40, 4, 0.85
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


def ays(model: ScoreModel, seed: int, *, paths: int = PATHS, levels: int = LEVELS) -> Finder:
    """The finder of a model: `paths` (63 + `levels`) calls at its first grid, and none after that."""
    plain = unscaled(model)
    info = plain.info

    @cache
    def tables() -> tuple[Klub, Klub, int, float]:
        began, probe = time.perf_counter(), Probe(plain)
        searched, watched = klub_tables(probe.on, plain.latents(paths, seed), rho_nodes(levels, info)[::-1], seed)
        return searched, watched, probe.calls, time.perf_counter() - began

    @cache
    def search(steps: int) -> tuple[Array, float]:
        began = time.perf_counter()
        searched, watched, _, _ = tables()
        return lowered(rho_nodes(steps + 1, info), searched, watched), time.perf_counter() - began

    def find(solver: str, steps: int) -> Found:
        check(solver, steps)
        _, _, calls, seconds = tables()
        planned, more = search(steps)
        return Found(sigmas=finished(planned, model.info), calls=calls, seconds=seconds + more)

    return find


def klub_tables(fields: Fields, latents: Latents, levels: Array, seed: int) -> tuple[Klub, Klub]:
    """The tables of the first half of the paths, to search with, and of the second, to watch."""
    half = len(latents) // 2
    generator = torch.Generator().manual_seed(seed)
    sums = np.zeros((2, len(levels), len(levels)))
    done = 0
    for some in latents.split():
        squares = _changes(fields, some, levels, generator)
        first = min(max(half - done, 0), len(some))
        sums[0] += squares[:first].sum(axis=0)
        sums[1] += squares[first:].sum(axis=0)
        done += len(some)
    sums /= np.array([half, len(latents) - half])[:, None, None]
    return Klub(levels=levels, ratio=_ratio(sums[0], levels)), Klub(levels=levels, ratio=_ratio(sums[1], levels))


def _changes(fields: Fields, latents: Latents, levels: Array, generator: torch.Generator) -> Array:
    """|D - D'|^2 / d of each path between all levels, `(B, M, M)`."""
    field = fields(latents.labels)
    x, before, denoised = teacher_ends(fields, latents, levels[0], levels[-1]), 0.0, []
    for level in levels.tolist():
        x = x + (level**2 - before**2) ** 0.5 * unit_noise(x, generator)
        denoised.append(field(x, level).flatten(1))
        before = level
    values = torch.stack(denoised, dim=1)
    size = values.shape[-1]
    return torch.stack([(values - one[:, None]).square().sum(dim=-1) / size for one in denoised], 1).cpu().numpy()


def _ratio(squares: Array, levels: Array) -> Array:
    """R from g. On the diagonal and below, where there is none, that of the nearest pair above."""
    t, u = levels[:, None], levels[None, :]
    above_diagonal = t < u
    ratio = np.where(above_diagonal, squares, 0.0) / np.where(above_diagonal, gaussian_change(t, u), 1.0)
    for row in range(len(levels)):
        ratio[row, : row + 1] = ratio[row, min(row + 1, len(levels) - 1)]
    ratio[-1] = ratio[-2]  # t at the highest level: there is no u above
    return ratio


def lowered(grid: Array, searched: Klub, watched: Klub) -> Array:
    """Sweep the interior nodes of a grid down to sigma_min; the one with the least KLUB on the watched table."""
    present, best = grid.copy(), grid.copy()
    least, reach, waited = watched.total(grid), 1.0, 0
    for _ in range(SWEEPS):
        for k in range(1, len(grid) - 1):
            tried = _candidates(present[k - 1], present[k], present[k + 1], reach)
            costs = searched(tried, np.full_like(tried, present[k - 1]))
            costs += searched(np.full_like(tried, present[k + 1]), tried)
            present[k] = tried[int(costs.argmin())]
        found = watched.total(present)
        waited = 0 if found < least else waited + 1
        if found < least:
            best, least = present.copy(), found
        if waited >= PATIENCE:
            break
        reach *= SHRINK
    return best


def _candidates(high: float, node: float, low: float, reach: float) -> Array:
    """Eleven sigmas between two neighbours, the present one in their middle, evenly spaced in ln sigma on each side."""
    side = reach * np.arange(1, CANDIDATES // 2 + 1) / (CANDIDATES // 2 + 1)
    return np.concatenate([node * (high / node) ** side[::-1], [node], node * (low / node) ** side])
