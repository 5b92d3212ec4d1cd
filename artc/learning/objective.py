"""What a clock costs, what the best one costs, and what knowing the state would be worth.

A clock moves along the noise axis at speed theta. In any monotone coordinate y of sigma the cost of [ART] is

    J = E int_0^1 q_y theta^2 dt,       q_y = |Q| (dsigma/dy)^2,       theta = dy/dt,       int_0^1 theta dt = 1,

the same number in every coordinate. `artc` uses y = progress in the shifted log of sigma (`artc.artifact.warp`), where
q_y spans about 4 decades instead of the 10 it spans in sigma. By Cauchy-Schwarz no time-only clock costs less than

    J* = (int_0^1 sqrt(q_y) dy)^2,        reached by theta* proportional to q_y^(-1/2);

J(warp) / J* - 1 is the *gap* that every artifact states. Trajectories that are known one by one could do with
E (int sqrt|Q_i|)^2, which is never more: their relative difference is the *state gain*.

Everything is held on M equal cells of y as energies A_j = int_cell q_y dy. On these cells the inequality
J >= J* is exact in floating point and not only up to quadrature, because it is Cauchy-Schwarz on a finite sum.

Source: [ART] arXiv 2601.18681 for the cost; the bound, the cells and the state gain are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Coordinate, Warp
from artc.errors import InputError
from artc.sampling.bank import TrajectoryBank

Array = NDArray[np.float64]
CELLS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Stiffness of W trajectories as energies of M equal cells of progress.

    Attributes:
        coordinate: the shifted log coordinate in which the cells are equal.
        cells: `(W, M)` A_j of each trajectory, positive.
    """

    coordinate: Coordinate
    cells: Array

    def __post_init__(self) -> None:
        if self.cells.ndim != 2 or not (self.cells > 0).all():
            raise InputError("Energies are a (W, M) table of positive numbers.")

    @property
    def mean(self) -> Array:
        """A_j averaged over trajectories, `(M,)`."""
        averaged: Array = self.cells.mean(axis=0)
        return averaged

    @property
    def edges(self) -> Array:
        """Progress at the M + 1 borders of the cells."""
        return np.linspace(0.0, 1.0, self.cells.shape[1] + 1)

    @property
    def cumulative(self) -> Array:
        """Mean energy from progress 0 up to each border, `(M + 1,)`."""
        return np.concatenate([[0.0], np.cumsum(self.mean)])


def energy_of(bank: TrajectoryBank, coordinate: Coordinate, cells: int = CELLS) -> Energy:
    """Read a bank off on equal cells of progress.

    |Q| is interpolated linearly in log-log between the bank's sigmas and held constant beyond its ends (the trajectory
    is straight there to first order), then clamped below at 1e-8 of its greatest q_y: a cell of no stiffness at all
    would be crossed at infinite speed.
    """
    if not bank.stiffness.any():
        raise InputError(
            "The trajectories of this model are straight lines: every schedule is exact.",
            hint="One Euler step samples it; there is nothing to compile.",
        )
    middle = (np.arange(cells) + 0.5) / cells
    sigma = coordinate.sigma(middle)
    speed = _slope(coordinate, middle)
    tiny = np.finfo(np.float64).tiny
    log_sigma = np.log(bank.sigma[::-1])
    rows = [np.interp(np.log(sigma), log_sigma, np.log(np.maximum(row[::-1], tiny))) for row in bank.stiffness]
    density = np.exp(np.stack(rows)) * speed**2
    return Energy(coordinate=coordinate, cells=np.maximum(density, 1e-8 * density.max()) / cells)


def _slope(coordinate: Coordinate, progress: Array) -> Array:
    """|dsigma/dy|."""
    slope: Array = (coordinate.sigma(progress) + coordinate.offset) * np.log1p(coordinate.sigma_max / coordinate.offset)
    return slope


def left_end_cost(energy: Energy, sigmas: Array, clamp: float) -> float:
    """[ART]'s own cost of a grid `(K + 1,)`, K sum_k |Q(sigma_k)| (sigma_k - sigma_k+1)^2 with |Q| at least `clamp`.

    Only the left end of each step is charged, which at few steps has its optimum in the wrong place.
    """
    stiffness = np.maximum(stiffness_at(energy, sigmas[:-1]), clamp)
    return float((len(sigmas) - 1) * (stiffness * np.diff(sigmas) ** 2).sum())


def stiffness_at(energy: Energy, sigma: Array) -> Array:
    """E|Q| = E|x''| at each sigma, in units of sigma: linear in progress between the middles of the cells."""
    middle = (energy.edges[1:] + energy.edges[:-1]) / 2
    known = energy.mean * len(energy.mean) / _slope(energy.coordinate, middle) ** 2
    return np.exp(np.interp(energy.coordinate.progress(sigma), middle, np.log(known)))


def lower_bound(energy: Energy) -> float:
    """J* = (sum_j sqrt(A_j / M))^2 of the mean energy: no time-only clock costs less."""
    return _bound(energy.mean)


def _bound(cells: Array) -> float:
    return float(np.sqrt(cells / len(cells)).sum() ** 2)


def warp_cost(energy: Energy, warp: Warp) -> float:
    """J of a continuous warp, sum_j A_j (1 / M) / dt_j with dt_j the clock it spends in cell j."""
    clock = np.interp(energy.edges, energy.coordinate.progress(np.array(warp.sigma)), np.array(warp.clock))
    return float((energy.mean / len(energy.mean) / np.diff(clock)).sum())


def grid_cost(energy: Energy, progress: Array) -> float:
    """J_K = K sum_k dy_k A(y_k, y_k+1) of a clock that keeps one speed in each of its K steps; at least J*."""
    taken = np.diff(np.interp(progress, energy.edges, energy.cumulative))
    return float((len(progress) - 1) * (np.diff(progress) * taken).sum())


def gap(energy: Energy, warp: Warp) -> float:
    """J(warp) / J* - 1, zero for the best time-only clock of these trajectories."""
    return warp_cost(energy, warp) / lower_bound(energy) - 1.0


def state_gain(energy: Energy) -> float:
    """1 - E J*_i / J*: the share of the cost that a clock reading the state could save beyond a time-only one."""
    return 1.0 - float(np.mean([_bound(row) for row in energy.cells])) / lower_bound(energy)


def state_spread(energy: Energy, points: int = 30) -> Array:
    """How differently trajectories would be walked: the spread of theta*_i = c_i / sqrt|Q_i| over them, `(points,)`.

    It is the standard deviation relative to the mean, at equally spaced progress. The clock itself reads no state.
    """
    speeds = np.array([_bound(row) for row in energy.cells])[:, None] ** 0.5 / np.sqrt(energy.cells)
    relative = speeds.std(axis=0) / speeds.mean(axis=0)
    return np.asarray(relative[np.linspace(0, len(relative) - 1, points).round().astype(int)])
