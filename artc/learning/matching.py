"""End-point matching: move the nodes of one grid until few steps end where many would.

The surrogate counts local errors of Euler's steps. What is wanted in the end is known, whatever the solver: with x_i(u)
what K steps make of noise i, x*_i its end point on the trajectory bank, and u the progress of the K - 1 free nodes,

    e(u)^2 = mean_i |r_i(u)|^2,        r_i = x_i(u) - x*_i,

a least-squares problem of few unknowns and very many residuals. Two searches share a budget of walks.

*Exploring*: from the best grid so far, u + s M^(-1/2) z with z standard normal, kept where it is better; s grows with a
success and shrinks with a failure, as in a (1 + 1) evolution strategy. It may leave the valley of a bad beginning.

*Descending*: the step of Levenberg and Marquardt on the linearised residuals, with J = dr/du,

    (J'J + m t M) p = -J'r,        t = tr(J'J) / tr(M),

the damping m eased after a success and raised after a failure. J is taken by differences on a part of the noises,
which is enough to know where to go; whether a step is kept is asked of all of them. Until a few steps in a row have
failed and J is taken anew, every step tried corrects it (Broyden), with y the change of r that was found:

    J <- J + (y - J p) (M p)' / (p'M p).

The metric M = D'D of both is that of the relative changes of the intervals h_k = u_k+1 - u_k,

    (D p)_k = (p_k+1 - p_k) / h_k,        p_0 = p_K = 0:

to move a whole neighbourhood is cheap, to make a long and a short interval of two equal ones is dear. A step is
shortened as a whole until no node goes further than 0.45 of the way to its neighbour, so that the nodes keep their
order. The noises are the same throughout: the search is deterministic for a seed, and never ends above its beginning.

Sources: Levenberg, Q. Appl. Math. 2 (1944); Marquardt, J. SIAM 11 (1963); Broyden, Math. Comp. 19 (1965); Rechenberg,
Evolutionsstrategie (1973), for the rule of successes. The metric and the shares are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Coordinate
from artc.progress import Progress

Array = NDArray[np.float64]

EXPLORING = 0.1
"""Share of the walks that explore; the rest descend."""

SPREAD, WIDER, NARROWER = 0.3, 2.0, 0.85
"""The scale s of exploring at first, and what it is multiplied with after a success, or a failure."""

DAMPING, EASE, RAISE = 1.0, 0.3, 4.0
"""The damping m at first, and what it is multiplied with after a success, or a failure."""

LIGHTEST, HEAVIEST = 1e-100, 1e100
"""The damping stays between them: hundreds of failures in a row must not make it infinite."""

FAILURES = 3
"""So many steps in a row that fail, and J is taken anew."""

PARTS = 3
"""J is taken on the first of so many parts of the noises."""

REACH = 0.45
"""The furthest a node moves in one step, of the way to its neighbour."""

CLOSEST, CREEP = 1e-9, 1e-3
"""The interval below which neighbours may come nearer by so small a part only: what two nodes at one place are worth is
found long before rounding makes them one."""

NUDGE = 0.05
"""The step of a finite difference, of the way to the nearer neighbour."""

Residuals = Callable[[Sequence[float], int], Array]
"""From a grid and a number n of noises to `(n, d)`: where the first n end, less where the teacher's do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The grid found, its RMS error on the noises of the search and that of its beginning.

    `walks` counts each noise by itself: the search has cost so many times the calls of one sample.
    """

    sigmas: tuple[float, ...]
    error: float
    start: float
    walks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A grid that was walked: the progress of its free nodes `(K - 1,)`, its residuals `(n, d)` and their RMS."""

    sigmas: tuple[float, ...]
    nodes: Array
    residuals: Array

    @property
    def error(self) -> float:
        return float(np.sqrt(np.mean(self.residuals**2)))


def most_walks(steps: int, trials: int) -> int:
    """Walks of all noises that a search makes at most: where it begins, so many trials, and those of the first J."""
    return 1 + (trials + -(-(steps - 1) // PARTS) if trials and steps > 1 else 0)


def match(
    residuals: Residuals,
    noises: int,
    start: Sequence[float],
    coordinate: Coordinate,
    *,
    trials: int,
    floor: float = 0.0,
    exploring: float = EXPLORING,
    seed: int = 0,
) -> Generator[Progress, None, Matched]:
    """Lower the error of a grid `start` of K steps on so many noises, yielding progress; returns one at least as good.

    Args:
        residuals: asked for at most `most_walks(K, trials)` walks of all noises, always of a valid grid.
        coordinate: in whose progress the nodes are moved; its sigma_max is the first of the grid.
        floor: the least noise that the model knows, below which no node is moved.
        exploring: share of the trials that explore.
        seed: of the directions in which it explores.
    """
    first, most, part = tuple(map(float, start)), most_walks(len(start) - 1, trials), max(1, noises // PARTS)
    walks = noises

    def walked(nodes: Array, count: int = noises) -> Point:
        nonlocal walks
        walks += count
        moved = coordinate.sigma(nodes)
        moved[-1:] = np.maximum(moved[-1:], floor)
        sigmas = (first[0], *moved.tolist(), 0.0)
        return Point(
            sigmas=sigmas, nodes=coordinate.progress(np.array(sigmas))[1:-1], residuals=residuals(sigmas, count)
        )

    def spent() -> float:
        return walks / noises

    def progress() -> Progress:
        return Progress(done=min(int(spent()), most), total=most)

    best = begin = Point(
        sigmas=first,
        nodes=coordinate.progress(np.asarray(first))[1:-1],
        residuals=residuals(first, noises),
    )
    yield progress()
    rng, spread = np.random.default_rng(seed), SPREAD
    while spent() < min(1 + exploring * trials, most):
        found = walked(best.nodes + bounded(best.nodes, spread * smooth_direction(best.nodes, rng)))
        spread = min(spread * WIDER, 1.0) if found.error < best.error else spread * NARROWER
        best = min(best, found, key=lambda point: point.error)
        yield progress()

    jacobian: Array | None = None
    damping, failures = DAMPING, 0
    while spent() + 1 <= most:
        if jacobian is None:
            if spent() + len(best.nodes) * part / noises + 1 > most:
                break  # none would be left for the step itself
            jacobian = yield from _differences(walked, best, part, progress)
            failures = 0
        metric, flat = metric_of(best.nodes), jacobian.reshape(-1, len(best.nodes))
        normal = flat.T @ flat
        weight = damping * np.trace(normal) / np.trace(metric)
        slope = flat.T @ best.residuals[:part].reshape(-1)
        if not slope.any():
            break
        step = bounded(best.nodes, -_solved(normal + weight * metric, slope))
        found = walked(best.nodes + step)
        step = found.nodes - best.nodes  # what became of it above the floor
        length = step @ metric @ step
        if length > 0:
            missed = (found.residuals[:part] - best.residuals[:part]).reshape(-1) - flat @ step
            jacobian = jacobian + np.outer(missed, metric @ step / length).reshape(jacobian.shape)
        if found.error < best.error:
            best, damping, failures = found, max(damping * EASE, LIGHTEST), 0
        else:
            damping, failures = min(damping * RAISE, HEAVIEST), failures + 1
            jacobian = None if failures == FAILURES else jacobian
        yield progress()
    return Matched(sigmas=best.sigmas, error=best.error, start=begin.error, walks=walks)


def _differences(
    walked: Callable[[Array, int], Point], at: Point, part: int, progress: Callable[[], Progress]
) -> Generator[Progress, None, Array]:
    """J `(part, d, K - 1)` by forward differences on the first `part` noises, each node towards its nearer side."""
    widths = np.diff(np.concatenate([[0.0], at.nodes, [1.0]]))
    columns = []
    for k in range(len(at.nodes)):
        moved = at.nodes.copy()
        moved[k] -= NUDGE * min(widths[k], widths[k + 1])  # upwards in sigma, where every model knows what to do
        there = walked(moved, part)
        columns.append((there.residuals - at.residuals[:part]) / (moved[k] - at.nodes[k]))
        yield progress()
    return np.stack(columns, axis=-1)


def _solved(matrix: Array, right: Array) -> Array:
    """The solution of a linear system; the shortest one where rounding has left it none of its own."""
    try:
        return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], dtype=np.float64)


def metric_of(nodes: Array) -> Array:
    """M = D'D `(K - 1, K - 1)`: the square length of a move is the sum of the squares of the relative changes."""
    widths = np.diff(np.concatenate([[0.0], nodes, [1.0]]))
    inverse = 1.0 / widths**2
    return np.diag(inverse[:-1] + inverse[1:]) - np.diag(inverse[1:-1], 1) - np.diag(inverse[1:-1], -1)


def smooth_direction(nodes: Array, rng: np.random.Generator) -> Array:
    """M^(-1/2) z, z standard normal: a move of length sqrt(K - 1) in the mean, most of it in a body."""
    values, vectors = np.linalg.eigh(metric_of(nodes))
    direction: Array = vectors @ ((vectors.T @ rng.standard_normal(len(nodes))) / np.sqrt(values))
    return direction


def bounded(nodes: Array, step: Array) -> Array:
    """The same step, shortened as a whole until no node goes further than `REACH` of the way to its neighbour."""
    widths = np.diff(np.concatenate([[0.0], nodes, [1.0]]))
    room = np.where(widths > CLOSEST, widths, CREEP * widths)
    furthest = float((np.abs(step) / np.where(step > 0, room[1:], room[:-1])).max(initial=0.0))
    return step if furthest <= REACH else step * (REACH / furthest)
