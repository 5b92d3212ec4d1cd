"""ART Model Sigmas in the real ComfyUI: the network is shown other sigmas, and the sampler goes on with its own."""

from dataclasses import replace

import numpy as np
import pytest

from tests.hosts.comfyui import art_schedule, node
from tests.hosts.toy_walk import toy_end
from tests.integrations.made import artifact, calls_at

GRID, SHOWN = (14.0, 3.0, 0.6, 0.1, 0.0), (14.0, 2.6, 0.7, 0.12)
NFE = {"euler": 4, "heun": 7, "dpmpp_2m": 4}
KIND = "edm"


def held(solver):
    made = artifact(GRID, solver=solver, sigma_min=0.03)
    return replace(made, schedules=(replace(made.schedules[0], model_sigmas=SHOWN),), digest="")


def graph(comfyui, solver, **settings):
    """A run of the toy model on the grid of ART Schedule, through ART Model Sigmas."""
    name = f"{solver}.art.json"
    made = comfyui.sampling(art_schedule(name, steps=4), sampler=solver, kind=KIND, **settings)
    patch = node("ArtModelSigmas", model=["model", 0], artifact=name, solver="auto", budget="steps", count=4)
    made |= {"patch": patch, "text": node("ToyReport", text=["patch", 1])}
    made["sample"]["inputs"]["model"] = ["patch", 0]
    return made


@pytest.mark.parametrize("solver", NFE)
def test_the_network_is_shown_model_sigmas_and_the_picture_is_that_of_our_own_walk(comfyui, solver):
    held(solver).save(comfyui.artifacts / f"{solver}.art.json", force=True)
    run = comfyui.run(graph(comfyui, solver, seed=3, batch=2))
    report = run.report()
    assert report["seen"] == pytest.approx(calls_at(SHOWN, solver), rel=1e-6)
    assert report["calls"] == NFE[solver]
    samples = toy_end(GRID, solver, seed=3, batch=2, model_sigmas=SHOWN)
    np.testing.assert_allclose(report["samples"], samples.tolist(), rtol=0, atol=1e-4)
    assert "shown 2.6 at 3, 0.7 at 0.6, 0.12 at 0.1" in run.report("text")["text"]


def test_guidance_is_shown_them_too_and_the_model_beside_it_is_not(comfyui):
    held("euler").save(comfyui.artifacts / "euler.art.json", force=True)
    made = graph(comfyui, "euler", cfg=2.0)
    seen = comfyui.run(made).report()["seen"]
    assert set(np.float32(seen)) == set(np.float32(SHOWN))
    made["sample"]["inputs"]["model"] = ["model", 0]
    made["model"]["inputs"]["salt"] = "beside"
    assert set(np.float32(comfyui.run(made).report()["seen"])) == set(np.float32(GRID[:-1]))


def test_a_flow_model_is_refused(comfyui):
    held("euler").save(comfyui.artifacts / "euler.art.json", force=True)
    made = graph(comfyui, "euler")
    made["model"]["inputs"]["kind"] = "flow"
    run = comfyui.run(made)
    assert not run.succeeded
    assert run.error["node_type"] == "ArtModelSigmas"
    assert "compiled for" in run.error["exception_message"]
