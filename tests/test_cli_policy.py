"""`artc compile --policy`, as its users run it: an ONNX file beside the artifact, and what is told of it."""

import sys

import numpy as np
import pytest
import torch

from artc.artifact import Coordinate, read
from artc.artifact.policy import open_policy
from artc.compiling import compile as compile_model
from artc.errors import InputError
from artc.evaluation.endpoint import Teacher
from artc.integrations.policy import policy_sampler
from artc.learning.state_record import worth
from artc.models.registry import find
from artc.models.score_model import Latents, Probe
from artc.pipeline import compile_steps
from artc.progress import drain
from artc.request import Request
from tests.cli import artc, names_in
from tests.policies import bank_of, trained


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An artifact with a policy, from the command line, and what was printed."""
    path = tmp_path_factory.mktemp("policy") / "m.art.json"
    done = artc("compile", "--model", "mixture-1d", "--nfe", "9", "--policy", "-o", path)
    assert done.code == 0, done.err
    return path, done


def test_the_policy_lies_beside_the_artifact_and_both_are_valid(made):
    path, _ = made
    assert names_in(path.parent) == ["m.art.json", "m.art.onnx"]
    assert artc("validate", path).code == 0
    artifact = read(path)
    assert artifact.policy.file == "m.art.onnx"
    assert artifact.provenance.config["policy"] is True
    assert artifact.provenance.config["learner"]["policy"]["width"] > 0
    path.with_suffix(".onnx").write_bytes(artifact.policy.content + b"!")
    spoilt = artc("validate", path)
    assert spoilt.code != 0
    assert "SHA-256" in spoilt.out + spoilt.err
    path.with_suffix(".onnx").write_bytes(artifact.policy.content)


def test_it_saves_half_of_what_can_be_saved_on_trajectories_held_out(made):
    path, _ = made
    found = read(path).provenance.diagnostics["policy"]
    assert found["state_gain"] == pytest.approx(read(path).stiffness.state_gain, abs=0.03)
    assert all(0.25 < share < 1.0 for share in found["share"].values())
    assert found["share"]["48"] > 0.5
    assert found["share"]["48"] > found["share"]["5"]
    assert len(found["spread"]) == 48
    said = f"of what reading the state could save it saves {found['share']['5']:.0%} at 5 steps"
    assert said in artc("inspect", path).out
    assert artc("inspect", path, "--json").document["policy"] == {"file": "m.art.onnx", **found}


def test_its_samples_come_to_the_solution_as_steps_grow(made):
    artifact, law = read(made[0]), find("mixture-1d").load(torch.device("cpu")).denoiser
    x = 80.0 * torch.randn((256, 1), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    fields, latents = Probe(find("mixture-1d").load(torch.device("cpu"))).on, Latents(noise=x / 80.0)
    ends = Teacher(steps=400).endpoints(fields, latents, artifact.model)
    sigmas = torch.tensor([80.0, 0.0])
    errors = [float((policy_sampler(artifact, steps=n)(law, x, sigmas) - ends).square().mean()) ** 0.5 for n in (8, 64)]
    assert errors[1] < 0.01 < errors[0] < 0.2


def test_a_file_in_the_place_of_the_policy_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "m.art.onnx").write_bytes(b"another policy")
    monkeypatch.setattr("artc.models.sources.load", lambda *_: pytest.fail("there was work to lose"))
    done = artc("compile", "--model", "gaussian", "--nfe", "5", "--policy", "-o", tmp_path / "m.art.json")
    assert done.code != 0
    assert "m.art.onnx' exists already" in done.err
    assert names_in(tmp_path) == ["m.art.onnx"]


def test_where_one_trajectory_is_held_out_there_is_no_share_to_speak_of():
    found = worth(trained(), bank_of("mixture-1d")[1].part(slice(0, 1)), Coordinate(0.002, 80.0))
    assert found["share"] == {}
    assert found["state_gain"] == pytest.approx(0.0, abs=1e-12)


def test_no_policy_is_made_unless_it_is_asked_for():
    model = find("mixture-1d").load(torch.device("cpu"))
    plain = drain(compile_steps(model, Request(nfe=(9,), trajectories=16, method="closed-form")))
    assert plain.policy is None
    assert "policy" not in plain.provenance.diagnostics


def test_a_policy_that_cannot_be_made_is_refused_before_any_work(monkeypatch):
    flow = {"shape": (4,), "sigma_min": 0.001, "sigma_max": 1.0, "domain": "flow"}

    def never(x, sigma):
        raise AssertionError

    with pytest.raises(InputError, match="is a flow model"):
        compile_model(never, nfe=4, solver="euler", policy=True, **flow)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="written with the package onnx, which is not installed"):
        compile_model(never, nfe=4, solver="euler", policy=True, shape=(4,), sigma_min=0.01, sigma_max=80.0)


def test_the_policy_answers_the_warp_where_the_state_says_nothing(made):
    """At the first step nothing has been seen, and the answer stays within its bound of the warp."""
    artifact = read(made[0])
    session = open_policy(artifact)
    inputs = dict.fromkeys(artifact.policy.inputs, np.zeros(1, dtype=np.float32))
    inputs |= {
        name: np.full(1, 80.0, dtype=np.float32) for name in ("sigma", "sigma_before", "rms_x", "rms_difference")
    }
    inputs["clock_next"] = np.full(1, 0.2, dtype=np.float32)
    left = 0.8 ** np.exp([1.5, -1.5])
    fast, slow = artifact.warp.at(1 - left)
    assert fast <= session.next_sigma(inputs)[0] <= slow
