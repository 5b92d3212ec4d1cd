"""Moving nodes by least squares: optima that are known in closed form are found, within the walks that were allowed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artc.artifact import Coordinate
from artc.evaluation.endpoint import Teacher
from artc.learning.matching import REACH, bounded, match, metric_of, most_walks, smooth_direction
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.grids import baseline
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample

TOP, FLOOR = 80.0, 0.002
RANGE = Coordinate(FLOOR, TOP)


class Asked:
    """Residuals of free nodes `u -> (n, d)` as a search asks for them; it holds the search to what it may ask."""

    def __init__(self, residuals, noises, floor=0.0):
        self.residuals, self.noises, self.floor = residuals, noises, floor
        self.grids, self.counts = [], []

    def __call__(self, sigmas, count):
        grid = np.array(sigmas)
        assert (grid[0], grid[-1]) == (TOP, 0.0)
        assert (np.diff(grid) < 0).all()
        assert grid[-2] >= self.floor
        assert 0 < count <= self.noises
        self.grids.append(tuple(sigmas))
        self.counts.append(count)
        return self.residuals(sigmas)[:count]

    def match(self, start, trials, **settings):
        """Search, and hold the result and its progress to what was asked."""
        before, updates = len(self.counts), []
        found = drain(
            match(self, self.noises, start, RANGE, trials=trials, floor=self.floor, **settings), updates.append
        )
        most = most_walks(len(start) - 1, trials)
        assert found.walks == sum(self.counts[before:]) <= self.noises * most
        for sigmas, error in ((found.sigmas, found.error), (tuple(start), found.start)):
            assert error == float(np.sqrt(np.mean(self.residuals(sigmas) ** 2)))
        assert found.error <= found.start
        done = [update.done for update in updates]
        assert done == sorted(done)
        assert (done[0], done[-1]) == (1, found.walks // self.noises)
        assert {update.total for update in updates} == {most}
        return found


def nodes_of(sigmas):
    return RANGE.progress(np.array(sigmas))[1:-1]


def linear(steps, noises, seed, away=0.0):
    """r = A (u - u*) + c with c across A on the first third and on the rest: its size is the least error."""
    rng = np.random.default_rng(seed)
    target = rng.dirichlet(np.full(steps, 4.0)).cumsum()[:-1]
    matrix = rng.standard_normal((noises, 6, steps - 1))
    across = rng.standard_normal((noises, 6))
    for part in (slice(noises // 3), slice(noises // 3, None)):
        basis = np.linalg.qr(matrix[part].reshape(-1, steps - 1))[0]
        flat = across[part].reshape(-1)
        across[part] = (flat - basis @ (basis.T @ flat)).reshape(-1, 6)
    asked = Asked(lambda sigmas: matrix @ (nodes_of(sigmas) - target) + away * across, noises)
    return asked, target, away * float(np.sqrt(np.mean(across**2)))


def even(steps):
    return tuple(RANGE.sigma(np.linspace(0.0, 1.0, steps + 1)).tolist())


# ------------------------------------------------------------------------------------- known optima


@pytest.mark.parametrize("away", [0.0, 0.3])
@pytest.mark.parametrize("steps", [2, 5, 9])
def test_the_optimum_of_a_linear_problem_is_found(steps, away):
    for seed in range(3):
        asked, target, least = linear(steps, 12, seed, away)
        found = asked.match(even(steps), trials=20, seed=seed)
        np.testing.assert_allclose(nodes_of(found.sigmas), target, atol=1e-4)
        assert found.error == pytest.approx(least, abs=1e-5)


def test_what_a_step_has_found_corrects_the_jacobian():
    # One unknown: Broyden's correction is the secant's, and converges faster than any constant slope. Measured: 0 in
    # ten trials, and a thousandth of where it began without the correction.
    asked = Asked(lambda sigmas: np.tile(np.expm1(6 * (nodes_of(sigmas) - 0.7)), (6, 1)), 6)
    found = asked.match(even(2), trials=10, exploring=0.0)
    assert asked.counts.count(2) == 1  # the slope is taken once
    assert found.error < 1e-8 * found.start


def test_the_best_node_of_two_steps_of_euler_is_that_of_the_closed_form(load):
    # On N(0, s^2) two steps S -> sigma -> 0 multiply x by (s^2 + S sigma) s^2 / ((s^2 + S^2) (s^2 + sigma^2)), the
    # exact path by s / sqrt(s^2 + S^2), which is more for every sigma. So it is best where the factor is greatest:
    # S sigma^2 + 2 s^2 sigma - S s^2 = 0.
    std, model = 0.5, load("gaussian")
    best = std / TOP * (np.sqrt(std**2 + TOP**2) - std)
    field, latents = Probe(model).on, model.latents(6, seed=1)
    reached = std**2 * (std**2 + TOP * best) / ((std**2 + TOP**2) * (std**2 + best**2))
    ratio = std / np.sqrt(std**2 + TOP**2)
    exact, least = ratio * TOP * latents.noise, (ratio - reached) * TOP * float(latents.noise.square().mean().sqrt())
    asked = Asked(lambda sigmas: (sample(field, latents, sigmas, SOLVERS["euler"]) - exact).numpy(), 6, FLOOR)
    for start in (0.01, 0.3, 20.0):
        found = asked.match((TOP, start, 0.0), trials=20)
        assert least <= found.error < 1.01 * least
        assert found.sigmas[1] == pytest.approx(best, rel=0.12)  # the error is flat where it is least


# Measured with three seeds, in this order: below 1e-4, 0.08, 0.86 to 0.88, 0.22 to 0.32, 0.48 to 0.50, 0.03 to 0.57.
@pytest.mark.parametrize(
    ("name", "solver", "steps", "grid", "factor"),
    [
        ("gaussian", "dpmpp_2m", 5, "edm", 0.01),
        ("gaussian", "heun", 3, "logsnr", 0.15),
        ("mixture-1d", "dpmpp_2m", 5, "edm", 0.95),
        ("mixture-1d", "dpmpp_2m", 8, "edm", 0.5),
        ("mixture-1d", "heun", 3, "edm", 0.7),
        ("mixture-64d", "heun", 3, "edm", 0.7),
    ],
)
def test_a_real_grid_ends_nearer_by_a_measured_factor(load, name, solver, steps, grid, factor):
    model = load(name)
    fields, latents = Probe(model).on, model.latents(24, seed=3)
    ends = Teacher(steps=120).endpoints(fields, latents, model.info)
    asked = Asked(
        lambda sigmas: (sample(fields, latents, sigmas, SOLVERS[solver]) - ends).flatten(1).numpy(), 24, FLOOR
    )
    found = asked.match(tuple(baseline(grid, steps, FLOOR, TOP).tolist()), trials=20)
    assert found.error < factor * found.start


# ------------------------------------------------------------------------------------- what it may ask


def rough(noises, dimensions, steps, seed):
    """Residuals in which every direction has hundreds of valleys."""
    matrix = np.random.default_rng(seed).standard_normal((noises, dimensions, steps - 1))
    return lambda sigmas: np.sin(300 * matrix @ nodes_of(sigmas)) + matrix @ (nodes_of(sigmas) - 0.5)


@given(
    seed=st.integers(0, 2**32 - 1),
    noises=st.integers(1, 10),
    trials=st.integers(0, 12),
    floor=st.sampled_from([0.0, FLOOR]),
    ticks=st.sets(st.integers(1, 930), min_size=1, max_size=7),
    exploring=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_a_search_never_ends_above_its_beginning_nor_asks_too_much(seed, noises, trials, floor, ticks, exploring):
    start = (TOP, *RANGE.sigma(np.array(sorted(ticks)) / 1000).tolist(), 0.0)  # FLOOR is at 0.934
    asked = Asked(rough(noises, 3, len(start) - 1, seed), noises, floor)
    asked.match(start, trials, seed=seed, exploring=exploring)


@pytest.mark.parametrize(("steps", "trials"), [(4, 0), (1, 10), (1, 0)])
def test_nothing_is_asked_for_where_nothing_can_be_moved(steps, trials):
    asked = Asked(lambda sigmas: np.ones((5, 2)), 5)
    found = asked.match(even(steps), trials)
    assert (found.sigmas, found.error, found.start, found.walks) == (even(steps), 1.0, 1.0, 5)
    assert most_walks(steps, trials) == 1


def test_the_walks_of_a_search_by_hand():
    assert most_walks(2, 14) == 1 + 14 + 1  # the beginning, the trials, one column on a third of the noises
    assert most_walks(4, 14) == 1 + 14 + 1
    assert most_walks(5, 14) == 1 + 14 + 2
    asked, _, _ = linear(4, 9, seed=0)
    asked.match(even(4), trials=4)
    assert asked.counts == [9, 9, *3 * [3], 9, 9, 9]  # where it begins, one that explores, J, and three steps


def test_a_search_is_the_same_for_a_seed_and_another_for_another():
    found = [Asked(rough(6, 3, 4, 0), 6).match(even(4), 12, seed=seed) for seed in (5, 5, 6)]
    assert found[0] == found[1]
    assert found[0].sigmas != found[2].sigmas


def test_a_node_is_held_at_the_floor():
    asked = Asked(lambda sigmas: np.full((6, 1), sigmas[-2]), 6, floor=0.02)
    found = asked.match((TOP, 1.0, 0.1, 0.0), trials=20)
    assert found.sigmas[-2] == found.error == 0.02
    free = Asked(lambda sigmas: np.full((6, 1), sigmas[-2]), 6).match((TOP, 1.0, 0.1, 0.0), trials=20)
    assert free.sigmas[-2] < 0.02


# The optima are no grids: two nodes at one place, a node at 0, one at sigma_max. The search comes near for ever.
@pytest.mark.parametrize(
    "residual",
    [
        lambda u: [u[0] - u[1], u[0] - 0.3],
        lambda u: [1 - u[2]],
        lambda u: [u[0], 1 - u[2]],
        lambda u: [1.0, 0.0],
    ],
)
def test_a_long_search_for_what_is_no_grid_keeps_to_grids(residual):
    asked = Asked(lambda sigmas: np.tile(residual(nodes_of(sigmas)), (6, 1)), 6)
    found = asked.match(even(4), trials=1500)
    assert found.error < 1e-6 or found.error == found.start


# ------------------------------------------------------------------------------------- the metric

NODES = st.sets(st.integers(1, 999), min_size=1, max_size=8).map(lambda ticks: np.array(sorted(ticks)) / 1000)


@given(nodes=NODES, seed=st.integers(0, 2**32 - 1))
def test_the_metric_is_that_of_relative_changes_of_intervals(nodes, seed):
    def intervals(inner):
        return np.diff([0.0, *inner, 1.0])

    # D by its columns: the intervals are linear in the nodes.
    eye = np.eye(len(nodes))
    changes = np.stack([(intervals(nodes + row) - intervals(nodes)) / intervals(nodes) for row in eye], axis=1)
    scale = np.abs(metric_of(nodes)).max()
    np.testing.assert_allclose(metric_of(nodes), changes.T @ changes, atol=1e-9 * scale)
    move = 1e-3 * np.random.default_rng(seed).standard_normal(len(nodes)) * intervals(nodes).min()
    relative = intervals(nodes + move) / intervals(nodes) - 1
    assert move @ metric_of(nodes) @ move == pytest.approx((relative**2).sum(), rel=1e-6)


def test_a_smooth_direction_has_the_mean_square_length_of_so_many_free_nodes():
    nodes, rng = np.array([0.05, 0.1, 0.5, 0.52, 0.9]), np.random.default_rng(0)
    drawn = np.stack([smooth_direction(nodes, rng) for _ in range(4000)])
    lengths = np.einsum("ij,jk,ik->i", drawn, metric_of(nodes), drawn)
    # a chi-square of five degrees: mean 5, variance 10; the mean of 4000 is within 4 of its standard deviations of 0.05
    assert lengths.mean() == pytest.approx(5, abs=0.2)
    assert lengths.var() == pytest.approx(10, rel=0.15)
    covariance = drawn.T @ drawn / len(drawn)
    np.testing.assert_allclose(covariance @ metric_of(nodes), np.eye(5), atol=0.25)


@given(nodes=NODES, seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1e-6, 1e-2, 1.0, 1e3]))
def test_a_bounded_step_keeps_order_and_direction(nodes, seed, size):
    step = size * np.random.default_rng(seed).standard_normal(len(nodes))
    found = bounded(nodes, step)
    moved = np.array([0.0, *(nodes + found), 1.0])
    assert (np.diff(moved) > 0).all()
    share = found / step
    np.testing.assert_allclose(share, share[0])
    widths = np.diff([0.0, *nodes, 1.0])
    reached = (np.abs(found) / np.where(step > 0, widths[1:], widths[:-1])).max()
    assert reached <= REACH * (1 + 1e-12)
    assert share[0] == 1 or reached == pytest.approx(REACH)
