"""The trajectory bank: fine trajectories of the model, walked once, on which every clock is then tried for nothing.

Where a trajectory goes does not depend on how fast it is walked: x(t) = X(psi(t)) stays on the same path whatever the
clock does. So W trajectories are walked once through G sigmas, log-spaced from sigma_max to sigma_min, and the
stiffness of each is kept between neighbours. Learning a clock then costs no further denoiser call.

The walk is DPM-Solver++(2M): second order at one call a node, which makes the bank cost exactly W x G calls.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.errors import InputError
from artc.models.score_model import Fields, Latents
from artc.progress import Progress
from artc.sampling.solvers import SOLVERS
from artc.sampling.stiffness import by_secant
from artc.sampling.trajectories import walk


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryBank:
    """Stiffness along W trajectories.

    Attributes:
        sigma: `(G - 1,)` strictly decreasing: the geometric middle of each pair of neighbouring nodes.
        stiffness: `(W, G - 1)` |Q| there, for each trajectory.
        ends: where the first of the trajectories end, `(n, *S)`, n <= W.
    """

    sigma: NDArray[np.float64]
    stiffness: NDArray[np.float64]
    ends: Tensor | None = None

    def __post_init__(self) -> None:
        if self.stiffness.ndim != 2 or self.stiffness.shape[1:] != self.sigma.shape:
            raise InputError(f"A bank pairs (W, G) stiffness with (G,) sigma, not {self.stiffness.shape}.")
        if not np.isfinite(self.stiffness).all() or (self.stiffness < 0).any():
            raise InputError("The stiffness of a bank must be finite and not negative.")

    def split(self, held_out: int) -> tuple[TrajectoryBank, TrajectoryBank]:
        """The trajectories to learn from, and the last `held_out` to judge by."""
        return self._part(slice(None, -held_out)), self._part(slice(-held_out, None))

    def _part(self, which: slice) -> TrajectoryBank:
        return TrajectoryBank(sigma=self.sigma, stiffness=self.stiffness[which])


def build_bank(
    fields: Fields,
    latents: Latents,
    *,
    sigma_min: float,
    sigma_max: float,
    nodes: int = 128,
    ends: int = 0,
    batch: int | None = None,
) -> Generator[Progress, None, TrajectoryBank]:
    """Walk unit noise `(W, *S)` down the model, yielding progress in denoised values; returns the bank.

    Of the first `ends` trajectories it keeps the end points.
    """
    sigmas = np.geomspace(sigma_max, sigma_min, nodes)
    # The walk stops at sigma_min: the step past it only serves to take the denoised value there.
    sigmas = np.append(sigmas, 0.0)
    rows: list[NDArray[np.float64]] = []
    reached: list[Tensor] = []
    done, total = 0, len(latents) * nodes
    yield Progress(done=0, total=total)  # before the first call, which may take long
    for some in latents.split(batch):
        before: Tensor | None = None
        row: list[NDArray[np.float64]] = []
        for visit in walk(fields(some.labels), some.noise * sigma_max, sigmas.tolist(), SOLVERS["dpmpp_2m"]):
            if before is not None:
                row.append(by_secant(before, visit.denoised, float(sigmas[visit.index - 1]), visit.sigma).cpu().numpy())
            before = visit.denoised
            done += len(some)
            yield Progress(done=done, total=total)
        rows.append(np.stack(row, axis=1))
        reached.append(visit.x[: max(0, ends - sum(map(len, reached)))])
    middle = np.sqrt(sigmas[:-2] * sigmas[1:-1])
    stiffness = np.concatenate(rows).astype(np.float64)
    return TrajectoryBank(sigma=middle, stiffness=stiffness, ends=torch.cat(reached))
