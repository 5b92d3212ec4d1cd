"""The Frechet distance of two sets of features, against closed forms, scipy's matrix square root, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from artc.errors import InputError
from artc.evaluation.frechet import Moments, frechet, joined, load_moments, moments_of, save_moments


def gaussian(mean, covariance, count=11):
    """Moments that have exactly this mean and this covariance."""
    mean, covariance = np.atleast_1d(np.asarray(mean, float)), np.atleast_2d(np.asarray(covariance, float))
    return Moments(count=count, mean=mean, scatter=(count - 1) * covariance)


def rectified(count, seed, width=12, silent=3, shift=0.0):
    """Features like those of a classifier: not negative, correlated, some never active."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(width, width))
    features = np.maximum(rng.normal(size=(count, width)) @ mixing + shift, 0)
    features[:, :silent] = 0
    return features


def drawn_covariance(width, seed, rank=None):
    factor = np.random.default_rng(seed).normal(size=(width, rank or width))
    return factor @ factor.T


# ------------------------------------------------------------------------------------------ the distance


def test_in_one_dimension_it_is_the_squares_of_both_differences():
    # N(1, 3^2) and N(3, 7^2): (1 - 3)^2 + (3 - 7)^2
    assert frechet(gaussian(1, 9), gaussian(3, 49)) == pytest.approx(20.0)


def test_of_commuting_covariances_it_is_that_of_each_axis_alone():
    axes = ortho_group.rvs(5, random_state=1)
    first, second = np.array([0.1, 1, 4, 9, 25.0]), np.array([16, 0.25, 0, 9, 1.0])
    found = frechet(gaussian(np.arange(5), axes * first @ axes.T), gaussian(np.ones(5), axes * second @ axes.T))
    assert found == pytest.approx((1 + 0 + 1 + 4 + 9) + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum())


def test_of_two_by_two_covariances_it_is_the_closed_form():
    # tr M^(1/2) = (tr M + 2 (det M)^(1/2))^(1/2) for a 2 x 2 matrix M.
    first, second = np.array([[2.0, 1], [1, 3]]), np.array([[5.0, -2], [-2, 1]])
    product = first @ second
    shared = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    assert frechet(gaussian([0, 0], first), gaussian([3, 4], second)) == pytest.approx(25 + 5 + 6 - 2 * shared)


@pytest.mark.parametrize("width", [2, 7, 40])
def test_of_general_covariances_it_is_what_scipy_finds(width):
    first, second = drawn_covariance(width, 2), drawn_covariance(width, 3)
    mean = np.random.default_rng(4).normal(size=width)
    root = np.asarray(sqrtm(first @ second)).real
    expected = mean @ mean + np.trace(first + second - 2 * root)
    assert frechet(gaussian(mean, first), gaussian(np.zeros(width), second)) == pytest.approx(expected, rel=1e-9)


def test_of_real_looking_features_it_is_what_scipy_finds():
    first, second = rectified(300, 0, silent=0), rectified(200, 1, silent=0, shift=0.5)
    one, two = np.cov(first.T), np.cov(second.T)
    apart = first.mean(axis=0) - second.mean(axis=0)
    expected = apart @ apart + np.trace(one + two - 2 * np.asarray(sqrtm(one @ two)).real)
    assert frechet(moments_of(first), moments_of(second)) == pytest.approx(expected, rel=1e-9)


def test_features_that_are_never_active_change_nothing():
    first, second = rectified(300, 0), rectified(200, 1, shift=0.5)
    whole = frechet(moments_of(first), moments_of(second))
    assert whole == pytest.approx(frechet(moments_of(first[:, 3:]), moments_of(second[:, 3:])), rel=1e-12)


def test_a_line_and_a_full_covariance_share_the_root_of_the_variance_along_it():
    # S_1 = v v^T: (S_1 S_2)^(1/2) has the one eigenvalue (v^T S_2 v)^(1/2).
    line, full = np.random.default_rng(5).normal(size=30), drawn_covariance(30, 6)
    expected = line @ line + np.trace(full) - 2 * np.sqrt(line @ full @ line)
    found = frechet(gaussian(np.zeros(30), np.outer(line, line)), gaussian(np.zeros(30), full))
    assert found == pytest.approx(expected, rel=1e-12)


def test_two_perpendicular_lines_share_nothing_to_the_last_digits():
    # What rounding leaves of the zero eigenvalues would show here, a hundred times over, as 1e-8 each.
    axes = ortho_group.rvs(100, random_state=7)
    first, second = (np.outer(axes[:, k], axes[:, k]) for k in (0, 1))
    assert frechet(gaussian(np.zeros(100), first), gaussian(np.zeros(100), second)) == pytest.approx(2.0, rel=1e-12)


def test_points_are_as_far_apart_as_their_distance_squared():
    first, second = np.tile([1.0, 2.0], (5, 1)), np.tile([4.0, 6.0], (9, 1))
    assert frechet(moments_of(first), moments_of(second)) == pytest.approx(25.0)


def test_nothing_is_nearer_than_itself():
    for moments in (moments_of(rectified(50, 0)), gaussian(np.zeros(9), drawn_covariance(9, 1, rank=2))):
        assert 0 <= frechet(moments, moments) < 1e-12 * np.trace(moments.covariance)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_it_is_symmetric_not_negative_and_bounded_by_independence(seed, width):
    rng = np.random.default_rng(seed)
    one, two = (moments_of(rng.normal(size=(width + 3, width)) * rng.uniform(0, 3, width)) for _ in range(2))
    apart, found = one.mean - two.mean, frechet(one, two)
    assert found == pytest.approx(frechet(two, one), rel=1e-9, abs=1e-12)
    # A coupling of the two Gaussians can do no better than the means, and no worse than independence.
    most = apart @ apart + np.trace(one.covariance) + np.trace(two.covariance)
    assert apart @ apart - 1e-9 * most <= found <= most * (1 + 1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_it_does_not_care_for_rotation_or_shift_and_scales_as_a_square(seed, scale):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(20, 4)), rng.gamma(2.0, size=(20, 4))
    turn, move = ortho_group.rvs(4, random_state=seed), rng.normal(size=4)
    before = frechet(moments_of(first), moments_of(second))
    after = frechet(moments_of(scale * (first @ turn + move)), moments_of(scale * (second @ turn + move)))
    assert after == pytest.approx(scale**2 * before, rel=1e-8)


# ------------------------------------------------------------------------------------------ the moments


def test_moments_are_those_of_numpy():
    features = rectified(40, 3)
    found = moments_of(features)
    assert found.count == 40
    np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(features.T), rtol=1e-12, atol=1e-15)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_moments_of_batches_are_those_of_all_at_once(sizes, seed):
    # Far from zero, where sums of squares would have lost most of their digits.
    features = np.random.default_rng(seed).normal(size=(sum(sizes), 3)) + 1e4
    parts = (moments_of(part) for part in np.split(features, np.cumsum(sizes)[:-1]))
    together, whole = joined(parts), moments_of(features)
    assert together.count == whole.count
    np.testing.assert_allclose(together.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(together.scatter, whole.scatter, rtol=1e-8, atol=1e-8)


def test_single_precision_is_summed_in_double():
    features = (1000 + rectified(2000, 5)).astype(np.float32)
    expected = moments_of(features.astype(np.float64))
    np.testing.assert_array_equal(moments_of(features).scatter, expected.scatter)


def test_moments_are_read_back_as_they_were_written(tmp_path):
    moments = moments_of(rectified(20, 1))
    save_moments(tmp_path / "digits.npz", moments)
    found = load_moments(tmp_path / "digits.npz")
    assert found.count == moments.count
    np.testing.assert_array_equal(found.mean, moments.mean)
    np.testing.assert_array_equal(found.scatter, moments.scatter)


# ------------------------------------------------------------------------------------------ what is refused


def test_one_sample_has_no_distance():
    with pytest.raises(InputError, match="One sample has no covariance"):
        frechet(moments_of(np.ones((1, 3))), moments_of(np.ones((2, 3))))


def test_features_of_different_classifiers_are_refused():
    with pytest.raises(InputError, match="width 12 and 11 cannot be compared"):
        frechet(moments_of(rectified(5, 0)), moments_of(rectified(5, 0)[:, 1:]))
    with pytest.raises(InputError, match="width 12 and 11 cannot be compared"):
        joined([moments_of(rectified(5, 0)), moments_of(rectified(5, 0)[:, 1:])])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(value):
    features = rectified(5, 0)
    features[2, 4] = value
    with pytest.raises(InputError, match="features contain NaN or infinity"):
        moments_of(features)
    with pytest.raises(InputError, match="features contain NaN or infinity"):
        Moments(count=5, mean=features[2], scatter=np.eye(12))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 3, 4)])
def test_anything_but_rows_of_features_is_refused(shape):
    with pytest.raises(InputError, match="one row for each sample"):
        moments_of(np.zeros(shape))


def test_no_parts_and_moments_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="no samples at all"):
        joined([])
    with pytest.raises(InputError, match="pair a mean"):
        Moments(count=3, mean=np.zeros(3), scatter=np.zeros((3, 2)))


def test_a_file_without_moments_is_refused(tmp_path):
    (tmp_path / "text.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "other.npz", a=1)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:-30])
    for name in ("text.npz", "other.npz", "cut.npz", "missing.npz"):
        with pytest.raises(InputError, match=f"{name} holds no moments"):
            load_moments(tmp_path / name)
