"""The warp: a learned clock as a monotone map from [0, 1] to sigma, from which any grid can be baked.

A grid of K steps is the warp read at k / K. Between its nodes the warp is a straight line in the shifted log
coordinate

    y(sigma) = (ln(sigma_max + c) - ln(sigma + c)) / (ln(sigma_max + c) - ln(c)),      c > 0,

the *progress*: 0 at sigma_max and 1 at sigma = 0. The offset c keeps the end point finite, so that no value is ever
interpolated through log 0. What is left, 1 - y, is proportional to ln(1 + sigma / c), and everything here is computed
from that form with log1p and expm1: it keeps full relative accuracy for sigma far below c, where the difference of two
logarithms would lose all its digits.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from artc.errors import ArtifactError, BudgetError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Coordinate:
    """The shifted log coordinate of noise, with offset c > 0 and sigma_max > 0, both in units of sigma.

    Raises InputError when either is not a positive finite number.
    """

    offset: float
    sigma_max: float

    def __post_init__(self) -> None:
        if not (0 < self.offset < math.inf and 0 < self.sigma_max < math.inf):
            raise InputError(f"offset and sigma_max must be positive numbers, not {self.offset} and {self.sigma_max}.")

    def progress(self, sigma: ArrayLike) -> NDArray[np.float64]:
        """Progress y = 1 - ln(1 + sigma / c) / ln(1 + sigma_max / c), float64, of the shape of `sigma`.

        Exactly 0 at sigma_max and 1 at 0. Raises InputError for a sigma outside [0, sigma_max].
        """
        import numpy as np

        value = _within(sigma, self.sigma_max, "sigma")
        # The whole span comes from NumPy too: its log1p and that of math may differ in the last bit.
        span = np.log1p(np.float64(self.sigma_max) / self.offset)
        remaining = np.log1p(value / self.offset) / span
        return np.asarray(np.where(value == self.sigma_max, 0.0, 1.0 - remaining), dtype=np.float64)

    def sigma(self, progress: ArrayLike) -> NDArray[np.float64]:
        """Sigma = c (exp((1 - y) ln(1 + sigma_max / c)) - 1), float64, of the shape of `progress`.

        Exactly sigma_max at 0 and 0 at 1. Raises InputError for a progress outside [0, 1].
        """
        import numpy as np

        value = _within(progress, 1.0, "progress")
        span = np.log1p(np.float64(self.sigma_max) / self.offset)
        sigma = np.minimum(self.offset * np.expm1((1.0 - value) * span), self.sigma_max)
        return np.asarray(np.where(value == 0.0, self.sigma_max, sigma), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Warp:
    """A monotone map from clock [0, 1] to sigma [sigma_max, 0], given by its nodes.

    `clock` increases strictly from 0 to 1, `sigma` decreases strictly from sigma_max to exactly 0, and `offset` is the
    c > 0 of the coordinate between them. Raises ArtifactError, naming the node, when they do not.
    """

    clock: tuple[float, ...]
    sigma: tuple[float, ...]
    offset: float
    extra: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", tuple(map(float, self.clock)))
        object.__setattr__(self, "sigma", tuple(map(float, self.sigma)))
        for defect in warp_defects(self.clock, self.sigma, self.offset, "$.warp"):
            raise defect

    @property
    def sigma_max(self) -> float:
        """The first and largest sigma."""
        return self.sigma[0]

    @property
    def coordinate(self) -> Coordinate:
        """The coordinate in which the warp is linear between its nodes."""
        return Coordinate(self.offset, self.sigma_max)

    def at(self, clock: ArrayLike) -> NDArray[np.float64]:
        """Sigma at a clock in [0, 1], linear in progress between nodes and exact at them; of the shape of `clock`.

        A value never leaves the interval of its two nodes, and so never exceeds sigma_max.
        Raises InputError for a clock outside [0, 1].
        """
        import numpy as np

        value = _within(clock, 1.0, "clock")
        return np.asarray(list(self._read(value.ravel().tolist())), dtype=np.float64).reshape(value.shape)

    def grid(self, steps: int, floor: float = 0.0) -> NDArray[np.float64]:
        """The grid of `steps` intervals, sigma_k = warp(k / steps): float64 (steps + 1,), strictly decreasing to 0.

        With so many steps that the last positive node would fall below `floor`, the least noise that the model knows,
        the nodes are drawn together until it is there: sigma_k = warp(c k / (steps - 1)) with warp(c) = floor.

        Raises BudgetError for less than one step, or for so many that float64 cannot keep the nodes apart.
        """
        import numpy as np

        return np.asarray(self.baked(steps, floor), dtype=np.float64)

    def baked(self, steps: int, floor: float = 0.0) -> tuple[float, ...]:
        """The grid of `grid(steps, floor)` as plain floats, as a schedule stores it (and made without NumPy)."""
        if steps < 1:
            raise BudgetError(f"A grid has at least one step, not {steps}.")
        sigmas = tuple(self._read(k / steps for k in range(steps + 1)))
        if 0 < sigmas[-2] < floor:
            last = self.clock_at(floor)
            inner = self._read(last * k / (steps - 1) for k in range(steps - 1))
            sigmas = (*inner, floor, 0.0)
        if any(after >= before for before, after in itertools.pairwise(sigmas)):
            raise BudgetError(f"The warp is too steep for {steps} steps: two sigmas coincide.", hint="Use fewer steps.")
        return sigmas

    def clock_at(self, sigma: float) -> float:
        """The clock at which the warp reaches a sigma; InputError for one outside [0, sigma_max]."""
        if not 0.0 <= sigma <= self.sigma_max:
            raise InputError(f"sigma must lie in [0, {self.sigma_max:g}], not {sigma!r}.")
        right = next(k for k, node in enumerate(self.sigma) if node <= sigma)
        if right == 0:
            return 0.0
        above, level, below = (math.log1p(s / self.offset) for s in (self.sigma[right - 1], sigma, self.sigma[right]))
        weight = (above - level) / (above - below)
        return self.clock[right - 1] + weight * (self.clock[right] - self.clock[right - 1])

    def _read(self, clocks: Iterable[float]) -> Iterator[float]:
        # Plain floats and `math`, so that checking an artifact needs no NumPy: the command line starts without it.
        remaining = [math.log1p(sigma / self.offset) for sigma in self.sigma]
        for clock in clocks:
            right = bisect_right(self.clock, clock, 1, len(self.clock) - 1)
            left = right - 1
            if clock == self.clock[left]:
                yield self.sigma[left]
            elif clock == self.clock[right]:
                yield self.sigma[right]
            else:
                weight = (clock - self.clock[left]) / (self.clock[right] - self.clock[left])
                sigma = self.offset * math.expm1((1.0 - weight) * remaining[left] + weight * remaining[right])
                # expm1(log1p(s)) errs by some ln(1 + s) last bits, which next to a node could step over it.
                yield min(max(sigma, self.sigma[right]), self.sigma[left])


def warp_defects(clock: Sequence[float], sigma: Sequence[float], offset: float, path: str) -> Iterator[ArtifactError]:
    """Everything that keeps these nodes from being a warp, each with its JSON path below `path`."""
    if not 0 < offset < math.inf:
        yield ArtifactError("warp", f"{path}.offset", f"the offset must be positive, not {offset!r}.")
    if len(clock) != len(sigma) or len(clock) < 2:
        message = f"clock and sigma need the same number of nodes, at least 2, not {len(clock)} and {len(sigma)}."
        yield ArtifactError("warp", path, message)
        return
    ends = (("clock[0]", clock[0], 0.0), (f"clock[{len(clock) - 1}]", clock[-1], 1.0))
    for name, value, wanted in (*ends, (f"sigma[{len(sigma) - 1}]", sigma[-1], 0.0)):
        if value != wanted:
            yield ArtifactError("warp", f"{path}.{name}", f"must be exactly {wanted:g}, not {value!r}.")
    if not sigma[0] < math.inf:
        yield ArtifactError("warp", f"{path}.sigma[0]", f"sigma_max must be finite, not {sigma[0]!r}.")
    for k in range(1, len(clock)):
        if not clock[k] > clock[k - 1]:
            message = f"the clock must increase strictly, and {clock[k]!r} follows {clock[k - 1]!r}."
            yield ArtifactError("warp", f"{path}.clock[{k}]", message)
        if not sigma[k] < sigma[k - 1]:
            message = f"sigma must decrease strictly, and {sigma[k]!r} follows {sigma[k - 1]!r}."
            yield ArtifactError("warp", f"{path}.sigma[{k}]", message)


def _within(values: ArrayLike, top: float, name: str) -> NDArray[np.float64]:
    """The values as a float64 array, all of them inside [0, top]: outside there is nothing to be clamped to."""
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if not np.all((array >= 0.0) & (array <= top)):
        raise InputError(f"{name} must lie in [0, {top:g}].")
    return array
