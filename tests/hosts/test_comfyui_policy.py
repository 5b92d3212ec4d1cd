"""ART Policy Sampler in the real ComfyUI, once without onnxruntime, as ComfyUI comes, and once with it."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.hosts.comfyui import make_base, node, serving
from tests.integrations.policy_artifacts import learned_artifact, silent_artifact

LIBRARIES = ("onnxruntime", "flatbuffers", "google")


def graph(comfyui, artifact, steps=4, **settings):
    """A run of the toy EDM model by the policy; the SIGMAS beside it have two nodes."""
    made = comfyui.sampling([80.0, 1.0, 0.0], **settings)
    return made | {"sampler": node("ArtPolicySampler", artifact=artifact, solver="euler", budget="steps", count=steps)}


@pytest.fixture(scope="module")
def equipped(tmp_path_factory):
    """A ComfyUI whose Python has onnxruntime, and two artifacts with policies."""
    libraries = tmp_path_factory.mktemp("libraries")
    for name in LIBRARIES:
        (place,) = importlib.util.find_spec(name).submodule_search_locations[:1]
        (libraries / name).symlink_to(Path(place))
    with serving(make_base(tmp_path_factory.mktemp("comfyui") / "base"), libraries) as server:
        learned_artifact().save(server.artifacts / "learned.art.json")
        silent_artifact().save(server.artifacts / "silent.art.json")
        yield server


def test_without_onnxruntime_the_user_is_told_what_to_install(comfyui):
    learned_artifact().save(comfyui.artifacts / "learned.art.json")
    run = comfyui.run(graph(comfyui, "learned.art.json"))
    assert not run.succeeded
    assert run.error["node_type"] == "ArtPolicySampler"
    assert "onnxruntime, which is not installed" in run.error["exception_message"]


def test_a_policy_that_says_nothing_samples_as_the_distilled_grid_does(equipped):
    grid = silent_artifact().warp.baked(4)
    by_policy = equipped.run(graph(equipped, "silent.art.json", seed=5)).report()
    by_grid = equipped.run(equipped.sampling(grid, sampler="euler", seed=5)).report()
    assert by_policy["calls"] == by_grid["calls"] == 4
    np.testing.assert_allclose(by_policy["samples"], by_grid["samples"], rtol=0, atol=1e-4)


def test_a_trained_policy_runs_for_a_batch_with_exact_calls_and_falling_noise(equipped):
    report = equipped.run(graph(equipped, "learned.art.json", steps=6, batch=3)).report()
    assert (report["calls"], report["rows"]) == (6, 18)
    grid = learned_artifact().warp.baked(6)
    assert report["seen"][0] == pytest.approx(80.0)
    assert all(now > after for now, after in pairwise(report["seen"]))
    assert report["seen"] != pytest.approx(list(grid[:-1]), rel=1e-3)


def test_a_flow_model_is_refused(equipped):
    run = equipped.run(graph(equipped, "learned.art.json", kind="flow"))
    assert not run.succeeded
    assert "compiled for" in run.error["exception_message"]
