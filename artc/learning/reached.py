"""Grids that end nearest to a fine path, by what a solver really reaches on it, for every number of steps at once.

The candidates for nodes are G + 1 sigmas at equal increments of the learned clock: where a step is worth taking. A few
noises are walked through all of them, and `artc.sampling.reaching` finds the ways to their end: row k of its table is
a grid of k steps. A table serves all budgets of a solver, at about `NODES` calls of a sample for each step of the
longest.

A solver that asks at the end of a step too is asked for each pair of nodes: it gets every third of the candidates and
half of the noises, and the matching that follows makes up for it. One that asks between the nodes gets no grid.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from artc.artifact import BUDGETS
from artc.models.score_model import Fields, Latents
from artc.progress import Progress
from artc.sampling.reaching import Path, first_row, next_row, path_through
from artc.sampling.solvers import SOLVERS, find_solver

NODES = 64
"""Intervals of the fine path, the last of them to 0."""

THINNED = (*range(0, NODES, 3), NODES)
"""The nodes that are left for a solver that asks twice in a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Grids of 1, 2, ... steps, unscaled, by the solver's name."""

    found: Mapping[str, tuple[tuple[float, ...], ...]]

    def sigmas(self, solver: str, steps: int) -> tuple[float, ...] | None:
        """The grid of K steps, from sigma_max to 0; None where there is none."""
        grids = self.found.get(solver, ())
        return grids[steps - 1] if steps <= len(grids) else None


def reachable(steps: Mapping[str, int]) -> dict[str, int]:
    """Those of the solvers, each with its most steps, that grids are sought for."""
    return {
        name: min(most, NODES if BUDGETS[name].calls_per_step == 1 else len(THINNED) - 1)
        for name, most in steps.items()
        if not BUDGETS[name].between_nodes
    }


def reaching_calls(steps: Mapping[str, int], noises: int) -> int:
    """Calls that it takes on so many noises."""
    wanted, pairs = reachable(steps), len(THINNED) - 2
    calls = noises * NODES if wanted else 0
    for name, most in wanted.items():
        if BUDGETS[name].calls_per_step == 1:
            calls += noises * (1 + sum(NODES - k for k in range(1, most)))
        else:
            rows = [sum(range(1, pairs + 3 - k)) for k in range(2, most + 1)]
            calls += noises // 2 * (1 + pairs + sum(rows))
    return calls


def reach(
    fields: Fields, latents: Latents, levels: Sequence[float], steps: Mapping[str, int]
) -> Generator[Progress, None, Reached]:
    """Find the grids of these solvers, each up to a number of steps, yielding progress in nodes and rows.

    Args:
        fields: unscaled.
        latents: a few noises.
        levels: `NODES` + 1 sigmas from sigma_max to 0.
    """
    wanted = reachable(steps)
    done, total = 0, len(levels) + sum(wanted.values())
    yield Progress(done=done, total=total)
    path = path_through(fields, latents, levels, SOLVERS["dpmpp_2m"])
    done += len(levels)
    found = {}
    for name, most in wanted.items():
        along = path if BUDGETS[name].calls_per_step == 1 else thinned(path)
        row, grids = first_row(along), []
        for _ in range(most):
            row = next_row(fields, find_solver(name), along, row)
            grids.append(tuple(along.levels[node] for node in row[len(along.levels) - 1].path))
            done += 1
            yield Progress(done=done, total=total)
        found[name] = tuple(grids)
    return Reached(found=found)


def thinned(path: Path) -> Path:
    """Every third node, and the first half of the noises."""
    count = len(path.latents) // 2
    return Path(
        levels=tuple(path.levels[node] for node in THINNED),
        latents=path.latents.first(count),
        states=tuple(path.states[node][:count] for node in THINNED),
    )
