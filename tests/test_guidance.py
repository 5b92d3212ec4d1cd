import math

import pytest
import torch

from artc.errors import DenoiserError, InputError
from artc.models.analytic import Gaussian, three_modes
from artc.models.guidance import guided
from artc.models.score_model import NO_CLASS


class ThreeModes:
    """The exact denoiser of the 1-D mixture, its components as classes; it remembers what it was asked."""

    def __init__(self):
        self.law, self.calls = three_modes(), []

    def __call__(self, x, sigma, /, labels):
        self.calls.append((x, sigma, labels))
        answers = [self.law(x, sigma)]
        answers += [
            Gaussian(mean=float(mean), std=float(std))(x, sigma)
            for mean, std in zip(self.law.means, self.law.stds, strict=True)
        ]
        return torch.stack(answers)[labels + 1, torch.arange(len(x))]


@pytest.fixture
def batch():
    x = torch.tensor([[-1.0], [0.2], [2.5], [0.7]], dtype=torch.float64)
    return x, torch.tensor([0.1, 0.5, 2.0, 20.0], dtype=torch.float64), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("scale", [-1.0, 0.0, 1.0, 7.5])
def test_guidance_is_the_line_through_both_exact_denoisers(scale, batch):
    x, sigma, labels = batch
    denoiser = ThreeModes()
    free = denoiser.law(x, sigma)
    std, mean = denoiser.law.stds[labels][:, None], denoiser.law.means[labels]
    given = mean + std**2 / (std**2 + sigma[:, None] ** 2) * (x - mean)
    found = guided(denoiser, scale)(x, sigma, labels=labels)
    torch.testing.assert_close(found, (1 - scale) * free + scale * given, rtol=1e-12, atol=1e-12)


def test_both_halves_are_asked_in_one_batch(batch):
    x, sigma, labels = batch
    denoiser = ThreeModes()
    guided(denoiser, 2.0)(x, sigma, labels=labels)
    ((both, levels, asked),) = denoiser.calls
    assert torch.equal(both, torch.cat([x, x]))
    assert torch.equal(levels, torch.cat([sigma, sigma]))
    assert asked.tolist() == [*labels.tolist(), *[NO_CLASS] * 4]


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(InputError, match="It must be a finite number; 1 is no guidance"):
        guided(ThreeModes(), scale)


def test_a_denoiser_that_forgets_half_of_the_batch_is_named(batch):
    x, sigma, labels = batch
    with pytest.raises(DenoiserError, match=r"shape \(4, 1\) for an input of shape \(8, 1\) at sigma = 0.1"):
        guided(lambda x, sigma, labels: x[: len(x) // 2], 2.0)(x, sigma, labels=labels)
