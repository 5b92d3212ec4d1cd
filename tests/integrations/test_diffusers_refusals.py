"""What would run to the end and draw something wrong is refused with a sentence."""

import json
import subprocess
import sys

import pytest
from artc.integrations.diffusers import scheduled

from artc.errors import ArtifactError, BudgetError, InputError
from tests.integrations.diffusers_loops import FLOW_GRID, GRID, SD, artifact_of, flow, nodes, of
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")


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
        (lambda: of(UNIPC, solver_type="bh1"), GRID, "cannot walk .* with solver_type='bh1'"),
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


def test_settings_changed_afterwards_are_checked_again():
    made = scheduled(of("UniPCMultistep"), artifact_of(nodes(3)))
    assert type(made).from_config(made.config, thresholding=True).config.thresholding
    with pytest.raises(InputError, match=r"cannot walk .* with lower_order_final=False"):
        type(made).from_config(made.config, lower_order_final=False)


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
