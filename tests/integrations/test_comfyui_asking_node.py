"""The node ART Model Sigmas: the call of a model, given other noise levels, and a sentence for everything else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from artc.artifact import Schedule
from artc.errors import ArtcError
from artc.integrations.comfyui import NODE_CLASS_MAPPINGS, describing, folders
from tests.golden.example import asked_example, example
from tests.integrations.comfyui_stand_ins import StandInConst, StandInEps, stand_in_model
from tests.integrations.made import calls_at
from tests.walking import end_of

NODE = NODE_CLASS_MAPPINGS["ArtModelSigmas"]
GRID, SHOWN = (63.0, 15.0, 3.0, 0.0), (63.0, 2**3.5 - 1, 2**2.5 - 1)
WIDGETS = {"artifact": "mine.art.json", "solver": "auto", "budget": "nfe", "count": 5}


class Patcher:
    """A ModelPatcher as far as it matters: copies share the model and have options of their own."""

    def __init__(self, inner, options=None):
        self.inner, self.model, self.model_options = inner, inner.model, dict(options or {})

    def get_model_object(self, name):
        return self.inner.get_model_object(name)

    def clone(self):
        return Patcher(self.inner, self.model_options)

    def set_model_unet_function_wrapper(self, function):
        self.model_options["model_function_wrapper"] = function

    def denoised(self, apply_model, x, sigma):
        """As ComfyUI calls a model: a level for each sample, and the wrapper where there is one."""
        level, conditions = sigma * x.new_ones(len(x)), {"c_crossattn": None, "transformer_options": {}}
        wrapper = self.model_options.get("model_function_wrapper")
        if wrapper is None:
            return apply_model(x, level, **conditions)
        return wrapper(apply_model, {"input": x, "timestep": level, "c": conditions, "cond_or_uncond": [0]})


def patcher(kind=StandInEps, low=0.002, high=63.0):
    return Patcher(stand_in_model(kind, low, high))


class Applied:
    """Gaussian data as `apply_model`; remembers the levels."""

    def __init__(self):
        self.levels = []

    def __call__(self, x, t, **conditions):
        assert set(conditions) == {"c_crossattn", "transformer_options"}
        assert t.shape == (len(x),)
        self.levels.append(t[0].item())
        level = t.reshape(-1, *[1] * (x.ndim - 1))
        return x * 0.25 / (0.25 + level**2)


@pytest.fixture
def host(comfy):
    folders.register()
    asked_example().save(comfy.artifacts / "mine.art.json")
    return comfy


def patched(model, **changes):
    return NODE().patch(model, **{**WIDGETS, **changes})["result"][0]


def sampled(model, x):
    applied = Applied()

    def denoise(state, sigma):
        return model.denoised(applied, state, torch.tensor(sigma, dtype=torch.float32))

    return end_of(denoise, x, torch.tensor(GRID).tolist(), "heun"), applied.levels


def test_the_model_is_shown_model_sigmas_where_the_sampler_asks_at_nodes(host):
    model, start = patcher(), 63.0 * torch.randn((3, 2), generator=torch.Generator().manual_seed(0))
    end, levels = sampled(patched(model), start)
    assert levels == np.float32(calls_at(SHOWN, "heun")).tolist()

    def denoise(x, sigma):
        return x * 0.25 / (0.25 + sigma**2)

    expected = end_of(denoise, start.double(), GRID, "heun", model_sigmas=SHOWN)
    torch.testing.assert_close(end.double(), expected, rtol=1e-5, atol=1e-5)
    assert model.model_options == {}  # the one that was wired in is as it was
    assert set(sampled(model, start)[1]) == set(GRID[:-1])


def test_other_levels_pass_as_they_are(host):
    model, applied = patched(patcher()), Applied()
    model.denoised(applied, torch.ones(2, 3), torch.tensor(7.0))
    assert applied.levels == [7.0]


def test_what_another_node_put_around_the_model_is_kept(host):
    seen, model = [], patcher()

    def earlier(apply_model, given):
        seen.append((given["timestep"].tolist(), given["cond_or_uncond"]))
        return 2 * apply_model(given["input"], given["timestep"], **given["c"])

    model.set_model_unet_function_wrapper(earlier)
    applied, x = Applied(), torch.ones(2, 3)
    doubled = patched(model).denoised(applied, x, torch.tensor(15.0))
    level = np.float32(SHOWN[1]).item()
    assert seen == [([level, level], [0])]
    assert applied.levels == [level]
    torch.testing.assert_close(doubled, 2 * x * 0.25 / (0.25 + level**2))


def test_the_same_node_twice_is_the_same_as_once(host):
    start = torch.ones(1, 2)
    assert torch.equal(sampled(patched(patched(patcher())), start)[0], sampled(patched(patcher()), start)[0])


def test_it_says_what_is_shown_and_what_was_measured(host):
    shown = NODE().patch(patcher(), **WIDGETS)
    text = shown["result"][1]
    assert shown["ui"] == {"text": [text]}
    assert text == ("powers · heun · NFE 5 · shown 10.31 at 15, 4.657 at 3 · endpoint_rms 0.1250 (without: 0.2100)")


def test_a_schedule_without_them_leaves_the_model_and_says_so(host):
    model = patcher()
    same, text = NODE().patch(model, **{**WIDGETS, "count": 3})["result"]
    assert same is model
    assert text == "powers · heun · NFE 3 · this schedule has no model sigmas: the model is as it was"


def test_what_does_not_fit_is_refused_in_a_sentence(host):
    with pytest.raises(ArtcError, match="compiled for"):
        patched(patcher(StandInConst, high=1.0))
    with pytest.raises(ArtcError, match="starts at sigma = 63"):
        patched(patcher(high=14.6))
    with pytest.raises(ArtcError, match="holds no heun schedule at NFE 7"):
        patched(patcher(), count=7)
    with pytest.raises(ArtcError, match="no artifact"):
        patched(patcher(), artifact="absent.art.json")


def test_a_new_artifact_is_a_new_result(host):
    before = NODE.IS_CHANGED(**WIDGETS, model=None)
    assert NODE.IS_CHANGED(**WIDGETS, model=None) == before
    example().save(host.artifacts / "mine.art.json", force=True)
    assert NODE.IS_CHANGED(**WIDGETS, model=None) != before


# ------------------------------------------------------------------------------------- the other nodes


def test_the_other_nodes_say_that_there_are_model_sigmas(host):
    settings = {"solver": "auto", "budget": "nfe", "missing": "exact", "denoise": 1.0}
    schedule = NODE_CLASS_MAPPINGS["ArtSchedule"]()
    sigmas, text = schedule.schedule("mine.art.json", count=5, **settings)["result"]
    assert sigmas.tolist() == list(GRID)
    assert text.endswith(" · has model sigmas too: ART Model Sigmas")
    assert "model sigmas" not in schedule.schedule("mine.art.json", count=3, **settings)["result"][1]
    lines = describing.screen(asked_example(), "mine").splitlines()
    (heading,) = [line for line in lines if line.startswith("solver")]
    row = lines[lines.index(heading) + 1]
    assert heading.split()[4:7] == ["error", "model-sigmas", "edm"]
    assert row.split()[4:7] == ["0.2100", "0.1250", "0.3600"]
    assert "model-sigmas" not in describing.screen(example(), "mine")


def test_nothing_of_a_moved_sigma_is_lost_where_nothing_was_measured():
    held = Schedule(solver="heun", nfe=5, steps=3, sigmas=GRID, model_sigmas=SHOWN, origin="refined")
    assert describing.asked_line(example(), held).endswith("shown 10.31 at 15, 4.657 at 3 · nothing measured")
    assert "its own sigmas" in describing.asked_line(example(), replace(held, model_sigmas=GRID[:-1]))
