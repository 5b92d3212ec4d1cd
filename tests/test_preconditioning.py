import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from artc.errors import DeviceError, InputError
from artc.models.preconditioning import EDM, IDDPM, RULES, VE, VP, Preconditioned


class Listener(torch.nn.Module):
    """A raw network that answers with ones, and remembers what it was asked."""

    def forward(self, x, c_noise, labels=None):
        self.asked = x, c_noise, labels
        return torch.ones_like(x)


def coefficients(rule, sigma):
    """c_skip, c_out, c_in and c_noise, read off the denoiser by what it asks and answers."""
    network = Listener()
    denoiser = Preconditioned(network, rule)
    level, one = torch.tensor([sigma], dtype=torch.float64), torch.ones((1, 1), dtype=torch.float64)
    at_one, at_zero = float(denoiser(one, level)), float(denoiser(0 * one, level))
    denoiser(one, level)
    return at_one - at_zero, at_zero, float(network.asked[0]), float(network.asked[1])


# ------------------------------------------------------------------------------------------ coefficients


@pytest.mark.parametrize(
    ("rule", "sigma", "by_hand"),
    [
        (EDM(), 0.5, (0.5, 0.35355339, 1.41421356, -0.17328680)),
        (VP(), math.sqrt(3), (1.0, -1.73205081, 0.5, 999 * (math.sqrt(0.01 + 39.8 * math.log(4)) - 0.1) / 19.9)),
        (VE(), 2 * math.e, (1.0, 5.43656366, 1.0, 1.0)),
        (IDDPM(M=2), math.sqrt(3), (1.0, -1.73205081, 0.5, 0.0)),
    ],
)
def test_the_four_rows_of_the_table_by_hand(rule, sigma, by_hand):
    assert coefficients(rule, sigma) == pytest.approx(by_hand, rel=1e-7, abs=1e-12)


def test_the_edm_rule_computes_to_the_last_bit_as_the_schedules_that_shipped_were_compiled():
    generator = torch.Generator().manual_seed(2)
    x = 30 * torch.randn((64, 1, 4, 4), generator=generator)
    sigma = torch.logspace(-3, 2, 64)
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    level, square = sigma.reshape(-1, 1, 1, 1), 0.3**2
    variance = level.square() + square
    raw = network(x / variance.sqrt())
    shipped = square / variance * x + level * 0.3 / variance.sqrt() * raw

    class Deaf(torch.nn.Module):
        def forward(self, x, c_noise):
            assert torch.equal(c_noise, sigma.log() / 4)
            return network(x)

    assert torch.equal(Preconditioned(Deaf(), EDM(sigma_data=0.3))(x, sigma), shipped)


@given(st.floats(1e-4, 1.0))
def test_a_vp_network_is_told_the_time_at_which_its_diffusion_has_the_noise_level(time):
    rule = VP(beta_d=19.9, beta_min=0.1, M=1000)
    variance = math.expm1(19.9 * time**2 / 2 + 0.1 * time)
    assert coefficients(rule, math.sqrt(variance))[3] == pytest.approx(999 * time, rel=1e-9)


def test_float32_tells_a_vp_network_small_noise_levels_apart():
    sigma = torch.logspace(-3, 2, 50, dtype=torch.float64)
    torch.testing.assert_close(VP().c_noise(sigma.float()).double(), VP().c_noise(sigma), rtol=1e-4, atol=0)


# ------------------------------------------------------------------------------------------------ ranges


def test_the_published_ranges():
    def known(rule):
        denoiser = Preconditioned(Listener(), rule)
        return denoiser.sigma_min, denoiser.sigma_max

    assert known(EDM()) == (0, math.inf)
    assert known(VP()) == pytest.approx((0.0010005, 152.167), rel=1e-5)
    assert known(VE()) == (0.02, 100)
    assert known(IDDPM()) == pytest.approx((0.0064254, 20291.17), rel=1e-5)
    assert known(IDDPM()) == pytest.approx((IDDPM().sigma_min, IDDPM().sigma_max), rel=1e-6)


def test_the_iddpm_levels_are_those_of_its_cosine_schedule():
    def kept(time):
        return math.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - kept((k + 1) / 1000) / kept(k / 1000), 0.999) for k in range(1000)]
    signal = np.cumprod(1 - np.array(betas))
    expected = [*np.sqrt((1 - signal) / signal)[::-1], 0.0]
    np.testing.assert_allclose(IDDPM().levels(), expected, rtol=1e-9)


def test_an_iddpm_network_is_told_the_place_of_the_nearest_level_and_other_scales_keep_sigma():
    levels = IDDPM(M=8).levels()
    for index, level in enumerate(levels[:-1]):
        sigma = level + 0.4 * (levels[index + 1] - level)
        skip, out, scale, told = coefficients(IDDPM(M=8), sigma)
        assert told == 7 - index
        assert (skip, out, scale) == pytest.approx((1, -sigma, 1 / math.hypot(sigma, 1)))


def test_rounding_goes_to_the_nearest_level_and_close_noise_levels_collapse():
    denoiser = Preconditioned(Listener(), IDDPM())
    sigma = torch.tensor([[80.0, 79.9], [0.0066, 0.0064]], dtype=torch.float64)
    rounded = denoiser.round_sigma(sigma)
    expected = torch.tensor([[80.2037, 80.2037], [0.006425, 0.006425]], dtype=torch.float64)
    torch.testing.assert_close(rounded, expected, rtol=1e-4, atol=0)
    assert torch.equal(denoiser.round_sigma(rounded), rounded)
    for rule in (EDM(), VP(), VE()):
        assert torch.equal(Preconditioned(Listener(), rule).round_sigma(sigma), sigma)


# -------------------------------------------------------------------------------------------- the module


@pytest.mark.parametrize("rule", [EDM(), VP(), VE(), IDDPM()], ids=lambda rule: type(rule).__name__)
def test_every_sample_has_a_sigma_of_its_own(rule):
    denoiser, sigma = Preconditioned(Listener(), rule), torch.tensor([0.03, 1.0, 60.0], dtype=torch.float64)
    x = torch.linspace(-2, 2, 36, dtype=torch.float64).reshape(3, 3, 2, 2)
    alone = [denoiser(x[k : k + 1], sigma[k : k + 1]) for k in range(3)]
    torch.testing.assert_close(denoiser(x, sigma), torch.cat(alone), rtol=1e-14, atol=0)


def test_channels_after_those_of_the_image_are_left_out():
    class Doubled(torch.nn.Module):
        def forward(self, x, c_noise):
            return torch.cat([x, x + math.nan], dim=1)

    x = torch.ones((2, 3, 1, 1))
    assert torch.equal(
        Preconditioned(Doubled(), VE())(x, torch.tensor([1.0, 2.0]))[:, 2].flatten(), torch.tensor([2.0, 3.0])
    )


def test_labels_left_out_are_zeros_and_others_must_be_a_row_for_each_image():
    network = Listener()
    denoiser, x, sigma = Preconditioned(network, EDM(), label_dim=4), torch.ones((2, 1)), torch.ones(2)
    denoiser(x, sigma)
    assert torch.equal(network.asked[2], torch.zeros((2, 4)))
    denoiser(x, sigma, torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0]]))
    assert torch.equal(network.asked[2], torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]))
    for wrong in (torch.ones((1, 4)), torch.ones((2, 3)), torch.tensor([1, 0])):
        with pytest.raises(InputError, match=r"Labels have shape .*, not \(2, 4\). Give one row for each image"):
            denoiser(x, sigma, wrong)
    with pytest.raises(InputError, match="unconditional: it takes no labels"):
        Preconditioned(network, EDM())(x, sigma, torch.ones((2, 1)))


def test_only_the_raw_network_runs_in_half_precision():
    heard = []

    class Echo(torch.nn.Module):
        def forward(self, x, c_noise):
            product = x @ torch.eye(2)
            heard.append((x.dtype, c_noise.dtype, product.dtype))
            return product

    x, sigma = torch.tensor([[1.0, 1 / 3]]), torch.tensor([0.7])
    half = Preconditioned(Echo(), VE(), precision=torch.bfloat16)(x, sigma)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, x + sigma * x.bfloat16().float(), rtol=1e-6, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        Preconditioned(Echo(), VE())(x, sigma)
    Preconditioned(Echo(), VE())(x, sigma)
    full, low = torch.float32, torch.bfloat16
    assert heard == [(full, full, low), (full, full, low), (full, full, full)]


def test_a_precision_that_makes_no_sense_is_refused():
    with pytest.raises(InputError, match=r"torch.float64. Known: float32, bfloat16, float16"):
        Preconditioned(Listener(), EDM(), precision=torch.float64)
    with pytest.raises(DeviceError, match="float16 needs CUDA; this is cpu"):
        Preconditioned(Listener(), EDM(), precision=torch.float16)(torch.ones((1, 1)), torch.ones(1))


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("EDMPrecond", {"sigma_data": 0.0}, "sigma_data is 0"),
        ("EDMPrecond", {"sigma_min": 3.0, "sigma_max": 2.0}, "sigma range is 3 to 2"),
        ("VEPrecond", {"sigma_max": 0.01}, "sigma range is 0.02 to 0.01"),
        ("VEPrecond", {"sigma_min": math.nan}, "sigma range is nan"),
        ("VPPrecond", {"beta_d": -1.0}, "beta_d is -1"),
        ("VPPrecond", {"epsilon_t": 1.0}, "epsilon_t is 1"),
        ("VPPrecond", {"M": 1}, "M is 1"),
        ("iDDPMPrecond", {"C_1": 1.0}, "C_1 is 1"),
        ("iDDPMPrecond", {"C_2": 0.0}, "C_2 is 0"),
        ("iDDPMPrecond", {"M": 1}, "M is 1"),
    ],
)
def test_rules_refuse_numbers_that_make_no_sense(name, arguments, complaint):
    with pytest.raises(InputError, match=complaint):
        RULES[name](**arguments)
