"""What goes wrong with a schedule learned as the papers state it: each failure at its limit, and the cost behind it."""

import numpy as np
import pytest

from artc.learning.dynamic_programming import left_end_costs, optimal_nodes
from artc.learning.failures import exploited, failures
from artc.learning.objective import grid_cost, left_end_cost, lower_bound, stiffness_at

STD = 0.5  # of the Gaussian's data


@pytest.mark.parametrize(
    ("progress", "reached", "spread", "names"),
    [
        ([0.0, 0.5, 0.8, 1.0], 1.0, 0.1, []),
        ([0.0, 0.9901, 0.999, 1.0], 1.0, 0.1, ["degenerate jump"]),
        ([0.0, 0.9899, 0.999, 1.0], 1.0, 0.1, []),
        ([0.0, 0.03, 0.992, 1.0], 1.0, 0.1, ["degenerate jump"]),
        ([0.0, 0.6, 0.992, 1.0], 1.0, 0.1, []),
        ([0.0, 0.34, 0.66, 1.0], 1.0, 0.1, ["collapse to uniform"]),
        ([0.0, 0.36, 0.66, 1.0], 1.0, 0.1, []),
        ([0.0, 0.5, 0.8, 1.0], 1.11, 0.1, ["budget missed"]),
        ([0.0, 0.5, 0.8, 1.0], 0.89, 0.1, ["budget missed"]),
        ([0.0, 0.5, 0.8, 1.0], float("nan"), 0.1, ["budget missed"]),
        ([0.0, 0.5, 0.8, 1.0], 1.0, 0.32, ["state-dependent"]),
        ([0.0, 1.0], 1.0, 0.0, []),
    ],
)
def test_each_failure_has_its_name_and_its_limit(progress, reached, spread, names):
    found = failures(np.array(progress), reached, np.full(len(progress) - 1, spread))
    assert [said.split(":")[0] for said in found] == names


def test_a_schedule_that_is_cheap_at_left_ends_only_is_found_out(energies):
    energy = energies("gaussian")[0]
    uniform = energy.coordinate.progress(np.linspace(80.0, 0.0, 6))
    (said,) = exploited(energy, uniform)
    assert grid_cost(energy, uniform) > 2 * lower_bound(energy)
    assert said.startswith("left end exploited: its steps cross ")
    assert not list(exploited(energy, np.linspace(0.0, 1.0, 6)))


def test_the_left_end_cost_by_hand(energies):
    energy = energies("gaussian")[0]
    at = stiffness_at(energy, np.array([80.0, 1.0, 40.0]))
    found = left_end_cost(energy, np.array([80.0, 1.0, 0.0]), 0.0)
    assert found == pytest.approx(2 * (at[0] * 79**2 + at[1]))
    # E|x''| = E|z| s^2 / (s^2 + sigma^2)^(3/2), the ratio free of E|z|
    assert at[1] / at[2] == pytest.approx(((STD**2 + 40**2) / (STD**2 + 1)) ** 1.5, rel=0.03)
    assert left_end_cost(energy, np.array([80.0, 1.0, 0.0]), 5.0) == pytest.approx(2 * 5 * (79**2 + 1))
    costs, sigma = left_end_costs(energy, 0.0), energy.coordinate.sigma(energy.edges)
    assert costs[3, 9] == pytest.approx(stiffness_at(energy, sigma[3:4])[0] * (sigma[3] - sigma[9]) ** 2)
    assert np.isinf(costs[9, 3])
    # From high noise the best of this cost is one giant jump.
    best = sigma[optimal_nodes(costs, 20)]
    assert [said.split(":")[0] for said in failures(1 - best / 80, 1.0, np.zeros(20))] == ["degenerate jump"]
