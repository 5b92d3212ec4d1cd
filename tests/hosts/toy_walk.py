"""Where our own walk takes the toy model of `toy_nodes`, from the noise that ComfyUI draws."""

import numpy as np
import torch

from tests.walking import end_of

MEAN, STD = (0.5, -0.25, 0.0, 1.0), (0.5, 0.25, 1.0, 0.125)  # as in toy_nodes


def toy_end(grid, solver, *, seed, batch, **options):
    """The samples `(batch, 4, 2, 2)` of the toy model of kind "edm", which starts at `grid[0]` n; float64."""
    mean, variance = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (MEAN, np.square(STD)))
    noise = torch.randn((batch, 4, 2, 2), generator=torch.Generator().manual_seed(seed))  # as ComfyUI draws it

    def denoise(x, sigma):
        return mean + variance / (variance + sigma**2) * (x - mean)

    return end_of(denoise, grid[0] * noise.double(), grid, solver, **options)
