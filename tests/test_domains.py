"""A flow model is a model in x = x0 + sigma n seen through a lens: one clock, one cost, one optimum."""

import numpy as np
import pytest
import torch

import artc
from artc.artifact import Warp
from artc.errors import InputError, UnknownNameError
from artc.evaluation.endpoint import Teacher, endpoint_error
from artc.models.domains import domain_grid, domain_sigma, domain_warp, unscaled, unscaled_sigma
from artc.models.score_model import Probe
from artc.sampling.grids import grid_for, names_for
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import sample
from tests.toy_models import TARGETS, flow_model, vp_model


def test_the_map_between_domains_by_hand():
    assert unscaled_sigma([0.5, 0.8, 0.999], "flow").tolist() == pytest.approx([1.0, 4.0, 999.0])
    assert unscaled_sigma(1.0, "flow") == pytest.approx(999.0)
    assert domain_sigma([1.0, 4.0, 0.0], "flow").tolist() == [0.5, 0.8, 0.0]
    assert unscaled_sigma(7.0, "ve") == domain_sigma(7.0, "ve") == 7.0


def test_a_flow_model_seen_unscaled_is_the_exact_denoiser():
    law, seen = TARGETS["clusters"](), unscaled(flow_model("clusters"))
    generator = torch.Generator().manual_seed(3)
    for sigma in (0.002, 0.1, 1.0, 20.0, 80.0):
        x = law.draw(6, generator) + sigma * torch.randn((6, 16), generator=generator, dtype=torch.float64)
        level = torch.full((6,), sigma, dtype=torch.float64)
        torch.testing.assert_close(seen.denoiser(x, level), law(x, level), rtol=1e-9, atol=1e-9)
    assert (seen.info.domain, seen.info.sigma_max) == ("ve", pytest.approx(80.0))


def test_a_model_of_the_first_kind_is_seen_as_it_is():
    model = vp_model()
    assert unscaled(model) is model


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["art-rl", "closed-form", "dp"])
def test_flow_and_vp_versions_of_one_problem_have_the_same_optimal_grid(target, method):
    settings = {"nfe": [2, 5, 9, 19], "solver": "euler", "method": method, "trajectories": 32, "refine": False}
    flow, vp = (artc.compile(model(target), **settings) for model in (flow_model, vp_model))
    assert (flow.model.domain, vp.model.domain) == ("flow", "ve")
    for one, other in zip(flow.schedules, vp.schedules, strict=True):
        s, sigma = np.array(one.sigmas[:-1]), np.array(other.sigmas[:-1])
        # Both ways round: near s = 1 a small change of s is a large one of sigma.
        np.testing.assert_allclose(s, sigma / (1 + sigma), rtol=1e-3)
        np.testing.assert_allclose(s / (1 - s), sigma, rtol=1e-3)
        assert one.certificate.lower_bound == pytest.approx(other.certificate.lower_bound, rel=1e-9)


def test_an_euler_step_is_the_same_step_in_both_domains():
    flow, vp = flow_model("clusters"), vp_model("clusters")
    sigmas = np.append(np.geomspace(80.0, 0.05, 6), 0.0)
    latents = vp.latents(4, seed=1)
    unscaled_samples = sample(Probe(vp).on, latents, sigmas.tolist(), SOLVERS["euler"])
    flow_samples = sample(Probe(flow).on, latents, domain_sigma(sigmas, "flow").tolist(), SOLVERS["euler"])
    torch.testing.assert_close(flow_samples, unscaled_samples, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", ["heun", "dpmpp_2m", "rk4"])
def test_solvers_keep_their_order_on_a_flow_model(solver):
    model = flow_model("three", sigma_min=1e-3, sigma_max=0.9)
    latents, fields = model.latents(64, seed=2), Probe(model).on

    def reach(steps, rule=solver):
        # The last node is kept away from 0: the final Euler step has an error of its own.
        return sample(fields, latents, np.linspace(0.9, 0.2, steps + 1).tolist(), SOLVERS[rule])

    truth = reach(512, "rk4")
    errors = [endpoint_error(reach(steps), truth).value for steps in (32, 64)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(SOLVERS[solver].order, abs=0.5)


def test_a_flow_model_is_compiled_from_pure_noise_with_its_shift_on_record(tmp_path):
    model = flow_model("clusters", sigma_min=1e-3, sigma_max=1.0, shift=3.0)
    artifact = artc.compile(model, nfe=[3, 9], solver=["heun", "dpmpp_2m"], trajectories=32)
    artifact.save(tmp_path / "flow.art.json")
    again = artc.load(tmp_path / "flow.art.json")
    assert (again.model.domain, again.model.shift, again.model.sigma_max) == ("flow", 3.0, 1.0)
    for schedule in again.schedules:
        assert schedule.sigmas[0] == 1.0
        assert all(0 < sigma < 0.9999 for sigma in schedule.sigmas[1:-1])
        assert {"edm", "edm-free", "logsnr", "uniform", "shifted"} == set(schedule.evaluation[0].baselines)
    for resampled in again.resampled([7], "heun").schedules[-1:]:
        assert resampled.sigmas[0] == 1.0
    assert max(again.stiffness.sigma) < 1


def test_the_teacher_of_a_flow_model_has_converged():
    model = flow_model("clusters", sigma_min=1e-3, sigma_max=1.0)
    latents, fields = model.latents(32, seed=5), Probe(model).on
    coarse, fine = (Teacher(steps=steps).endpoints(fields, latents, model.info) for steps in (64, 512))
    # A small part of the 0.3 or so that a good schedule of 9 calls is off.
    assert endpoint_error(coarse, fine).value < 0.01


def test_the_shifted_grid_by_hand_and_only_where_there_is_a_shift():
    info = flow_model("three", sigma_min=1e-3, sigma_max=1.0, shift=3.0).info
    np.testing.assert_allclose(grid_for("shifted", 4, info), [1.0, 0.9, 0.75, 0.5, 0.0])
    assert names_for(info) == ("edm", "edm-free", "logsnr", "uniform", "shifted")
    for other in (flow_model("three").info, flow_model("three", shift=1.0).info, vp_model().info):
        assert "shifted" not in names_for(other)
        with pytest.raises(UnknownNameError, match="shifted"):
            grid_for("shifted", 4, other)


def test_logsnr_of_a_flow_model_is_uniform_in_the_log_odds():
    grid = grid_for("logsnr", 6, flow_model("three").info)[:-1]
    np.testing.assert_allclose(np.diff(np.log(grid / (1 - grid)), n=2), 0.0, atol=1e-9)


def test_a_warp_and_a_grid_change_domain_node_by_node():
    info = flow_model("three", sigma_min=1e-3, sigma_max=1.0).info
    assert domain_grid((999.0, 1.0, 0.0), info) == (1.0, 0.5, 0.0)
    warp = domain_warp(Warp((0.0, 0.5, 1.0), (999.0, 3.0, 0.0), 0.25), info)
    assert (warp.sigma, warp.offset) == ((1.0, 0.75, 0.0), 0.2)
    kept = Warp((0.0, 1.0), (80.0, 0.0), 0.002)
    assert domain_warp(kept, vp_model().info) is kept


def test_a_flow_description_that_makes_no_sense_is_refused():
    def velocity(x, s):
        return x

    limits = {"shape": (2,), "sigma_min": 0.01}
    with pytest.raises(InputError, match="ends at 1"):
        artc.score_model(velocity, **limits, sigma_max=80.0, domain="flow")
    with pytest.raises(InputError, match="shift"):
        artc.score_model(velocity, **limits, sigma_max=80.0, shift=3.0)
    with pytest.raises(InputError, match="shift"):
        artc.score_model(velocity, **limits, sigma_max=1.0, domain="flow", shift=-1.0)
    with pytest.raises(UnknownNameError, match="vp"):
        artc.score_model(velocity, **limits, sigma_max=80.0, domain="vp")


def test_the_shift_belongs_to_the_host_and_not_to_the_unscaled_path():
    model = flow_model("three", sigma_min=1e-3, sigma_max=1.0, shift=3.0)
    assert model.info.shift == 3.0
    assert unscaled(model).info.shift is None


def test_the_stiffness_of_an_artifact_stands_in_the_middles_of_the_bank():
    model = flow_model("three", sigma_min=1e-3, sigma_max=1.0)
    artifact = artc.compile(model, nfe=[3], method="closed-form", trajectories=16, refine=False)
    nodes = np.geomspace(0.999 / (1 - 0.999), 0.001 / 0.999, 128)  # of sigma = s / (1 - s), from s = 0.999 to 0.001
    middles = np.sqrt(nodes[:-1] * nodes[1:])
    np.testing.assert_allclose(artifact.stiffness.sigma, middles / (1 + middles), rtol=1e-12)


@pytest.mark.parametrize(("low", "high", "top"), [(0.001, 1.0, 999.0), (0.01, 0.8, 4.0)])
def test_the_teacher_of_a_flow_model_walks_karras_curve_of_the_unscaled_sigma(low, high, top):
    bottom = low / (1 - low)
    found = Teacher(steps=4).sigmas(flow_model("three", sigma_min=low, sigma_max=high).info)
    curve = [(top ** (1 / 7) + k / 3 * (bottom ** (1 / 7) - top ** (1 / 7))) ** 7 for k in (1, 2, 3)]
    assert (found[0], found[-1], len(found)) == (high, 0.0, 5)
    np.testing.assert_allclose(found[1:-1], [sigma / (1 + sigma) for sigma in curve], rtol=1e-9)


def test_the_shifted_grid_by_hand():
    info = flow_model("three", sigma_min=1e-3, sigma_max=0.8, shift=3.0).info
    # s = 0.8 is t = 4/7; of t = 3/7, 2/7 and 1/7, s = 3 t / (1 + 2 t) is 9/13, 6/11 and 3/9.
    np.testing.assert_allclose(grid_for("shifted", 4, info), [0.8, 9 / 13, 6 / 11, 1 / 3, 0.0], rtol=1e-14)
    for top in np.linspace(0.3, 1.0, 71).tolist():
        info = flow_model("three", sigma_min=1e-3, sigma_max=top, shift=3.0).info
        assert grid_for("shifted", 5, info)[0] == top
