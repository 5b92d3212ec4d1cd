"""Hand-made grids, the baselines every schedule is compared with. NumPy float64; no torch.

A grid of K steps has K + 1 strictly decreasing sigmas, the first sigma_max and the last exactly 0. `logsnr` and `edm`
pin their last positive node to sigma_min and then jump to 0, as their authors sample them: at K = 2 both are
[sigma_max, sigma_min, 0] and spend a whole step on nothing. `edm-free` is the same curve with every interior node free
to reach towards 0, so that a win over `edm` can be told from a win over that pinned node.

For a flow model the same curves are taken on its own sigma, as its hosts take them, but for `logsnr`, which is uniform
in ln(s / (1 - s)). `shifted`, uniform in time before the model's shift m, s = m t / (1 + (m - 1) t), is the grid that
such models are sampled with by default.

Sources: Karras et al. 2206.00364, equation 5, rho = 7 (`edm`); Lu et al. 2206.00927 (`logsnr`); Esser et al.
2403.03206, section 5.3.2 (`shifted`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from artc.artifact import ModelInfo
from artc.errors import BudgetError, InputError, UnknownNameError
from artc.models.domains import domain_grid, unscaled_sigma

Grid = NDArray[np.float64]
RHO = 7.0


def uniform(steps: int, sigma_min: float, sigma_max: float) -> Grid:
    """sigma_k = sigma_max (1 - k / K); sigma_min plays no part."""
    del sigma_min
    return np.linspace(sigma_max, 0.0, steps + 1)


def logsnr(steps: int, sigma_min: float, sigma_max: float) -> Grid:
    """ln sigma_k linear in k from sigma_max to sigma_min, then 0."""
    return np.append(np.geomspace(sigma_max, sigma_min, steps) if steps > 1 else sigma_max, 0.0)


def edm(steps: int, sigma_min: float, sigma_max: float) -> Grid:
    """sigma_k^(1/7) linear in k from sigma_max to sigma_min, then 0."""
    return np.append(_rho_curve(np.linspace(0, 1, steps), sigma_min, sigma_max), 0.0)


def edm_free(steps: int, sigma_min: float, sigma_max: float) -> Grid:
    """The curve of `edm` cut into K intervals, its end moved from sigma_min to 0."""
    return np.append(_rho_curve(np.arange(steps) / steps, sigma_min, sigma_max), 0.0)


def _rho_curve(position: Grid, sigma_min: float, sigma_max: float) -> Grid:
    top, bottom = sigma_max ** (1 / RHO), sigma_min ** (1 / RHO)
    curve: Grid = (top + position * (bottom - top)) ** RHO
    curve[:1] = sigma_max  # not (sigma_max^(1/7))^7, which may differ in the last digit
    return curve


GRIDS: dict[str, Callable[[int, float, float], Grid]] = {
    "edm": edm,
    "edm-free": edm_free,
    "logsnr": logsnr,
    "uniform": uniform,
}


def baseline(name: str, steps: int, sigma_min: float, sigma_max: float) -> Grid:
    """A named grid; raises UnknownNameError, BudgetError for less than one step, InputError for a bad range."""
    if name not in GRIDS:
        raise UnknownNameError("grid", name, GRIDS)
    if steps < 1:
        raise BudgetError(f"A grid has at least one step, not {steps}.")
    if not 0 < sigma_min < sigma_max:
        raise InputError(f"Expected 0 < sigma_min < sigma_max, not {sigma_min:g} and {sigma_max:g}.")
    return GRIDS[name](steps, sigma_min, sigma_max)


def shifted(steps: int, sigma_max: float, shift: float) -> Grid:
    """s = m t / (1 + (m - 1) t) with t linear in k from where s is sigma_max down to 0, m the shift."""
    start = sigma_max / (shift - (shift - 1) * sigma_max)
    time = start * (1 - np.arange(steps + 1) / steps)
    grid: Grid = shift * time / (1 + (shift - 1) * time)
    grid[0] = sigma_max
    return grid


def names_for(info: ModelInfo) -> tuple[str, ...]:
    """The grids that make sense for a model: all of `GRIDS`, and `shifted` for a flow model that has a shift."""
    return (*GRIDS, "shifted") if info.domain == "flow" and info.shift not in (None, 1.0) else tuple(GRIDS)


def grid_for(name: str, steps: int, info: ModelInfo) -> Grid:
    """A named grid for a model, in its domain and not below its sigma_min; raises what `baseline` raises."""
    return above(info.sigma_min, _free_grid(name, steps, info))


def above(floor: float, grid: Grid) -> Grid:
    """The same grid where its last positive node is not below `floor`, the least noise that a model knows.

    Otherwise its nodes are drawn together along the same curve until that node is there.
    """
    if grid[-2] >= floor:
        return grid
    steps = len(grid) - 1
    place = np.linspace(0.0, 1.0, steps + 1)
    last = np.interp(floor, grid[::-1], place[::-1])
    inner = np.interp(np.linspace(0.0, last, steps), place, grid)
    return np.array([*inner[:-1], floor, 0.0])


def log_linear(sigmas: ArrayLike, steps: int) -> Grid:
    """A listed grid at another number of steps, from the list alone: ln sigma linear in k / (K - 1) between its nodes.

    The first and the last positive node stay where they are, and the end is 0. A list of few steps says little about
    its curve: where the warp it was read from is known, that is read again instead.

    Raises BudgetError for less than one step, InputError for a list that is no grid of at least two steps.

    Source: [ART] arXiv 2607.02137 in the remaining time T - psi = sigma; Sabour et al. 2404.14507 for their own lists.
    """
    listed = np.asarray(sigmas, dtype=np.float64)
    if steps < 1:
        raise BudgetError(f"A grid has at least one step, not {steps}.")
    falls = listed.ndim == 1 and np.isfinite(listed).all() and (np.diff(listed) < 0).all()
    if not falls or len(listed) < 3 or listed[-1] != 0:
        raise InputError("Only a strictly decreasing list of at least three sigmas that ends in 0 can be resampled.")
    place = np.linspace(0.0, 1.0, steps) if steps > 1 else np.zeros(1)
    wanted = np.exp(np.interp(place, np.linspace(0.0, 1.0, len(listed) - 1), np.log(listed[:-1])))
    if steps > 1:
        wanted[-1] = listed[-2]
    wanted[0] = listed[0]  # not exp(ln sigma), which may differ in the last digit
    return np.append(wanted, 0.0)


def _free_grid(name: str, steps: int, info: ModelInfo) -> Grid:
    if name == "shifted" and name in names_for(info):
        assert info.shift is not None
        return shifted(steps, info.sigma_max, info.shift)
    if name == "logsnr" and info.domain == "flow":
        low, high = unscaled_sigma([info.sigma_min, info.sigma_max], "flow").tolist()
        return np.array(domain_grid(baseline(name, steps, low, high), info))
    if name not in GRIDS:
        raise UnknownNameError("grid", name, names_for(info))
    return baseline(name, steps, info.sigma_min, info.sigma_max)
