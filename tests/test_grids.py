from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artc.errors import BudgetError, InputError, UnknownNameError
from artc.sampling.grids import GRIDS, baseline, grid_for, log_linear
from tests.toy_models import vp_model

RANGES = st.tuples(st.floats(1e-4, 1.0), st.floats(2.0, 1e5)).map(lambda pair: (pair[0], pair[0] * pair[1]))


@given(st.sampled_from(sorted(GRIDS)), st.integers(1, 60), RANGES)
def test_a_grid_falls_strictly_from_sigma_max_to_zero_in_k_steps(name, steps, limits):
    grid = baseline(name, steps, *limits)
    assert len(grid) == steps + 1
    assert grid[0] == limits[1]
    assert grid[-1] == 0
    assert (np.diff(grid) < 0).all()


@given(st.sampled_from(["edm", "logsnr"]), st.integers(2, 60), RANGES)
def test_the_pinned_grids_end_in_sigma_min_and_then_zero(name, steps, limits):
    assert baseline(name, steps, *limits)[-2] == pytest.approx(limits[0], rel=1e-12)


@given(st.sampled_from(["edm-free", "uniform"]), st.integers(1, 30), RANGES)
def test_the_free_grids_of_twice_the_steps_contain_those_of_once(name, steps, limits):
    once, twice = baseline(name, steps, *limits), baseline(name, 2 * steps, *limits)
    np.testing.assert_allclose(twice[::2], once, rtol=1e-11)


@given(st.integers(1, 60), RANGES)
def test_the_free_edm_grid_is_linear_in_the_seventh_root(steps, limits):
    roots = baseline("edm-free", steps, *limits)[:-1] ** (1 / 7)
    wanted = [limits[1] ** (1 / 7) - k / steps * (limits[1] ** (1 / 7) - limits[0] ** (1 / 7)) for k in range(steps)]
    np.testing.assert_allclose(roots, wanted, rtol=1e-12)


def test_one_step_goes_from_sigma_max_to_zero_whatever_the_grid():
    for name in GRIDS:
        assert baseline(name, 1, 0.002, 80.0).tolist() == [80.0, 0.0]


def test_two_pinned_steps_are_eighty_sigma_min_zero():
    for name in ("edm", "logsnr"):
        np.testing.assert_allclose(baseline(name, 2, 0.002, 80.0), [80.0, 0.002, 0.0], rtol=1e-12)


def test_two_free_steps_have_their_middle_node_at_2_515():
    assert baseline("edm-free", 2, 0.002, 80.0)[1] == pytest.approx(2.515, abs=5e-4)
    assert baseline("uniform", 2, 0.002, 80.0).tolist() == [80.0, 40.0, 0.0]


def test_the_edm_grid_of_18_steps_is_the_published_one():
    top, bottom = 80 ** (1 / 7), 0.002 ** (1 / 7)
    formula = [(top + i / 17 * (bottom - top)) ** 7 for i in range(18)]
    np.testing.assert_allclose(baseline("edm", 18, 0.002, 80.0)[:-1], formula, rtol=1e-12)
    printed = [80, 57.6, 40.8, 28.4, 19.4, 12.9, 8.40, 5.32, 3.26, 1.92, 1.09, 0.585, 0.296, 0.140, 0.0599, 0.0229]
    np.testing.assert_allclose(formula, [*printed, 0.00750, 0.002], rtol=5e-3)


def test_the_log_uniform_grid_has_one_ratio():
    grid = baseline("logsnr", 5, 0.01, 100.0)
    np.testing.assert_allclose(grid[:-1], [100, 10, 1, 0.1, 0.01], rtol=1e-12)


def test_what_is_no_grid_is_refused():
    with pytest.raises(UnknownNameError, match=r"grid 'edm_free'. Did you mean edm-free or edm"):
        baseline("edm_free", 4, 0.002, 80.0)
    with pytest.raises(UnknownNameError, match="Known: edm, edm-free, logsnr, uniform"):
        baseline("q", 4, 0.002, 80.0)
    with pytest.raises(BudgetError, match="at least one step, not 0"):
        baseline("edm", 0, 0.002, 80.0)
    for low, high in ((0.0, 80.0), (-1.0, 80.0), (80.0, 80.0), (80.0, 1.0), (float("nan"), 80.0), (0.1, float("nan"))):
        with pytest.raises(InputError, match="0 < sigma_min < sigma_max"):
            baseline("edm", 4, low, high)


def test_a_grid_for_a_model_stays_in_its_range():
    info = vp_model().info
    for steps in (1, 2, 30):
        assert grid_for("uniform", steps, info).tolist() == baseline("uniform", steps, 0.002, 80.0).tolist()
    short = replace(info, sigma_min=0.5)
    held = grid_for("uniform", 400, short)
    assert (len(held), held[0], held[-2], held[-1]) == (401, 80.0, 0.5, 0.0)
    np.testing.assert_allclose(held[:-1], np.linspace(80.0, 0.5, 400))


# --------------------------------------------------------------------------- from a list alone


def test_a_listed_grid_is_resampled_log_linearly_by_hand():
    # Positive nodes 100, 10, 0.1 at places 0, 1/2, 1: at 1/4 and 3/4 lie 10^1.5 and 1.
    expected = [100, 10**1.5, 10, 1, 0.1, 0]
    np.testing.assert_allclose(log_linear([100, 10, 0.1, 0], 5), expected, rtol=1e-12)
    np.testing.assert_allclose(log_linear([100, 10, 0.1, 0], 2), [100, 0.1, 0], rtol=0, atol=0)
    np.testing.assert_allclose(log_linear([100, 10, 0.1, 0], 1), [100, 0], rtol=0, atol=0)


def test_the_recipe_is_exact_for_the_grid_that_is_log_linear():
    for steps in (2, 7, 35):
        expected = GRIDS["logsnr"](steps, 0.002, 80.0)
        np.testing.assert_allclose(log_linear(GRIDS["logsnr"](18, 0.002, 80.0), steps), expected, rtol=1e-12)


@given(st.integers(2, 40), st.integers(1, 60))
def test_a_resampled_list_is_a_grid_between_the_same_ends(listed, steps):
    source = GRIDS["edm-free"](listed, 0.002, 80.0)
    found = log_linear(source, steps)
    assert len(found) == steps + 1
    assert (np.diff(found) < 0).all()
    assert (found[0], found[-1]) == (80.0, 0.0)
    assert steps == 1 or found[-2] == source[-2]
    if steps == listed:
        np.testing.assert_allclose(found, source, rtol=1e-12)


@pytest.mark.parametrize("listed", [[80, 0], [80, 1], [80, 90, 0], [80, 80, 0], [80, np.nan, 0], [[80, 1, 0]], 80.0])
def test_what_is_no_grid_cannot_be_resampled(listed):
    with pytest.raises(InputError, match="that ends in 0 can be resampled"):
        log_linear(listed, 3)


def test_a_list_is_not_resampled_to_no_steps():
    with pytest.raises(BudgetError, match="at least one step, not 0"):
        log_linear([80, 1, 0], 0)
