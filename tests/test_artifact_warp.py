import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artc.artifact import Coordinate, Warp
from artc.errors import ArtifactError, BudgetError, InputError

unhurried = settings(deadline=None)  # a busy machine is no defect

POSITIVE = st.floats(1e-4, 1e4)
POWERS = Warp((0.0, 0.5, 1.0), (63.0, 7.0, 0.0), 1.0)


@st.composite
def warps(draw):
    """Warps with up to 20 nodes at least 1e-6 apart, in clock and in sigma."""
    count = draw(st.integers(0, 18))
    inner = st.lists(st.integers(1, 10**6 - 1), min_size=count, max_size=count, unique=True).map(sorted)
    top = draw(POSITIVE)
    clock = [k / 10**6 for k in draw(inner)]
    sigma = [top * k / 10**6 for k in reversed(draw(inner))]
    return Warp((0.0, *clock, 1.0), (top, *sigma, 0.0), draw(POSITIVE))


def test_powers_of_two_by_hand():
    assert POWERS.grid(1).tolist() == [63.0, 0.0]
    assert POWERS.grid(2).tolist() == [63.0, 7.0, 0.0]
    np.testing.assert_allclose(POWERS.grid(3), [63, 15, 3, 0], rtol=1e-14)
    np.testing.assert_allclose(POWERS.grid(6), [63, 31, 15, 7, 3, 1, 0], rtol=1e-14)
    np.testing.assert_allclose(POWERS.at([[0.25], [0.75]]), [[math.sqrt(512) - 1], [math.sqrt(8) - 1]], rtol=1e-14)
    assert float(POWERS.at(0.5)) == 7.0
    assert POWERS.baked(6) == tuple(POWERS.grid(6).tolist())


@unhurried
@given(warps(), st.integers(1, 200))
def test_a_grid_falls_strictly_from_sigma_max_to_zero(warp, steps):
    grid = warp.grid(steps)
    assert grid.shape == (steps + 1,)
    assert grid.dtype == np.float64
    assert grid[0] == warp.sigma_max
    assert grid[-1] == 0
    assert (np.diff(grid) < 0).all()


@unhurried
@given(warps(), st.lists(st.floats(0, 1), min_size=2, max_size=50).map(sorted))
def test_a_warp_is_monotone_and_passes_through_its_nodes(warp, clocks):
    sigma = warp.at(clocks)
    # Rounding moves ln(1 + sigma / c) by a few of its last bits, and sigma by sigma + c times as much.
    rounding = 4 * np.finfo(float).eps * (1 + np.log1p(warp.sigma_max / warp.offset))
    assert (np.diff(sigma) <= rounding * (sigma[:-1] + warp.offset)).all()
    assert warp.at(warp.clock).tolist() == list(warp.sigma)


@unhurried
@given(warps(), st.lists(st.floats(0, 1), min_size=1, max_size=50))
@example(Warp((0.0, 1.0), (1455.75, 0.0), 1e-4), [7e-192])
def test_a_warp_never_steps_over_its_nodes(warp, clocks):
    for clock, sigma in zip(clocks, warp.at(clocks).tolist(), strict=True):
        assert sigma <= min(s for c, s in zip(warp.clock, warp.sigma, strict=True) if c <= clock)
        assert sigma >= max(s for c, s in zip(warp.clock, warp.sigma, strict=True) if c >= clock)


@unhurried
@given(warps(), st.floats(0, 1))
def test_a_warp_is_linear_in_progress(warp, clock):
    progress = np.interp(clock, warp.clock, warp.coordinate.progress(warp.sigma))
    wanted = warp.coordinate.sigma(progress)
    np.testing.assert_allclose(warp.at(clock), wanted, rtol=1e-9, atol=1e-12 * warp.sigma_max)


@unhurried
@given(POSITIVE, POSITIVE, st.floats(0, 1))
def test_progress_is_the_shifted_log_of_its_definition(offset, sigma_max, part):
    coordinate, sigma = Coordinate(offset, sigma_max), part * sigma_max
    top, bottom = math.log(sigma_max + offset), math.log(offset)
    # The definition itself loses digits when the two logarithms are close.
    lost = 1e-15 * (1 + abs(top) + abs(bottom)) / math.log1p(sigma_max / offset)
    wanted = (top - math.log(sigma + offset)) / (top - bottom)
    assert abs(float(coordinate.progress(sigma)) - wanted) <= 8 * lost + 1e-14


@unhurried
@given(POSITIVE, POSITIVE)
def test_the_ends_of_a_coordinate_are_exact(offset, sigma_max):
    coordinate = Coordinate(offset, sigma_max)
    assert coordinate.progress([sigma_max, 0.0]).tolist() == [0.0, 1.0]
    assert coordinate.sigma([0.0, 1.0]).tolist() == [sigma_max, 0.0]


@unhurried
@given(POSITIVE, POSITIVE, st.lists(st.floats(0, 1), min_size=1, max_size=20).map(sorted))
def test_a_coordinate_inverts_itself_and_falls(offset, sigma_max, progress):
    coordinate = Coordinate(offset, sigma_max)
    sigma = coordinate.sigma(progress)
    assert (np.diff(sigma) <= 0).all()
    assert (sigma <= sigma_max).all()
    np.testing.assert_allclose(coordinate.progress(sigma), progress, atol=1e-13)


def test_sigma_keeps_its_digits_far_below_the_offset():
    # To first order sigma = c (1 - y) ln(1 + sigma_max / c); the second-order term is a relative 1e-12.
    rest = float(Fraction(1, 2**40))
    np.testing.assert_allclose(Coordinate(1.0, 1.0).sigma(1 - rest), rest * math.log(2), rtol=1e-12)


@pytest.mark.parametrize(
    ("clock", "sigma", "offset", "path"),
    [
        ((0.0, 1.0), (1.0, 0.0), 0.0, "$.warp.offset"),
        ((0.0, 1.0), (1.0, 0.0), math.nan, "$.warp.offset"),
        ((0.0, 1.0), (1.0, 0.0), math.inf, "$.warp.offset"),
        ((0.0, 1.0), (1.0, 0.5, 0.0), 1.0, "$.warp"),
        ((0.0,), (0.0,), 1.0, "$.warp"),
        ((), (), 1.0, "$.warp"),
        ((0.1, 1.0), (1.0, 0.0), 1.0, "$.warp.clock[0]"),
        ((0.0, 0.9), (1.0, 0.0), 1.0, "$.warp.clock[1]"),
        ((0.0, 1.0), (1.0, 0.1), 1.0, "$.warp.sigma[1]"),
        ((0.0, 1.0), (math.inf, 0.0), 1.0, "$.warp.sigma[0]"),
        ((0.0, 0.0, 1.0), (2.0, 1.0, 0.0), 1.0, "$.warp.clock[1]"),
        ((0.0, math.nan, 1.0), (2.0, 1.0, 0.0), 1.0, "$.warp.clock[1]"),
        ((0.0, 0.5, 1.0), (1.0, 1.0, 0.0), 1.0, "$.warp.sigma[1]"),
        ((0.0, 0.5, 1.0), (1.0, -1.0, 0.0), 1.0, "$.warp.sigma[2]"),
        ((0.0, 0.5, 1.0), (1.0, math.nan, 0.0), 1.0, "$.warp.sigma[1]"),
    ],
)
def test_what_is_not_a_warp_is_refused_at_its_node(clock, sigma, offset, path):
    with pytest.raises(ArtifactError) as caught:
        Warp(clock, sigma, offset)
    assert (caught.value.code, caught.value.path) == ("warp", path)


def test_arrays_become_plain_floats():
    warp = Warp(np.array([0, 1]), np.array([2, 0], dtype=np.float32), 1.0)
    assert warp == Warp((0.0, 1.0), (2.0, 0.0), 1.0)
    assert {type(value) for value in warp.clock + warp.sigma} == {float}


def test_more_steps_than_float64_can_tell_apart_are_refused():
    warp = Warp((0.0, 0.5, 1.0), (1.0, math.nextafter(1.0, 0.0), 0.0), 1.0)
    assert warp.grid(2).tolist() == [1.0, math.nextafter(1.0, 0.0), 0.0]
    with pytest.raises(BudgetError, match="too steep for 8 steps"):
        warp.grid(8)
    with pytest.raises(BudgetError, match="at least one step"):
        warp.grid(0)


@pytest.mark.parametrize("outside", [-1e-9, 1 + 1e-9, math.nan])
def test_nothing_is_clamped(outside):
    coordinate = Coordinate(1.0, 1.0)
    for call in (POWERS.at, coordinate.progress, coordinate.sigma):
        with pytest.raises(InputError, match="must lie in"):
            call([0.5, outside])


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_coordinate_needs_positive_numbers(bad):
    with pytest.raises(InputError, match="positive"):
        Coordinate(bad, 1.0)
    with pytest.raises(InputError, match="positive"):
        Coordinate(1.0, bad)


def test_many_steps_stay_at_or_above_the_floor():
    warp = Warp((0.0, 0.5, 0.9, 1.0), (80.0, 1.0, 0.01, 0.0), 0.002)
    assert warp.baked(5, 0.01) == warp.baked(5)  # whose last positive node is above
    for steps in (11, 40, 300):
        free, held = warp.grid(steps), warp.grid(steps, floor=0.01)
        assert free[-2] < 0.01
        assert (held[0], held[-2], held[-1], len(held)) == (80.0, 0.01, 0.0, steps + 1)
        assert (np.diff(held) < 0).all()
        np.testing.assert_allclose(held[:-1], warp.at(0.9 * np.arange(steps) / (steps - 1)), rtol=1e-9)
    assert warp.baked(1, 0.01) == (80.0, 0.0)


def test_the_grid_goes_over_to_the_floor_without_a_jump():
    warp = Warp((0.0, 1.0), (80.0, 0.0), 0.002)
    below = warp.grid(30)[-2]
    above = warp.grid(30, floor=below * (1 + 1e-9))
    np.testing.assert_allclose(above[:-1], warp.grid(30)[:-1], rtol=1e-6)
