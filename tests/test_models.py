import copy
import hashlib
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as read_tensors
from scipy import integrate, special, stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from artc.errors import DeviceError, InputError, UnknownNameError
from artc.models import cards
from artc.models.analytic import Gaussian, GaussianMixture, eight_clusters, three_modes
from artc.models.embedded import load_embedded, unet
from artc.models.preconditioning import EDM, Preconditioned
from artc.models.registry import MODELS, find
from artc.models.score_model import pick_device
from artc.models.unet import UNet
from artc.sampling.stiffness import by_difference, by_jvp
from artc.training.datasets import DATASETS

# -------------------------------------------------------------------------------- models known exactly


@pytest.mark.parametrize("sigma", [0.02, 0.3, 2.0, 80.0])
@pytest.mark.parametrize("x", [-2.4, 0.0, 1.2])
def test_the_mixture_denoiser_is_the_posterior_mean_found_by_quadrature(x, sigma, field):
    modes = ((0.3, -2.0, 0.15), (0.5, 0.3, 0.4), (0.2, 1.5, 0.1))

    def joint(clean):
        prior = sum(w / s * math.exp(-0.5 * ((clean - m) / s) ** 2) for w, m, s in modes)
        return prior * math.exp(-0.5 * ((x - clean) / sigma) ** 2)

    options = {"points": [x, -2.0, 0.3, 1.5], "epsabs": 0.0, "epsrel": 1e-10, "limit": 400}
    mass = integrate.quad(joint, -5, 5, **options)[0]
    # Relative to a point outside of the range, so that no answer is near zero.
    moment = integrate.quad(lambda clean: (clean + 6) * joint(clean), -5, 5, **options)[0]
    found = field(three_modes())(torch.tensor([[x]], dtype=torch.float64), sigma)
    assert float(found) + 6 == pytest.approx(moment / mass, rel=1e-8)


@pytest.mark.parametrize("sigma", [0.05, 0.7, 30.0])
def test_in_many_dimensions_the_mixture_denoiser_obeys_tweedies_formula(sigma, field):
    mixture = eight_clusters(5)
    x = mixture.draw(16, torch.Generator().manual_seed(1)) + sigma
    x.requires_grad_()
    spread = (mixture.stds.square() + sigma**2).sqrt()[:, None]
    noisy = MixtureSameFamily(Categorical(mixture.weights), Independent(Normal(mixture.means, spread), 1))
    (score,) = torch.autograd.grad(noisy.log_prob(x).sum(), x)
    torch.testing.assert_close(field(mixture)(x, sigma), x + sigma**2 * score, rtol=1e-9, atol=1e-9)


def test_a_gaussian_is_a_mixture_of_one(field):
    one = torch.ones(1, dtype=torch.float64)
    mixture = GaussianMixture(weights=one, means=0.3 * torch.ones((1, 2, 3), dtype=torch.float64), stds=0.5 * one)
    x = torch.linspace(-4, 4, 24, dtype=torch.float64).reshape(4, 2, 3)
    for sigma in (0.002, 1.0, 80.0):
        torch.testing.assert_close(field(mixture)(x, sigma), field(Gaussian(mean=0.3, std=0.5))(x, sigma))


def test_draws_of_a_mixture_follow_its_distribution():
    drawn = three_modes().draw(4000, torch.Generator().manual_seed(3))[:, 0].numpy()

    def below(x):
        ndtr = special.ndtr
        return 0.3 * ndtr((x + 2) / 0.15) + 0.5 * ndtr((x - 0.3) / 0.4) + 0.2 * ndtr((x - 1.5) / 0.1)

    assert stats.kstest(drawn, below).pvalue > 0.01


@pytest.mark.parametrize("sigma", [0.01, 0.5, 7.0])
def test_the_exact_gaussian_trajectory_satisfies_the_ode_and_its_second_derivative(sigma, field):
    gaussian, start = Gaussian(mean=0.3, std=0.5), torch.tensor([[30.0, -70.0], [1.0, 100.0]], dtype=torch.float64)
    here, width = gaussian.trajectory(start, 80.0, sigma), 1e-3 * sigma
    ahead, behind = (gaussian.trajectory(start, 80.0, sigma + move) for move in (width, -width))
    slope = (here - field(gaussian)(here, sigma)) / sigma
    torch.testing.assert_close((ahead - behind) / (2 * width), slope, rtol=1e-5, atol=1e-9)
    bend = ((ahead - 2 * here + behind) / width**2).square().mean(dim=1).sqrt()
    torch.testing.assert_close(bend, gaussian.stiffness(start, 80.0, sigma), rtol=1e-4, atol=0)
    assert torch.equal(gaussian.trajectory(start, 80.0, 80.0), 0.3 + 1.0 * (start - 0.3))


# ------------------------------------------------------------------------------------- preconditioning


class Constant(torch.nn.Module):
    """A raw network that always answers one value, and remembers what it was asked."""

    def __init__(self, value):
        super().__init__()
        self.value, self.asked = value, None

    def forward(self, x, c_noise):
        self.asked = x, c_noise
        return torch.full_like(x, self.value)


def coefficients(sigma, sigma_data):
    """c_skip, c_out, c_in and c_noise, read off the denoiser by what it answers."""
    level, one = torch.tensor([sigma], dtype=torch.float64), torch.ones((1, 1), dtype=torch.float64)
    network = Constant(0.0)
    skip = float(Preconditioned(network, EDM(sigma_data=sigma_data))(one, level))
    out = float(Preconditioned(Constant(1.0), EDM(sigma_data=sigma_data))(0 * one, level))
    return skip, out, float(network.asked[0]), float(network.asked[1])


def test_preconditioning_where_noise_equals_data_by_hand():
    found = Preconditioned(Constant(2.0), EDM(sigma_data=0.5))(torch.tensor([[3.0]]), torch.tensor([0.5]))
    assert float(found) == pytest.approx(3 / 2 + 2 * 0.25 / math.sqrt(0.5), rel=1e-6)
    assert coefficients(0.5, 0.5) == pytest.approx((0.5, 0.35355339, 1.41421356, -0.17328680), rel=1e-7)
    assert coefficients(math.exp(2), 1.0)[3] == pytest.approx(0.5)


@given(st.floats(1e-3, 1e2), st.floats(0.05, 5.0))
def test_preconditioning_gives_input_and_target_unit_variance(sigma, data):
    skip, out, scale, _ = coefficients(sigma, data)
    assert scale**2 * (data**2 + sigma**2) == pytest.approx(1)
    # The target of F is (x0 - c_skip (x0 + sigma n)) / c_out.
    assert ((1 - skip) ** 2 * data**2 + skip**2 * sigma**2) / out**2 == pytest.approx(1, rel=1e-6)


# ----------------------------------------------------------------------------------------------- U-Net


def small_unet():
    """A tiny EDM denoiser in float64, every weight drawn, so that no part of it is silent."""
    denoiser = Preconditioned(UNet(channels=1, widths=(8, 16), blocks=1, heads=2), EDM(sigma_data=0.5)).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in denoiser.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    return denoiser.requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(6)
    return torch.randn((3, 1, 8, 8), generator=generator, dtype=torch.float64)


def test_the_unet_treats_each_image_as_if_it_were_alone(images):
    denoiser, levels = small_unet(), torch.tensor([0.1, 1.0, 20.0], dtype=torch.float64)
    together = denoiser(images, levels)
    for k in range(3):
        alone = denoiser(images[k : k + 1], levels[k : k + 1])
        torch.testing.assert_close(together[k : k + 1], alone, rtol=1e-10, atol=1e-12)


def test_the_unet_has_the_forward_derivative_that_differences_find(images):
    denoiser, levels, width = small_unet(), torch.tensor([0.1, 1.0, 20.0], dtype=torch.float64), 1e-6
    tangent, rise = images.flip(0), levels.clone()
    forward = torch.func.jvp(denoiser, (images, levels), (tangent, rise))[1]
    ahead = denoiser(images + width * tangent, levels + width * rise)
    behind = denoiser(images - width * tangent, levels - width * rise)
    torch.testing.assert_close((ahead - behind) / (2 * width), forward, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        ("mnist", "07fedcdd106877c5858e356de6d58fb27dcb0ba2609a6820c4fb7acd80c334e2"),
        ("cifar10", "138a4494cba36b20d1f6f3715a82fea41303a6373dfe9b2bbb4dfafc8c1f2c5e"),
    ],
)
def test_the_names_and_shapes_of_the_unets_weights_stay_as_they_shipped(data, digest):
    network = unet(dict(DATASETS[data].architecture))
    listing = "\n".join(f"{name} {tuple(weight.shape)}" for name, weight in sorted(network.state_dict().items()))
    # Weights that were shipped must load for ever; a change here needs new weights and a new name.
    assert hashlib.sha256(listing.encode()).hexdigest() == digest, listing


# ------------------------------------------------------------------------------- embedded and registry


@pytest.mark.parametrize("name", cards.denoisers())
def test_an_embedded_model_is_its_file_and_says_so(name, load):
    model, content = load(name), cards.weight_bytes(name)
    tensors = {name.replace("network.", "model.", 1): tensor for name, tensor in read_tensors(content).items()}
    state = model.denoiser.state_dict()
    assert state.keys() == tensors.keys()
    assert all(torch.equal(state[name], tensors[name]) for name in tensors)
    assert not any(weight.requires_grad for weight in model.denoiser.parameters())
    assert model.info.sha256 == hashlib.sha256(content).hexdigest() == cards.card(name)["sha256"]
    assert model.info.shape == MODELS[name].shape == tuple(cards.card(name)["shape"])
    assert (model.info.sigma_min, model.info.sigma_max) == (0.002, 80.0)
    assert MODELS[name].embedded


def test_denoisers_are_told_from_the_classifiers_beside_them():
    assert "mnist" in cards.denoisers()
    assert {"lenet", "resnet"} & set(cards.denoisers()) == set()
    assert [name for name, entry in MODELS.items() if entry.embedded] == cards.denoisers()


def test_weights_that_do_not_match_their_card_are_refused(monkeypatch):
    forged = {**cards.card("mnist"), "sha256": "0" * 64}
    monkeypatch.setattr(cards, "card", lambda name: forged)
    with pytest.raises(InputError, match=r"mnist.safetensors do not match their card. Install artc again"):
        load_embedded("mnist", torch.device("cpu"))


@pytest.mark.parametrize("name", ["gaussian", "mixture-1d", "mixture-64d"])
def test_at_great_noise_an_analytic_model_knows_only_the_mean_of_its_data(name, load, field):
    model = load(name)
    law = {"mixture-1d": three_modes(), "mixture-64d": eight_clusters(64)}.get(name)
    mean = torch.zeros(16, dtype=torch.float64) if law is None else (law.weights[:, None] * law.means).sum(dim=0)
    found = field(model.denoiser)(torch.zeros((1, *model.info.shape), dtype=torch.float64), 1e4)
    torch.testing.assert_close(found[0], mean, rtol=0, atol=1e-5)
    assert (model.info.shape, model.dtype) == (MODELS[name].shape, torch.float64)
    assert (model.info.sigma_min, model.info.sigma_max, model.info.sha256) == (0.002, 80.0, None)


def test_the_registered_gaussian_halves_x_where_noise_equals_data(load, field):
    x = torch.linspace(-2, 2, 16, dtype=torch.float64)[None]
    torch.testing.assert_close(field(load("gaussian").denoiser)(x, 0.5), x / 2)


@pytest.mark.parametrize("name", cards.denoisers())
def test_an_embedded_network_has_the_forward_derivative_that_differences_find(name, load):
    model = load(name)
    x = 0.5 * model.latents(3, seed=1).noise.float()
    double = copy.deepcopy(model.denoiser).double()  # for the differences; the derivative is that of the network itself
    found = by_jvp(model.denoiser, x, 0.5)
    near = by_difference(lambda x, sigma: double(x, torch.full((len(x),), sigma, dtype=x.dtype)), x.double(), 0.5)
    torch.testing.assert_close(found.double(), near, rtol=0.01, atol=0)


def test_an_unknown_model_names_the_close_ones():
    with pytest.raises(UnknownNameError, match=r"'mixture-2d'.*mixture-1d or mixture-64d"):
        find("mixture-2d")


def test_devices_are_picked_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(DeviceError, match="no CUDA"):
        pick_device("cuda")
    with pytest.raises(UnknownNameError, match="Did you mean cuda"):
        pick_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda")
    assert pick_device("cpu") == torch.device("cpu")
