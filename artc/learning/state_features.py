"""What a policy sees of a state: a few numbers that do not know the resolution, and none of the pixels.

At noise sigma, with s the scale of the data (the root mean square of the clean ends), f_1 to f_5 are

    log(rms x / sqrt(sigma^2 + s^2) + e)        log(rms D / s + 10 e)        log(rms(x - D) / sigma + e)
    mean x / sqrt(sigma^2 + s^2)                mean D / s                   e = 1e-3

each less its mean and over its standard deviation among the training trajectories at that place. The sixth is how far
the clean guess went since the step before, against how far it goes on average between the same two places,

    log((rms(D - D_before) / s + e) / (L(z) - L(z_before) + e)),       L = mean length of the path of D / s,

and the seventh how long that step was, z - z_before. The stiffness that a clock has to follow is |Q| = |dD/dsigma| /
sigma, so the sixth is the one that tells most; it comes for nothing with the calls that a solver makes anyway, one step
late. At the first step there is none: D_before = D, and both are 0.

Places are given as z, the clock of the warp that the policy departs from: z = 0 at sigma_max and 1 at 0.

Source: [ART] 2607.02137 says that a policy reads features of the state and not which; these are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artc.artifact import Warp
from artc.errors import InputError
from artc.learning.objective import Array, Energy
from artc.sampling.bank import TrajectoryBank

SMALL = 1e-3
CLIP = 4.0  # in standard deviations: a state unlike any in training is told as extreme, and no more than that
KNOTS = 33
CELLS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What features are measured against, at equally spaced places z.

    Attributes:
        scale: s, the root mean square of the clean ends of the training trajectories.
        mean, spread: `(knots, 5)` of the first five features.
        travelled: `(knots,)` L, the mean path of D from z = 0 on, in units of s.
    """

    scale: float
    mean: Array
    spread: Array
    travelled: Array

    def observe(self, raw: Array, change: Array, place: Array, before: Array) -> Array:
        """The seven features `(B, 7)` from the first five `(B, 5)`, rms(D - D_before) `(B,)` and the two places."""
        state = (raw - read(self.mean, place)) / read(self.spread, place)
        expected = read(self.travelled, place) - read(self.travelled, before)
        ratio = np.log((change / self.scale + SMALL) / (expected + SMALL))
        seen = np.concatenate([state, ratio[..., None]], axis=-1)
        return np.concatenate([np.clip(seen, -CLIP, CLIP), (place - before)[..., None]], axis=-1)


def raw_features(sigma: Array, statistics: Array, scale: float) -> Array:
    """The first five features as they are, from sigma `(...)` and the `STATISTICS` of a state `(..., 5)`."""
    rms_x, rms_denoised, rms_difference, mean_x, mean_denoised = np.moveaxis(statistics, -1, 0)
    whole = np.sqrt(sigma**2 + scale**2)
    features = (
        np.log(rms_x / whole + SMALL),
        np.log(rms_denoised / scale + 10 * SMALL),
        np.log(rms_difference / sigma + SMALL),
        mean_x / whole,
        mean_denoised / scale,
    )
    return np.stack(features, axis=-1)


def read(table: Array, place: Array) -> Array:
    """A table `(knots, ...)` of equally spaced places, read between them along straight lines."""
    position = place * (len(table) - 1)
    left = np.minimum(position.astype(np.int64), len(table) - 2)
    weight = (position - left).reshape(*position.shape, *[1] * (table.ndim - 1))
    found: Array = table[left] + weight * (table[left + 1] - table[left])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Courses:
    """W trajectories by their place z: what a policy would see there and what a step would cost.

    Attributes:
        taken: `(W, N + 1)` energy from z = 0 on, the int of |Q| (dsigma/dz)^2 dz, at N + 1 equally spaced places.
        raw: `(W, N + 1, 5)` the first five features.
        sketches: `(W, N + 1, m)` sketches of D.
    """

    taken: Array
    raw: Array
    sketches: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.taken)

    def part(self, which: slice) -> Courses:
        """Some of them."""
        return Courses(taken=self.taken[which], raw=self.raw[which], sketches=self.sketches[which])

    @property
    def cells(self) -> Array:
        """`(W, N)` energy of each cell."""
        return np.diff(self.taken, axis=1)

    @property
    def bounds(self) -> tuple[float, float]:
        """J* of the best time-only clock, and the mean of what the best clock of each trajectory costs."""
        cells = self.cells / self.cells.shape[1]
        return float(np.sqrt(cells.mean(axis=0)).sum() ** 2), float((np.sqrt(cells).sum(axis=1) ** 2).mean())


def data_scale(bank: TrajectoryBank) -> float:
    """s: the root mean square of D at the least sigma of the bank, over all of its trajectories."""
    if bank.statistics is None:
        raise InputError("This bank kept no statistics of the states.", hint="Walk it again with `build_bank`.")
    return float(np.sqrt((bank.statistics[:, -1, 1] ** 2).mean()))


def courses_of(bank: TrajectoryBank, energy: Energy, warp: Warp, scale: float) -> Courses:
    """Read a bank, and its energy, off at equally spaced clocks of a warp."""
    if bank.statistics is None or bank.sketches is None:
        raise InputError("This bank kept no statistics of the states.", hint="Walk it again with `build_bank`.")
    sigma = warp.at(np.linspace(0.0, 1.0, CELLS + 1))
    progress = energy.coordinate.progress(sigma)
    upto = np.concatenate([np.zeros((len(energy.cells), 1)), np.cumsum(energy.cells, axis=1)], axis=1)
    reached = np.stack([np.interp(progress, energy.edges, row) for row in upto])
    # q_z = q_y (dy/dz)^2, and dy/dz is one number in each cell.
    cells = np.diff(reached, axis=1) * np.diff(progress) * CELLS
    levels = np.clip(sigma, bank.nodes[-1], bank.nodes[0])
    position = np.interp(-np.log(levels), -np.log(bank.nodes), np.arange(len(bank.nodes)))
    left = np.minimum(position.astype(np.int64), len(bank.nodes) - 2)
    weight = (position - left)[None, :, None]
    statistics = bank.statistics[:, left] * (1 - weight) + bank.statistics[:, left + 1] * weight
    sketches = bank.sketches[:, left] * (1 - weight) + bank.sketches[:, left + 1] * weight
    return Courses(
        taken=np.concatenate([np.zeros((len(cells), 1)), np.cumsum(cells, axis=1)], axis=1),
        raw=raw_features(levels, statistics, scale),
        sketches=sketches.astype(np.float32),
    )


def frame_of(courses: Courses, scale: float) -> Frame:
    """The frame that these trajectories set."""
    at = np.linspace(0, CELLS, KNOTS).round().astype(np.int64)
    steps = np.linalg.norm(np.diff(courses.sketches.astype(np.float64), axis=1), axis=2).mean(axis=0) / scale
    travelled = np.concatenate([[0.0], np.cumsum(steps)])
    return Frame(
        scale=scale,
        mean=courses.raw[:, at].mean(axis=0),
        spread=courses.raw[:, at].std(axis=0) + 1e-4,
        travelled=travelled[at],
    )
