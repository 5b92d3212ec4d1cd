"""OSS: the K steps that end nearest to a teacher, by dynamic programming over the states they really reach.

The teacher is Euler through all G intervals of a fine grid; the ways to its states are those of
`artc.sampling.reaching`. So unlike in GITS errors are carried on, at K calls for each node in place of one. Solvers
that ask again on their way, such as Heun's, would need G^2 / 2 calls a row; they take the grid found for Euler, as it
is.

Node 0 is sigma_max and node G is exactly 0, as the last interval of all grids of artc; K steps are exactly K, with no
shorter way inherited. The mean is over a batch of noises, which share their grid: it is the error that is judged, where
the authors' median of a grid for each image would be the best of none. Row k of a table has the grid of k steps.

The candidates of a flow model are uniform in its own sigma, those of another lie on Karras' curve, G = 100 intervals.

Source: Pei et al. 2503.21774 (OSS), algorithm 1, from its description.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artc.artifact import BUDGETS, ModelInfo
from artc.errors import BudgetError
from artc.models.domains import FLOW_TOP, unscaled, unscaled_sigma
from artc.models.score_model import Fields, Latents, Probe, ScoreModel
from artc.sampling.grids import edm_free
from artc.sampling.reaching import Path, Row, first_row, next_row, path_through
from artc.sampling.solvers import find_solver

from .peer import Finder, Found, check, finished

INTERVALS, NOISES = 100, 32
EULER = find_solver("euler")


@dataclass(slots=True, kw_only=True)
class Table:
    """The last row of one solver; for every k so far the path to the last node, and what the rows up to it took."""

    row: Row
    paths: list[tuple[int, ...]]
    calls: list[int]
    seconds: list[float]


def prepare(model: ScoreModel, seed: int, *, noises: int = NOISES, intervals: int = INTERVALS) -> Finder:
    """The finder of a model; a grid of K steps takes `noises` (G + 1 + the sum of G - k for 0 < k < K) calls.

    It raises BudgetError for more steps than intervals.
    """
    plain = unscaled(model)
    probe = Probe(plain)
    tables: dict[str, Table] = {}
    taught: list[tuple[Path, int, float]] = []

    def find(solver: str, steps: int) -> Found:
        check_intervals(solver, steps, intervals)
        if not taught:
            began = time.perf_counter()
            teacher = walked(probe.on, plain.latents(noises, seed), candidates(model.info, intervals))
            taught.append((teacher, probe.calls, time.perf_counter() - began))
        teacher, first_calls, first_seconds = taught[0]
        rule = find_solver(solver if BUDGETS[solver].calls_per_step == 1 else "euler")
        if rule.name not in tables:
            tables[rule.name] = Table(row=first_row(teacher), paths=[()], calls=[first_calls], seconds=[first_seconds])
        table = tables[rule.name]
        while len(table.paths) <= steps:
            before, began = probe.calls, time.perf_counter()
            table.row = next_row(probe.on, rule, teacher, table.row)
            table.paths.append(table.row[intervals].path)
            table.calls.append(table.calls[-1] + probe.calls - before)
            table.seconds.append(table.seconds[-1] + time.perf_counter() - began)
        sigmas = [teacher.levels[node] for node in table.paths[steps]]
        calls, seconds = table.calls[steps], table.seconds[steps]
        return Found(sigmas=finished(sigmas, model.info), calls=calls, shared=calls, seconds=seconds)

    return find


def check_intervals(solver: str, steps: int, intervals: int = INTERVALS) -> None:
    """Raise what `check` raises, and BudgetError for more steps than intervals."""
    check(solver, steps)
    if steps > intervals:
        raise BudgetError(f"OSS finds at most {intervals} steps among as many intervals, not {steps}.")


def candidates(info: ModelInfo, intervals: int) -> NDArray[np.float64]:
    """G + 1 unscaled sigmas from sigma_max to 0."""
    if info.domain == "flow":
        return unscaled_sigma(np.linspace(min(info.sigma_max, FLOW_TOP), 0.0, intervals + 1), info.domain)
    return edm_free(intervals, info.sigma_min, info.sigma_max)


def walked(fields: Fields, latents: Latents, levels: NDArray[np.float64]) -> Path:
    """The teacher: Euler through all nodes."""
    return path_through(fields, latents, levels.tolist(), EULER)
