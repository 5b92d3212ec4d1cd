"""What saved workflows and ComfyUI rely on: the order of widgets, their defaults, and a word on everything."""

import inspect

import pytest

from artc.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, folders
from tests.integrations.comfyui_stand_ins import stand_ins

NODE = NODE_CLASS_MAPPINGS["ArtSchedule"]


@pytest.fixture(autouse=True)
def _comfy(tmp_path):
    with stand_ins(tmp_path):
        folders.register()
        yield


def test_saved_workflows_keep_their_values_widgets_are_only_ever_added_at_the_end():
    required = NODE.INPUT_TYPES()["required"]
    assert list(required)[:6] == ["artifact", "solver", "budget", "count", "missing", "denoise"]
    choices = {name: kind for name, (kind, _) in required.items() if isinstance(kind, list)}
    assert choices["solver"][:5] == ["auto", "euler", "heun", "rk4", "dpmpp_2m"]
    assert choices["budget"] == ["steps", "nfe"]
    assert choices["missing"] == ["exact", "resample"]
    assert NODE.RETURN_TYPES == ("SIGMAS", "STRING")
    assert list(NODE.INPUT_TYPES()["optional"]) == ["model"]


def test_art_compile_keeps_its_widgets_and_its_solvers_in_their_places():
    required = NODE_CLASS_MAPPINGS["ArtCompile"].INPUT_TYPES()["required"]
    widgets = ["cfg", "solver", "nfe", "trajectories", "refine", "batch", "compile_seed", "name"]
    assert list(required)[:12] == ["model", "positive", "negative", "latent_image", *widgets]
    choices, more = required["solver"]
    assert choices[:4] == ["dpmpp_2m", "euler", "heun", "ipndm_4"]
    assert more["default"] == "dpmpp_2m"


def test_the_defaults_are_what_a_user_of_other_schedulers_expects():
    defaults = {
        name: more["default"] for name, (_, more) in NODE.INPUT_TYPES()["required"].items() if "default" in more
    }
    assert defaults == {"solver": "auto", "budget": "steps", "count": 8, "missing": "exact", "denoise": 1.0}


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_every_node_is_documented_and_nothing_switches_off_comfyuis_own_checks(name):
    node = NODE_CLASS_MAPPINGS[name]
    types = node.INPUT_TYPES()
    for part in ("required", "optional"):
        for kind, more in types.get(part, {}).values():
            assert more["tooltip"].endswith("."), kind
            # A tuple of choices would be offered, and accepted whatever it holds.
            assert isinstance(kind, (str, list))
    assert len(node.OUTPUT_TOOLTIPS) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    assert node.DESCRIPTION.endswith(".")
    assert node.CATEGORY.startswith("sampling/custom_sampling")
    assert NODE_DISPLAY_NAME_MAPPINGS[name].startswith("ART ")
    # ComfyUI holds the choice of an artifact against its list unless the node takes that on itself.
    if hasattr(node, "VALIDATE_INPUTS"):
        own = inspect.getfullargspec(node.VALIDATE_INPUTS)
        assert "artifact" not in own.args
        assert own.varkw is None
    taken = set(inspect.signature(getattr(node, node.FUNCTION)).parameters) - {"self"}
    assert taken >= {name for part in ("required", "optional") for name in types.get(part, {})}
