"""What tests of solvers share: states to begin from, where a walk ends, and a bare denoiser as a model."""

import torch

from artc.models.custom import score_model
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import walk


def column(*values):
    """States of one value each, `(n, 1)` in float64."""
    return torch.tensor([[value] for value in values], dtype=torch.float64)


def end_of(denoise, x, sigmas, solver, **options):
    """Where a solver, by its name, takes x on a grid; `options` are those of `walk`."""
    for visit in walk(denoise, x, sigmas, SOLVERS[solver], **options):
        x = visit.x
    return x


def model_of(denoiser, dtype=torch.float64, shape=(1,)):
    """A bare denoiser as a model in x = x0 + sigma n."""
    return score_model(denoiser, shape=shape, sigma_min=0.002, sigma_max=80.0, device="cpu", dtype=dtype)
