"""Which grid a scheduler of diffusers walks, what is left of its own settings, and what is refused."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from artc.integrations.diffusers import scheduled, sigmas_for

from artc.artifact import Guidance
from artc.errors import ArtifactError, BudgetError, InputError, UnknownNameError
from tests.integrations.diffusers_loops import FLOW_GRID, GRID, SD, artifact_of, nodes
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")

DISCRETE = ["Euler", "Heun", "DPMSolverMultistep", "UniPCMultistep"]


def of(name, **settings):
    kind = f"{name}DiscreteScheduler" if name in ("Euler", "Heun") else f"{name}Scheduler"
    return getattr(diffusers, kind)(**(SD if "Flow" not in name else {}), **settings)


def flow(**settings):
    return diffusers.FlowMatchEulerDiscreteScheduler(**settings)


def walked_by(scheduler):
    """Its grid without Heun's second entries."""
    sigmas = scheduler.sigmas.tolist()
    return [*sigmas[: -1 if scheduler.order == 1 else 1], *(sigmas[1:-1:2] if scheduler.order == 2 else ()), sigmas[-1]]


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
    assert scheduled(of("Heun"), artifact, steps=[2, 5]).config.art == made.config.art


def test_with_resample_any_number_of_steps_is_read_from_the_warp():
    artifact = artifact_of(nodes(2), sigma_min=0.0313)
    made = scheduled(of("Euler"), artifact, resample=True)
    for steps in (1, 3, 30):
        made.set_timesteps(steps)
        expected = artifact.sigmas(steps=steps, solver="euler", resample=True)
        assert made.sigmas.numpy() == pytest.approx(expected, rel=1e-7)
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
    with pytest.raises(UnknownNameError, match=r"solver for PNDMScheduler 'rk4'\. Known: dpmpp_2m, euler, heun"):
        scheduled(pndm, artifact, solver="rk4")
    with pytest.raises(InputError, match="noise of this network is lost"):
        scheduled(of("Euler", rescale_betas_zero_snr=True), artifact, solver="heun")


def test_it_can_be_given_another_artifact():
    first = scheduled(of("Heun"), artifact_of(nodes(3)))
    made = scheduled(first, artifact_of(nodes(4)))
    made.set_timesteps(4)
    assert walked_by(made) == pytest.approx(nodes(4))
    first.set_timesteps(3)
    assert walked_by(first) == pytest.approx(nodes(3))


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("Euler", {"nfe": 8}, "No schedule for euler at NFE 8; the artifact holds euler 3"),
        ("Heun", {"nfe": 4}, "heun cannot make exactly 4 denoiser calls"),
        ("Euler", {"nfe": 3, "steps": 3}, "Give the NFE or the steps, one of them"),
        ("UniPCMultistep", {}, "walks schedules for dpmpp_2m, and the artifact holds them for euler, heun"),
    ],
)
def test_a_budget_that_is_not_there_is_refused(name, arguments, complaint):
    with pytest.raises(BudgetError, match=complaint):
        scheduled(of(name), artifact_of(nodes(3), solvers=("euler", "heun")), **arguments)


UNIPC = "UniPCMultistep"
FLOWING = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
CLOSE = (14.0, 14.0 - 1e-9, 3.0)


@pytest.mark.parametrize(
    ("make", "sigmas", "complaint"),
    [
        (flow, GRID, r"compiled for 'powers', where x = x0 .* in FlowMatchEulerDiscreteScheduler x = \(1"),
        (lambda: of(UNIPC, **FLOWING), GRID, r"in UniPCMultistepScheduler x = \(1"),
        (lambda: of("DPMSolverMultistep"), FLOW_GRID, "in DPMSolverMultistepScheduler x = x0"),
        (
            lambda: of("Euler"),
            (80.0, 3.0),
            r"at sigma = 80, and EulerDiscreteScheduler knows .* 0\.0291.* to 14\.6",
        ),
        (lambda: of("Heun"), (14.0, 0.02), r"goes down to sigma = 0\.02, and HeunDiscreteScheduler knows"),
        (diffusers.EDMEulerScheduler, (120.0, 3.0), "starts at sigma = 120, and EDMEulerScheduler knows .* to 80"),
        (lambda: of("Euler"), CLOSE, r"cannot tell the sigmas 14\.0 and 13\.999999999 apart"),
        (lambda: of(UNIPC, lower_order_final=False), GRID, "cannot walk .* with lower_order_final=False"),
        (lambda: of(UNIPC, predict_x0=False), GRID, "cannot walk .* with predict_x0=False"),
        (lambda: of(UNIPC, solver_p=of("Euler")), GRID, "with solver_p walks the grid of that scheduler"),
        (lambda: flow(invert_sigmas=True), FLOW_GRID, "cannot walk .* with invert_sigmas=True"),
        (diffusers.DDIMScheduler, GRID, "DDIMScheduler walks no compiled grid"),
        (diffusers.DEISMultistepScheduler, GRID, "DEISMultistepScheduler walks no compiled grid"),
        (diffusers.FlowMatchLCMScheduler, FLOW_GRID, "is not one that artc knows the noise of"),
        (object, GRID, "object is no scheduler of diffusers"),
    ],
)
def test_what_would_end_in_a_wrong_picture_is_refused_with_a_sentence(make, sigmas, complaint):
    artifact = artifact_of((*sigmas, 0.0), domain="flow" if sigmas == FLOW_GRID else "ve")
    with pytest.raises(InputError, match=complaint) as refusal:
        scheduled(make(), artifact)
    assert str(refusal.value).endswith(".")


@pytest.mark.filterwarnings("ignore::FutureWarning:diffusers.*")
def test_dpm_solver_without_the_second_plus_is_refused():
    stock = of("DPMSolverMultistep", algorithm_type="dpmsolver", final_sigmas_type="sigma_min")
    with pytest.raises(InputError, match="with algorithm_type='dpmsolver'"):
        scheduled(stock, artifact_of(nodes(3)))


def test_a_pipeline_is_asked_for_its_scheduler():
    class Pipeline:
        scheduler = of("Euler")

    with pytest.raises(InputError, match=r"Pipeline is no scheduler of diffusers\. Give the pipeline's scheduler"):
        scheduled(Pipeline(), artifact_of(nodes(3)))


def test_a_scheduler_of_ones_own_is_not_taken_for_what_it_is_made_of():
    class EulerDiscreteScheduler(diffusers.EulerDiscreteScheduler):
        """Its own step would be lost."""

    with pytest.raises(InputError, match="walks no compiled grid"):
        scheduled(EulerDiscreteScheduler(**SD), artifact_of(nodes(3)))


def test_a_grid_that_starts_low_is_walked_with_a_warning():
    with pytest.warns(UserWarning, match="starts at sigma = 5, below the 14.6146 that EulerDiscreteScheduler can"):
        made = scheduled(of("Euler"), artifact_of((5.0, 1.0, 0.0)))
    assert made.init_noise_sigma == 5.0


@pytest.mark.parametrize("given", [[1.0, 0.9, 0.2], [0.9, 0.6, 0.3], [1.0, 0.667, 0.333, 0.0], []])
def test_sigmas_of_ones_own_are_refused_and_not_ignored(given):
    made = scheduled(flow(), artifact_of((*FLOW_GRID[:3], 0.0), domain="flow"))
    with pytest.raises(InputError, match="This FlowMatchEulerDiscreteScheduler walks compiled grids, and was"):
        made.set_timesteps(sigmas=given)
    with pytest.raises(InputError, match="was given another"):
        scheduled(of("Euler"), artifact_of(nodes(3))).set_timesteps(timesteps=[999, 500, 1])
    made.set_timesteps(sigmas=[1.0, 0.667, 0.333], mu=3.0)
    assert made.sigmas.tolist() == pytest.approx([*FLOW_GRID[:3], 0.0])
    with pytest.raises(InputError, match="How many steps"):
        made.set_timesteps()
    with pytest.raises(InputError, match="all but the steps and the device by their names"):
        made.set_timesteps(3, "cpu", [0.5])


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize(
    ("settings", "mu"),
    [
        ({"shift": 1.0}, None),
        ({"shift": 3.0}, None),
        ({"use_dynamic_shifting": True}, 1.15),
        ({"use_dynamic_shifting": True, "time_shift_type": "linear"}, 2.5),
    ],
)
def test_a_list_of_sigmas_ends_on_the_compiled_grid_after_the_shift_of_the_scheduler_itself(settings, mu, steps):
    stock, sigmas = flow(**settings), nodes(steps, FLOW_GRID)
    given = sigmas_for(stock, artifact_of(sigmas, domain="flow"), steps=steps, mu=mu)
    stock.set_timesteps(sigmas=given, mu=mu)
    assert len(given) == steps
    assert stock.sigmas.tolist() == pytest.approx(sigmas, rel=3e-7)
    assert stock.timesteps.tolist() == pytest.approx([1000 * sigma for sigma in sigmas[:-1]], rel=3e-7)


def test_a_list_of_sigmas_for_euler_is_the_grid_with_its_zero():
    stock, sigmas = of("Euler", use_karras_sigmas=True), nodes(5)
    given = sigmas_for(stock, artifact_of(sigmas), nfe=5)
    assert given == list(sigmas)
    stock.set_timesteps(sigmas=given)
    assert stock.sigmas.tolist() == np.asarray(sigmas, dtype=np.float32).tolist()


def test_a_list_that_ends_at_shift_terminal_is_exact():
    stock, sigmas = flow(shift=2.0, shift_terminal=0.05), nodes(4, FLOW_GRID)
    stock.set_timesteps(sigmas=sigmas_for(stock, artifact_of(sigmas, domain="flow"), nfe=4))
    assert stock.sigmas.tolist() == pytest.approx(sigmas, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: of("Heun"), "HeunDiscreteScheduler takes no list of sigmas as it is. `scheduled` makes"),
        (diffusers.EDMEulerScheduler, "EDMEulerScheduler takes no list"),
        (diffusers.DDIMScheduler, "DDIMScheduler takes no list"),
        (lambda: flow(use_karras_sigmas=True), "with use_karras_sigmas=True changes any sigmas"),
        (lambda: flow(shift_terminal=0.1), "with shift_terminal=0.1 changes any sigmas"),
        (lambda: flow(use_dynamic_shifting=True), "With dynamic shifting the list depends on mu"),
        (lambda: flow(invert_sigmas=True), "invert_sigmas=True"),
        (lambda: of("Euler"), "Its sigmas mean nothing there"),
    ],
)
def test_where_a_list_would_be_changed_there_is_none(make, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)):
        sigmas_for(make(), artifact_of(nodes(4, FLOW_GRID), domain="flow"), steps=4)


def test_a_scheduler_that_walks_a_grid_takes_no_list():
    artifact = artifact_of(nodes(4))
    with pytest.raises(InputError, match="ArtEulerDiscreteScheduler takes no list"):
        sigmas_for(scheduled(of("Euler"), artifact), artifact, steps=4)


@pytest.mark.parametrize(
    ("change", "kind", "complaint"),
    [
        (lambda art: art.pop("model"), InputError, "The entry 'art' of the scheduler's configuration cannot be read"),
        (lambda art: art["schedules"].clear(), InputError, "holds no grid"),
        (lambda art: art["schedules"][0]["sigmas"].__setitem__(1, 99.0), ArtifactError, "decrease strictly"),
        (lambda art: art["schedules"][0]["sigmas"].__setitem__(0, 99.0), InputError, "starts at sigma = 99"),
        (lambda art: art["model"].update(domain="flow"), InputError, "Its sigmas mean nothing there"),
        (lambda art: art.update(solver="heun"), InputError, "walks schedules for euler, and these are for heun"),
    ],
)
def test_a_saved_configuration_that_was_changed_is_checked_again(change, kind, complaint, tmp_path):
    made = scheduled(of("Euler"), artifact_of(nodes(3)))
    made.save_pretrained(tmp_path)
    file = tmp_path / "scheduler_config.json"
    document = json.loads(file.read_text())
    change(document["art"])
    file.write_text(json.dumps(document))
    with pytest.raises(kind, match=complaint):
        type(made).from_pretrained(tmp_path)


def test_a_class_of_ours_without_grids_is_refused():
    import artc.integrations.diffusers as room

    with pytest.raises(InputError, match=r"made without its grids\. Make it with `scheduled`"):
        room.ArtHeunDiscreteScheduler.from_config(of("Heun").config)
    with pytest.raises(AttributeError, match="no attribute 'ArtPNDMScheduler'"):
        _ = room.ArtPNDMScheduler
    with pytest.raises(AttributeError, match="no attribute 'schedule'"):
        _ = room.schedule


WITHOUT = """
import sys
import artc.integrations.diffusers as room
assert not {"torch", "diffusers"} & set(sys.modules), "imported too much"
sys.modules["diffusers"] = None
from artc.errors import InputError
try:
    room.ArtHeunDiscreteScheduler
except InputError as error:
    print(error)
"""


def test_it_is_imported_without_diffusers_and_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert "This needs the package diffusers" in done.stdout
    assert 'pip install "artc[diffusers]"' in done.stdout
