"""What a solver is: a stateless rule for one step of the probability-flow ODE dx/dsigma = (x - D(x; sigma)) / sigma.

A rule sees the state, the two sigmas of its step and whatever memory it returned from the step before, and answers the
new state and the new memory. It holds nothing itself, so one rule serves any number of trajectories at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from artc.artifact import BUDGETS
from artc.models.score_model import Field

Level = float | Tensor
"""A sigma: one for the batch, or for each sample its own, shaped to spread over it, `(B, 1, ...)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Where a step began: its sigma, the state there, and the denoised value."""

    sigma: Level
    x: Tensor
    denoised: Tensor

    @property
    def slope(self) -> Tensor:
        """dx/dsigma = (x - D) / sigma."""
        return (self.x - self.denoised) / self.sigma


Memory = tuple[Node, ...] | None
"""The nodes before this one that a rule still needs, the last first; None or empty at the first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step leaves behind: the state at the new sigma, the denoised value at the old one, and the memory."""

    x: Tensor
    denoised: Tensor
    memory: Memory


Rule = Callable[[Field, Tensor, Level, Level, Memory], Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solver:
    """A named rule. Its order and the calls it spends come from the one table of budgets."""

    name: str
    step: Rule

    @property
    def order(self) -> int:
        return BUDGETS[self.name].order


def is_end(sigma: Level) -> bool:
    """Whether a step ends in 0, as all samples of a batch do at once: their last sigma is the number 0."""
    return not isinstance(sigma, Tensor) and sigma == 0.0


def log_ratio(sigma: Level, below: Level) -> Level:
    """ln(sigma / below), the length of a step in lambda = -ln sigma."""
    ratio = sigma / below
    return ratio.log() if isinstance(ratio, Tensor) else math.log(ratio)


def slope(denoise: Field, x: Tensor, sigma: Level) -> Tensor:
    """dx/dsigma = (x - D(x; sigma)) / sigma, sigma > 0."""
    return (x - denoise(x, sigma)) / sigma
