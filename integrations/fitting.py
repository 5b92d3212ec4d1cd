"""Whether a schedule fits the model it is given to in a host, and the part of it that image-to-image walks.

Nothing downstream notices a mix-up. A grid of x = x0 + sigma n fed to a flow model, whose sigma is a time in (0, 1],
runs to the end and makes noise; one that starts above the noise a network was trained for makes a subtly wrong picture.
So every integration asks here first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, TypeVar

from artc.artifact import ModelInfo
from artc.artifact.types import Domain
from artc.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Grid = TypeVar("Grid", "NDArray[np.float64]", tuple[float, ...])

DOMAINS = {
    "ve": "x = x0 + sigma n, as EDM, eps and v models have it",
    "flow": "x = (1 - sigma) x0 + sigma n, as flow models have it",
}

TOLERANCE = 1e-3
"""Relative. Hosts keep their ends in float32, or read them from tables; no sampler feels a thousandth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostModel:
    """What a host says of the model that is to be sampled: how it writes noise, and the noise it knows.

    `name` is how the host's user would call it; an end of the range that the host does not know is 0 or infinite.
    """

    name: str
    domain: Domain
    sigma_min: float = 0.0
    sigma_max: float = math.inf


def is_number(value: object) -> bool:
    """A number of Python or NumPy that a float can hold: finite, and neither true nor false."""
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    except OverflowError:
        return False


def check_domain(info: ModelInfo, domain: Domain, name: str) -> None:
    """Raise InputError when a schedule was compiled for the other way to write noise; UnknownNameError for a third."""
    if domain not in DOMAINS:
        raise UnknownNameError("domain", str(domain), DOMAINS)
    if info.domain != domain:
        raise InputError(
            f"The schedule was compiled for {info.name!r}, where {DOMAINS[info.domain]}; in {name} {DOMAINS[domain]}.",
            hint="Its sigmas mean nothing there: compile a schedule for this model.",
        )


def check_fit(info: ModelInfo, sigmas: Sequence[float] | NDArray[np.float64], model: HostModel) -> tuple[str, ...]:
    """Hold a whole grid, trailing 0 included, against the model that it is to sample.

    Returns what its user should know and may ignore. Raises InputError for the other domain, and for a grid that leaves
    the noise which the model knows by more than a thousandth.
    """
    check_domain(info, model.domain, model.name)
    first, last = float(sigmas[0]), float(sigmas[-2])
    known = f"{model.name} knows sigma from {model.sigma_min:g} to {model.sigma_max:g}"
    for found, beyond in (
        (first, first > model.sigma_max * (1 + TOLERANCE)),
        (last, last < model.sigma_min * (1 - TOLERANCE)),
    ):
        if beyond:
            end = "starts at" if found == first else "goes down to"
            raise InputError(f"The schedule {end} sigma = {found:g}, and {known}.", hint="Compile one for this model.")
    if first < model.sigma_max * 0.95 < math.inf:
        return (f"It starts at sigma = {first:g}, below the {model.sigma_max:g} that {model.name} can start from.",)
    return ()


def before_shift(sigma: float, shift: float) -> float:
    """The s that a flow's shift, s -> shift s / (1 + (shift - 1) s), turns into sigma."""
    return sigma / (shift - (shift - 1) * sigma)


def tail(sigmas: Grid, denoise: float) -> Grid:
    """The last round(steps * denoise) steps of a grid: every node walked is one that was compiled.

    Empty for a denoise that leaves no step. Raises InputError for one outside [0, 1].
    """
    if not (is_number(denoise) and 0 <= denoise <= 1):
        raise InputError(f"denoise is a part of the schedule, from 0 to 1, not {denoise!r}.")
    kept = round((len(sigmas) - 1) * denoise)
    return sigmas[-(kept + 1) :] if kept else sigmas[:0]
