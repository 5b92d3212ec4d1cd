"""Frechet distance: how far the features of two sets of images are from each other, as two Gaussians. No torch.

With means m and covariances S of the features of both sets,

    d^2 = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)),

the squared 2-Wasserstein distance of N(m_1, S_1) and N(m_2, S_2) (Dowson and Landau 1982); the literature on generated
images calls the square itself the distance (Heusel et al. 1706.08500), and so does this module. S_1 S_2 is not
symmetric, and a general matrix square root of it strays into complex numbers where features are never active and S_1
or S_2 is singular. It has the eigenvalues of S_1^(1/2) S_2 S_1^(1/2), whose square roots are the singular values of
S_1^(1/2) S_2^(1/2):

    tr (S_1 S_2)^(1/2) = | S_1^(1/2) S_2^(1/2) |_*,

the sum of singular values, which is real and at least 0 for every pair of covariances.

The estimate from samples is biased upwards, the more the fewer they are: distances compare at equal numbers of samples.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artc.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, mean `(F,)` and scatter `(F, F)`, the sum of (f - mean)(f - mean)^T, of feature vectors f.

    Raises InputError for shapes that do not fit each other, or values that are not finite.
    """

    count: int
    mean: Array
    scatter: Array

    def __post_init__(self) -> None:
        width = len(self.mean) if self.mean.ndim == 1 else 0
        if self.count < 1 or width < 1 or self.scatter.shape != (width, width):
            raise InputError(
                f"Moments of {self.count} samples pair a mean (F,) with a scatter (F, F), "
                f"not {self.mean.shape} with {self.scatter.shape}."
            )
        _check_finite(self.mean, self.scatter)

    @property
    def covariance(self) -> Array:
        """Scatter / (count - 1), `(F, F)`; raises InputError for less than 2 samples."""
        if self.count < 2:
            raise InputError("One sample has no covariance.", hint="Draw 2 samples or more; thousands are customary.")
        return self.scatter / (self.count - 1)


def moments_of(features: Array) -> Moments:
    """Moments of the rows of `(n, F)`; raises InputError for anything else, or values that are not finite."""
    if features.ndim != 2 or not features.size:
        raise InputError(f"Features are one row for each sample, (n, F), not {features.shape}.")
    _check_finite(features)
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    return Moments(count=len(rows), mean=mean, scatter=centred.T @ centred)


def joined(parts: Iterable[Moments]) -> Moments:
    """Moments of all samples together, from those of disjoint parts of them (Chan, Golub, LeVeque 1979).

        scatter = scatter_1 + scatter_2 + (n_1 n_2 / n) (m_1 - m_2)(m_1 - m_2)^T

    Raises InputError for no parts, or parts of unequal widths.
    """
    total: Moments | None = None
    for part in parts:
        total = part if total is None else _both(total, part)
    if total is None:
        raise InputError("Moments of no samples at all are not defined.")
    return total


def _both(first: Moments, second: Moments) -> Moments:
    _check_widths(first, second)
    count, apart = first.count + second.count, second.mean - first.mean
    between = first.count * second.count / count * np.outer(apart, apart)
    mean = first.mean + second.count / count * apart
    return Moments(count=count, mean=mean, scatter=first.scatter + second.scatter + between)


def frechet(first: Moments, second: Moments) -> float:
    """|m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), in squared units of the features; 0 for equal moments.

    Raises InputError for less than 2 samples on a side, or features of unequal widths.
    """
    _check_widths(first, second)
    apart = first.mean - second.mean
    one, two = first.covariance, second.covariance
    shared = np.linalg.svd(_root(one) @ _root(two), compute_uv=False).sum()
    return max(0.0, float(apart @ apart + np.trace(one) + np.trace(two) - 2 * shared))


def _root(covariance: Array) -> Array:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    # What is left of a zero eigenvalue is some last bits of the largest, and its root would be 1e-8 and not 1e-16.
    noise = len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    root: Array = (vectors * np.sqrt(np.where(values > noise, values, 0.0))) @ vectors.T
    return root


def _check_widths(first: Moments, second: Moments) -> None:
    if first.mean.shape != second.mean.shape:
        raise InputError(
            f"Features of width {len(first.mean)} and {len(second.mean)} cannot be compared.",
            hint="Take both from the same classifier.",
        )


def _check_finite(*arrays: Array) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError("The features contain NaN or infinity.", hint="Look at the samples they were taken of.")


def save_moments(path: Path, moments: Moments) -> None:
    """Write moments to an npz file, so that a data set is looked at once."""
    np.savez(path, count=moments.count, mean=moments.mean, scatter=moments.scatter)


def load_moments(path: Path) -> Moments:
    """Read moments back; raises InputError for a file that holds none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            count, mean, scatter = int(data["count"]), data["mean"], data["scatter"]
        return Moments(count=count, mean=mean.astype(np.float64), scatter=scatter.astype(np.float64))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no moments of features.", hint="Delete it; it is made again.") from error
