"""Exported numbers given to the real schedulers of diffusers."""

import numpy as np
import pytest

from artc.integrations.exporting import export
from tests.integrations.exported import GRID, assigned, sd
from tests.integrations.made import artifact, shrinking


@pytest.fixture
def diffusers():
    return pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'artc[diffusers]'")


# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def test_the_real_euler_ends_on_the_printed_sigmas(diffusers):
    printed = assigned(export(sd(), "diffusers", nfe=7).text)
    scheduler = diffusers.EulerDiscreteScheduler(**BETAS)
    scheduler.set_timesteps(sigmas=printed["sigmas"])
    assert scheduler.sigmas.tolist() == np.float32(GRID).tolist()
    assert len(scheduler.timesteps) == 4


def test_the_real_heun_keeps_the_fractional_timesteps(diffusers):
    printed = assigned(export(sd(), "diffusers", nfe=7).text)
    scheduler = diffusers.HeunDiscreteScheduler(**BETAS)
    scheduler.set_timesteps(timesteps=printed["fractional_timesteps"])
    # Heun holds every sigma but the first and the last twice.
    held = [*scheduler.sigmas[:-1:2].tolist(), float(scheduler.sigmas[-1])]
    np.testing.assert_allclose(held, GRID, rtol=2e-5)
    assert len(scheduler.timesteps) == 7


@pytest.mark.parametrize(
    ("name", "argument", "printed"),
    [
        ("EulerDiscreteScheduler", "sigmas", "sigmas"),
        ("HeunDiscreteScheduler", "timesteps", "fractional_timesteps"),
    ],
)
def test_the_real_samplers_end_where_the_grid_does(name, argument, printed, diffusers):
    import torch

    made = export(sd(), "diffusers", nfe=7)
    scheduler = getattr(diffusers, name)(**BETAS)
    scheduler.set_timesteps(**{argument: assigned(made.text)[printed]})
    x, spread, calls = torch.full((1, 1), GRID[0], dtype=torch.float64), 0.5, 0
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, timestep)
        sigma = scheduler.sigmas[scheduler.step_index].double()
        eps = scaled * (1 + sigma**2).sqrt() * sigma / (spread**2 + sigma**2)  # of N(0, spread^2) data
        x, calls = scheduler.step(eps, timestep, x).prev_sample, calls + 1
    solver = "heun" if "Heun" in name else "euler"
    assert float(x) == pytest.approx(GRID[0] * shrinking(GRID, spread, solver), rel=1e-4)
    assert calls == {"heun": 7, "euler": 4}[solver]


def test_the_real_dpm_solver_is_off_by_what_is_said(diffusers):
    made = export(sd(), "diffusers", nfe=7)
    scheduler = diffusers.DPMSolverMultistepScheduler(**BETAS)
    scheduler.set_timesteps(timesteps=assigned(made.text)["timesteps"])
    assert scheduler.timesteps.tolist() == made.document()["timesteps"]
    held = scheduler.sigmas.numpy()
    assert (len(held), held[-1]) == (5, 0.0)
    errors = np.abs(held[:-1] - GRID[:-1]) / GRID[:-1]
    np.testing.assert_allclose(errors, made.document()["timestep_errors"], atol=2e-5)
    assert errors.max() == pytest.approx(0.0171, abs=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        BETAS,
        {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
        {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 500},
        {"trained_betas": [0.01 * (k + 1) for k in range(40)], "num_train_timesteps": 40},
        {**BETAS, "rescale_betas_zero_snr": True},
    ],
    ids=["scaled_linear", "linear", "squaredcos", "trained", "zero snr"],
)
def test_the_table_of_a_scheduler_config_is_the_schedulers(config, diffusers, tmp_path):
    scheduler = diffusers.EulerDiscreteScheduler(**config)
    scheduler.save_pretrained(tmp_path)
    bars = scheduler.alphas_cumprod.double().numpy()
    sigmas = np.sqrt((1 - bars) / bars)
    made = export(artifact((1.5, 0.9, 0.3, 0.0)), "diffusers", steps=3, table=str(tmp_path / "scheduler_config.json"))
    np.testing.assert_allclose(made.grid.table.sigmas, sigmas, rtol=5e-4)
    assert made.document()["timesteps"] == [int(np.abs(sigmas - level).argmin()) for level in (1.5, 0.9, 0.3)]
    assert "assumed" not in dict(made.notes)["timesteps"]


@pytest.mark.parametrize(
    ("own", "given", "wanted"), [(3.0, None, 3.0), (None, None, 1.0), (3.0, 1.0, 1.0), (1.5, 6.0, 6.0)]
)
def test_the_real_flow_euler_ends_on_the_artifacts_sigmas(own, given, wanted, diffusers):
    grid = (1.0, 0.9, 0.55, 0.2, 0.0)
    flow = artifact(grid, domain="flow", sigma_min=0.01, shift=own)
    made = export(flow, "diffusers", steps=4, shift=given)
    document, printed = made.document(), assigned(made.text)["sigmas"]
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=wanted)
    scheduler.set_timesteps(sigmas=printed)
    np.testing.assert_allclose(scheduler.sigmas.numpy(), grid, rtol=1e-6)
    assert (document["shift"], document["pre_shift"], document["count"]) == (wanted, True, 4)
    assert document["sigmas"] == list(grid)
    assert document["values"] == printed
    assert (printed == list(grid[:-1])) == (wanted == 1.0)
    assert f"shift={wanted}" in made.text
    assert ("moves nothing" in dict(made.notes)["before"]) == (wanted == 1.0)
    assert (f"s / ({wanted} - {wanted - 1} s)" in dict(made.notes)["before"]) == (wanted != 1.0)


def test_a_flow_scheduler_of_a_pipeline_is_made_as_the_comment_says(diffusers):
    flow = artifact((1.0, 0.9, 0.55, 0.2, 0.0), domain="flow", sigma_min=0.01, shift=3.0)
    made = export(flow, "diffusers", steps=4)
    stretching = {"use_dynamic_shifting": True, "shift_terminal": 0.1, "base_shift": 0.5}
    names = {
        "FlowMatchEulerDiscreteScheduler": diffusers.FlowMatchEulerDiscreteScheduler,
        "pipe": type("Pipe", (), {"scheduler": diffusers.FlowMatchEulerDiscreteScheduler(**stretching)}),
    }
    comment = "\n".join(line.removeprefix("# ") for line in made.text.splitlines() if line.startswith("#"))
    program = comment.partition("\npipe(")[0]
    exec(program, names)
    names["pipe"].scheduler.set_timesteps(sigmas=assigned(made.text)["sigmas"], mu=0.9)
    np.testing.assert_allclose(names["pipe"].scheduler.sigmas.numpy(), flow.schedules[0].sigmas, rtol=1e-6)


def test_the_scheduler_that_is_named_takes_what_is_printed():
    for solver, named in (
        ("euler", "EulerDiscreteScheduler, with sigmas"),
        ("heun", "HeunDiscreteScheduler, with fractional_timesteps"),
        ("dpmpp_2m", "DPMSolverMultistepScheduler, with timesteps"),
    ):
        made = export(sd(solver=solver), "diffusers", steps=4)
        assert dict(made.notes)["sampler"] == named
        assert f"{named.split(', with ')[1]} = [" in made.text
    # Heun's takes timesteps only, and there are none.
    made = export(artifact((80.0, 1.0, 0.0)), "diffusers", steps=2)
    assert dict(made.notes)["sampler"] == (
        "none of the schedulers that take these numbers is heun; with another one nothing was measured"
    )
