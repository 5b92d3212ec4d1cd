"""The multistep rules: by hand, against references that share nothing with them, and against diffusers."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from artc.artifact import BUDGETS
from artc.models.analytic import Gaussian, three_modes
from artc.sampling.grids import baseline
from artc.sampling.solvers import SOLVERS, Node
from artc.sampling.trajectories import walk
from tests.walking import column, end_of

MULTISTEP = ["dpmpp_2m", "dpmpp_3m", "ipndm_2", "ipndm_3", "ipndm_4", "unipc_2", "unipc_3", "deis_2", "deis_3"]
UNEVEN = (20.0, 9.0, 5.0, 2.2, 1.3, 0.5, 0.3, 0.0)


def curved(x, sigma):
    """A denoiser that is not linear."""
    return torch.tanh(x / (0.1 + sigma**2)) * sigma / (1 + sigma) + 0.1 * x


# -------------------------------------------------------------------------------------------- by hand

# D = x / 2 from x = 8 at sigma = 4. Slopes are then x / (2 sigma); the first step, Euler's, ends at 6.
HALVES, H = [4, 2, 1, 0.5], math.log(2)
M1, M2 = 1 - 0.5 / H, 1 - 2 * (1 - 0.5 / H) / H  # moments of (u / H) and (u / H)^2 over a step that halves sigma
IPNDM_3 = 4.25 - 0.5 * (23 * 2.125 - 16 * 1.5 + 5) / 12
# The third call finds 2.0625: parabola 3 - 0.96875 v + 0.03125 v^2 through 4, 3, 2.0625 at v = -1, 0, 1.
CORRECTED = 5.75 / 2 + 3 / 2 - 0.96875 * M1 + 0.03125 * M2


@pytest.mark.parametrize(
    ("solver", "sigmas", "reached"),
    [
        ("ipndm_2", HALVES[:3], 6 - (3 * 1.5 - 1) / 2),
        ("ipndm_2", HALVES, 4.25 - 0.5 * (3 * 2.125 - 1.5) / 2),
        ("ipndm_3", HALVES, IPNDM_3),
        ("ipndm_4", [*HALVES, 0.25], IPNDM_3 - 0.25 * (55 * IPNDM_3 - 59 * 2.125 + 37 * 1.5 - 9) / 24),
        ("deis_2", HALVES[:3], 6 - 1.5 - 0.25 / 2),
        ("deis_3", HALVES, 4.375 - 0.5 * 2.1875 - 0.6875 / 8 - 0.4375 / 18),
        ("dpmpp_3m", HALVES[:3], 6 / 2 + (3 - 0.5) / 2),
        # A = -0.875, B = -1, so D2 = 0.0625 and D1 = -0.8125.
        ("dpmpp_3m", HALVES, 4.25 / 2 + 2.125 / 2 - 0.8125 * M1 + 0.0625 * M2 / 2),
        # Corrected with the mean of 4 and 3: 5.75.
        ("unipc_2", HALVES[:3], 5.75 / 2 + (3 - 0.5) / 2),
        ("unipc_2", HALVES, CORRECTED / 2 + (2.0625 - 0.9375 / 2) / 2),
        ("unipc_3", HALVES, CORRECTED / 2 + 2.0625 / 2 - 0.90625 * M1 + 0.03125 * M2),
    ],
)
def test_steps_calculated_by_hand(solver, sigmas, reached):
    assert float(end_of(lambda x, sigma: x / 2, column(8.0), sigmas, solver)) == pytest.approx(reached, rel=1e-13)


@pytest.mark.parametrize("solver", MULTISTEP)
def test_at_zero_the_sample_is_the_value_found_where_the_predictor_arrived(solver):
    *_, before, last = walk(curved, column(9.0, -31.0, 2.0), UNEVEN, SOLVERS[solver])
    assert torch.equal(last.x, curved(before.x, UNEVEN[-2]))


# -------------------------------------------------------------------------------- independent references


def adams(count, where):
    """Weights of the values at `where[:count]`, the newest first, in the integral from 0 to 1 of their polynomial."""
    nodes = np.asarray(where[:count], dtype=float)
    basis = [
        np.polynomial.Polynomial(np.polynomial.polynomial.polyfromroots(np.delete(nodes, j))) for j in range(count)
    ]
    return [float((one / one(node)).integ()(1)) for one, node in zip(basis, nodes, strict=True)]


def adams_walk(denoise, x, sigmas, order, uniform):
    """Adams-Bashforth in sigma: with the weights of equal steps, or with those of the nodes."""
    slopes = []
    for k, (a, b) in enumerate(pairwise(sigmas)):
        found = denoise(x, a)
        if b == 0:
            return found
        slopes.insert(0, (x - found) / a)
        count = min(order, k + 1)
        where = [-float(j) if uniform else (sigmas[k - j] - a) / (b - a) for j in range(count)]
        x = x + (b - a) * sum(w * d for w, d in zip(adams(count, where), slopes, strict=False))
    return x


@pytest.mark.parametrize("sigmas", [UNEVEN, UNEVEN[:-1], [10.0, 8.0, 6.0, 4.0, 2.0, 0.0]])
@pytest.mark.parametrize("solver", ["ipndm_2", "ipndm_3", "ipndm_4", "deis_2", "deis_3"])
def test_adams_rules_against_integrals_of_lagrange_polynomials(solver, sigmas):
    start, (family, order) = column(9.0, -31.0, 2.0), solver.split("_")
    wanted = adams_walk(curved, start, list(sigmas), int(order), uniform=family == "ipndm")
    torch.testing.assert_close(end_of(curved, start, sigmas, solver), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_on_equal_steps_ipndm_and_deis_are_the_same_rule(order):
    start, grid = column(9.0, -31.0, 2.0), [10.0, 8.0, 6.0, 4.0, 2.0]
    ends = [end_of(curved, start, grid, f"{family}_{order}") for family in ("ipndm", "deis")]
    torch.testing.assert_close(*ends, rtol=1e-13, atol=1e-13)


def exponential(places, values, h):
    """int_0^h e^-(h - u) P(u) du by Gauss-Legendre, P the Lagrange polynomial through the values."""
    at, weights = np.polynomial.legendre.leggauss(40)
    u, w = h * (at + 1) / 2, weights / 2 * h * np.exp(-h * (1 - (at + 1) / 2))
    total = 0.0
    for j, value in enumerate(values):
        others = [(u - place) / (places[j] - place) for k, place in enumerate(places) if k != j]
        total = total + float(np.sum(w * np.prod(others, axis=0))) * value
    return total


def unipc_walk(denoise, x, sigmas, order):
    """UniPC as a loop over lists, its integrals by quadrature."""
    logs, values, begun = [-math.log(sigma) for sigma in sigmas if sigma], [], x
    for k, (a, b) in enumerate(pairwise(sigmas)):
        found = denoise(x, a)
        if b == 0:
            return found
        if k:
            h, used = logs[k] - logs[k - 1], list(range(max(0, k - order), k))
            places, known = [logs[j] - logs[k - 1] for j in [*used, k]], [*(values[j] for j in used), found]
            x = a / sigmas[k - 1] * begun
            x = x + (exponential(places, known, h) if k > 1 else (1 - math.exp(-h)) * (known[0] + found) / 2)
        begun = x
        values.append(found)
        h, used = -math.log(b) - logs[k], list(range(max(0, k + 1 - order), k + 1))
        places, known = [logs[j] - logs[k] for j in used], [values[j] for j in used]
        x = b / a * x
        if len(used) == 2:  # B(h) = e^h - 1 and the weight 1/2
            x = x + (1 - math.exp(-h)) * (found + (known[0] - found) / places[0] * h / 2)
        else:
            x = x + exponential(places, known, h)
    return x


@pytest.mark.parametrize("sigmas", [UNEVEN, UNEVEN[:-1], UNEVEN[:3]])
@pytest.mark.parametrize("order", [2, 3])
def test_unipc_against_a_loop_with_quadrature(order, sigmas):
    start = column(9.0, -31.0, 2.0)
    wanted = unipc_walk(curved, start, list(sigmas), order)
    torch.testing.assert_close(end_of(curved, start, sigmas, f"unipc_{order}"), wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")
@pytest.mark.parametrize(
    ("name", "solver", "settings"),
    [
        ("DPMSolverMultistepScheduler", "dpmpp_2m", {"solver_order": 2}),
        ("DPMSolverMultistepScheduler", "dpmpp_3m", {"solver_order": 3}),
        ("UniPCMultistepScheduler", "unipc_2", {"solver_order": 2}),
        ("UniPCMultistepScheduler", "unipc_3", {"solver_order": 3}),
    ],
)
def test_every_state_is_that_of_diffusers(name, solver, settings):
    diffusers = pytest.importorskip("diffusers")
    grid = (14.0, 7.3, 3.1, 1.9, 0.6, 0.21, 0.0313, 0.0)
    # Without a lower order in the last steps, which is a setting: it makes UniPC's step to 0 infinity times zero.
    host = getattr(diffusers, name)(prediction_type="sample", lower_order_final=False, **settings)
    host.set_timesteps(len(grid) - 1)
    host.sigmas = torch.tensor(grid, dtype=torch.float64)
    start = column(9.0, -31.0, 2.0)
    z = start / math.sqrt(1 + grid[0] ** 2)
    visits = list(walk(curved, start, grid, SOLVERS[solver]))
    for k, (visit, t) in enumerate(zip(visits[:-1], host.timesteps, strict=False)):
        x = z * math.sqrt(1 + grid[k] ** 2)
        z = host.step(curved(x, grid[k]), t, z, return_dict=False)[0]
        torch.testing.assert_close(z * math.sqrt(1 + grid[k + 1] ** 2), visit.x, rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------------------------------------- accuracy


@pytest.mark.parametrize("solver", ["ipndm_2", "ipndm_3", "ipndm_4"])
def test_ipndm_has_its_order_on_equal_steps_in_sigma_with_a_past(solver, field):
    gaussian, start, counts, first, last = (
        Gaussian(mean=0.3, std=0.5),
        column(12.0, -7.0, 3.0),
        (64, 128, 256, 512),
        10,
        2,
    )
    denoise, order = field(gaussian), BUDGETS[solver].order

    def known(sigma):
        x = gaussian.trajectory(start, first, sigma)
        return Node(sigma=sigma, x=x, denoised=denoise(x, sigma))

    errors = []
    for steps in counts:
        past = tuple(known(first + k * (first - last) / steps) for k in range(1, order))
        *_, end = walk(denoise, start, np.linspace(first, last, steps + 1), SOLVERS[solver], memory=past)
        errors.append(float((end.x - gaussian.trajectory(start, first, last)).abs().max()))
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("solver", ["ipndm_3", "ipndm_4"])
def test_on_a_smooth_grid_of_other_steps_ipndm_is_of_order_2(solver, field):
    gaussian, start, counts = Gaussian(mean=0.3, std=0.5), column(12.0, -7.0, 3.0), (32, 64, 128, 256)
    exact = gaussian.trajectory(start, 10.0, 0.05)
    reached = [end_of(field(gaussian), start, np.geomspace(10, 0.05, steps + 1), solver) for steps in counts]
    errors = [float((x - exact).abs().max()) for x in reached]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(2, abs=0.1)


def test_three_values_make_a_third_of_the_error_of_two_in_dpmpp(field):
    gaussian, start, grid = Gaussian(mean=0.3, std=0.5), column(12.0), np.geomspace(10, 0.05, 257)
    exact = gaussian.trajectory(start, 10.0, 0.05)
    two, three = (float((end_of(field(gaussian), start, grid, f"dpmpp_{n}m") - exact).abs()) for n in (2, 3))
    assert three / two == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("solver", MULTISTEP)
def test_the_coarsest_grids_from_80_to_0_end_in_the_data(solver, steps, field):
    start = 80 * column(-2.0, -0.3, 0.0, 0.7, 2.5)
    end = end_of(field(three_modes()), start, baseline("edm", steps, 0.002, 80.0), solver)
    reach = end_of(field(three_modes()), start, baseline("edm", 64, 0.002, 80.0), "heun").abs().max()
    assert float(end.abs().max()) < 3 * float(reach)  # which NaN is not


# ------------------------------------------------------------------------------------ sigmas as tensors


@pytest.mark.parametrize("solver", SOLVERS)
def test_each_sample_may_have_a_grid_of_its_own(solver):
    grids, starts = (UNEVEN, (11.0, 7.0, 6.0, 3.0, 0.7, 0.6, 0.1, 0.0)), column(9.0, -3.0)
    x, memory = starts, None
    for k in range(len(UNEVEN) - 1):
        level, after = (column(*(grid[j] for grid in grids)) for j in (k, k + 1))
        step = SOLVERS[solver].step(curved, x, level, after if k + 2 < len(UNEVEN) else 0.0, memory)
        x, memory = step.x, step.memory
    alone = [end_of(curved, start[None], grid, solver) for start, grid in zip(starts, grids, strict=True)]
    torch.testing.assert_close(x, torch.cat(alone), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_gradient_with_respect_to_the_sigmas_is_that_of_differences(solver):
    start = column(9.0, -3.0)

    def end(*sigmas):
        x, memory = start, None
        for sigma, sigma_next in pairwise([*sigmas, 0.0]):
            step = SOLVERS[solver].step(curved, x, sigma, sigma_next, memory)
            x, memory = step.x, step.memory
        return x

    levels = [torch.tensor(sigma, dtype=torch.float64, requires_grad=True) for sigma in UNEVEN[:-1]]
    assert torch.autograd.gradcheck(end, levels, eps=1e-6, atol=1e-5)
