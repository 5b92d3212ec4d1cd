from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import Coordinate
from artc.errors import BudgetError
from artc.learning.closed_form import closed_form
from artc.learning.dynamic_programming import optimal_nodes, optimal_progress, step_costs
from artc.learning.objective import Energy, grid_cost, lower_bound

RANGE = Coordinate(0.002, 80.0)
CELLS = st.lists(st.floats(-3, 3).map(lambda power: 10**power), min_size=2, max_size=8)


def path_cost(costs, nodes):
    return sum(costs[i][j] for i, j in pairwise(nodes))


@given(CELLS, st.data())
def test_dynamic_programming_finds_what_trying_every_path_finds(cells, data):
    energy = Energy(coordinate=RANGE, cells=np.array([cells]))
    steps, last = data.draw(st.integers(1, len(cells))), len(cells)
    costs = step_costs(energy)
    found = optimal_nodes(costs, steps)
    every = [(0, *inner, last) for inner in combinations(range(1, last), steps - 1)]
    assert tuple(found) in every
    assert path_cost(costs, found) == pytest.approx(min(path_cost(costs, nodes) for nodes in every), rel=1e-12)


@given(CELLS, st.data())
def test_its_cost_is_that_of_the_clock_and_at_least_the_bound(cells, data):
    energy = Energy(coordinate=RANGE, cells=np.array([cells, cells[::-1]]))
    steps = data.draw(st.integers(1, len(cells)))
    found = steps * path_cost(step_costs(energy), optimal_nodes(step_costs(energy), steps))
    assert found == pytest.approx(grid_cost(energy, optimal_progress(energy, steps)), rel=1e-9)
    assert found >= lower_bound(energy) * (1 - 1e-12)


@settings(max_examples=25)
@given(st.integers(2, 30), st.data())
def test_no_other_clock_on_the_lattice_is_cheaper(exact_energy, steps, data):
    inner = data.draw(st.lists(st.integers(1, 511), min_size=steps - 1, max_size=steps - 1, unique=True))
    other = exact_energy.edges[[0, *sorted(inner), 512]]
    assert grid_cost(exact_energy, optimal_progress(exact_energy, steps)) <= grid_cost(exact_energy, other)


def test_costs_of_three_cells_by_hand():
    costs = step_costs(Energy(coordinate=RANGE, cells=np.array([[3.0, 6.0, 12.0]])))
    third, none = 1 / 3, np.inf
    wanted = [
        [none, 3 * third, 9 * 2 * third, 21],
        [none, none, 6 * third, 18 * 2 * third],
        [none, none, none, 12 * third],
        [none, none, none, none],
    ]
    np.testing.assert_allclose(costs, wanted)
    assert optimal_nodes(costs, 2) == [0, 2, 3]  # 6 + 4 against 1 + 12


@pytest.mark.parametrize("name", ["gaussian", "mixture-1d", "mixture-64d"])
def test_it_comes_to_the_closed_form_as_the_steps_grow(name, energies):
    energy = energies(name)[0]
    warp = closed_form(energy)
    for steps, apart in ((20, 0.02), (40, 0.005)):
        best = grid_cost(energy, optimal_progress(energy, steps))
        assert 1 <= grid_cost(energy, RANGE.progress(warp.grid(steps))) / best <= 1 + apart


def test_the_papers_left_end_cost_would_jump_to_the_end_and_ours_does_not(curvature):
    # In sigma itself, as the papers write it: the reason why the path-integrated cost is used.
    sigma = np.geomspace(80.0, 0.002, 400)
    jumps = sigma[:, None] - sigma[None, :]
    left_end = np.where(jumps > 0, curvature(sigma)[:, None] * jumps**2, np.inf)
    steps = sigma[:-1] - sigma[1:]
    taken = np.concatenate([[0.0], np.cumsum(curvature((sigma[:-1] * sigma[1:]) ** 0.5) * steps)])
    integrated = np.where(jumps > 0, jumps * (taken[None, :] - taken[:, None]), np.inf)
    assert sigma[optimal_nodes(left_end, 20)[1]] < 0.01 * 80
    assert sigma[optimal_nodes(integrated, 20)[1]] > 0.1 * 80


@pytest.mark.parametrize("steps", [0, -1, 4])
def test_a_lattice_of_three_cells_makes_one_to_three_steps(steps):
    costs = step_costs(Energy(coordinate=RANGE, cells=np.ones((1, 3))))
    assert optimal_nodes(costs, 3) == [0, 1, 2, 3]
    with pytest.raises(BudgetError, match=f"over 3 cells cannot make {steps} steps"):
        optimal_nodes(costs, steps)
