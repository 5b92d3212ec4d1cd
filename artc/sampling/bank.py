"""The trajectory bank: fine trajectories of the model, walked once, on which every clock is then tried for nothing.

Where a trajectory goes does not depend on how fast it is walked: x(t) = X(psi(t)) stays on the same path whatever the
clock does. So W trajectories are walked once through G sigmas, log-spaced from sigma_max to sigma_min, and the
stiffness of each is kept between neighbours. Learning a clock then costs no further denoiser call.

A clock that reads the state needs more than the stiffness: at each node the bank also keeps a few averages of x and of
D over the data dimensions, which are the same kind of number at any resolution, and a sketch of D, from which the
distance between the D of any two nodes can be had: |S(D - D')|^2 = |D - D'|^2 in the mean over random signs, within a
relative sqrt(2 / m) for m numbers. For data of at most m dimensions the sketch is the data, and exact.

The walk is DPM-Solver++(2M): second order at one call a node, which makes the bank cost exactly W x G calls.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.errors import InputError
from artc.journal import BLANK, Journal
from artc.models.score_model import Fields, Latents
from artc.progress import Progress, shifted
from artc.sampling.solvers import SOLVERS
from artc.sampling.statistics import STATISTICS, state_statistics
from artc.sampling.stiffness import by_secant
from artc.sampling.trajectories import walk

SKETCH = 128
"""Most numbers m that the sketch of a denoised value has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryBank:
    """Stiffness along W trajectories.

    Attributes:
        sigma: `(G - 1,)` strictly decreasing: the geometric middle of each pair of neighbouring nodes.
        stiffness: `(W, G - 1)` |Q| there, for each trajectory.
        ends: where the first of the trajectories end, `(n, *S)`, n <= W.
        nodes: `(G,)` the sigmas that were walked; empty where no statistics were kept.
        statistics: `(W, G, 5)` the `STATISTICS` of each trajectory at the nodes.
        sketches: `(W, G, m)` sketches of D there, float32: their distance is the root mean square of the change of D.
    """

    sigma: NDArray[np.float64]
    stiffness: NDArray[np.float64]
    ends: Tensor | None = None
    nodes: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    statistics: NDArray[np.float64] | None = None
    sketches: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.stiffness.ndim != 2 or self.stiffness.shape[1:] != self.sigma.shape:
            raise InputError(f"A bank pairs (W, G) stiffness with (G,) sigma, not {self.stiffness.shape}.")
        if not np.isfinite(self.stiffness).all() or (self.stiffness < 0).any():
            raise InputError("The stiffness of a bank must be finite and not negative.")
        if self.statistics is not None:
            expected = (len(self.stiffness), len(self.nodes), len(STATISTICS))
            if self.statistics.shape != expected or not np.isfinite(self.statistics).all():
                raise InputError(f"The statistics of this bank must be finite numbers of shape {expected}.")

    def split(self, held_out: int) -> tuple[TrajectoryBank, TrajectoryBank]:
        """The trajectories to learn from, and the last `held_out` to judge by."""
        return self.part(slice(None, -held_out)), self.part(slice(-held_out, None))

    def part(self, which: slice) -> TrajectoryBank:
        """Some of the trajectories, without their ends."""
        return replace(
            self,
            stiffness=self.stiffness[which],
            ends=None,
            statistics=None if self.statistics is None else self.statistics[which],
            sketches=None if self.sketches is None else self.sketches[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BankBatch:
    """What the walk of a batch leaves: the rows of a bank for it, and `(n, *S)` end points, n <= w."""

    stiffness: NDArray[np.float64]
    statistics: NDArray[np.float64]
    sketches: NDArray[np.float32]
    ends: Tensor


def bank_nodes(sigma_min: float, sigma_max: float, nodes: int) -> NDArray[np.float64]:
    """The sigmas that a bank is walked through, log-spaced, `(nodes,)`."""
    return np.geomspace(sigma_max, sigma_min, nodes)


def walk_batch(
    fields: Fields, latents: Latents, nodes: NDArray[np.float64], ends: int = 0
) -> Generator[Progress, None, BankBatch]:
    """Walk one batch through the nodes, yielding progress in denoised values; the first `ends` end points are kept."""
    # The walk stops at sigma_min: the step past it only serves to take the denoised value there.
    sigmas = [*nodes.tolist(), 0.0]
    x, before = latents.noise * sigmas[0], None
    stiffness: list[Tensor] = []
    statistics: list[Tensor] = []
    sketches: list[Tensor] = []
    sketch = _sketching(x[0].numel())
    for visit in walk(fields(latents.labels), x, sigmas, SOLVERS["dpmpp_2m"]):
        if before is not None:
            stiffness.append(by_secant(before, visit.denoised, sigmas[visit.index - 1], visit.sigma))
        statistics.append(state_statistics(x, visit.denoised))
        sketches.append(sketch(visit.denoised).float())
        before, x = visit.denoised, visit.x
        yield Progress(done=(visit.index + 1) * len(latents), total=len(nodes) * len(latents))
    return BankBatch(
        stiffness=torch.stack(stiffness, dim=1).cpu().numpy().astype(np.float64),
        statistics=torch.stack(statistics, dim=1).cpu().numpy().astype(np.float64),
        sketches=torch.stack(sketches, dim=1).cpu().numpy(),
        ends=x[:ends],
    )


def _sketching(dimensions: int) -> Callable[[Tensor], Tensor]:
    """A fixed linear map to at most m numbers whose length is the root mean square, in the mean over its signs."""
    rng = np.random.default_rng(dimensions)  # the same map for every batch, in every process
    size = min(dimensions, SKETCH)
    order = torch.from_numpy(rng.permutation(dimensions))
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], dimensions) / dimensions**0.5)

    def sketch(values: Tensor) -> Tensor:
        mixed = values.flatten(1)[:, order.to(values.device)] * signs.to(values)
        # Every m-th entry goes to the same sum. A scattered addition would differ from run to run on a GPU.
        summed: Tensor = torch.nn.functional.pad(mixed, (0, -dimensions % size)).unflatten(1, (-1, size)).sum(dim=1)
        return summed

    return sketch


def joined(nodes: NDArray[np.float64], batches: Sequence[BankBatch]) -> TrajectoryBank:
    """The bank that these batches make, in their order."""
    return TrajectoryBank(
        sigma=np.sqrt(nodes[:-1] * nodes[1:]),
        stiffness=np.concatenate([batch.stiffness for batch in batches]),
        ends=torch.cat([batch.ends for batch in batches]),
        nodes=nodes,
        statistics=np.concatenate([batch.statistics for batch in batches]),
        sketches=np.concatenate([batch.sketches for batch in batches]),
    )


def build_bank(
    fields: Fields,
    latents: Latents,
    *,
    sigma_min: float,
    sigma_max: float,
    nodes: int = 128,
    ends: int = 0,
    batch: int | None = None,
    journal: Journal = BLANK,
) -> Generator[Progress, None, TrajectoryBank]:
    """Walk unit noise `(W, *S)` down the model, yielding progress in denoised values; returns the bank.

    Of the first `ends` trajectories it keeps the end points. Each batch is a piece of the journal.
    """
    levels = bank_nodes(sigma_min, sigma_max, nodes)
    batches: list[BankBatch] = []
    done, total = 0, len(latents) * nodes
    yield Progress(done=0, total=total)  # before the first call, which may take long
    for index, some in enumerate(latents.split(batch)):
        walking = journal.once(f"{index}", walk_batch(fields, some, levels, ends=max(0, ends - done // nodes)))
        batches.append((yield from shifted(walking, done, total, worth=len(some) * nodes)))
        done += len(some) * nodes
    return joined(levels, batches)
