"""What several benchmarks begin with: the trajectories of a model, walked as `artc compile` walks them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from artc.artifact import Coordinate
from artc.learning.objective import Energy, energy_of
from artc.models.score_model import Latents, Probe
from artc.progress import drain
from artc.request import Request
from artc.sampling.bank import build_bank


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """Energies to learn from and to judge by, and the first of the noises with where they end."""

    training: Energy
    held_out: Energy
    latents: Latents
    ends: Tensor


def walked(probe: Probe, request: Request, ends: int = 0) -> Walked:
    """Walk the bank of a request, keeping so many end points."""
    info, latents = probe.model.info, probe.model.latents(request.trajectories, request.bank_seed)
    limits = {"sigma_min": info.sigma_min, "sigma_max": info.sigma_max}
    bank = drain(build_bank(probe.on, latents, nodes=request.nodes, ends=ends, **limits))
    coordinate = Coordinate(info.sigma_min, info.sigma_max)
    training, held_out = (energy_of(part, coordinate) for part in bank.split(request.held))
    assert bank.ends is not None
    return Walked(training=training, held_out=held_out, latents=latents.first(ends), ends=bank.ends)
