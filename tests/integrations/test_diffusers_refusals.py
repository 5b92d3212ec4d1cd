"""What would run to the end and draw something wrong is refused with a sentence."""

import subprocess
import sys

import numpy as np
import pytest

from artc.errors import BudgetError, InputError, UnknownNameError
from artc.integrations.diffusers import scheduled, schedulers
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
        ("UniPCMultistep", {}, "walks schedules for unipc_2 or dpmpp_2m, and the artifact holds them for euler, heun"),
        ("Euler", {"nfe": []}, "The list holds no NFE. Leave it out"),
        ("Euler", {"nfe": "13"}, "NFE must be a whole number of at least 1, not '13'"),
        ("Euler", {"nfe": [3, True]}, "NFE must be a whole number of at least 1, not True"),
        ("Euler", {"nfe": 3.0, "resample": True}, "NFE must be a whole number"),
        ("Euler", {"steps": "3", "resample": True}, "number of steps must be a whole number"),
    ],
)
def test_a_budget_that_is_not_there_is_refused(name, arguments, complaint):
    with pytest.raises((BudgetError, InputError), match=complaint):
        scheduled(of(name), artifact_of(nodes(3), solvers=("euler", "heun")), **arguments)


@pytest.mark.parametrize("steps", ["3", 3.5, True, 0, [3]])
def test_a_number_of_steps_is_a_whole_number(steps):
    made = scheduled(of("Euler"), artifact_of(nodes(3)), resample=True)
    with pytest.raises(InputError, match="number of steps must be a whole number of at least 1, not"):
        made.set_timesteps(steps)


UNIPC = "UniPCMultistep"
FLOWING = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
CLOSE = (14.0, 14.0 - 2e-6, 3.0)
"""The first two are two numbers in float32, and their timesteps, near 1000, are one."""
LOW = (14.0, 0.03125, 0.03125 - 5e-10)
"""The last two are one number in float32, and their timesteps, near 0, are not."""


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
        (
            diffusers.EDMEulerScheduler,
            (80.0, 1e-3),
            r"goes down to sigma = 0\.001, and EDMEulerScheduler knows .* 0\.002 to",
        ),
        (lambda: of("Euler"), CLOSE, r"cannot tell the sigmas 14\.0 and 13\.999998 apart"),
        (lambda: of("Euler"), LOW, r"cannot tell the sigmas 0\.03125 and 0\.0312499995 apart"),
        (lambda: of(UNIPC, lower_order_final=False), GRID, "cannot walk .* with lower_order_final=False"),
        (lambda: of(UNIPC, solver_type="bh1"), GRID, "cannot walk .* with solver_type='bh1'"),
        (lambda: of(UNIPC, predict_x0=False), GRID, "cannot walk .* with predict_x0=False"),
        (lambda: of(UNIPC, solver_p=of("Euler")), GRID, "with solver_p walks the grid of that scheduler"),
        (lambda: flow(invert_sigmas=True), FLOW_GRID, "cannot walk .* with invert_sigmas=True"),
        (diffusers.DDIMScheduler, GRID, "DDIMScheduler walks no compiled grid"),
        (diffusers.DEISMultistepScheduler, GRID, "DEISMultistepScheduler walks no compiled grid"),
        (diffusers.FlowMatchLCMScheduler, FLOW_GRID, "is not one that artc knows the noise of"),
        (object, GRID, "object is no scheduler of diffusers"),
        (lambda: diffusers.EulerDiscreteScheduler, GRID, "The class EulerDiscreteScheduler is no scheduler"),
    ],
)
def test_what_would_end_in_a_wrong_picture_is_refused_with_a_sentence(make, sigmas, complaint):
    artifact = artifact_of((*sigmas, 0.0), domain="flow" if sigmas == FLOW_GRID else "ve")
    with pytest.raises(InputError, match=complaint) as refusal:
        scheduled(make(), artifact)
    assert str(refusal.value).endswith(".")


@pytest.mark.filterwarnings("ignore::FutureWarning:diffusers.*")
@pytest.mark.parametrize("algorithm", ["dpmsolver", "sde-dpmsolver"])
def test_dpm_solver_without_the_second_plus_is_refused(algorithm):
    stock = of("DPMSolverMultistep", algorithm_type=algorithm, final_sigmas_type="sigma_min")
    with pytest.raises(InputError, match=f"with algorithm_type='{algorithm}'"):
        scheduled(stock, artifact_of(nodes(3)))
    made = scheduled(stock, artifact_of(nodes(3)), solver="euler")  # which knows no algorithm_type
    made.set_timesteps(3)
    assert made.sigmas.tolist() == pytest.approx(nodes(3))


@pytest.mark.parametrize(
    ("domain", "sigmas", "complaint"),
    [
        ("ve", (80.0, 3.0, 0.0), "starts at sigma = 80, and DPMSolverMultistepScheduler knows"),
        ("flow", (*FLOW_GRID, 0.0), "Its sigmas mean nothing there"),
    ],
)
def test_with_resample_and_no_grid_at_all_the_model_must_fit(domain, sigmas, complaint):
    artifact = artifact_of(sigmas, solvers=("heun",), domain=domain)
    with pytest.raises(InputError, match=complaint):
        scheduled(of("DPMSolverMultistep"), artifact, resample=True)


def test_a_grid_made_from_the_warp_that_leaves_the_range_is_refused():
    """The warp goes from 2.92 at 0.4 down to 0 at 1, linear in ln(1 + sigma / 0.5): at 0.99 it is 0.01628."""
    made = scheduled(of("Euler"), artifact_of((14.6, 3.0, 0.0), sigma_min=1e-3), resample=True)
    made.set_timesteps(50)
    with pytest.raises(InputError, match=r"goes down to sigma = 0\.01628\d*, and EulerDiscreteScheduler knows"):
        made.set_timesteps(100)


@pytest.mark.parametrize(
    ("make", "solver", "complaint"),
    [
        (lambda: of("Euler"), 5, "A solver is a name, not int"),
        # EulerDiscrete with the times of EDM scales its network otherwise than the schedulers of EDM theirs.
        (
            lambda: diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="v_prediction"),
            "dpmpp_2m",
            r"solver for EulerDiscreteScheduler 'dpmpp_2m'\. Known: euler\.",
        ),
        # The schedulers of flows know networks that predict n - x0, and no others.
        (
            lambda: diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="epsilon"),
            "euler",
            r"solver for UniPCMultistepScheduler 'euler'\. Known: dpmpp_2m\.",
        ),
        (
            lambda: diffusers.DPMSolverSinglestepScheduler(use_flow_sigmas=True, prediction_type="sample"),
            None,
            r"DPMSolverSinglestepScheduler walks no compiled grid\.$",
        ),
    ],
)
def test_another_class_that_would_misread_the_network_is_not_made(make, solver, complaint):
    with pytest.raises((InputError, UnknownNameError), match=complaint):
        scheduled(make(), artifact_of(nodes(3)), solver=solver)


def test_a_pipeline_is_asked_for_its_scheduler():
    class Pipeline:
        scheduler = of("Euler")

    with pytest.raises(InputError, match=r"Pipeline is no scheduler of diffusers\. Give that of the pipeline, pipe\."):
        scheduled(Pipeline(), artifact_of(nodes(3)))


def test_a_scheduler_of_ones_own_is_not_taken_for_what_it_is_made_of():
    class EulerDiscreteScheduler(diffusers.EulerDiscreteScheduler):
        """Its own step would be lost."""

    with pytest.raises(InputError, match="walks no compiled grid"):
        scheduled(EulerDiscreteScheduler(**SD), artifact_of(nodes(3)))


def test_a_grid_that_starts_low_is_walked_with_a_warning():
    with pytest.warns(
        UserWarning, match="starts at sigma = 5, below the 14.6146 that EulerDiscreteScheduler can"
    ) as seen:
        made = scheduled(of("Euler"), artifact_of((5.0, 1.0, 0.0)))
    assert [warning.filename for warning in seen] == [__file__]
    assert made.init_noise_sigma == 5.0
    with pytest.warns(UserWarning, match=r"starts at sigma = 0\.9, below the 1 that FlowMatchEulerDiscreteScheduler"):
        scheduled(flow(), artifact_of((0.9, 0.5, 0.0), domain="flow"))


@pytest.mark.parametrize(
    "given",
    [
        [1.0, 0.9, 0.2],
        [0.9, 0.6, 0.3],
        [1.0, 0.667, 0.333, 0.0],
        [1.0, 0.68, 0.34],
        [5.0],
        [],
        {},
        [None],
        ["a"],
        1.0,
        [[1.0]],
    ],
)
def test_sigmas_of_ones_own_are_refused_and_not_ignored(given):
    made = scheduled(flow(), artifact_of((*FLOW_GRID[:3], 0.0), (*FLOW_GRID[:4], 0.0), domain="flow"))
    with pytest.raises(InputError, match="This FlowMatchEulerDiscreteScheduler walks compiled grids, and was"):
        made.set_timesteps(sigmas=given)


@pytest.mark.parametrize(
    "given", [[1.0, 0.667, 0.333], np.linspace(1, 1 / 3, 3), [0.999, 0.666, 0.333], [1, 0.5, 1e-3]]
)
def test_what_pipelines_of_flows_send_when_nobody_chose_any_stands_for_the_grid(given):
    """[1, 0.5, 0.001] is that of CogView4: whole timesteps from 1000 to 1."""
    made = scheduled(flow(), artifact_of((*FLOW_GRID[:3], 0.0), (*FLOW_GRID[:4], 0.0), domain="flow"))
    made.set_timesteps(sigmas=given, mu=3.0)
    assert made.sigmas.tolist() == pytest.approx([*FLOW_GRID[:3], 0.0])
    with pytest.raises(InputError, match="was given another"):
        made.set_timesteps(4, sigmas=given)
    with pytest.raises(InputError, match="was given another"):  # where no pipeline sends one
        scheduled(of("Euler"), artifact_of(nodes(3))).set_timesteps(sigmas=given)


def test_timesteps_of_ones_own_are_refused():
    made = scheduled(of("Euler"), artifact_of(nodes(3)))
    with pytest.raises(InputError, match="was given another"):
        made.set_timesteps(timesteps=[999, 500, 1])
    with pytest.raises(InputError, match="How many steps"):
        made.set_timesteps()
    with pytest.raises(InputError, match="all but the steps and the device by their names"):
        made.set_timesteps(3, "cpu", [0.5])


def test_it_is_imported_without_torch_and_diffusers():
    code = "import sys, artc.integrations.diffusers; print({'torch', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_diffusers_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    make = schedulers.scheduler_class.__wrapped__  # that of a class which was made before would not be asked again
    with pytest.raises(InputError, match="This needs the package diffusers") as refusal:
        make("ArtHeunDiscreteScheduler")
    assert 'pip install "artc[diffusers]"' in str(refusal.value)
