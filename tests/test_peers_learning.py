"""LD3 learns, through every solver; and whatever a method is, it answers a grid and counts its calls."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artc.artifact import BUDGETS
from artc.errors import BudgetError, InputError, UnknownNameError
from artc.models.score_model import Probe, ScoreModel
from artc.peers import PEERS, Found, ays, find_peer, gits, ld3, oss
from artc.peers.ld3 import learn
from artc.peers.peer import teacher_ends
from artc.peers.unrolled import Plan, Unrolled
from artc.sampling.grids import edm
from artc.sampling.solvers import SOLVERS, find_solver
from artc.sampling.trajectories import sample
from tests.toy_models import class_model, flow_model

SMALL = {
    **PEERS,
    "gits": lambda model, seed: gits.prepare(model, seed, noises=6, nodes=13),
    "ays": lambda model, seed: ays.prepare(model, seed, paths=6, levels=12),
    "oss": lambda model, seed: oss.prepare(model, seed, noises=4, intervals=12),
    "ld3": lambda model, seed: ld3.prepare(model, seed, noises=8, passes=1),
    "ld3-shifted": lambda model, seed: ld3.prepare(model, seed, noises=8, passes=1, shifted=True),
}


def rms(model, solver, found: Found, noises=256):
    """End-point error on noises that no method saw."""
    probe, latents = Probe(model), model.latents(noises, 99)
    ends = teacher_ends(probe.on, latents, model.info.sigma_min, model.info.sigma_max)
    reached = sample(probe.on, latents, found.sigmas, find_solver(solver), model_sigmas=found.model_sigmas)
    return float((reached - ends).square().mean().sqrt())


def test_ld3_ends_nearer_than_where_it_began_and_with_shifted_times_no_further(load):
    model = load("mixture-64d")
    plain, shifted = ld3.prepare(model, 0)("euler", 4), ld3.prepare(model, 0, shifted=True)("euler", 4)
    start = rms(model, "euler", Found(sigmas=(*edm(5, 0.002, 80.0)[:-2].tolist(), 0.0), calls=0, seconds=0.0))
    assert rms(model, "euler", plain) < 0.9 * start
    assert rms(model, "euler", shifted) <= rms(model, "euler", plain)
    assert plain.model_sigmas is None
    assert shifted.model_sigmas[0] == 80.0
    assert shifted.model_sigmas[1:] != shifted.sigmas[1:-1]


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_unrolled_walk_is_the_walk_of_its_grid(load, solver):
    model = load("mixture-64d")
    unrolled = Unrolled(model=model, solver=find_solver(solver))
    generator = torch.Generator().manual_seed(2)
    draw = lambda size: torch.randn(size, generator=generator, dtype=torch.float64)  # noqa: E731
    plan = Plan(logits=draw(5).requires_grad_(), offsets=(0.2 * draw(4)).requires_grad_())
    if solver == "rk4":
        plan = replace(plan, offsets=torch.zeros(4, dtype=torch.float64, requires_grad=True))
    latents = model.latents(3, 0)
    reached = unrolled.walk(plan, latents)
    sigmas, shown = ([float(level) for level in levels] for levels in unrolled.sigmas(plan.copy()))
    shown = None if solver == "rk4" else shown
    torch.testing.assert_close(
        reached.detach(), sample(Probe(model).on, latents, sigmas, find_solver(solver), model_sigmas=shown)
    )
    # Its gradient, against differences.
    (slope,) = torch.autograd.grad(reached.square().sum(), plan.logits)
    ahead, behind = (
        float(unrolled.walk(replace(plan.copy(), logits=plan.logits.detach() + step), latents).square().sum())
        for step in (torch.eye(5, dtype=torch.float64)[1] * 1e-5, torch.eye(5, dtype=torch.float64)[1] * -1e-5)
    )
    assert float(slope[1]) == pytest.approx((ahead - behind) / 2e-5, rel=1e-4)


class Counted:
    """A denoiser that counts by itself: a sample once, and three times where a gradient is kept."""

    def __init__(self, model: ScoreModel) -> None:
        self.model, self.calls = model, 0

    def __call__(self, x, sigma, **labels):
        self.calls += len(x) * (3 if torch.is_grad_enabled() and x.requires_grad else 1)
        return self.model.denoiser(x, sigma, **labels)


@pytest.mark.parametrize("make", [flow_model, class_model], ids=["flow", "classes"])
@pytest.mark.parametrize("name", PEERS)
def test_calls_are_those_that_the_network_saw_and_the_grid_is_the_models(name, make):
    model = make()
    counted = Counted(model)
    model = replace(model, denoiser=counted, batch=3)
    find = SMALL[name](model, 5)
    first = find("dpmpp_2m", 3)
    assert first.calls == counted.calls
    assert (first.calls == 0) == (name in ("dmn", "kl-optimal"))
    assert first.sigmas[0] == model.info.sigma_max
    assert first.sigmas[-2] >= model.info.sigma_min
    again = SMALL[name](model, 5)("dpmpp_2m", 3)
    assert (again.sigmas, again.model_sigmas, again.calls) == (first.sigmas, first.model_sigmas, first.calls)
    assert find("dpmpp_2m", 3).calls == first.calls  # also where it was known already
    counted.calls, find = 0, SMALL[name](model, 5)
    several = [find("dpmpp_2m", steps) for steps in (4, 2, 3)]
    shared = max(found.shared for found in several)
    assert shared + sum(found.calls - found.shared for found in several) == counted.calls


@pytest.fixture(scope="module")
def finders(load):
    return {name: small(load("mixture-64d"), 1) for name, small in SMALL.items()}


@pytest.mark.parametrize("name", PEERS)
@settings(max_examples=12)
@given(solver=st.sampled_from([name for name in SOLVERS if not BUDGETS[name].between_nodes]), steps=st.integers(1, 6))
def test_every_method_answers_a_grid_of_so_many_steps(finders, name, solver, steps):
    found = finders[name](solver, steps)
    assert len(found.sigmas) == steps + 1
    assert found.sigmas[0] == 80.0
    assert found.sigmas[-1] == 0.0
    assert (np.diff(found.sigmas) < 0).all()
    assert found.sigmas[-2] >= 0.002
    assert (found.model_sigmas is None) == (name != "ld3-shifted")
    if found.model_sigmas is not None:
        assert len(found.model_sigmas) == steps
        assert found.model_sigmas[0] == 80.0
        assert found.model_sigmas[-1] >= 0.002


def test_refusals(load):
    model = load("mixture-1d")
    with pytest.raises(UnknownNameError, match="gits"):
        find_peer("git")
    with pytest.raises(BudgetError, match="at least one step"):
        find_peer("kl-optimal")(model, 0)("euler", 0)
    with pytest.raises(UnknownNameError, match="solver"):
        find_peer("dmn")(model, 0)("eulr", 2)
    with pytest.raises(BudgetError, match="at most 12"):
        SMALL["gits"](model, 0)("euler", 13)
    with pytest.raises(BudgetError, match="at most 12"):
        SMALL["oss"](model, 0)("euler", 13)
    with pytest.raises(InputError, match="between the nodes"):
        SMALL["ld3-shifted"](model, 0)("rk4", 3)
    deaf = replace(model, denoiser=lambda x, sigma: model.denoiser(x, sigma).detach())
    with pytest.raises(InputError, match="keeps no gradient"):
        SMALL["ld3"](deaf, 0)("euler", 3)
    for bad in ((80.0, 1.0), (80.0, 80.0, 0.0), (80.0, float("nan"), 0.0)):
        with pytest.raises(InputError, match="no grid"):
            Found(sigmas=bad, calls=0, seconds=0.0)
    with pytest.raises(InputError, match="do not decrease"):
        Found(sigmas=(80.0, 1.0, 0.0), calls=0, seconds=0.0, model_sigmas=(80.0, 80.0))


def test_a_training_that_meets_no_number_goes_back_to_the_best(load):
    model = load("mixture-1d")

    def broken(x, sigma):
        # Finite in every watched walk, and without a number in every other one.
        return model.denoiser(x, sigma) * (float("nan") if torch.is_grad_enabled() else 1.0)

    unrolled = Unrolled(model=replace(model, denoiser=broken), solver=find_solver("euler"))
    latents = model.latents(8, 0)
    ends = teacher_ends(Probe(model).on, latents, 0.002, 80.0)
    pairs = ld3.Pairs(latents=latents, ends=ends, calls=0, seconds=0.0)
    found = learn(unrolled, pairs, 3, 0, shifted=False, passes=1)
    assert torch.isfinite(found.logits).all()
