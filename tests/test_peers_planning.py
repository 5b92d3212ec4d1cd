"""Methods that plan with matrices, formulas and bounds, against brute force, quadrature, SciPy and closed forms."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize

from artc.models.score_model import Probe
from artc.peers import ays, dmn, gits, kl_optimal, oss
from artc.peers.peer import teacher_ends
from artc.sampling.reaching import first_row, next_row
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample, walk


@pytest.mark.parametrize("gamma", [1.0, 1.15, 2.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6])
def test_gits_finds_the_cheapest_of_all_paths(steps, gamma):
    costs = np.where(np.triu(np.ones((7, 7)), 1), np.random.default_rng(3).normal(size=(7, 7)), np.inf)

    def price(path):
        # V_i(k) = c_ij + gamma V_j(k - 1): a jump counts gamma for each jump before it.
        return sum(gamma**k * costs[i, j] for k, (i, j) in enumerate(pairwise(path)))

    paths = [(0, *inner, 6) for inner in combinations(range(1, 6), steps - 1)]
    assert tuple(gits.cheapest_path(costs, steps, gamma)) == min(paths, key=price)


def test_gits_nodes_are_those_that_its_authors_print(load):
    levels = gits.rho_nodes(61, load("mixture-1d").info)
    printed = (80.0, 10.9836, 3.8811, 1.584, 0.5666, 0.1698, 0.002)  # their grid of six steps
    assert set(printed) <= set(np.round(levels, 4).tolist())


def test_gits_costs_are_distances_of_euler_shots_from_the_line(load):
    model = load("mixture-64d")
    latents, levels = model.latents(5, 1), gits.rho_nodes(9, model.info)
    matrix = gits.cost_matrix(Probe(model).on, latents, levels)
    field = Probe(model)
    states = [latents.noise * 80.0]
    states += [visit.x for visit in walk(field, states[0], levels.tolist(), gits.TEACHER)]

    def away(z, k):
        a, b = states[0][k], states[-1][k]
        foot = a + torch.dot(z - a, b - a) / torch.dot(b - a, b - a) * (b - a)
        return float((z - foot).norm())

    for i, j in ((0, 3), (4, 5), (2, 8), (7, 8)):
        slope = (states[i] - field(states[i], levels[i])) / levels[i]
        shot = states[i] + (levels[j] - levels[i]) * slope
        wanted = np.mean([away(shot[k], k) - (away(states[j][k], k) if j < 8 else 0.0) for k in range(5)])
        assert matrix[i, j] == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    assert np.isinf(matrix[np.tril_indices(9)]).all()


def test_kl_optimal_is_the_formula(load):
    model = load("mnist")  # sigma_data = 0.5
    grid = kl_optimal.prepare(model, 0)("euler", 4).sigmas
    top = math.atan(160.0)
    assert grid == pytest.approx([80.0, *(0.5 * math.tan(top * k / 4) for k in (3, 2, 1)), 0.0])


def test_kl_optimal_is_best_for_euler_and_gaussian_data(load):
    model = load("gaussian")
    latents, probe = model.latents(1, 0), Probe(model)
    exact = model.denoiser.trajectory(latents.noise * 80.0, 80.0, 0.0)

    def missed(inner):
        grid = [80.0, *np.sort(np.exp(inner))[::-1].tolist(), 0.0]
        return float((sample(probe.on, latents, grid, find_solver("euler")) - exact).norm())

    ours = kl_optimal.arctan_grid(4, 80.0, 0.5)[1:-1]
    found = minimize(missed, np.log([20.0, 2.0, 0.2]), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12})
    assert np.sort(np.exp(found.x))[::-1] == pytest.approx(ours, rel=1e-3)


def test_dmn_weights_are_integrals_of_lagrange_polynomials():
    nodes = [-1.5, -0.4, 0.3, 1.7]

    def weight(order, back):
        ours = [nodes[2 - k] for k in range(order)]
        others = [node for k, node in enumerate(ours) if k != back]
        basis = lambda t: math.prod((t - node) / (ours[back] - node) for node in others)  # noqa: E731
        return quad(lambda t: math.exp(t) * basis(t), nodes[2], nodes[3])[0]

    for order in (1, 2, 3):
        found = dmn.lagrange_weights(torch.tensor(nodes, dtype=torch.float64), 2, order)
        assert [float(one) for one in found] == pytest.approx([weight(order, back) for back in range(order)])


def test_dmn_objective_of_two_steps_by_hand():
    # Both steps have order 1 and are charged one by one: sigma_0 (1 / sigma_1 - 1 / sigma_0) + the same of the next.
    nodes = -torch.tensor([8.0, 2.0, 0.5], dtype=torch.float64).log()
    assert float(dmn.error_bound(nodes, 3)) == pytest.approx((8 / 2 - 1) + (2 / 0.5 - 1))


def test_dmn_objective_adds_up_what_each_value_receives():
    # Seven steps of Euler's: nothing is charged apart, and each value is used once.
    sigmas = np.geomspace(80.0, 0.002, 8)
    found = float(dmn.error_bound(torch.from_numpy(-np.log(sigmas)), 1, power=2.0))
    assert found == pytest.approx(float((sigmas[:-1] ** 2 * (1 / sigmas[1:] - 1 / sigmas[:-1])).sum()))
    assert [dmn.ramp(n, 7) for n in range(7)] == [1, 2, 3, 3, 3, 2, 1]


def test_dmn_of_eulers_rule_is_uniform_in_lambda():
    # A sum of sigma_i / sigma_{i+1} whose product is fixed: least where all are equal.
    assert dmn.best_nodes(0.002, 80.0, 7, 1) == pytest.approx(np.geomspace(80.0, 0.002, 8), rel=1e-6)


@pytest.mark.parametrize(("steps", "order"), [(3, 2), (5, 3), (8, 2), (10, 3)])
def test_dmn_reaches_what_scipy_does_and_is_below_uniform_lambda(steps, order):
    nodes = dmn.best_nodes(0.002, 80.0, steps, order)
    uniform = -np.log(np.geomspace(80.0, 0.002, steps + 1))
    bound = lambda lambdas: math.log(float(dmn.error_bound(torch.from_numpy(lambdas), order)))  # noqa: E731
    whole = lambda inner: np.array([uniform[0], *inner, uniform[-1]])  # noqa: E731
    gap = dmn.LEAST_GAP * (uniform[-1] - uniform[0]) / steps
    limits = {"type": "ineq", "fun": lambda inner: np.diff(whole(inner)) - gap}
    theirs = minimize(lambda inner: bound(whole(inner)), uniform[1:-1], method="SLSQP", constraints=limits)
    assert bound(-np.log(nodes)) < bound(uniform)
    assert bound(-np.log(nodes)) < theirs.fun + 0.03
    assert np.diff(-np.log(nodes)).min() > 0.99 * gap


def gaussian_klub(low, high):
    """int_low^high t^-3 c^4 (1 / (c^2 + t^2) - 1 / (c^2 + high^2)) dt of Gaussian data, c = 0.5."""
    c2 = 0.25
    change = lambda t: c2**2 * (1 / (c2 + t * t) - 1 / (c2 + high * high))  # noqa: E731
    return quad(lambda log_t: math.exp(-2 * log_t) * change(math.exp(log_t)), math.log(low), math.log(high))[0]


@pytest.fixture(scope="module")
def klub(load):
    model = load("gaussian")
    latents, probe = model.latents(64, 0), Probe(model)
    clean = teacher_ends(probe.on, latents, 0.002, 80.0)
    return ays.klub_table(probe.on, latents, clean, gits.rho_nodes(64, model.info)[::-1], 0)


def test_the_bound_of_gaussian_data_is_its_integral(klub):
    for low, high in ((20.0, 80.0), (0.3, 2.0), (0.002, 0.01)):
        found = float(klub(np.array([low]), np.array([high]))[0])
        assert found == pytest.approx(gaussian_klub(low, high), rel=0.15)


def test_sweeps_lower_the_bound_to_its_optimum_for_gaussian_data(load, klub):
    start = np.geomspace(80.0, 0.002, 6)
    exact = lambda grid: sum(gaussian_klub(low, high) for high, low in pairwise(grid))  # noqa: E731
    whole = lambda inner: np.array([80.0, *np.exp(np.sort(inner)[::-1]), 0.002])  # noqa: E731
    best = minimize(lambda inner: math.log(exact(whole(inner))), np.log(start[1:-1]), method="Nelder-Mead")
    grids = list(ays.sweeps(gits.rho_nodes(6, load("gaussian").info), klub))
    totals = [klub.total(grid) for grid in grids]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(totals))
    assert exact(grids[-1]) < 1.03 * math.exp(best.fun)


@pytest.mark.parametrize("solver", ["euler", "dpmpp_2m"])
def test_oss_with_two_steps_is_the_best_of_all_middles(load, solver):
    model = load("mixture-64d")
    levels = oss.candidates(model.info, 20)
    latents = model.latents(8, 0)
    probe = Probe(model)
    ends = oss.walked(probe.on, latents, levels).states[-1]
    missed = [
        float((sample(probe.on, latents, [80.0, levels[i], 0.0], find_solver(solver)) - ends).square().mean())
        for i in range(1, 20)
    ]
    found = oss.prepare(model, 0, noises=8, intervals=20)(solver, 2).sigmas
    assert found == (80.0, levels[1 + int(np.argmin(missed))], 0.0)


def test_oss_goes_on_from_the_states_that_its_steps_reach(load):
    model = load("mixture-64d")
    teacher = oss.walked(Probe(model).on, model.latents(6, 0), oss.candidates(model.info, 12))
    row = first_row(teacher)
    for _ in range(3):
        row = next_row(Probe(model).on, find_solver("dpmpp_2m"), teacher, row)
    for way in row.values():
        grid = [teacher.levels[node] for node in way.path]
        x = sample(Probe(model).on, teacher.latents, grid, find_solver("dpmpp_2m"))
        torch.testing.assert_close(way.x, x)
        assert way.error == pytest.approx(float((x - teacher.states[way.path[-1]]).square().mean()))
