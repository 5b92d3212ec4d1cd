"""The policy sampler: exact NFE, a next sigma for each sample, and the time-only grid where a policy says nothing."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from artc.artifact import nfe_of
from artc.errors import BudgetError, DenoiserError, InputError, UnknownNameError
from artc.integrations.policy import policy_sampler
from artc.models.analytic import three_modes
from artc.models.score_model import Latents
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample as walk_grid
from tests.golden.example import example
from tests.integrations.policy_artifacts import artifact_of, learned_artifact, silent_artifact
from tests.policies import trained, wild


@pytest.fixture(scope="module")
def learned():
    return learned_artifact()


@pytest.fixture(scope="module")
def silent():
    return silent_artifact()


class Watched:
    """The 1-D mixture, and every sigma that it was called with."""

    def __init__(self):
        self.sigmas, self.given = [], []

    def __call__(self, x, sigma, **given):
        assert sigma.shape == (len(x),)
        assert sigma.dtype == x.dtype
        self.sigmas.append(sigma.double().numpy())
        self.given.append(given)
        return three_modes()(x, sigma)


def start(count=16, dtype=torch.float32, sigma=80.0, seed=0):
    noise = torch.randn((count, 1), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (sigma * noise).to(dtype), torch.tensor([sigma, 1.0, 0.0])


@pytest.mark.parametrize("solver", sorted(SOLVERS))
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_every_solver_makes_exactly_its_calls_and_every_sample_ends_in_0(learned, solver, steps):
    model, (x, sigmas) = Watched(), start()
    nfe = nfe_of(solver, steps)
    shown = []
    done = policy_sampler(learned, nfe=nfe, solver=solver)(model, x, sigmas, callback=shown.append)
    assert len(model.sigmas) == nfe
    assert [each["i"] for each in shown] == list(range(steps))
    nodes = [each["sigma"] for each in shown]
    assert all((after < now).all() for now, after in pairwise(nodes))
    torch.testing.assert_close(shown[-1]["denoised"], done)  # the last step, to 0, is Euler's


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_a_policy_that_says_nothing_samples_as_the_time_only_grid_does(silent, solver):
    x, sigmas = start(dtype=torch.float64)
    found = policy_sampler(silent, steps=6, solver=solver)(Watched(), x, sigmas)
    field = lambda _: lambda x, sigma: three_modes()(x, torch.full((len(x),), sigma, dtype=x.dtype))  # noqa: E731
    expected = walk_grid(field, Latents(noise=x / 80), silent.warp.baked(6), SOLVERS[solver])
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_the_samples_of_a_batch_go_their_own_ways_and_do_not_depend_on_each_other(learned):
    model, (x, sigmas) = Watched(), start()
    together = policy_sampler(learned, nfe=9)(model, x, sigmas)
    assert np.ptp(model.sigmas[4]) > 0.05 * model.sigmas[4].mean()
    alone = [policy_sampler(learned, nfe=9)(Watched(), one[None], sigmas)[0] for one in x]
    torch.testing.assert_close(torch.stack(alone), together, rtol=1e-5, atol=1e-5)


def test_where_a_step_ends_is_what_the_policy_answers_in_numpy(learned):
    # Two steps of the same walk by hand, with the statistics written out.
    model, (x, sigmas) = Watched(), start(dtype=torch.float64)
    policy_sampler(learned, steps=4, solver="euler")(model, x, sigmas)
    policy, sigma, before, last = trained().policy, np.full(16, 80.0), np.full(16, 80.0), None
    at = x[:, 0].numpy()
    for k in range(2):
        denoised = three_modes()(torch.from_numpy(at)[:, None], torch.from_numpy(sigma))[:, 0].numpy()
        statistics = np.stack([abs(at), abs(denoised), abs(at - denoised), at, denoised], axis=1)
        change = np.zeros(16) if last is None else abs(denoised - last)
        clock = np.full(16, k / 4)
        after = policy.next_sigma(clock, clock + 0.25, sigma, before, statistics, change)
        np.testing.assert_allclose(model.sigmas[k + 1], after, rtol=1e-5)
        at = denoised + after / sigma * (at - denoised)
        sigma, before, last = after, sigma, denoised


def test_image_to_image_spends_all_its_steps_from_its_first_sigma_on(silent):
    model, (x, sigmas) = Watched(), start(sigma=3.0)
    policy_sampler(silent, steps=4, solver="euler")(model, x, sigmas)
    begin = silent.warp.clock_at(3.0)
    expected = silent.warp.at(np.linspace(begin, 1, 5)[:-1])
    np.testing.assert_allclose([sigma[0] for sigma in model.sigmas], expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_no_node_but_the_last_lies_below_what_the_model_knows(seed):
    model, (x, sigmas) = Watched(), start()
    policy_sampler(artifact_of(wild(trained().policy, seed), sigma_min=0.05), steps=30, solver="euler")(
        model, x, sigmas
    )
    nodes = np.stack(model.sigmas)
    assert nodes.min() >= np.float32(0.05)
    assert (np.diff(nodes, axis=0) < 0).all()


@pytest.mark.parametrize("first", [0.05 * (1 + 1e-6), 0.0501, 0.0503])
def test_nodes_fall_even_from_a_sigma_just_above_what_the_model_knows(first):
    model, (x, sigmas) = Watched(), start(sigma=first)
    policy_sampler(artifact_of(trained().policy, sigma_min=0.05), steps=20, solver="euler")(model, x, sigmas)
    nodes = np.stack(model.sigmas)
    assert nodes.min() >= np.float32(0.05)
    assert (np.diff(nodes, axis=0) <= 0).all()
    assert (np.diff(nodes, axis=0) < 0).all() or first < 0.05001  # float32 has no twenty numbers in so little room


def test_what_the_host_gives_goes_on_to_every_call(learned):
    model, (x, sigmas) = Watched(), start()
    policy_sampler(learned, nfe=3)(model, x, sigmas, {"seed": 7}, None, True)
    assert model.given == [{"seed": 7}] * 3


def test_an_artifact_may_be_given_by_its_path(learned, tmp_path):
    learned.save(tmp_path / "a.art.json")
    x, sigmas = start()
    found = policy_sampler(tmp_path / "a.art.json", nfe=5)(Watched(), x, sigmas)
    assert found.tolist() == policy_sampler(learned, nfe=5)(Watched(), x, sigmas).tolist()


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"nfe": 4}, BudgetError, "3 and 5"),
        ({}, BudgetError, "one of them"),
        ({"nfe": 9, "steps": 5}, BudgetError, "one of them"),
        ({"steps": 0}, InputError, "number of steps"),
        ({"nfe": 9, "solver": "hein"}, UnknownNameError, "heun"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(learned, settings, kind, said):
    with pytest.raises(kind, match=said):
        policy_sampler(learned, **settings)


@pytest.mark.parametrize(
    ("x", "sigmas", "said"),
    [
        (torch.ones(2, 1), torch.tensor([90.0, 0.0]), "start at 90"),
        (torch.ones(2, 1), torch.tensor([0.001, 0.0]), r"start at 0\.001"),
        (torch.ones(2, 1), torch.tensor([80.0, 1.0]), "down to 0"),
        (torch.ones(2, 1), torch.tensor([0.0]), "down to 0"),
        (torch.ones(2, 1, dtype=torch.float16), torch.tensor([80.0, 0.0]), "float32"),
        (torch.ones(2), torch.tensor([80.0, 0.0]), "batch"),
        (torch.ones(0, 1), torch.tensor([80.0, 0.0]), "batch"),
        ("x", torch.tensor([80.0, 0.0]), "str"),
    ],
)
def test_a_start_that_the_policy_does_not_know_is_refused(learned, x, sigmas, said):
    with pytest.raises(InputError, match=said):
        policy_sampler(learned, nfe=9)(Watched(), x, sigmas)


def test_flow_models_and_artifacts_without_a_policy_are_refused(learned):
    with pytest.raises(InputError, match="has no policy"):
        policy_sampler(replace(learned, policy=None), nfe=9)
    flow = example(policy=learned.policy, model=replace(example().model, domain="flow", sigma_max=1.0),
                   schedules=(), warp=type(learned.warp)((0.0, 1.0), (1.0, 0.0), 0.1), stiffness=None)  # fmt: skip
    with pytest.raises(InputError, match="compiled for"):
        policy_sampler(flow, nfe=9)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("call", [0, 2, 3])
def test_a_model_that_breaks_down_is_named_with_its_sigma_at_that_very_call(learned, broken, call):
    model, (x, sigmas) = Watched(), start()

    def breaking(x, sigma):
        good = model(x, sigma)
        return good if len(model.sigmas) <= call else good * broken

    with pytest.raises(DenoiserError, match="not finite") as caught:
        policy_sampler(learned, steps=4, solver="euler")(breaking, x, sigmas)
    assert f"sigma = {model.sigmas[call].max():g} " in str(caught.value)


def test_a_solver_that_is_no_name_is_refused_with_the_names(learned):
    with pytest.raises(UnknownNameError, match=r"solver None.*Known: deis_2, deis_3, dpmpp_2m"):
        policy_sampler(learned, steps=5, solver=None)
