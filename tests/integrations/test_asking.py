"""A denoiser that is shown model sigmas by its host: at the nodes the others, elsewhere its own, in all else itself."""

import copy
import math
import pickle
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from artc.artifact import Schedule
from artc.errors import InputError
from artc.integrations import edm, k_diffusion
from artc.integrations.asking import AskedDenoiser, asked, shown_levels
from tests.golden.example import asked_example
from tests.integrations.edm_stand_in import GaussianNetwork, ablation_sampler, edm_sampler
from tests.integrations.made import artifact, calls_at, shrinking
from tests.walking import end_of

GRID, SHOWN = (80.0, 10.0 / 3, 0.7, 0.1, 0.0), (80.0, 3.0, 0.9, 0.11)


def schedule(solver="heun", shown=SHOWN, grid=GRID):
    steps = len(grid) - 1
    nfe = 2 * steps - 1 if solver == "heun" else steps
    return Schedule(solver=solver, nfe=nfe, steps=steps, sigmas=grid, model_sigmas=shown, origin="refined")


def held(solver="heun"):
    return artifact(GRID, solver=solver)


class Wrapper(torch.nn.Module):
    """As k-diffusion's wrappers: `model(x, sigma, **kwargs)`, a range, and a network inside."""

    sigma_min, sigma_max = torch.tensor(0.002), torch.tensor(80.0)

    def __init__(self, spread=0.5):
        super().__init__()
        self.spread, self.levels, self.given = spread, [], []

    def forward(self, x, sigma, **kwargs):
        self.levels.append(sigma.clone())
        self.given.append(kwargs)
        level = sigma.reshape(-1, *[1] * (x.ndim - 1))
        return x * self.spread**2 / (self.spread**2 + level**2)


def sample_heun(model, x, sigmas, extra_args=None):
    """Heun's rule with k-diffusion's signature, every sigma for each sample of the batch."""
    ones, given = x.new_ones(len(x)), extra_args or {}
    for now, then in pairwise(sigmas):
        slope = (x - model(x, now * ones, **given)) / now
        if then == 0:
            x = x + (then - now) * slope
            continue
        ahead = x + (then - now) * slope
        x = x + (then - now) * (slope + (ahead - model(ahead, then * ones, **given)) / then) / 2
    return x


# ------------------------------------------------------------------------------------------- the levels


def test_nodes_are_shown_the_others_and_the_rest_passes():
    levels = torch.tensor([80.0, 10 / 3, 0.7, 0.1, 0.5, 79.0, 0.0], dtype=torch.float64)
    assert shown_levels(levels, GRID[:-1], SHOWN).tolist() == [*SHOWN, 0.5, 79.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_node_is_known_in_the_dtype_of_the_sampler(dtype):
    levels = torch.tensor(GRID, dtype=torch.float64).to(dtype)
    found = shown_levels(levels, GRID[:-1], SHOWN)
    assert found.dtype == dtype
    assert torch.equal(found, torch.tensor([*SHOWN, 0.0], dtype=torch.float64).to(dtype))


@given(st.floats(0.002, 80.0))
def test_a_node_survives_a_logarithm_in_float32(node):
    level = torch.tensor(node, dtype=torch.float32)
    there_and_back = level.log().neg().neg().exp()
    assert shown_levels(there_and_back, (node,), (1.5,)).item() == 1.5
    assert shown_levels(level.double(), (node,), (1.5,)).item() == 1.5
    away = torch.tensor(node * 1.0001, dtype=torch.float32)
    assert torch.equal(shown_levels(away, (node,), (1.5,)), away)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1, 1, 1)])
def test_levels_keep_their_shape_and_each_sample_has_its_own(shape):
    assert shown_levels(torch.full(shape, 0.7), GRID[:-1], SHOWN).shape == shape
    mixed = shown_levels(torch.tensor([0.7, 0.5, 0.1], dtype=torch.float64), GRID[:-1], SHOWN)
    assert mixed.tolist() == [0.9, 0.5, 0.11]


# ------------------------------------------------------------------------------------------- k-diffusion


def test_a_sampler_of_k_diffusion_walks_as_ours_does_with_model_sigmas(field):
    start = 80.0 * torch.randn((3, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model, grid = Wrapper(), k_diffusion.sigmas(held(), steps=4, like=start)
    found = sample_heun(k_diffusion.asked(model, schedule()), start, grid, {"cond": 7})
    expected = end_of(field(Wrapper()), start, GRID, "heun", model_sigmas=SHOWN)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert [level[0].item() for level in model.levels] == calls_at(SHOWN, "heun")
    assert all(given == {"cond": 7} for given in model.given)


def test_the_tail_of_a_grid_has_the_same_nodes():
    start, model = torch.ones(1, 2, dtype=torch.float64), Wrapper()
    grid = k_diffusion.sigmas(held(), steps=4, like=start, denoise=0.5)
    sample_heun(asked(model, schedule()), start, grid)
    assert [level.item() for level in model.levels] == [0.9, 0.11, 0.11]


def test_it_is_the_denoiser_in_all_else():
    model = Wrapper()
    wrapped = asked(model, schedule())
    assert wrapped.sigma_max is model.sigma_max
    assert wrapped.to(torch.float64) is wrapped
    assert wrapped.eval() is wrapped
    assert not model.training
    wrapped.spread = 2.0
    assert model.spread == 2.0
    assert "Wrapper" in repr(wrapped)
    with pytest.raises(AttributeError):
        _ = wrapped.no_such_thing
    for again in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert isinstance(again, AskedDenoiser)
        assert (again.nodes, again.model_sigmas) == (GRID[:-1], SHOWN)
        assert again.denoiser is not model
    # The grid is held against the range of what is inside.
    with pytest.raises(InputError, match=r"knows sigma from 0\.002 to 80"):
        k_diffusion.sigmas(artifact((90.0, 1.0, 0.0)), steps=2, model=wrapped)


def test_a_number_is_answered_as_a_number():
    seen = []
    denoiser = asked(lambda x, sigma: seen.append(sigma) or x, schedule())
    denoiser(torch.ones(1), 0.7)
    denoiser(torch.ones(1), sigma=0.5)
    assert seen == [0.9, 0.5]


def test_a_schedule_without_model_sigmas_leaves_the_denoiser_as_it_is():
    model = Wrapper()
    assert asked(model, schedule(shown=None)) is model
    # And once more: the other schedule's are not kept beneath.
    again = asked(asked(model, schedule()), schedule(shown=(80.0, 2.0, 0.5, 0.05)))
    assert again.denoiser is model
    assert asked(again, schedule(shown=None)) is model


def test_what_makes_no_sense_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="A denoiser can be called, and dict cannot"):
        asked({}, schedule())
    with pytest.raises(InputError, match="those of a schedule, not of Artifact") as caught:
        asked(Wrapper(), asked_example())
    assert "schedule(9" in caught.value.hint


# ------------------------------------------------------------------------------------------- EDM


@pytest.mark.parametrize("order", ["asked first", "scheduled first"])
@pytest.mark.parametrize(("solver", "sampler"), [("heun", edm_sampler), ("euler", ablation_sampler)])
def test_edms_own_sampler_shows_the_network_the_model_sigmas(order, solver, sampler):
    network = GaussianNetwork(sigma_min=0.002, sigma_max=80.0)
    if order == "asked first":
        net = edm.scheduled(edm.asked(network, schedule(solver)), held(solver), steps=4, solver=solver)
    else:
        net = edm.asked(edm.scheduled(network, held(solver), steps=4, solver=solver), schedule(solver))
    assert (net.num_steps, net.sigma_min, net.img_channels) == (4, 0.002, 1)
    assert net.sigmas.tolist() == list(GRID)
    options = {} if solver == "heun" else {"solver": "euler"}
    end = sampler(net, torch.ones(2, 1, 2, 2), num_steps=net.num_steps, **options)
    torch.testing.assert_close(
        end, 80.0 * shrinking(GRID, 0.5, solver, SHOWN) * torch.ones(2, 1, 2, 2).double(), rtol=1e-12, atol=0
    )
    assert network.asked == calls_at(SHOWN, solver)


def test_a_network_of_certain_levels_is_shown_those_it_knows():
    levels = (79.0, 3.25, 3.0, 1.0, 0.75, 0.125, 0.1)
    network = GaussianNetwork(levels=levels)
    net = edm.asked(edm.scheduled(network, held(), steps=4), schedule())
    edm_sampler(net, torch.ones(1, 1, 2, 2), num_steps=4)
    assert net.sigmas.tolist() == pytest.approx([79.0, 3.25, 0.75, 0.1, 0.0])
    assert network.asked == pytest.approx([79.0, 3.0, 3.0, 1.0, 1.0, 0.1, 0.1])


def test_a_network_without_model_sigmas_stays_what_it_is():
    network = GaussianNetwork()
    assert edm.asked(network, schedule(shown=None)) is network
    net = edm.scheduled(network, held(), steps=4)
    edm_sampler(edm.asked(net, schedule(shown=None)), torch.ones(1, 1, 2, 2), num_steps=4)
    assert set(network.asked) == set(GRID[:-1])


def test_edm2s_sampler_takes_a_network_that_is_asked():
    seen = []

    def network(x, sigma, labels=None):
        assert sigma.shape == ()
        seen.append(sigma.item())
        return x * 0.25 / (0.25 + sigma**2)

    sampler = edm.sampler_fn(held(), steps=4)
    end = sampler(edm.asked(network, schedule()), torch.ones(1, 1, 2, 2), dtype=torch.float64)
    assert math.isclose(end.flatten()[0].item(), 80.0 * shrinking(GRID, 0.5, "heun", SHOWN), rel_tol=1e-12)
    assert set(seen) == set(SHOWN)
