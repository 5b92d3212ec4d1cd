"""Schedulers of diffusers with compiled grids end where loops written by hand end, and spend what they say."""

import math

import numpy as np
import pytest
import torch

from artc.artifact import nfe_of
from artc.integrations.diffusers import scheduled
from artc.sampling.solvers import SOLVERS
from artc.sampling.trajectories import walk
from tests.integrations.diffusers_loops import (
    FLOW_GRID,
    SD,
    Network,
    artifact_of,
    betas_over,
    denoised,
    dpmpp_2m,
    euler,
    flow_denoised,
    heun,
    nodes,
    noise,
    sampled,
    unipc,
    walked,
)
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")

VE_LOOPS = {
    "EulerDiscreteScheduler": euler,
    "HeunDiscreteScheduler": heun,
    "DPMSolverMultistepScheduler": dpmpp_2m,
    "UniPCMultistepScheduler": unipc,
}
BY_ORDER = (
    ("DPMSolverMultistepScheduler", {"solver_order": 3, "lower_order_final": False}, "dpmpp_3m"),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 3, "lower_order_final": False}, "dpmpp_3m"),
    ("UniPCMultistepScheduler", {"solver_order": 2}, "unipc_2"),
)
EDM_GRID = (80.0, 20.0, 5.0, 1.0, 0.2, 0.02)
SETTINGS = (
    {},
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"use_karras_sigmas": True},
    {"use_beta_sigmas": True, "timestep_spacing": "trailing"},
)
"""How the scheduler would have chosen its own grid."""


def agree(found, expected, tolerance):
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("name", VE_LOOPS)
def test_a_sample_ends_where_the_loop_by_hand_ends_on_the_same_noise(name, steps, prediction):
    sigmas = nodes(steps)
    settings = SETTINGS[(steps + len(prediction)) % len(SETTINGS)]
    stock = getattr(diffusers, name)(**SD, prediction_type=prediction, **settings)
    made = scheduled(stock, artifact_of(sigmas), steps=steps)
    network, unit = Network(made), noise()
    found = walked(made, network, unit, steps)
    expected = VE_LOOPS[name](denoised, unit * sigmas[0], sigmas)
    # Sigmas, timesteps, and in Euler and DPM-Solver++ the state between steps are float32: 1e-6 of the result. In one
    # or two steps x - sigma eps, and x + (sigma' - sigma) d, take two numbers of the size of sigma from each other.
    agree(found, expected, 2e-5 if steps < 3 else 2e-6)
    assert network.calls == (2 * steps - 1 if name.startswith("Heun") else steps)


@pytest.mark.parametrize("name", VE_LOOPS)
def test_in_float32_it_ends_there_too(name):
    sigmas, unit = nodes(5), noise(dtype=torch.float32)
    made = scheduled(getattr(diffusers, name)(**SD), artifact_of(sigmas))
    found = walked(made, Network(made, dtype=torch.float32), unit, 5)
    assert found.dtype == torch.float32
    agree(found.double(), VE_LOOPS[name](denoised, unit.double() * sigmas[0], sigmas), 1e-5)


@pytest.mark.parametrize("name", VE_LOOPS)
def test_any_denoiser_on_a_range_of_its_own_ends_there_too(name):
    sigmas, unit, mean = nodes(6, (80.0, 9.0, 1.0, 0.05)), noise(), 3.0
    stock = getattr(diffusers, name)(trained_betas=betas_over(0.05, 80.0), prediction_type="sample")
    made = scheduled(stock, artifact_of(sigmas))

    def gaussian(x, sigma):
        return mean + 0.25 / (0.25 + sigma**2) * (x - mean)

    found, calls = sampled(made, gaussian, unit, 6)
    agree(found, VE_LOOPS[name](gaussian, unit * sigmas[0], sigmas), 2e-6)
    assert calls == (11 if name.startswith("Heun") else 6)


@pytest.mark.parametrize("settings", [{}, {"prediction_type": "v_prediction"}, {"final_sigmas_type": "sigma_min"}])
@pytest.mark.parametrize("steps", [1, 3, 6])
@pytest.mark.parametrize("given", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
@pytest.mark.parametrize(("solver", "loop"), [("euler", euler), ("dpmpp_2m", dpmpp_2m)])
def test_schedulers_of_edm_end_there_too_and_become_each_other(given, solver, loop, steps, settings):
    sigmas = nodes(steps, EDM_GRID)
    made = scheduled(getattr(diffusers, given)(sigma_data=0.7, **settings), artifact_of(sigmas), solver=solver)
    network, unit = Network(made), noise()
    agree(walked(made, network, unit, steps), loop(denoised, unit * sigmas[0], sigmas), 2e-6)
    assert network.calls == steps


def test_euler_with_the_times_of_edm_ends_there_too():
    sigmas = nodes(5, EDM_GRID)
    stock = diffusers.EulerDiscreteScheduler(
        timestep_type="continuous",
        prediction_type="v_prediction",
        sigma_min=0.002,
        sigma_max=80.0,
        use_karras_sigmas=True,
    )
    made = scheduled(stock, artifact_of(sigmas))
    network, unit = Network(made), noise()
    agree(walked(made, network, unit, 5), euler(denoised, unit * sigmas[0], sigmas), 2e-6)
    assert network.told == pytest.approx([math.log(sigma) / 4 for sigma in sigmas[:-1]], rel=1e-6)
    # As in diffusers it has these times with v_prediction only.
    plain, other = (
        scheduled(diffusers.EulerDiscreteScheduler(**SD, timestep_type=kind), artifact_of(nodes(5)))
        for kind in ("discrete", "continuous")
    )
    plain.set_timesteps(5)
    other.set_timesteps(5)
    assert torch.equal(other.timesteps, plain.timesteps)


FLOW_SETTINGS = (
    {"shift": 3.0},
    {"use_dynamic_shifting": True},
    {"use_karras_sigmas": True, "shift_terminal": 0.1},
    {"use_exponential_sigmas": True, "time_shift_type": "linear", "use_dynamic_shifting": True},
)


@pytest.mark.parametrize("settings", FLOW_SETTINGS, ids=lambda settings: next(iter(settings)))
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_flow_ends_where_the_loop_by_hand_ends_whatever_its_shift(steps, settings):
    sigmas = nodes(steps, FLOW_GRID)
    artifact, unit = artifact_of(sigmas, domain="flow"), noise()
    for name, solver in (("FlowMatchEulerDiscreteScheduler", "euler"), ("FlowMatchHeunDiscreteScheduler", "heun")):
        made = scheduled(diffusers.FlowMatchEulerDiscreteScheduler(**settings), artifact, solver=solver)
        assert type(made).__name__ == "Art" + name
        network = Network(made)
        # As the pipelines of SD3 and Flux do.
        found = walked(made, network, unit, None, sigmas=np.linspace(1, 1 / steps, steps), mu=1.15)
        expected = {"euler": euler, "heun": heun}[solver](flow_denoised, unit * sigmas[0], sigmas)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
        assert network.calls == nfe_of(solver, steps)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("name", "loop"), [("DPMSolverMultistepScheduler", dpmpp_2m), ("UniPCMultistepScheduler", unipc)]
)
def test_multistep_schedulers_of_flows_end_where_the_same_loops_end_in_their_own_coordinates(name, loop, steps):
    stock = getattr(diffusers, name)(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=5.0, use_dynamic_shifting=True
    )
    # At s = 1 the sigma of the hand loop is infinite.
    sigmas, unit = nodes(steps, (0.98, *FLOW_GRID[1:])), noise()
    made = scheduled(stock, artifact_of(sigmas, domain="flow"))
    found = walked(made, Network(made), unit, steps)
    unscaled = [s / (1 - s) for s in sigmas]
    agree(found, loop(denoised, unit * unscaled[0], unscaled), 2e-6)
    assert stock.config.flow_shift == made.config.flow_shift == 5.0

    sigmas = nodes(steps, FLOW_GRID)
    made = scheduled(stock, artifact_of(sigmas, domain="flow"))
    assert torch.isfinite(walked(made, Network(made), unit, steps)).all()
    assert made.sigmas.tolist() == pytest.approx(sigmas, abs=1.1e-6 if name.startswith("UniPC") else 1e-7)


@pytest.mark.parametrize("settings", [{"solver_order": 3}, {"solver_order": 1}])
def test_unipc_starts_a_flow_just_below_one_where_it_would_divide_infinity_by_itself(settings):
    stock = diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", **settings)
    made = scheduled(stock, artifact_of(nodes(7, FLOW_GRID), domain="flow"))
    assert torch.isfinite(walked(made, Network(made), noise(), 7)).all()
    assert made.sigmas.tolist() == pytest.approx([1 - 1e-6, *nodes(7, FLOW_GRID)[1:]], rel=1e-7)


@pytest.mark.parametrize("settings", [{"solver_type": "bh1"}, {"lower_order_final": False}, {"predict_x0": False}])
def test_settings_of_unipc_that_are_refused_end_in_no_number_in_diffusers(settings):
    stock = diffusers.UniPCMultistepScheduler(**SD, **settings)
    network = Network(stock)
    found = walked(stock, lambda z, t: network(z, t.float()), noise(), 7)
    assert not found.isfinite().any()


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20])
@pytest.mark.parametrize(("name", "settings", "solver"), BY_ORDER)
def test_a_scheduler_of_another_order_ends_where_the_solver_of_that_order_does(name, settings, solver, steps):
    edm, unit = name.startswith("EDM"), noise()
    sigmas = nodes(steps, EDM_GRID) if edm else nodes(steps)
    stock = getattr(diffusers, name)(**({} if edm else SD), **settings)
    made = scheduled(stock, artifact_of(sigmas, solvers=(solver,)))
    found = walked(made, Network(made), unit, steps)
    *_, last = walk(denoised, unit * sigmas[0], sigmas, SOLVERS[solver])
    agree(found, last.x, 1e-5)


def test_stock_schedulers_do_not_end_there():
    """The comparison can fail: with its own start, grid and timesteps each of them ends elsewhere."""
    sigmas, unit = nodes(7), noise()
    for name, loop in VE_LOOPS.items():
        stock = getattr(diffusers, name)(**SD)
        network = Network(stock)
        stock.set_timesteps(7)
        found = walked(stock, lambda z, t, network=network: network(z, t.float()), unit, 7)
        expected = loop(denoised, unit * sigmas[0], sigmas)
        assert float((found - expected).abs().max()) > 1e-3 * float(expected.abs().max())


@pytest.mark.parametrize("name", VE_LOOPS)
def test_a_step_makes_no_tensor_more_than_that_of_diffusers(name):
    """Counted as calls into torch, on the same number of steps."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            Counting.calls += 1
            return function(*args, **(kwargs or {}))

    stock, unit, counted = getattr(diffusers, name)(**SD), noise(dtype=torch.float32), []
    for scheduler in (stock, scheduled(stock, artifact_of(nodes(5)))):
        scheduler.set_timesteps(5)
        Counting.calls, x = 0, unit
        with Counting():
            for t in scheduler.timesteps:
                scheduler.scale_model_input(x, t)
                x = scheduler.step(0.1 * x, t, x, return_dict=False)[0]
        counted.append(Counting.calls)
    assert counted[0] == counted[1] > 0
