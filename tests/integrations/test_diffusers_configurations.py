"""A scheduler's configuration is checked again wherever it comes from: a folder, a hand, another class."""

import json
import math

import pytest

import artc.integrations.diffusers as room
from artc.errors import InputError
from artc.integrations.diffusers import scheduled
from tests.integrations.diffusers_loops import artifact_of, nodes, of
from tests.tiny_diffusers import diffusers, offline  # noqa: F401  # offline works by being here

# Raised inside diffusers, by its own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers.*")


def put(*path, to):
    """A change of a document: the value at this path becomes another."""

    def change(document):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda document: document["art"].pop("model"),
            "'art' of the scheduler's configuration makes no sense: there is no 'model'",
        ),
        (put("art", "model", to=None), "makes no sense: something in it is not what should be there"),
        (put("art", "schedules", to=5), "something in it is not what should be there"),
        (put("art", "schedules", to=[None]), "something in it is not what should be there"),
        (put("art", "schedules", 0, "sigmas", to="ab"), "something in it is not what should be there"),
        (put("art", "schedules", to=[]), "holds no grid"),
        (put("art", "schedules", 0, "sigmas", 1, to=99.0), "decrease strictly, and 99"),
        (put("art", "schedules", 0, "sigmas", 1, to=math.nan), "decrease strictly, and nan"),
        (put("art", "schedules", 0, "sigmas", 0, to=12.0), "its parts contradict each other"),
        (put("art", "model", "sigma_max", to=12.0), "its parts contradict each other"),
        (put("art", "model", "domain", to="vp"), "its parts contradict each other"),
        (put("art", "schedules", 0, "solver", to="dpmpp_2m"), "its parts contradict each other"),
        (put("art", "warp", to={"clock": [0, 1], "sigma": [12.0, 0], "offset": 1}), "its parts contradict each other"),
        (put("art", "warp", to={"clock": [0, 1], "sigma": [14.6, 1], "offset": 1}), "must be exactly 0, not 1"),
        (put("art", "model", "domain", to="flow"), "Its sigmas mean nothing there"),
        (put("beta_end", to=0.001), "starts at sigma = 14.6, and EulerDiscreteScheduler knows"),
    ],
)
def test_a_saved_configuration_that_was_changed_is_checked_again(change, complaint, tmp_path):
    made = scheduled(of("Euler"), artifact_of(nodes(3)))
    made.save_pretrained(tmp_path)
    file = tmp_path / "scheduler_config.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=complaint):
        type(made).from_pretrained(tmp_path)


def test_the_grids_of_another_solver_are_refused():
    made = scheduled(of("Euler"), artifact_of(nodes(3)))
    with pytest.raises(InputError, match="HeunDiscreteScheduler walks schedules for heun, and these are for euler"):
        room.ArtHeunDiscreteScheduler.from_config(made.config)


def test_settings_changed_afterwards_are_checked_again():
    made = scheduled(of("UniPCMultistep"), artifact_of(nodes(3)))
    assert type(made).from_config(made.config, thresholding=True).config.thresholding
    with pytest.raises(InputError, match=r"cannot walk .* with lower_order_final=False"):
        type(made).from_config(made.config, lower_order_final=False)
    other = scheduled(of("DPMSolverMultistep"), artifact_of(nodes(3)))
    with pytest.raises(InputError, match=r"cannot walk .* with final_sigmas_type='sigma_min'"):
        type(other).from_config(other.config, final_sigmas_type="sigma_min")


def test_a_class_of_ours_without_grids_is_refused():
    with pytest.raises(InputError, match=r"made without its grids\. Make it with `scheduled`"):
        room.ArtHeunDiscreteScheduler.from_config(of("Heun").config)
    with pytest.raises(AttributeError, match="no attribute 'ArtPNDMScheduler'"):
        _ = room.ArtPNDMScheduler
    with pytest.raises(AttributeError, match="no attribute 'schedule'"):
        _ = room.schedule
