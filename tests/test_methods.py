import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from artc.artifact import Coordinate, Schedule, Warp
from artc.errors import UnknownNameError
from artc.learning.closed_form import closed_form
from artc.learning.distill import warp_through
from artc.learning.dynamic_programming import optimal_progress
from artc.learning.methods import METHODS, Learned, Task, bake, find_method
from artc.learning.objective import gap, grid_cost, lower_bound, warp_cost
from artc.models.registry import find
from artc.models.score_model import Probe
from artc.progress import drain
from artc.sampling.grids import GRIDS, baseline
from tests.toy_models import vp_model

RANGE = Coordinate(0.002, 80.0)
INFO = vp_model().info


@pytest.fixture(scope="module")
def results(energies, learned):
    """What each method makes of the Gaussian's training trajectories."""
    task = Task(energy=energies("gaussian")[0], steps=(1, 2, 5, 40))
    model = find("gaussian").load(torch.device("cpu"))
    walking = Task(energy=task.energy, steps=(2,), fields=Probe(model).on, latents=model.latents(96, seed=0))
    return {
        "art-rl": learned[0],
        **{name: drain(METHODS[name](task)) for name in ("closed-form", "dp")},
        "paper": drain(METHODS["paper"](walking)),
    }


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_bakes_grids_that_an_artifact_takes(method, steps, results, energies):
    found = results[method]
    sigmas, certificate = bake(found, steps, energies("gaussian")[1], INFO)
    schedule = Schedule(solver="euler", nfe=steps, steps=steps, sigmas=sigmas, origin=found.origin)
    assert (schedule.sigmas[0], schedule.sigmas[-1]) == (80.0, 0.0)
    assert all(after < before for before, after in pairwise(schedule.sigmas))
    assert certificate.gap == pytest.approx(certificate.objective / certificate.lower_bound - 1, abs=1e-15)
    assert certificate.gap >= -1e-12
    assert certificate.order == 1


@pytest.mark.parametrize("method", ["art-rl", "closed-form"])
def test_a_grid_read_from_a_warp_is_that_warp_with_the_warps_certificate(method, results, energies):
    (training, held_out), found = energies("mixture-1d"), results[method]
    sigmas, certificate = bake(found, 7, held_out, INFO)
    np.testing.assert_allclose(sigmas, found.warp.grid(7), rtol=1e-12)
    # Judged by trajectories held out, not by those it was made from.
    assert certificate.objective == warp_cost(held_out, found.warp)
    assert certificate.lower_bound == lower_bound(held_out) != lower_bound(training)


def test_the_certificate_of_dynamic_programming_is_its_own_discrete_cost(results, energies):
    training, held_out = energies("mixture-1d")
    found = drain(METHODS["dp"](Task(energy=training, steps=(7,))))
    sigmas, certificate = bake(found, 7, held_out, INFO)
    best = optimal_progress(training, 7)
    np.testing.assert_allclose(sigmas, RANGE.sigma(best), rtol=1e-12)
    assert certificate.objective == pytest.approx(grid_cost(held_out, best))
    # On the trajectories it was made from, no grid of seven steps is cheaper.
    own = bake(found, 7, training, INFO)[1].objective
    assert own == pytest.approx(grid_cost(training, best))
    others = [baseline(name, 7, 0.002, 80.0) for name in GRIDS]
    others += [closed_form(training).grid(7), results["art-rl"].warp.grid(7)]
    assert own < min(grid_cost(training, RANGE.progress(grid)) for grid in others)


def test_the_three_methods_agree_on_the_gaussian(results):
    for steps in (4, 12):
        known = results["closed-form"].warp.grid(steps)[1:-1]
        np.testing.assert_allclose(np.log(results["art-rl"].warp.grid(steps)[1:-1]), np.log(known), atol=0.1)
        np.testing.assert_allclose(np.log(results["dp"].warp.grid(steps)[1:-1]), np.log(known), atol=0.1)


def test_the_closed_form_costs_the_bound(results, energies):
    assert 0 <= gap(energies("gaussian")[0], results["closed-form"].warp) < 1e-3


def test_the_diagnostics_of_art_rl_tell_its_story(learned, energies):
    (found, history), training = learned, energies("gaussian")[0]
    told = found.diagnostics
    assert told["learning_curve"] == [update.gap for update in history[::10]]
    assert told["explained_variance"] == history[-1].explained_variance
    # gamma* = -2 c sqrt(q_y(1)) with c = sqrt(E|z|) s I and q_y(1) = E|z| / s (c_offset L)^2, where
    # I = int_0^80 (s^2 + sigma^2)^(-3/4) dsigma = 3.4846 for s = 1/2, and E|z| of these noises is J* / (s I)^2.
    bound, width = lower_bound(training), 0.002 * math.log1p(40_000)
    wanted = -2 * bound / (3.4846 / 2) * math.sqrt(2) * width
    assert told["implied_multiplier"] == pytest.approx(wanted, rel=0.04)
    path = RANGE.progress(np.array(found.warp.sigma))
    assert told["distance_from_uniform"] == pytest.approx(np.abs(path - found.warp.clock).max(), abs=0.01)
    # int_0^sigma (s^2 + sigma^2)^(-3/4) = I / 96 at this sigma, to first order.
    left = 1 - RANGE.progress(3.4846 / 96 * 0.5**1.5)
    assert told["left_for_last_step"] == pytest.approx(left, abs=0.04)
    assert found.config["steps"] == 96


def test_distilling_reads_points_at_even_clocks():
    found = warp_through(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.25, 1.0]), Coordinate(1.0, 63.0), nodes=5)
    assert found.clock == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert (found.sigma[0], found.sigma[-1], found.offset) == (63.0, 0.0, 1.0)
    # 1 + sigma = 2^(6 (1 - y)) at y = 1/8, 1/4 and 5/8
    np.testing.assert_allclose(found.sigma[1:-1], [2**5.25 - 1, 2**4.5 - 1, 2**2.25 - 1], rtol=1e-12)


def test_what_is_distilled_from_a_warp_is_that_warp():
    warp = Warp((0.0, 0.25, 0.75, 1.0), (80.0, 9.0, 0.5, 0.0), 0.002)
    again = warp_through(np.array(warp.clock), RANGE.progress(np.array(warp.sigma)), RANGE)
    for steps in (3, 17, 256):
        np.testing.assert_allclose(again.grid(steps), warp.grid(steps), rtol=1e-9)


def test_an_unknown_method_names_the_close_ones():
    assert find_method("dp") is METHODS["dp"]
    with pytest.raises(UnknownNameError, match=r"method 'art_rl'. Did you mean art-rl"):
        find_method("art_rl")


def test_a_method_that_learns_nothing_shows_no_progress(energies):
    for name in ("closed-form", "dp"):
        shown = []
        assert isinstance(drain(METHODS[name](Task(energy=energies("gaussian")[0])), shown.append), Learned)
        assert shown == []
