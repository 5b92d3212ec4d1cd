"""Tables of noise levels that a model was trained on, for hosts that count in timesteps.

A model of Ho et al. (2006.11239) knows T noise levels. Its betas give alpha-bar_t = (1 - beta_0) ... (1 - beta_t), and

    sigma_t = sqrt((1 - alpha-bar_t) / alpha-bar_t),      t = 0 ... T - 1, strictly increasing.

A host that takes whole timesteps can only be at one of these; what it is off by is |sigma_t - sigma| / sigma for the
nearest. One that keeps fractions reads sigma on the straight line between two entries, and is exact.

An artifact does not hold the table of its model. The default is that of Stable Diffusion 1, 2 and XL; another one is
read from the `scheduler_config.json` of a diffusers pipeline.
"""

from __future__ import annotations

import itertools
import json
import math
import operator
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artc.errors import InputError, UnknownNameError

from ..fitting import TOLERANCE, is_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Sigma at timestep 0, 1, ...; raises InputError unless they increase strictly and are finite."""

    name: str
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in itertools.pairwise((0.0, *self.sigmas)))
        if len(self.sigmas) < 2 or not rising or not math.isfinite(self.sigmas[-1]):
            raise InputError(f"The noise does not rise from timestep to timestep in {self.name}.")

    def beyond(self, sigmas: Sequence[float]) -> float | None:
        """The first of these positive sigmas that is outside of the table by more than a thousandth of an end."""
        low, high = self.sigmas[0] * (1 - TOLERANCE), self.sigmas[-1] * (1 + TOLERANCE)
        return next((sigma for sigma in sigmas if not low <= sigma <= high), None)

    def nearest(self, sigma: float) -> int:
        """The whole timestep whose sigma is nearest."""
        right = min(max(bisect_left(self.sigmas, sigma), 1), len(self.sigmas) - 1)
        return right if self.sigmas[right] - sigma < sigma - self.sigmas[right - 1] else right - 1

    def between(self, sigma: float) -> float:
        """The fractional timestep: linear in sigma between two entries, the first or last one outside of them."""
        inside = min(max(sigma, self.sigmas[0]), self.sigmas[-1])
        left = min(bisect_right(self.sigmas, inside), len(self.sigmas) - 1) - 1
        return left + (inside - self.sigmas[left]) / (self.sigmas[left + 1] - self.sigmas[left])

    def at(self, timestep: float) -> float:
        """Sigma at a timestep from 0 to T - 1, the inverse of `between`."""
        left = min(int(timestep), len(self.sigmas) - 2)
        weight = timestep - left
        return (1 - weight) * self.sigmas[left] + weight * self.sigmas[left + 1]


def from_betas(name: str, betas: Iterable[float], *, zero_terminal_snr: bool = False) -> Table:
    """The table of these betas.

    `zero_terminal_snr` rescales it as Lin et al. (2305.08891, algorithm 1) do: sqrt(alpha-bar) is moved down until the
    last one is 0, and stretched until the first one is what it was. diffusers puts 2^-24 for the alpha-bar that is 0.
    """
    roots = [math.sqrt(max(kept, 0.0)) for kept in itertools.accumulate((1 - beta for beta in betas), operator.mul)]
    if zero_terminal_snr and len({*roots}) > 1:
        first, last = roots[0], roots[-1]
        roots = [(root - last) * first / (first - last) for root in roots]
        roots[-1] = 2.0**-12
    if not all(0 < root < 1 for root in roots):
        raise InputError(f"The betas are not between 0 and 1 in {name}.")
    return Table(name=name, sigmas=tuple(math.sqrt((1 - root * root) / (root * root)) for root in roots))


def linear(start: float, end: float, count: int) -> Iterator[float]:
    """Betas on a straight line, both ends included."""
    return (start + (end - start) * place / (count - 1) for place in range(count))


def scaled_linear(start: float, end: float, count: int) -> Iterator[float]:
    """Betas whose square roots are on a straight line, as latent diffusion has them (Rombach et al. 2112.10752)."""
    return (root * root for root in linear(math.sqrt(start), math.sqrt(end), count))


def cosine(start: float, end: float, count: int) -> Iterator[float]:
    """Betas of alpha-bar = cos^2((t + 0.008) / 1.008 pi / 2), at most 0.999 (Nichol and Dhariwal 2102.09672)."""
    del start, end  # the shape is fixed
    bars = [math.cos((place / count + 0.008) / 1.008 * math.pi / 2) ** 2 for place in range(count + 1)]
    return (min(1 - after / before, 0.999) for before, after in itertools.pairwise(bars))


SHAPES = {"linear": linear, "scaled_linear": scaled_linear, "squaredcos_cap_v2": cosine}
"""By the names that diffusers gives them in `beta_schedule`."""

SD = "the table of Stable Diffusion 1, 2 and XL (scaled_linear 0.00085 to 0.012, 1000)"
DDPM = "the table of DDPM (linear 0.0001 to 0.02, 1000)"

TABLES = {
    "sd": lambda: from_betas(SD, scaled_linear(0.00085, 0.012, 1000)),
    "ddpm": lambda: from_betas(DDPM, linear(0.0001, 0.02, 1000)),
}
"""Tables by name; any other is read from a file."""


def find_table(name: str | os.PathLike[str]) -> Table:
    """A table by its name, or that of a diffusers `scheduler_config.json` by its path.

    Raises UnknownNameError for what is neither, and InputError for a file that describes no table.
    """
    name = str(name)
    if name in TABLES:
        return TABLES[name]()
    if not name.endswith(".json"):
        raise UnknownNameError("table", name, [*TABLES, "path/to/scheduler_config.json"])
    try:
        config = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {name!r}: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise InputError(f"{name!r} is not a JSON file.") from None
    if not isinstance(config, dict):
        raise InputError(f"{name!r} is not the configuration of a scheduler.")
    return _configured(name, config)


def _configured(name: str, config: Mapping[str, Any]) -> Table:
    """The table of a scheduler's configuration; what it leaves out is as diffusers has it."""
    said, zero = f"the table of {name}", bool(config.get("rescale_betas_zero_snr"))
    trained = config.get("trained_betas")
    if trained is not None:
        if not (isinstance(trained, list) and all(is_number(beta) for beta in trained)):
            raise InputError(f"{name!r} has trained_betas that are no list of numbers.")
        return from_betas(said, map(float, trained), zero_terminal_snr=zero)
    shape, count = config.get("beta_schedule"), config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    if not isinstance(shape, str) or shape not in SHAPES:
        known = ", ".join(SHAPES)
        raise InputError(f"{name!r} has no beta_schedule that artc knows, but {shape!r}.", hint=f"Known: {known}.")
    if not (is_number(start) and is_number(end) and is_number(count)):
        raise InputError(f"{name!r} has a beta or a number of timesteps that is no number.")
    if not (0 < start < 1 and 0 < end < 1 and 2 <= count <= 100_000 and count == int(count)):
        raise InputError(f"{name!r} has betas {start:g} to {end:g} and {count:g} timesteps, which make no table.")
    return from_betas(said, SHAPES[shape](float(start), float(end), int(count)), zero_terminal_snr=zero)
