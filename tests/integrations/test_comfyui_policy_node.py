"""The node ART Policy Sampler: a SAMPLER around the policy sampler, and a sentence for everything that goes wrong."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from artc.errors import ArtcError
from artc.integrations.comfyui import NODE_CLASS_MAPPINGS, folders
from artc.integrations.policy import policy_sampler
from artc.models.analytic import three_modes
from tests.golden.example import example
from tests.integrations.comfyui_stand_ins import StandInConst, StandInEps, stand_in_model
from tests.integrations.policy_artifacts import learned_artifact

NODE = NODE_CLASS_MAPPINGS["ArtPolicySampler"]
SETTINGS = {"solver": "heun", "budget": "nfe", "count": 9}


@pytest.fixture
def host(comfy, monkeypatch):
    samplers = ModuleType("comfy.samplers")
    samplers.KSAMPLER = lambda function: SimpleNamespace(sampler_function=function)
    monkeypatch.setitem(sys.modules, "comfy.samplers", samplers)
    folders.register()
    learned_artifact().save(comfy.artifacts / "mine.art.json")
    return comfy


class Wrapped:
    """What ComfyUI gives a sampler: the model behind a guider, which knows its patcher."""

    def __init__(self, kind, top=80.0):
        self.inner_model = SimpleNamespace(model_patcher=stand_in_model(kind, 0.002, top))
        self.calls = 0

    def __call__(self, x, sigma, **given):
        assert given == {"seed": 3}
        self.calls += 1
        return three_modes()(x, sigma)


def sampled(model, count=9, budget="nfe"):
    (sampler,) = NODE().sampler("mine.art.json", solver="heun", budget=budget, count=count)
    x = 80 * torch.randn((4, 1), generator=torch.Generator().manual_seed(0))
    # As ComfyUI calls it: everything after the grid by its name.
    keywords = {"extra_args": {"seed": 3}, "callback": None, "disable": True}
    return x, sampler.sampler_function(model, x, torch.tensor([80.0, 1.0, 0.0]), **keywords)


def test_the_sampler_of_the_node_is_the_policy_sampler(host):
    model = Wrapped(StandInEps)
    x, found = sampled(model)
    assert model.calls == 9
    expected = policy_sampler(learned_artifact(), 9)(three_modes(), x, torch.tensor([80.0, 0.0]))
    assert found.tolist() == expected.tolist()


def test_steps_are_counted_as_steps(host):
    model = Wrapped(StandInEps)
    sampled(model, count=9, budget="steps")
    assert model.calls == 17


def test_a_flow_model_is_refused_when_it_is_sampled(host):
    with pytest.raises(ArtcError, match="compiled for"):
        sampled(Wrapped(StandInConst, 1.0))


def test_what_is_missing_is_said_in_a_sentence(host, monkeypatch):
    example().save(host.artifacts / "plain.art.json")
    with pytest.raises(ArtcError, match="has no policy"):
        NODE().sampler("plain.art.json", **SETTINGS)
    with pytest.raises(ArtcError, match="nearest"):
        NODE().sampler("mine.art.json", solver="heun", budget="nfe", count=8)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(ArtcError, match="onnxruntime, which is not installed"):
            NODE().sampler("mine.art.json", **SETTINGS)
    (host.artifacts / "mine.art.onnx").unlink()
    with pytest.raises(ArtcError, match=r"mine\.art\.json cannot be used\. .*there is no file"):
        NODE().sampler("mine.art.json", **SETTINGS)


def test_a_new_policy_is_a_new_result(host):
    before = NODE.IS_CHANGED("mine.art.json", **SETTINGS)
    assert NODE.IS_CHANGED("mine.art.json", **SETTINGS) == before
    from tests.integrations.policy_artifacts import silent_artifact

    silent_artifact().save(host.artifacts / "mine.art.json", force=True)
    assert NODE.IS_CHANGED("mine.art.json", **SETTINGS) != before
