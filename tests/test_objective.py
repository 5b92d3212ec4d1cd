import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from artc.artifact import Coordinate, Warp
from artc.errors import InputError
from artc.learning.closed_form import closed_form
from artc.learning.objective import (
    Energy,
    energy_of,
    gap,
    grid_cost,
    lower_bound,
    state_gain,
    state_spread,
    warp_cost,
)
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.bank import TrajectoryBank, build_bank
from artc.sampling.grids import GRIDS, baseline

RANGE = Coordinate(0.002, 80.0)
SIGMA = np.geomspace(80.0, 0.002, 255)


def table(*rows):
    return Energy(coordinate=RANGE, cells=np.array(rows, dtype=np.float64))


@st.composite
def tables(draw):
    """Energies of up to three trajectories on up to 24 cells, over ten decades."""
    cells = draw(st.integers(1, 24))
    row = st.lists(st.floats(-5, 5).map(lambda power: 10**power), min_size=cells, max_size=cells)
    return table(*draw(st.lists(row, min_size=1, max_size=3)))


@st.composite
def increasing(draw, count=None):
    """Strictly increasing numbers from 0 to 1, at least a thousandth apart."""
    size = draw(st.integers(0, 12)) if count is None else count
    inner = draw(st.lists(st.integers(1, 999), min_size=size, max_size=size, unique=True))
    return np.array([0, *sorted(inner), 1000]) / 1000


# ------------------------------------------------------------------------------------- by hand, by law


def test_costs_of_two_cells_by_hand():
    energy = table([1.0, 3.0])
    assert lower_bound(energy) == pytest.approx(2 + 3**0.5)  # (sqrt(1/2) + sqrt(3/2))^2
    assert grid_cost(energy, np.array([0.0, 1.0])) == pytest.approx(1 * 1 * 4)
    assert grid_cost(energy, np.array([0.0, 0.5, 1.0])) == pytest.approx(2 * (0.5 * 1 + 0.5 * 3))
    assert grid_cost(energy, np.array([0.0, 0.25, 1.0])) == pytest.approx(2 * (0.25 * 0.5 + 0.75 * 3.5))
    middle = float(RANGE.sigma(0.5))
    # A clock that is at 1/4 in the middle: speeds 2 and 2/3, each for its share of the clock.
    hurried = Warp((0.0, 0.25, 1.0), (80.0, middle, 0.0), 0.002)
    assert warp_cost(energy, hurried) == pytest.approx(0.5 * 1 / 0.25 + 0.5 * 3 / 0.75)
    # The best clock of these cells spends 1 : sqrt(3) on them.
    best = Warp((0.0, 1 / (1 + 3**0.5), 1.0), (80.0, middle, 0.0), 0.002)
    assert gap(energy, best) == pytest.approx(0, abs=1e-12)


def test_state_gain_by_hand():
    # Each trajectory could have 2 + sqrt(3); their mean energy is flat and costs 4.
    assert state_gain(table([1.0, 3.0], [3.0, 1.0])) == pytest.approx(1 - (2 + 3**0.5) / 4)


@given(tables(), increasing())
def test_no_grid_costs_less_than_the_bound(energy, progress):
    assert grid_cost(energy, progress) >= lower_bound(energy) * (1 - 1e-12)


@given(tables(), st.integers(0, 12).flatmap(lambda count: st.tuples(increasing(count), increasing(count))))
def test_no_warp_costs_less_than_the_bound(energy, pair):
    clock, progress = pair
    warp = Warp(tuple(clock), tuple(RANGE.sigma(progress)), 0.002)
    assert warp_cost(energy, warp) >= lower_bound(energy) * (1 - 1e-12)


@given(tables())
def test_knowing_the_state_never_costs(energy):
    assert -1e-12 <= state_gain(energy) < 1


@given(tables(), increasing(), st.floats(0.01, 100.0))
def test_costs_scale_with_the_stiffness_and_shares_do_not(energy, progress, factor):
    scaled = table(*(factor * energy.cells))
    assert grid_cost(scaled, progress) == pytest.approx(factor * grid_cost(energy, progress))
    assert lower_bound(scaled) == pytest.approx(factor * lower_bound(energy))
    assert state_gain(scaled) == pytest.approx(state_gain(energy), abs=1e-9)


# ----------------------------------------------------------------------------------- an exact Gaussian


def test_total_energy_and_bound_are_the_integrals_of_a_gaussian(exact_energy, curvature):
    span = np.log1p(80.0 / 0.002)
    total = quad(lambda sigma: curvature(sigma) * (sigma + 0.002) * span, 0, 80, points=[0.5, 5], limit=200)[0]
    assert exact_energy.cumulative[-1] == pytest.approx(total, rel=1e-3)
    bound = quad(lambda sigma: curvature(sigma) ** 0.5, 0, 80, points=[0.5, 5], limit=200)[0] ** 2
    assert lower_bound(exact_energy) == pytest.approx(bound, rel=1e-3)


def test_the_closed_form_clock_is_that_of_the_integral(exact_energy, curvature):
    def part(low, high):
        return quad(lambda sigma: curvature(sigma) ** 0.5, low, high, limit=200)[0]

    whole, grid = part(0, 1) + part(1, 80), closed_form(exact_energy).grid(8)
    for k in range(1, 8):
        node = brentq(lambda sigma, left=1 - k / 8: part(0, sigma) - left * whole, 1e-6, 80)
        assert grid[k] == pytest.approx(node, rel=5e-3)


def test_stiffness_times_squared_speed_is_constant_on_the_closed_form_clock(energies):
    for energy in (energies("gaussian")[0], energies("mixture-1d")[0]):
        root = np.sqrt(energy.mean * energy.cells.shape[1])  # sqrt(q) on each cell
        warp = closed_form(energy)
        spent = np.interp(
            energy.coordinate.progress(np.array(warp.sigma)), energy.edges, np.cumsum([0, *root]) / len(root)
        )
        speed = np.diff(spent) / np.diff(warp.clock)  # mean of sqrt(q) theta between two nodes
        np.testing.assert_allclose(speed**2, lower_bound(energy), rtol=1e-6)
        assert gap(energy, warp) < 1e-3


def test_the_closed_form_grid_does_not_know_the_scale_of_the_stiffness(energies):
    energy = energies("mixture-1d")[0]
    sevenfold = Energy(coordinate=energy.coordinate, cells=7 * energy.cells)
    np.testing.assert_allclose(closed_form(sevenfold).grid(12), closed_form(energy).grid(12), rtol=1e-9)


def test_the_optimum_hardly_knows_the_coordinate(curvature, exact_energy):
    bank = TrajectoryBank(sigma=SIGMA, stiffness=curvature(SIGMA)[None])
    for offset in (0.0005, 0.02):
        other = energy_of(bank, Coordinate(offset, 80.0))
        assert lower_bound(other) == pytest.approx(lower_bound(exact_energy), rel=1e-3)
        np.testing.assert_allclose(closed_form(other).grid(9), closed_form(exact_energy).grid(9), rtol=5e-3)


def test_the_cost_of_closed_form_grids_falls_to_the_bound_with_the_square_of_the_steps(exact_energy):
    gentle = table((1 + 3 * ((np.arange(512) + 0.5) / 512) ** 2) ** 2)
    steps, excess = [8, 16, 32, 64], {}
    for energy in (gentle, exact_energy):
        costs = [grid_cost(energy, RANGE.progress(closed_form(energy).grid(k))) for k in steps]
        excess[energy is gentle] = np.array(costs) / lower_bound(energy) - 1
    assert -np.polyfit(np.log(steps), np.log(excess[True]), 1)[0] == pytest.approx(2, abs=0.1)
    # Of the Gaussian the last step is the worst: it crosses the decades between c and its width, so that until it is
    # short beside c the fall is nearer to 1 / K.
    assert (excess[False][:-1] / excess[False][1:] > 2).all()
    assert excess[False][-1] < 0.01


def test_every_baseline_costs_more_than_the_closed_form(exact_energy):
    best = grid_cost(exact_energy, RANGE.progress(closed_form(exact_energy).grid(20)))
    cost = {name: grid_cost(exact_energy, RANGE.progress(baseline(name, 20, 0.002, 80.0))) for name in GRIDS}
    assert best < min(cost.values())
    # The order of the one-dimensional study: uniform is far behind all others.
    assert cost["uniform"] > 5 * max(cost["edm"], cost["logsnr"], cost["edm-free"])


def test_stiffness_is_interpolated_in_logarithms_and_held_beyond_the_bank():
    # A power law is a straight line there, so that three points of it are as good as three hundred.
    sigma = np.array([40.0, 1.0, 0.1])
    energy = energy_of(TrajectoryBank(sigma=sigma, stiffness=sigma[None] ** -1.5), RANGE, cells=4000)
    reached = RANGE.sigma(energy.edges)
    width = (RANGE.sigma((np.arange(4000) + 0.5) / 4000) + 0.002) * np.log1p(80 / 0.002)
    held = np.clip(RANGE.sigma((np.arange(4000) + 0.5) / 4000), 0.1, 40.0) ** -1.5
    np.testing.assert_allclose(energy.mean * 4000, held * width**2, rtol=1e-9)
    # And |dsigma/dy| is what moves sigma over a cell.
    np.testing.assert_allclose(width / 4000, -np.diff(reached), rtol=1e-4)


# ---------------------------------------------------------------------------------- value of the state


def test_a_gaussian_has_nothing_to_gain_from_its_state(energies, curvature):
    same = np.outer([1.0, 1.0], curvature(SIGMA))
    louder = np.outer([0.2, 1.0, 3.0], curvature(SIGMA))
    for stiffness in (same, louder):
        energy = energy_of(TrajectoryBank(sigma=SIGMA, stiffness=stiffness), RANGE)
        assert state_gain(energy) == pytest.approx(0, abs=1e-12)
    assert state_gain(energies("gaussian")[0]) == pytest.approx(0, abs=1e-5)


def test_on_the_three_modes_the_state_is_worth_nine_per_cent(load):
    model = load("mixture-1d")
    walking = build_bank(
        Probe(model).on, model.latents(1500, 1), sigma_min=0.002, sigma_max=80.0, nodes=128, batch=1500
    )
    energy = energy_of(drain(walking), RANGE)
    assert state_gain(energy) == pytest.approx(0.092, abs=0.015)


def test_straight_trajectories_are_refused(load, curvature):
    with pytest.raises(InputError, match="straight lines"):
        energy_of(TrajectoryBank(sigma=SIGMA, stiffness=np.zeros((3, len(SIGMA)))), RANGE)


def test_energies_must_be_a_positive_table():
    for cells in ([[1.0, 0.0]], [[1.0, -2.0]], [[1.0, np.nan]], [1.0, 2.0]):
        with pytest.raises(InputError, match="table of positive numbers"):
            Energy(coordinate=RANGE, cells=np.array(cells))


def test_one_dead_trajectory_does_not_make_a_cell_infinitely_fast(curvature):
    stiffness = np.stack([curvature(SIGMA), 0 * SIGMA])
    energy = energy_of(TrajectoryBank(sigma=SIGMA, stiffness=stiffness), RANGE)
    assert energy.cells[1] * energy.cells.shape[1] == pytest.approx(1e-8 * 512 * energy.cells.max(), rel=1e-9)


def test_the_spread_of_the_best_speeds_by_hand():
    # Two trajectories of two cells: c = (sqrt(A / 2) summed) is 1.5 and 1.5, speeds c / sqrt(A) = 3 : 1.5 and 1.5 : 3.
    cells = np.array([[0.5, 2.0], [2.0, 0.5]])
    found = state_spread(Energy(coordinate=Coordinate(0.002, 80.0), cells=cells), points=2)
    np.testing.assert_allclose(found, [0.75 / 2.25, 0.75 / 2.25])
    alike = Energy(coordinate=Coordinate(0.002, 80.0), cells=np.array([[1.0, 4.0], [3.0, 12.0]]))
    np.testing.assert_allclose(state_spread(alike, points=2), 0.0, atol=1e-12)
