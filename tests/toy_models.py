"""One problem in several ways: a mixture as a denoiser of a VP network, of a flow network, and with classes."""

import torch

import artc
from artc.models.analytic import GaussianMixture, eight_clusters, three_modes

TOP = 80.0
BOTTOM = 0.002
TARGETS = {"three": three_modes, "clusters": lambda: eight_clusters(16)}


def velocity_of(target: GaussianMixture):
    """v(x_s, s) = n - x0 given x_s = (1 - s) x0 + s n, which is (x_s - D) / s; at s = 1, x_s - mean."""

    def velocity(x, s):
        s = s.to(x).reshape(-1, *[1] * (x.ndim - 1))
        kept = (1 - s).clamp(min=1e-12)  # at s = 1 the unscaled x is infinite; its denoised value is the mean
        return (x - target(x / kept, (s / kept).flatten())) / s

    return velocity


def flow_model(
    target: str = "three", sigma_min: float = BOTTOM / (1 + BOTTOM), sigma_max: float = TOP / (1 + TOP), shift=None
):
    """The velocity network as a flow model."""
    law = TARGETS[target]()
    velocity = velocity_of(law)

    def denoiser(x, s):
        return x - s.reshape(-1, *[1] * (x.ndim - 1)) * velocity(x, s)

    return artc.score_model(
        denoiser,
        shape=law.means.shape[1:],
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        domain="flow",
        shift=shift,
        prediction="velocity",
        dtype=torch.float64,
        device="cpu",
    )


def vp_model(target: str = "three"):
    """An eps network eps(x / sqrt(1 + sigma^2)), as a model in x = x0 + sigma n."""
    law = TARGETS[target]()

    def denoiser(x, sigma):
        level = sigma.reshape(-1, *[1] * (x.ndim - 1))
        scaled = x / (1 + level**2).sqrt()
        eps = (x - law(scaled * (1 + level**2).sqrt(), sigma)) / level
        return x - level * eps

    return artc.score_model(
        denoiser,
        shape=law.means.shape[1:],
        sigma_min=BOTTOM,
        sigma_max=TOP,
        prediction="eps",
        dtype=torch.float64,
        device="cpu",
    )


def class_model(**settings):
    """Each of the eight clusters is a class: given its label the denoiser is exact for it alone, given -1 for all."""
    law = eight_clusters(16)

    def denoiser(x, sigma, labels):
        level = sigma.to(x).reshape(-1, 1)
        means, stds = law.means.to(x)[labels], law.stds.to(x)[labels][:, None]
        one = means + stds**2 / (stds**2 + level**2) * (x - means)
        return torch.where(labels[:, None] >= 0, one, law(x, sigma))

    limits = {"shape": (16,), "sigma_min": BOTTOM, "sigma_max": TOP, "dtype": torch.float64, "device": "cpu"}
    return artc.score_model(denoiser, classes=8, **limits, **settings)
