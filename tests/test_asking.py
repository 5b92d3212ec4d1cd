"""Which sigmas to show a network: the search beside linear algebra, the walks beside each other, the gain measured."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import BUDGETS, Schedule, nfe_of
from artc.checkpoints.ledger import Ledger
from artc.checkpoints.units import Units
from artc.errors import InputError
from artc.evaluation.asking import ask, watched_walks
from artc.evaluation.endpoint import Teacher, endpoint_error, paired_wins
from artc.evaluation.grid_walks import GridWalker, bounds, shown_sigmas
from artc.evaluation.selection import Noises
from artc.learning.asking import Walked, bounded_step, fit, most_together, most_walks
from artc.models.analytic import Gaussian, eight_clusters
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.grids import grid_for
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample
from tests.toy_models import flow_model
from tests.walking import model_of

unhurried = settings(deadline=None)  # a busy machine is no defect
AT_NODES = [name for name in SOLVERS if not BUDGETS[name].between_nodes]


# ------------------------------------------------------------------------------------------- the search


class Counted:
    """A residual of plain numbers as a walker; it holds the search to what it may ask."""

    def __init__(self, residual, low, high):
        self.residual, self.low, self.high, self.walks, self.least = residual, low, high, 0, math.inf
        self.bases = {}

    def __call__(self, moves, since=0, base=None):
        assert (moves >= self.low).all()
        assert (moves <= self.high).all()
        self.walks += 1
        if base is not None:
            known = self.bases[id(base)][1]
            assert moves[:since].tolist() == known[:since].tolist()
        found = Walked(residual=torch.from_numpy(np.asarray(self.residual(moves), dtype=np.float64)))
        self.bases[id(found)] = (found, moves.copy())
        return found


def fitted(residual, low, high, most):
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    walker, updates = Counted(residual, low, high), []
    found = drain(fit(walker, low, high, most), updates.append)
    assert found.walks == walker.walks == updates[-1].done <= most
    assert found.error == pytest.approx(float(np.square(residual(found.moves)).sum()))
    assert found.error <= found.start == pytest.approx(float(np.square(residual(np.zeros(len(low)))).sum()))
    return found


def test_a_linear_residual_is_solved_as_linear_algebra_solves_it():
    rng = np.random.default_rng(0)
    matrix, wanted = rng.normal(size=(40, 5)), rng.normal(size=40)
    exact = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    found = fitted(lambda u: matrix @ u - wanted, [-9] * 5, [9] * 5, most_walks(6))
    np.testing.assert_allclose(found.moves, exact, rtol=1e-3, atol=1e-3)


def test_with_a_bound_in_the_way_the_rest_is_solved_for_what_is_left():
    rng = np.random.default_rng(1)
    matrix = np.eye(20, 4) + 0.2 * rng.normal(size=(20, 4))
    wanted = matrix @ [1.0, 0.3, -0.2, 0.1]
    found = fitted(lambda u: matrix @ u - wanted, [-0.5] * 4, [0.5, 0.5, 0.5, 0.0], 60)
    assert found.moves[[0, 3]].tolist() == [0.5, 0.0]
    rest = np.linalg.lstsq(matrix[:, 1:3], wanted - 0.5 * matrix[:, 0], rcond=None)[0]
    np.testing.assert_allclose(found.moves[1:3], rest, atol=2e-3)


def test_a_curved_valley_is_followed_with_few_derivatives():
    found = fitted(lambda u: [10 * (u[1] - u[0] ** 2), 1 - u[0]], [-2, -2], [2, 2], 60)
    assert found.error < 1e-6


@pytest.mark.parametrize("most", [1, 2, 3, 4, 9])
def test_the_number_of_walks_is_kept_however_small(most):
    found = fitted(lambda u: u - 0.3, [-1] * 3, [1] * 3, most)
    assert found.walks <= most
    assert (found.error < 0.1 * found.start) == (most > 4)


@pytest.mark.parametrize("residual", [lambda u: [1.0 + 0 * u[0]], lambda u: [0.0 * u[0]], lambda u: [u[0] ** 2]])
def test_where_nothing_is_to_be_had_nothing_is_moved(residual):
    assert fitted(residual, [-1.0], [1.0], 40).moves.tolist() == [0.0]


def test_a_walk_that_ends_nowhere_is_no_gain():
    found = fitted(lambda u: [math.nan if u[0] > 0.1 else u[0] - 1], [-1.0], [1.0], 40)
    assert 0 <= found.moves[0] <= 0.1


@unhurried
@given(st.integers(0, 10**6), st.integers(1, 5), st.floats(1e-6, 10))
def test_a_step_stays_in_its_bounds_and_solves_for_its_free_entries(seed, size, damping):
    rng = np.random.default_rng(seed)
    columns, residual = rng.normal(size=(size, 12)), rng.normal(size=12)
    low, high = -rng.uniform(0, 0.3, size), rng.uniform(0, 0.3, size)
    gram, slope = columns @ columns.T, columns @ residual
    step = bounded_step(gram, slope, low, high, damping)
    assert (step >= low).all()
    assert (step <= high).all()
    left = (gram + damping * np.diag(np.diag(gram))) @ step + slope
    free = (step > low) & (step < high)
    np.testing.assert_allclose(left[free], 0, atol=1e-8 * np.abs(slope).max())


# ------------------------------------------------------------------------------------------- the walks


def problem(model, solver, steps, count=32, grid="edm-free"):
    info, fields = model.info, Probe(model).on
    sigmas = tuple(grid_for(grid, steps, info).tolist())
    schedule = Schedule(solver=solver, nfe=nfe_of(solver, steps), steps=steps, sigmas=sigmas, origin="refined")
    latents = model.latents(count, 0)
    ends = Teacher(steps=64).endpoints(fields, latents, info)
    return fields, latents, ends, info, schedule


def asked_on(fields, latents, ends, info, schedule, **more):
    """Model sigmas fitted to the first half of the noises, the others watched."""
    noises, half = Noises(latents=latents, ends=ends), len(latents) // 2
    return ask(fields, noises.part(slice(half)), noises.part(slice(half, None)), info, schedule, **more)


def clusters():
    return model_of(eight_clusters(64), shape=(64,))


@pytest.mark.parametrize("solver", AT_NODES)
def test_a_walk_from_the_middle_ends_where_the_whole_walk_ends(solver):
    fields, latents, ends, info, schedule = problem(clusters(), solver, 5, count=6)
    latents = replace(latents, batch=4)
    walker = GridWalker(
        fields=fields, latents=latents, ends=ends, info=info, sigmas=schedule.sigmas, solver=SOLVERS[solver]
    )
    moves = np.array([0.1, -0.2, 0.05, 0.3])
    base = walker(moves)
    expected = sample(
        fields, latents, schedule.sigmas, SOLVERS[solver], model_sigmas=shown_sigmas(schedule.sigmas, moves, info)
    )
    assert base.error == pytest.approx(endpoint_error(expected, ends).value ** 2, rel=1e-12)
    for place in range(4):
        moved = moves + 0.01 * (np.arange(4) == place)
        assert torch.equal(walker(moved, place, base).residual, walker(moved).residual)
    calls = Probe(clusters())
    counted = GridWalker(
        fields=calls.on, latents=latents, ends=ends, info=info, sigmas=schedule.sigmas, solver=SOLVERS[solver]
    )
    counted(moves, 3, base)  # the last node: its own step, and the one before where that looks ahead
    assert calls.calls == 6 * (1 if BUDGETS[solver].calls_per_step == 1 else 3)


def test_the_bounds_are_just_under_half_of_the_way_to_the_neighbours_and_end_at_sigma_min():
    info = model_of(Gaussian(mean=0.0, std=0.5)).info  # sigma_min 0.002
    low, high = bounds((80.0, 8.0, 2.0, 0.5, 0.0), info)
    np.testing.assert_allclose(high, 0.49 * np.log([10, 4, 4]))
    np.testing.assert_allclose(low, -0.49 * np.log([4, 4, 4]))
    low, high = bounds((80.0, 0.2, 0.002, 0.0), info)
    np.testing.assert_allclose(low, [-0.49 * math.log(100), 0.0])
    shown = shown_sigmas((80.0, 8.0, 1 / 3, 0.1, 0.0), np.array([-0.5, 0.0, 0.5]), info)
    assert (shown[0], shown[2]) == (80.0, 1 / 3)  # what is not moved is the node, to the last bit
    np.testing.assert_allclose((shown[1], shown[3]), (8 * math.exp(-0.5), 0.1 * math.exp(0.5)))


@unhurried
@given(st.data(), st.sampled_from(["ve", "flow"]))
def test_whatever_the_moves_the_sigmas_decrease_and_stay_in_the_range(data, domain):
    info = (flow_model() if domain == "flow" else model_of(Gaussian(mean=0.0, std=0.5))).info
    drawn = data.draw(st.lists(st.floats(info.sigma_min, 0.98 * info.sigma_max), min_size=1, max_size=6, unique=True))
    drawn = sorted(drawn, reverse=True)
    inner = [one for k, one in enumerate(drawn) if k == 0 or one < 0.99 * drawn[k - 1]]
    sigmas = (info.sigma_max, *inner, 0.0)
    low, high = bounds(sigmas, info)
    assert (low <= 0).all()
    assert (high >= 0).all()
    weights = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(low), max_size=len(low))))
    shown = shown_sigmas(sigmas, low + weights * (high - low), info)
    held = Schedule(
        solver="euler", nfe=len(shown), steps=len(shown), sigmas=sigmas, model_sigmas=shown, origin="refined"
    )
    assert held.model_sigmas[-1] >= info.sigma_min


# ------------------------------------------------------------------------------------------- what is found


def test_the_one_sigma_of_two_euler_steps_on_gaussian_data_by_hand():
    model, spread, top, node = model_of(Gaussian(mean=0.0, std=0.5)), 0.5, 80.0, 1.0
    fields, latents = Probe(model).on, model.latents(16, 0)
    ends = latents.noise * top * spread / math.hypot(spread, top)  # the exact solution, at sigma = 0
    schedule = Schedule(solver="euler", nfe=2, steps=2, sigmas=(top, node, 0.0), origin="refined")
    found = drain(asked_on(fields, latents, ends, model.info, schedule, allowance=0.0))
    # The first step leaves x1 = (1 + (node - top) (1 - g(top)) / top) x, the second g(m) x1, g(m) = s^2 / (s^2 + m^2).
    first = 1 + (node - top) * (1 - spread**2 / (spread**2 + top**2)) / top
    wanted = spread / math.hypot(spread, top) / first
    assert found.model_sigmas[0] == top
    assert found.model_sigmas[1] == pytest.approx(spread * math.sqrt(1 / wanted - 1), rel=1e-3)
    assert found.watched[1] < 1e-3 * found.watched[0]


@pytest.mark.parametrize(("solver", "steps", "part"), [("euler", 4, 0.65), ("heun", 4, 0.9), ("dpmpp_2m", 5, 0.65)])
def test_on_clusters_noises_that_were_never_seen_end_nearer_by_a_measured_part(solver, steps, part):
    model = clusters()
    fields, latents, ends, info, schedule = problem(model, solver, steps, count=64)
    probe = Probe(model)
    updates = []
    found = drain(asked_on(probe.on, latents, ends, info, schedule), updates.append)
    assert updates[0].done == 0
    assert updates[-1].done == updates[-1].total
    assert found.walks <= most_walks(steps) + most_together(steps) + watched_walks(steps)
    assert probe.calls <= (found.walks) * 32 * schedule.nfe
    assert found.watched[1] < 0.8 * found.watched[0]
    fresh = model.latents(1024, 99)
    reference = Teacher(steps=64).endpoints(fields, fresh, info)
    plain, shown = (
        endpoint_error(sample(fields, fresh, found.sigmas, SOLVERS[solver], model_sigmas=sigmas), reference)
        for sigmas in (None, found.model_sigmas)
    )
    assert shown.value < part * plain.value
    assert paired_wins(shown, plain) > 0.5
    again = drain(asked_on(fields, latents, ends, info, schedule))
    assert again == found


def test_on_digits_euler_in_five_steps_ends_nearer(load):
    found = drain(asked_on(*problem(load("mnist"), "euler", 5, count=32)))
    assert found.model_sigmas is not None
    assert found.watched[1] < 0.8 * found.watched[0]


def test_a_flow_model_is_asked_in_its_own_sigma():
    model = flow_model("clusters")
    found = drain(asked_on(*problem(model, "euler", 4, count=32, grid="uniform")))
    assert found.watched[1] < 0.8 * found.watched[0]
    assert found.model_sigmas[0] == model.info.sigma_max
    assert all(model.info.sigma_min <= one <= model.info.sigma_max for one in found.model_sigmas)


def test_what_is_not_nearer_on_the_watched_noises_is_not_kept():
    fields, latents, ends, info, schedule = problem(clusters(), "euler", 4)
    ends = torch.cat(
        [ends[:16], torch.randn((16, 64), generator=torch.Generator().manual_seed(0), dtype=torch.float64)]
    )
    found = drain(asked_on(fields, latents, ends, info, schedule))
    assert found.fitted[1] < found.fitted[0]
    assert found.model_sigmas is None


def test_where_nothing_is_missed_or_there_is_no_node_to_move_there_are_none():
    fields, latents, _, info, schedule = problem(clusters(), "euler", 4)
    own = sample(fields, latents, schedule.sigmas, SOLVERS["euler"])
    found = drain(asked_on(fields, latents, own, info, schedule))
    assert (found.model_sigmas, found.fitted, found.watched) == (None, (0.0, 0.0), (0.0, 0.0))
    alone = drain(asked_on(*problem(clusters(), "heun", 1)))
    assert alone.model_sigmas is None
    assert alone.fitted[0] == alone.fitted[1] > 0


def test_rk4_is_refused():
    with pytest.raises(InputError, match="rk4 also asks the network between the nodes"):
        drain(asked_on(*problem(clusters(), "rk4", 3)))


def test_what_was_found_before_is_recalled_without_a_call(tmp_path):
    model = clusters()
    _, latents, ends, info, schedule = problem(model, "heun", 3)
    results, calls = [], []
    for _ in range(2):
        probe = Probe(model)
        journal = Ledger(units=Units(tmp_path), probes=(probe,), device=torch.device("cpu"))
        results.append(drain(asked_on(probe.on, latents, ends, info, schedule, journal=journal)))
        calls.append(probe.calls)
    assert results[0] == results[1]
    assert results[0].model_sigmas is not None
    assert calls[1] == 0 < calls[0]
