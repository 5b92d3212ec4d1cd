import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from artc.artifact import Coordinate
from artc.errors import InputError
from artc.learning.objective import energy_of, lower_bound
from artc.models.analytic import Gaussian, three_modes
from artc.models.preconditioning import EDM, Preconditioned
from artc.models.score_model import Latents, Probe
from artc.models.unet import UNet
from artc.progress import drain
from artc.sampling.bank import TrajectoryBank, bank_nodes, build_bank, joined, walk_batch
from artc.sampling.statistics import STATISTICS
from artc.sampling.stiffness import by_difference, by_jvp, by_secant, rms

RANGE = Coordinate(0.002, 80.0)

# ------------------------------------------------------------------------------------------- stiffness


def test_the_root_mean_square_is_over_all_but_the_batch():
    values = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])
    torch.testing.assert_close(rms(values), torch.tensor([12.5**0.5, 2**0.5]))


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0, 30.0])
def test_three_ways_to_the_stiffness_of_a_gaussian_agree_with_its_closed_form(sigma, field):
    gaussian, start = Gaussian(mean=0.3, std=0.5), torch.tensor([[50.0, -90.0], [10.0, 3.0]], dtype=torch.float64)
    x, ahead = (gaussian.trajectory(start, 80.0, level) for level in (sigma, 0.99 * sigma))
    unit = (start - 0.3) / math.sqrt(0.25 + 80**2)
    exact = 0.25 / (0.25 + sigma**2) ** 1.5 * unit.square().mean(dim=1).sqrt()
    denoise = field(gaussian)
    torch.testing.assert_close(by_jvp(gaussian, x, sigma), exact, rtol=1e-10, atol=0)
    torch.testing.assert_close(by_difference(denoise, x, sigma), exact, rtol=0.02, atol=0)
    secant = by_secant(denoise(x, sigma), denoise(ahead, 0.99 * sigma), sigma, 0.99 * sigma)
    torch.testing.assert_close(secant, exact, rtol=0.02, atol=0)
    middle = gaussian.stiffness(start, 80.0, math.sqrt(0.99) * sigma)
    torch.testing.assert_close(secant, middle, rtol=1e-4, atol=0)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_the_mean_square_stiffness_of_gaussian_data_has_its_closed_form(sigma):
    draws = torch.randn((4096, 8), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = by_jvp(Gaussian(mean=-1.0, std=0.7), -1.0 + math.sqrt(0.49 + sigma**2) * draws, sigma).square().mean()
    # 32,768 squares of normal numbers: five standard errors.
    assert float(found) == pytest.approx(0.7**4 / (0.49 + sigma**2) ** 3, rel=5 * math.sqrt(2 / 32768))


def test_on_a_mixture_the_derivative_is_the_total_one_along_the_path(field):
    x, mixture, sigma, width = torch.tensor([[-1.2], [0.9]], dtype=torch.float64), three_modes(), 0.4, 1e-4
    by_path = by_difference(field(mixture), x, sigma, relative=1e-6)
    torch.testing.assert_close(by_jvp(mixture, x, sigma), by_path, rtol=1e-4, atol=0)
    partial = rms(field(mixture)(x, sigma + width) - field(mixture)(x, sigma - width)) / (2 * width * sigma)
    assert (abs(partial / by_path - 1) > 0.05).all()


@pytest.mark.parametrize("sigma", [0.2, 5.0])
def test_the_stiffness_of_a_network_by_jvp_is_that_by_difference(sigma, field):
    generator = torch.Generator().manual_seed(8)
    network = UNet(channels=1, widths=(8, 16), blocks=1, heads=2)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    denoiser = Preconditioned(network, EDM(sigma_data=0.5)).double().requires_grad_(False)
    x = (0.25 + sigma**2) ** 0.5 * torch.randn((2, 1, 8, 8), generator=generator, dtype=torch.float64)
    found = by_difference(field(denoiser), x, sigma, relative=1e-6)
    torch.testing.assert_close(found, by_jvp(denoiser, x, sigma), rtol=1e-3, atol=0)


# ------------------------------------------------------------------------------------------------ bank


def bank_of(model, count, nodes, batch=64):
    """A bank with the calls it cost and its progress."""
    probe, shown = Probe(model), []
    walking = build_bank(
        probe.on, model.latents(count, seed=3), sigma_min=0.002, sigma_max=80.0, nodes=nodes, batch=batch
    )
    return drain(walking, shown.append), probe.calls, shown


def test_on_a_gaussian_the_bank_holds_the_closed_form(load):
    model = load("gaussian")
    bank, _, _ = bank_of(model, 6, 128)
    start = 80.0 * model.latents(6, seed=3).noise
    exact = [model.denoiser.stiffness(start, 80.0, sigma).numpy() for sigma in bank.sigma]
    np.testing.assert_allclose(bank.stiffness, np.stack(exact, axis=1), rtol=0.01)


def test_a_bank_lies_between_log_spaced_nodes_and_costs_a_call_for_each(load):
    bank, calls, shown = bank_of(load("mixture-1d"), 5, 20, batch=2)
    nodes = [80.0 * (0.002 / 80.0) ** (k / 19) for k in range(20)]
    np.testing.assert_allclose(bank.sigma, [math.sqrt(a * b) for a, b in pairwise(nodes)])
    assert bank.stiffness.shape == (5, 19)
    assert calls == 5 * 20
    assert [update.done for update in shown] == [0, *range(2, 41, 2), *range(42, 81, 2), *range(81, 101)]
    assert {update.total for update in shown} == {100}


def test_a_bank_does_not_depend_on_its_batches(load):
    whole, parts = (bank_of(load("mixture-64d"), 5, 24, batch)[0] for batch in (5, 2))
    np.testing.assert_allclose(parts.stiffness, whole.stiffness, rtol=1e-9)


def test_the_bound_hardly_depends_on_how_fine_the_bank_is(load):
    bounds = [lower_bound(energy_of(bank_of(load("mixture-64d"), 8, nodes)[0], RANGE)) for nodes in (64, 128, 384)]
    assert bounds[0] == pytest.approx(bounds[2], rel=0.02)
    assert bounds[1] == pytest.approx(bounds[2], rel=0.005)


def test_splitting_holds_the_last_trajectories_out():
    bank = TrajectoryBank(sigma=np.array([2.0, 1.0]), stiffness=np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    training, held_out = bank.split(1)
    assert training.stiffness.tolist() == [[1, 2], [3, 4]]
    assert held_out.stiffness.tolist() == [[5, 6]]
    assert training.sigma.tolist() == held_out.sigma.tolist() == [2, 1]


@pytest.mark.parametrize("stiffness", [[[1.0]], [1.0, 2.0], [[1.0, -1.0]], [[1.0, np.nan]], [[np.inf, 1.0]]])
def test_a_bank_refuses_what_is_no_stiffness(stiffness):
    with pytest.raises(InputError, match="bank"):
        TrajectoryBank(sigma=np.array([2.0, 1.0]), stiffness=np.array(stiffness))


def test_on_a_gaussian_the_bank_holds_the_statistics_of_the_exact_trajectory(load):
    model = load("gaussian")
    bank, _, _ = bank_of(model, 6, 128, batch=4)
    start, nodes = 80.0 * model.latents(6, seed=3).noise, np.geomspace(80.0, 0.002, 128)
    np.testing.assert_allclose(bank.nodes, nodes)
    for index in (0, 40, 90, 127):
        x = model.denoiser.trajectory(start, 80.0, nodes[index])
        denoised = model.denoiser(x, torch.full((6,), nodes[index], dtype=torch.float64))
        exact = [(each**2).mean(dim=1).sqrt() for each in (x, denoised, x - denoised)]
        exact += [each.mean(dim=1) for each in (x, denoised)]
        found = dict(zip(STATISTICS, bank.statistics[:, index].T, strict=True))
        for name, expected in zip(found, exact, strict=True):
            np.testing.assert_allclose(found[name], expected.numpy(), rtol=0.005, atol=1e-4, err_msg=name)


def test_the_batches_of_a_bank_walked_one_by_one_make_the_same_bank(load):
    model = load("mixture-1d")
    latents, nodes = model.latents(5, seed=3), bank_nodes(0.002, 80.0, 20)
    batches = [drain(walk_batch(Probe(model).on, some, nodes, ends=2)) for some in latents.split(3)]
    whole = bank_of(model, 5, 20, batch=3)[0]
    parts = joined(nodes, batches)
    assert parts.stiffness.tolist() == whole.stiffness.tolist()
    assert parts.statistics.tolist() == whole.statistics.tolist()
    assert parts.sketches.tolist() == whole.sketches.tolist()
    assert [len(batch.ends) for batch in batches] == [2, 2]


def test_a_part_of_a_bank_keeps_the_statistics_of_its_trajectories(load):
    bank = bank_of(load("mixture-1d"), 5, 20)[0]
    training, held_out = bank.split(2)
    assert np.concatenate([training.statistics, held_out.statistics]).tolist() == bank.statistics.tolist()
    assert held_out.nodes.tolist() == bank.nodes.tolist()


@pytest.mark.parametrize("statistics", [np.zeros((1, 3, 5)), np.zeros((1, 2, 4)), np.full((1, 2, 5), np.nan)])
def test_a_bank_refuses_statistics_that_are_not_of_its_nodes(statistics):
    with pytest.raises(InputError, match="statistics"):
        TrajectoryBank(
            sigma=np.array([1.0]), stiffness=np.ones((1, 1)), nodes=np.array([2.0, 0.5]), statistics=statistics
        )


def test_sketches_of_few_dimensions_are_exactly_as_far_apart_as_what_they_were_made_of(load):
    model = load("gaussian")
    bank, _, _ = bank_of(model, 6, 64, batch=4)
    start = 80.0 * model.latents(6, seed=3).noise
    # D = m + a(sigma) (x - m): on the exact path (closed form) everything but a factor stays as it was.
    one, other = (
        model.denoiser(model.denoiser.trajectory(start, 80.0, s), torch.full((6,), s)) for s in bank.nodes[[30, 45]]
    )
    apart = np.linalg.norm(bank.sketches[:, 30] - bank.sketches[:, 45], axis=1)
    np.testing.assert_allclose(apart, rms(one - other).numpy(), rtol=0.02)


def test_the_distance_of_two_sketches_is_that_of_images_within_its_error():
    generator = torch.Generator().manual_seed(1)
    latents = Latents(noise=torch.randn((16, 3, 32, 32), generator=generator, dtype=torch.float64))
    targets = torch.rand((16, 3, 32, 32), generator=generator, dtype=torch.float64)
    fields = lambda _: lambda x, sigma: targets if sigma < 1 else torch.zeros_like(x)  # noqa: E731
    batch = drain(walk_batch(fields, latents, bank_nodes(0.5, 2.0, 3)))
    found = np.linalg.norm(batch.sketches[:, -1] - batch.sketches[:, 0], axis=1) / rms(targets).numpy()
    # 128 buckets: a relative error of about 1 / sqrt(256) each, of which 16 trajectories share the map.
    assert abs(found - 1).max() < 5 / 256**0.5
    assert abs(found - 1).max() > 1e-3
