import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from artc.errors import DenoiserError, InputError, UnknownNameError
from artc.models.adapters import PREDICTIONS, adapt
from artc.models.analytic import eight_clusters, three_modes
from artc.models.times import Times, cosine_times, discrete_times, flow_times, linear_vp_times, sigma_times

F64 = torch.float64


def ddpm_alphas(first=1e-4, last=0.02, power=1.0):
    """alpha-bar of 1000 steps: linear as in DDPM, or with power 2 scaled-linear as in latent diffusion."""
    betas = torch.linspace(first ** (1 / power), last ** (1 / power), 1000, dtype=F64) ** power
    return (1 - betas).cumprod(dim=0)


TIMES = {
    "discrete": discrete_times(ddpm_alphas()),
    "linear": linear_vp_times(scale=999.0),
    "cosine": cosine_times(0.002, 500.0),
    "sigma": sigma_times(0.002, 80.0),
    "log": sigma_times(0.002, 80.0, logarithmic=True),
    "flow": flow_times(scale=1000.0),
    "to data": flow_times(to_data=True),
    "part of a flow": flow_times(0.001, 0.999),
}


# ---------------------------------------------------------------------------- exact networks, exact denoisers


def exact_network(law, predicts, times):
    """What a perfectly trained network of this kind puts out for the data law, straight from the definitions."""

    def network(z, timestep):
        sigma = times.sigma_of(timestep)[:, None]
        a, s = {
            "vp": lambda: (1 / (1 + sigma**2).sqrt(), sigma / (1 + sigma**2).sqrt()),
            "ve": lambda: (1.0, sigma),
            "flow": lambda: (1 - sigma, sigma),
        }[times.path]()
        clean = denoised(law, z, a, s)
        noise = (z - a * clean) / s
        return {
            "eps": noise,
            "x0": clean,
            "v": a * noise - s * clean,
            "velocity": noise - clean,
            "velocity_to_data": clean - noise,
        }[predicts]

    return network


def denoised(law, z, a, s):
    """E[x0 | a x0 + s n = z] of the mixture: Bayes' rule by torch's own distributions, good for a = 0 too."""
    a, s = torch.as_tensor(a, dtype=F64), torch.as_tensor(s, dtype=F64)
    spread = (a**2 * law.stds[None] ** 2 + s**2).sqrt()[..., None]
    away = z[:, None] - a[..., None] * law.means
    logits = law.weights.log() + torch.distributions.Normal(torch.zeros(1, dtype=F64), spread).log_prob(away).sum(-1)
    guess = law.means + (a * law.stds[None] ** 2)[..., None] / spread**2 * away
    return (logits.softmax(dim=1)[..., None] * guess).sum(dim=1)


@pytest.mark.parametrize("predicts", PREDICTIONS)
@pytest.mark.parametrize("name", TIMES)
def test_the_exact_network_of_any_kind_becomes_the_exact_denoiser(name, predicts):
    times, law = TIMES[name], eight_clusters(6)
    if predicts == "eps" and times.domain == "flow" and times.sigma_max == 1:
        with pytest.raises(InputError, match="says nothing of the data at sigma = 1"):
            adapt(exact_network(law, predicts, times), predicts=predicts, times=times)
        return
    sigma = torch.tensor([times.sigma_min, *[times.sigma_max] * 2], dtype=F64)
    sigma = torch.cat([sigma, torch.logspace(*sigma[:2].log10().tolist(), 61, dtype=F64)[1:-1]])
    generator = torch.Generator().manual_seed(2)
    clean, noise = law.draw(len(sigma), generator), torch.randn((len(sigma), 6), generator=generator, dtype=F64)
    level = sigma[:, None]
    x = (1 - level) * clean + level * noise if times.domain == "flow" else clean + level * noise
    found = adapt(exact_network(law, predicts, times), predicts=predicts, times=times)(x, sigma)
    a = 1 - level if times.domain == "flow" else torch.ones_like(level)
    torch.testing.assert_close(found, denoised(law, x, a, level), rtol=1e-10, atol=1e-10)
    if times.domain == "ve":
        torch.testing.assert_close(found, law(x, sigma), rtol=1e-10, atol=1e-10)


def test_a_noise_network_by_hand():
    times = discrete_times([0.8, 0.5, 0.2])
    asked = []

    def network(z, timestep):
        asked.append((z, timestep))
        return torch.full_like(z, 0.25)

    found = adapt(network, predicts="eps", times=times)(torch.tensor([[3.0], [4.0]]), torch.tensor([1.0, 2.0]))
    # D = x - sigma eps; the network looks at x / sqrt(1 + sigma^2), at timesteps 1 and 2.
    torch.testing.assert_close(found, torch.tensor([[2.75], [3.5]]))
    torch.testing.assert_close(asked[0][0], torch.tensor([[3 / math.sqrt(2)], [4 / math.sqrt(5)]]))
    torch.testing.assert_close(asked[0][1], torch.tensor([1.0, 2.0]))


def test_the_adapted_denoiser_has_the_forward_derivative_that_differences_find():
    times, law = TIMES["discrete"], three_modes()
    denoiser = adapt(exact_network(law, "v", times), predicts="v", times=times)
    x, sigma = torch.tensor([[0.4], [1.0]], dtype=F64), torch.tensor([0.73, 11.0], dtype=F64)
    towards = torch.ones_like(x), torch.ones_like(sigma)
    forward = torch.func.jvp(denoiser, (x, sigma), towards)[1]
    ahead, behind = (denoiser(x + width, sigma + width) for width in (1e-6, -1e-6))
    torch.testing.assert_close((ahead - behind) / 2e-6, forward, rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------------------------------------------ timesteps


def test_timesteps_of_a_table_are_linear_in_log_sigma_by_hand():
    times = discrete_times([0.8, 0.5, 0.2])  # sigma = 1/2, 1, 2
    assert (times.sigma_min, times.sigma_max) == pytest.approx((0.5, 2.0), rel=1e-15)
    sigma = torch.tensor([0.5, 0.5**0.5, 1.0, 2**0.25, 2.0], dtype=F64)
    torch.testing.assert_close(times.told(sigma, F64), torch.tensor([0.0, 0.5, 1.0, 1.25, 2.0], dtype=F64))


@pytest.mark.parametrize(
    ("alphas", "low", "high"),
    [
        (ddpm_alphas(0.00085, 0.012, 2.0), 0.029167, 14.614641),  # Stable Diffusion 1, as ComfyUI measures it
        (ddpm_alphas(), 0.01, 157.407),
    ],
)
def test_published_tables_have_their_known_ranges(alphas, low, high):
    times = discrete_times(alphas)
    assert times.sigma_min == pytest.approx(low, rel=1e-4)
    assert times.sigma_max == pytest.approx(high, rel=1e-5)
    assert times.told(torch.tensor([times.sigma_min, times.sigma_max], dtype=F64)).tolist() == [0.0, 999.0]


def test_the_continuous_process_of_edm_has_its_known_range():
    times = linear_vp_times()
    assert times.sigma_max == pytest.approx(152.17, abs=0.005)
    assert times.sigma_min == pytest.approx(math.sqrt(1.000995e-6), rel=1e-6)
    in_float32 = (torch.tensor(0.5 * 19.9 * 1e-5**2 + 0.1 * 1e-5).exp() - 1).sqrt()
    assert float(in_float32) == pytest.approx(0.00098, abs=5e-6)  # what EDM prints for the same number


@pytest.mark.parametrize("name", TIMES)
@given(st.floats(0, 1))
def test_a_timestep_tells_its_sigma(name, share):
    times = TIMES[name]
    sigma = torch.tensor([times.sigma_min * (times.sigma_max / times.sigma_min) ** share], dtype=F64)
    sigma = sigma.clamp(times.sigma_min, times.sigma_max)
    torch.testing.assert_close(times.sigma_of(times.told(sigma, F64)), sigma, rtol=1e-11, atol=0)


def test_whole_timesteps_are_the_nearest_and_their_error_is_stated():
    times = discrete_times(ddpm_alphas(), rounded=True)
    sigma = torch.logspace(math.log10(times.sigma_min), math.log10(times.sigma_max), 20001, dtype=F64)
    sigma = sigma.clamp(times.sigma_min, times.sigma_max)
    told = times.told(sigma)
    assert told.dtype == torch.int64
    assert torch.equal(told, TIMES["discrete"].told(sigma, F64).round().long())
    off = (sigma / times.sigma_of(told) - 1).abs().max()
    # The table of DDPM is coarsest at its first entry, 0.0100 to 0.0148.
    assert 0.2 < float(off) < 0.22
    assert "off by 0.22 of it at most" in times.notices[0]


def test_zero_terminal_snr_ends_the_range_one_timestep_earlier_and_says_so():
    times = discrete_times([0.8, 0.5, 0.2, 0.0])
    assert times.sigma_max == pytest.approx(2.0)
    (notice,) = times.notices
    assert notice.startswith("The last timestep, 3, is pure noise (zero terminal SNR), where sigma is infinite")
    assert notice.endswith("the range ends at timestep 2, sigma = 2.")


@pytest.mark.parametrize("name", TIMES)
def test_a_sigma_outside_of_the_range_is_refused_and_float32_ends_are_not(name):
    times = TIMES[name]
    ends = torch.tensor([times.sigma_min, times.sigma_max])
    assert times.told(ends).dtype == torch.float32
    for wrong in (times.sigma_min * (1 - 1e-5), times.sigma_max * (1 + 1e-5), 0.0, math.nan):
        with pytest.raises(InputError, match=f"it knows {times.sigma_min:g} to {times.sigma_max:g}"):
            times.told(torch.tensor([times.sigma_max, wrong], dtype=F64))


@pytest.mark.parametrize("table", [[0.5], [0.5, 0.5], [0.2, 0.5], [1.0, 0.5], [0.5, -0.1], [0.5, 0.0], [[0.9, 0.5]]])
def test_a_table_that_does_not_fall_is_refused(table):
    with pytest.raises(InputError, match="must hold two levels or more and fall strictly"):
        discrete_times(table)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, 0.5), (1.0, math.inf), (math.nan, 1.0)])
def test_a_range_that_makes_no_sense_is_refused(ends):
    with pytest.raises(InputError, match="cannot know sigma from"):
        sigma_times(*ends)


def test_a_flow_ends_at_one():
    with pytest.raises(InputError, match="at most 1 for a flow"):
        flow_times(0.1, 1.1)


# ------------------------------------------------------------------------------------ what networks may return


def test_a_learned_variance_is_left_out():
    times = sigma_times(0.1, 10.0)
    x, sigma = torch.randn((2, 3, 4, 4)), torch.tensor([1.0, 2.0])
    found = adapt(lambda z, t: torch.cat([z, 7 + z], dim=1), predicts="x0", times=times)(x, sigma)
    torch.testing.assert_close(found, x)


def test_half_precision_stays_inside_of_the_network():
    seen = {}

    def network(z, timestep):
        seen["dtypes"] = z.dtype, timestep.dtype
        return z.bfloat16()

    x, sigma = torch.full((1, 1), 1.5), torch.tensor([2.0])
    assert adapt(network, predicts="x0", times=sigma_times(0.1, 10.0))(x, sigma).dtype == torch.float32
    assert seen["dtypes"] == (torch.float32, torch.float32)
    adapt(network, predicts="x0", times=sigma_times(0.1, 10.0))(x.bfloat16(), sigma.bfloat16())
    assert seen["dtypes"] == (torch.bfloat16, torch.float32)


def test_labels_reach_the_network_that_takes_them():
    denoiser = adapt(lambda z, t, labels: z + labels[:, None], predicts="x0", times=sigma_times(0.1, 10.0))
    found = denoiser(torch.zeros((2, 3)), torch.ones(2), labels=torch.tensor([4, 7]))
    torch.testing.assert_close(found, torch.tensor([[4.0] * 3, [7.0] * 3]))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda z: (z,), "returned tuple, not a tensor. Wrap it"),
        (lambda z: z[:, :1], r"shape \(2, 1, 4\) for an input of shape \(2, 3, 4\)"),
        (lambda z: z[0], r"shape \(3, 4\) for"),
    ],
)
def test_a_network_that_answers_something_else_is_named(answer, complaint):
    denoiser = adapt(lambda z, t: answer(z), predicts="eps", times=sigma_times(0.1, 10.0))
    with pytest.raises(DenoiserError, match=complaint):
        denoiser(torch.zeros((2, 3, 4)), torch.ones(2))


def test_an_unknown_prediction_lists_the_known():
    with pytest.raises(UnknownNameError, match="eps, v, velocity, velocity_to_data, x0"):
        adapt(lambda z, t: z, predicts="noise level", times=sigma_times(0.1, 1.0))


def test_times_of_ones_own_are_held_to_the_same_rules():
    own = replace(sigma_times(0.1, 1.0), sigma_max=0.9)
    assert isinstance(own, Times)
    with pytest.raises(InputError, match=r"sigma = 1; it knows 0.1 to 0.9"):
        own.told(torch.ones(1))


@pytest.mark.parametrize("name", TIMES)
def test_a_rounded_end_of_the_range_is_exactly_the_end(name):
    times = TIMES[name]
    ends = torch.tensor([times.sigma_min, times.sigma_max], dtype=F64)
    beyond = ends * torch.tensor([1 - 5e-7, 1 + 5e-7], dtype=F64)
    assert torch.equal(times.told(beyond, F64), times.told(ends, F64))
    if name == "discrete":
        assert times.told(beyond, F64).tolist() == [0.0, 999.0]


@pytest.mark.parametrize("inside", [torch.bfloat16, torch.float64])
def test_whatever_a_network_computes_in_it_answers_in_the_dtype_of_x(inside):
    def network(z, timestep):
        return 0.25 * z.to(inside)

    for predicts in PREDICTIONS:
        denoiser = adapt(network, predicts=predicts, times=TIMES["discrete"])
        assert denoiser(torch.ones((2, 3)), torch.tensor([1.0, 2.0])).dtype == torch.float32
