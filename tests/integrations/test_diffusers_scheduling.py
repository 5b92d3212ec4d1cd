"""Which grid a scheduler of diffusers walks, and what is left of its own settings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import artc
from artc.artifact import Guidance
from artc.errors import BudgetError, InputError, UnknownNameError
from artc.integrations.diffusers import scheduled
from tests.integrations.diffusers_loops import FLOW_GRID, GRID, SD, artifact_of, flow, nodes, of, walked_by
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")

DISCRETE = ["Euler", "Heun", "DPMSolverMultistep", "UniPCMultistep"]


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_it_walks_the_compiled_sigmas_and_tells_the_network_exactly_where_it_is(name, steps):
    sigmas = nodes(steps)
    made = scheduled(of(name, timestep_spacing="leading"), artifact_of(sigmas))
    made.set_timesteps(steps, device="cpu")
    assert walked_by(made) == np.asarray(sigmas, dtype=np.float32).tolist()
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    told = np.interp(np.log(sigmas[:-1]), np.log((1 - alphas) / alphas) / 2, np.arange(1000))
    if name == "Heun":
        told = [told[0], *told[1:].repeat(2)]
    assert made.timesteps.dtype == torch.float32
    assert made.timesteps.tolist() == pytest.approx(list(told), abs=1e-3)  # the table of diffusers is float32
    assert made.num_inference_steps == steps
    assert len(made.timesteps) == len(made.sigmas) - 1 == (2 * steps - 1 if name == "Heun" else steps)
    start = sigmas[0] if name in ("Euler", "Heun") else sigmas[0] / (1 + sigmas[0] ** 2) ** 0.5
    assert made.init_noise_sigma == pytest.approx(start, rel=1e-12)


@pytest.mark.parametrize("name", DISCRETE)
def test_the_rest_of_its_settings_stays_and_so_does_the_scheduler_given(name):
    settings = {"use_karras_sigmas": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    if name in ("DPMSolverMultistep", "UniPCMultistep"):
        settings |= {"thresholding": True, "solver_order": 3, "sample_max_value": 1.5}
    stock = of(name, **settings)
    before = dict(stock.config)
    made = scheduled(stock, artifact_of(nodes(3)))
    assert dict(stock.config) == before
    assert "art" not in before
    skipped = ("_use_default_values", "_class_name", "_diffusers_version")
    left = {key: value for key, value in made.config.items() if key not in ("art", *skipped)}
    assert left == {key: value for key, value in before.items() if key not in skipped}
    assert isinstance(made, type(stock))


@pytest.mark.parametrize("name", ["DPMSolverMultistep", "EDMDPMSolverMultistep"])
def test_the_last_step_goes_to_zero_where_the_scheduler_was_set_to_stop_above_it(name):
    stock = getattr(diffusers, f"{name}Scheduler")(final_sigmas_type="sigma_min", lower_order_final=False)
    top = 80.0 if name.startswith("EDM") else 157.0
    made = scheduled(stock, artifact_of(nodes(16, (top, 5.0, 0.02))))
    made.set_timesteps(16)
    x = torch.ones((1, 1, 2, 2))
    for t in made.timesteps:
        x = made.step(0.1 * x, t, x).prev_sample
    assert torch.isfinite(x).all()
    assert made.config.final_sigmas_type == "zero"


def test_a_pipeline_chooses_among_the_grids_by_its_number_of_steps():
    artifact = artifact_of(nodes(2), nodes(5))
    made = scheduled(of("Heun"), artifact)
    for steps in (2, 5, 2):
        made.set_timesteps(steps)
        assert walked_by(made) == pytest.approx(nodes(steps))
    listed = "walks grids of 2, 5 steps, compiled for 'powers' with heun; 50 were asked for"
    with pytest.raises(BudgetError, match=listed):
        made.set_timesteps(50)
    one = scheduled(of("Heun"), artifact, nfe=9)
    with pytest.raises(BudgetError, match=r"walks grids of 5 steps.*num_inference_steps=5"):
        one.set_timesteps(2)
    assert [each["nfe"] for each in one.config.art["schedules"]] == [9]
    assert one.config.art["digest"] == artifact.digest
    assert scheduled(of("Heun"), artifact, steps=[2, 5, 2]).config.art == made.config.art


def test_the_bundled_artifact_is_walked_and_leaves_its_measurements_behind():
    path = Path(__file__).parents[2] / "artifacts" / "mnist" / "mnist.art.json"
    artifact = artc.load(path)
    assert all(schedule.evaluation for schedule in artifact.schedules)
    made = scheduled(diffusers.EDMEulerScheduler(), str(path))
    kept = made.config.art["schedules"]
    assert [each["steps"] for each in kept] == [one.steps for one in artifact.schedules if one.solver == "euler"]
    assert all((each["certificate"], each["evaluation"]) == (None, []) for each in kept)
    assert made.config.art["digest"] == artifact.digest
    assert scheduled(diffusers.EDMEulerScheduler(), replace(artifact, digest="")).config.art == made.config.art
    steps = kept[0]["steps"]
    made.set_timesteps(steps)
    assert made.sigmas.tolist() == artifact.sigmas(steps=steps, solver="euler").astype(np.float32).tolist()


def test_with_resample_any_number_of_steps_is_read_from_the_warp():
    artifact = artifact_of(nodes(2), sigma_min=GRID[-1])
    made = scheduled(of("Euler"), artifact, resample=True)
    for steps in (1, 3, 61, 100):  # the last positive sigma of 100 would be below the range of the model
        made.set_timesteps(steps)
        expected = artifact.sigmas(steps=steps, solver="euler", resample=True)
        assert made.sigmas.numpy() == pytest.approx(expected, rel=1e-7)
        assert made.sigmas[-2] >= np.float32(GRID[-1])
    made.set_timesteps(2)
    assert walked_by(made) == pytest.approx(nodes(2))
    one = scheduled(of("Euler"), artifact, nfe=7, resample=True)
    assert [each["steps"] for each in one.config.art["schedules"]] == [7]
    alone = artifact_of(nodes(2), solvers=("euler",))
    assert scheduled(of("Heun"), alone, resample=True).config.art["schedules"] == []


def test_nfe_counts_as_the_artifact_does_under_guidance():
    artifact = artifact_of(nodes(5), guidance=Guidance(scale=3.0))
    made = scheduled(of("Heun"), artifact, nfe=18)
    assert made.config.art["schedules"][0]["steps"] == 5
    with pytest.raises(BudgetError, match="cannot make exactly 9"):
        scheduled(of("Heun"), artifact, nfe=9)


@pytest.mark.parametrize(
    ("name", "order", "solvers"),
    [
        ("DPMSolverMultistep", 2, ("dpmpp_2m",)),
        ("DPMSolverMultistep", 3, ("dpmpp_3m", "dpmpp_2m")),
        ("UniPCMultistep", 2, ("unipc_2", "dpmpp_2m")),
        ("UniPCMultistep", 3, ("unipc_3", "dpmpp_2m")),
    ],
)
def test_a_multistep_scheduler_walks_schedules_for_its_order_and_those_of_2m_where_there_are_none(name, order, solvers):
    stock, other = of(name, solver_order=order), nodes(3)
    for kept in (solvers, solvers[-1:]):
        made = scheduled(stock, artifact_of(nodes(4), solvers=("heun", *kept)))
        assert made.config.art["solver"] == kept[0]
        assert made.config.solver_order == order
        assert isinstance(type(made).from_config(made.config), type(made))
    for solver in solvers:
        made = scheduled(stock, artifact_of(nodes(4), other, solvers=solvers), solver=solver, nfe=4)
        assert (made.config.art["solver"], made.config.solver_order) == (solver, order)
    # And from any other scheduler of the same noise.
    made = scheduled(of("Euler"), artifact_of(nodes(4), solvers=solvers), solver=solvers[0])
    assert (type(made).__name__, made.config.solver_order) == (f"Art{name}Scheduler", order)


def test_another_solver_makes_another_scheduler_of_the_same_network():
    artifact = artifact_of(nodes(4))
    pndm = diffusers.PNDMScheduler(**SD, skip_prk_steps=True, steps_offset=1, prediction_type="v_prediction")
    with pytest.raises(InputError, match=r"PNDMScheduler walks no compiled grid\. Another can: give solver='dpmpp_2m'"):
        scheduled(pndm, artifact)
    for solver, name in (("euler", "Euler"), ("heun", "Heun"), ("dpmpp_2m", "DPMSolverMultistep")):
        made = scheduled(pndm, artifact, solver=solver)
        assert isinstance(made, type(of(name)))
        assert (made.config.prediction_type, made.config.steps_offset) == ("v_prediction", 1)
        assert torch.equal(made.alphas_cumprod, pndm.alphas_cumprod)
        assert isinstance(scheduled(made, artifact, solver="euler"), type(of("Euler")))  # and on to the next
    # The defaults of one class are not those of another.
    heun = scheduled(diffusers.EulerDiscreteScheduler(), artifact_of((157.0, 1.0, 0.0)), solver="heun")
    assert torch.equal(heun.alphas_cumprod, diffusers.EulerDiscreteScheduler().alphas_cumprod)
    # UniPC already walks them.
    assert isinstance(scheduled(of("UniPCMultistep"), artifact, solver="dpmpp_2m"), type(of("UniPCMultistep")))
    with pytest.raises(
        UnknownNameError,
        match=r"solver for PNDMScheduler 'rk4'\. Known: dpmpp_2m, dpmpp_3m, euler, heun, unipc_2, unipc_3",
    ):
        scheduled(pndm, artifact, solver="rk4")
    zero = {"rescale_betas_zero_snr": True}  # each class has this in its own way, or not at all
    for stock, solver in ((of("Euler", **zero), "heun"), (diffusers.DDIMScheduler(**SD, **zero), "euler")):
        with pytest.raises(InputError, match="noise of this network is lost"):
            scheduled(stock, artifact_of((14.6, 1.0, 0.0)), solver=solver)


def test_diffusers_does_not_warn_of_the_settings_of_the_class_before(caplog):
    artifact = artifact_of((*FLOW_GRID, 0.0), domain="flow")
    first = scheduled(flow(shift=3.0, use_dynamic_shifting=True), artifact)
    assert "Heun" in type(scheduled(first, artifact, solver="heun")).__name__
    assert caplog.text == ""


def test_it_can_be_given_another_artifact():
    first = scheduled(of("Heun"), artifact_of(nodes(3)))
    made = scheduled(first, artifact_of(nodes(4)))
    made.set_timesteps(4)
    assert walked_by(made) == pytest.approx(nodes(4))
    first.set_timesteps(3)
    assert walked_by(first) == pytest.approx(nodes(3))


def test_it_has_as_many_steps_as_its_grid_where_diffusers_would_round_to_one_more():
    stock = of("DPMSolverMultistep", timestep_spacing="trailing")
    stock.set_timesteps(61)
    assert len(stock.timesteps) == 62
    made = scheduled(stock, artifact_of(nodes(61)))
    made.set_timesteps(61)
    assert (made.num_inference_steps, len(made.timesteps), len(made.sigmas)) == (61, 61, 62)
