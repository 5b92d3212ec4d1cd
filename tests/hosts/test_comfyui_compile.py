"""ART Compile in the real ComfyUI: what it learns, what it writes, what it costs, and what it says when it cannot."""

import shutil
import time

import numpy as np
import pytest
import torch

import artc
from artc.artifact import Guidance
from artc.integrations.comfyui.jobs import Job, planned
from artc.integrations.samplers import WALKED_BY
from tests import cli
from tests.hosts.comfyui import HERE, Refused, art_schedule, make_base, node, serving
from tests.hosts.compile_graphs import (
    RANGES,
    SPREAD,
    compiling,
    end_of,
    gaussian,
    ours,
    same,
    sampled,
    toy,
)


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory):
    """A server of its own: these tests interrupt it, and take its folder away."""
    base = make_base(tmp_path_factory.mktemp("compile") / "base")
    shutil.copytree(HERE / "compile_toys", base / "custom_nodes" / "compile_toys")
    with serving(base) as server:
        yield server


@pytest.fixture(autouse=True)
def emptied(comfyui):
    for file in comfyui.artifacts.iterdir():
        file.unlink()


def files(comfyui):
    return sorted(path.name for path in comfyui.artifacts.iterdir())


@pytest.mark.parametrize(
    ("kind", "cfg", "solver", "nfe"),
    [
        ("edm", 1.0, "euler", [10]),
        ("eps", 3.0, "heun", [5, 9]),
        ("flow", 3.0, "heun", [5, 9]),
    ],
)
def test_it_learns_what_artc_learns_of_the_same_denoiser(comfyui, kind, cfg, solver, nfe):
    settings = {"cfg": cfg, "solver": solver, "nfe": ", ".join(map(str, nfe)), "refine": False, "compile_seed": 3}
    graph = compiling(toy(kind), **settings)
    if kind == "edm":  # a mask on the latent plays no part
        graph["mask"] = node("SolidMask", value=0.5, width=16, height=16)
        graph["masked"] = node("SetLatentNoiseMask", samples=["latent", 0], mask=["mask", 0])
        graph["compile"]["inputs"]["latent_image"] = ["masked", 0]
    assert comfyui.run(graph).succeeded
    found = artc.load(comfyui.artifacts / "toy.art.json")
    flow = kind == "flow"
    wanted = ours(kind, gaussian(-0.25 + cfg * 0.75, flow), solver, nfe)  # guided, it is Gaussian around a guided mean
    (low, high) = RANGES[kind]
    assert (found.model.sigma_min, found.model.sigma_max) == pytest.approx((low, high), rel=1e-6)
    assert found.model.shift == (pytest.approx(3.0, rel=1e-5) if flow else None)
    assert found.model.guidance == (None if cfg == 1 else Guidance(scale=cfg, calls=1))
    same(found, wanted)
    assert found.provenance.score_evals == wanted.provenance.score_evals


def test_patched_weights_and_a_replaced_table_of_sigmas_are_what_is_compiled(comfyui):
    shifted = node("ModelSamplingSD3", model=["merged", 0], shift=6.0)
    graph = compiling(shifted, solver="dpmpp_2m", nfe="10", refine=False, compile_seed=3)
    graph |= {"one": toy("flow"), "other": toy("flow", scale=3.0)}
    graph["merged"] = node("ModelMergeSimple", model1=["one", 0], model2=["other", 0], ratio=0.25)
    assert comfyui.run(graph).succeeded
    found = artc.load(comfyui.artifacts / "toy.art.json")
    assert found.model.shift == pytest.approx(6.0, rel=1e-5)
    assert found.model.sigma_min == pytest.approx(0.006 / 1.005, rel=1e-5)
    assert found.provenance.model_record["patched_weights"] == 1
    merged = gaussian(0.5, True, SPREAD**2 * (0.25 + 0.75 * 3.0**2))
    same(found, ours("flow", merged, "dpmpp_2m", [10], shift=6.0, limits=(0.006 / 1.005, 1.0)))


@pytest.mark.parametrize(("kind", "cfg", "solver"), [("edm", 1.0, "heun"), ("flux", 2.0, "dpmpp_2m")])
def test_the_calls_are_those_that_were_planned_and_a_guided_one_counts_once(comfyui, kind, cfg, solver):
    graph = compiling(toy(kind, salt=f"counted {cfg}"), cfg=cfg, solver=solver, nfe="9, 5", batch=4)
    graph["rows"] = node("CompileRows", model=["model", 0], after=["compile", 2])
    graph["report"] = node("ToyReport", text=["compile", 2], sigmas=["compile", 0])
    run = comfyui.run(graph)
    rows, found = run.history["outputs"]["rows"]["rows"], artc.load(comfyui.artifacts / "toy.art.json")
    guided = 1 if cfg == 1 else 2
    assert set(rows) == {4 * guided, 2 * guided}  # the 2 noises that are watched, and what is left of the 6 others
    assert sum(rows) == guided * found.provenance.score_evals
    plan = planned(Job(nfe=(9, 5), solver=solver, trajectories=8), None if kind == "edm" else found.model.shift)
    most = plan.pop("refining")
    fixed = sum(plan.values())
    refining = found.provenance.score_evals - fixed
    searches = found.provenance.diagnostics["refinements"]
    assert refining == sum((facts["walks"] + 2) * int(name.split()[1]) for name, facts in searches.items())
    assert 0 < refining <= most
    assert f"toy.art.json: {fixed + refining:,} model calls in" in run.report()["text"]
    assert f"(planned: {fixed:,} model calls, and up to {most:,} to refine)" in run.report()["text"]
    # The first number asked for is the schedule handed on, and as many calls as it says.
    assert run.report()["sigmas"] == np.float32(found.sigmas(nfe=9)).tolist()


@pytest.mark.parametrize(("solver", "cfg"), [("euler", 1.0), ("heun", 4.0), ("ipndm_4", 1.0)])
def test_a_compiled_schedule_samples_in_the_same_graph_and_through_art_schedule(comfyui, solver, cfg):
    run = comfyui.run(sampled(compiling(toy(salt=solver), solver=solver, nfe="7", cfg=cfg)))
    report, found = run.report(), artc.load(comfyui.artifacts / "toy.art.json")
    assert report["sigmas"] == np.float32(found.sigmas(nfe=7)).tolist()
    assert report["tensor"] == ["torch.float32", "cpu", 1]
    assert ("Sample with " in report["text"]) == (WALKED_BY[solver] != solver)
    samples, reference = torch.tensor(report["samples"]), end_of(report["sigmas"][0], 0.5 if cfg == 1 else 2.75)
    error = float((samples - reference).square().mean().sqrt())
    assert error == pytest.approx(found.schedules[0].evaluation[0].value, rel=0.4)  # of other noises
    chosen = sampled(compiling(toy(salt=solver), solver=solver, cfg=cfg))
    del chosen["compile"]
    chosen["schedule"] = art_schedule("toy.art.json", nfe=7, model=["model", 0])
    chosen["sample"]["inputs"]["sigmas"] = ["schedule", 0]
    chosen["report"] = node("ToyReport", sigmas=["schedule", 0], latent=["sample", 0])
    again = comfyui.run(chosen).report()
    assert (again["sigmas"], again["samples"]) == (report["sigmas"], report["samples"])


def test_a_sampler_that_writes_into_the_sigmas_spoils_no_later_run(comfyui):
    """ART Compile is not run again; what it gave is kept by ComfyUI, and uni_pc ends it in 0.001."""
    for seed, sampler in enumerate(("euler", "uni_pc", "euler")):
        graph = sampled(compiling(toy(salt="lent"), nfe="4", refine=False))
        graph["sampler"]["inputs"]["sampler_name"] = sampler
        graph["sample"]["inputs"]["noise_seed"] = seed
        run = comfyui.run(graph)
        assert run.report()["sigmas"][-1] == 0.0
        assert ("compile" in run.cached) == (seed > 0)


def test_the_artifact_is_valid_and_reads_well(comfyui):
    assert comfyui.run(compiling(toy("eps"), cfg=7.0, solver="euler", name="dream 1.5")).succeeded
    path = comfyui.artifacts / "dream 1.5.art.json"
    assert cli.artc("validate", path).code == 0
    said = cli.artc("inspect", path).out
    for words in (
        "dream 1.5: 1 schedule by art-rl",
        "comfyui:BASE, shape 4 x 2 x 2, domain ve",
        "one prompt, guidance 7: 1 call for each denoised value, counted in every NFE",
        "14.6146 to 0; the model knows 0.0291672 and above",
    ):
        assert words in said
    found = artc.load(path)
    assert (found.model.prediction, found.model.sha256, found.provenance.device) == ("eps", None, "cpu")
    assert found.provenance.model_record["precision"] == "float32"
    assert found.provenance.model_record["host"] == "ComfyUI 0.3.75"


def test_a_real_unet_is_compiled(comfyui):
    assert comfyui.run(
        sampled(compiling(node("CompileTinySD", salt=""), cfg=4.0, size=8, nfe="4", batch=3, refine=False))
    ).succeeded
    found = artc.load(comfyui.artifacts / "toy.art.json")
    assert (found.model.source, found.model.shape) == ("comfyui:SD15", (4, 8, 8))
    assert found.schedules[0].evaluation[0].value > 0


def test_a_coarse_precision_is_said(comfyui):
    graph = compiling(node("ModelComputeDtype", model=["plain", 0], dtype="bf16"), nfe="4", refine=False)
    graph |= {"plain": toy(), "report": node("ToyReport", text=["compile", 2])}
    assert "ModelComputeDtype before this node" in comfyui.run(graph).report()["text"]
    assert artc.load(comfyui.artifacts / "toy.art.json").provenance.model_record["precision"] == "bfloat16"


def test_it_runs_again_only_when_something_changed_and_never_over_a_file(comfyui):
    graph = compiling(toy(salt="cached"), refine=False)
    assert comfyui.run(graph).succeeded
    first = (comfyui.artifacts / "toy.art.json").read_bytes()
    assert "compile" in comfyui.run(graph).cached
    assert files(comfyui) == ["toy.art.json"]
    graph["compile"]["inputs"]["compile_seed"] = 1
    graph["report"] = node("ToyReport", text=["compile", 1])
    assert comfyui.run(graph).report()["text"] == "toy_00002.art.json"
    assert files(comfyui) == ["toy.art.json", "toy_00002.art.json"]
    assert (comfyui.artifacts / "toy.art.json").read_bytes() == first


@pytest.mark.parametrize(
    ("widgets", "sentence"),
    [
        (
            {"nfe": "abc"},
            "nfe - nfe takes whole numbers from 1 to 9999, not 'abc'. One or more of them, such as 8, 12.",
        ),
        ({"nfe": ""}, "nfe - nfe takes whole numbers from 1 to 9999, not ''."),
        ({"nfe": "8; 8"}, "nfe - nfe takes different numbers, not '8; 8'."),
        ({"solver": "rk4"}, "solver: 'rk4' not in ['dpmpp_2m', 'euler', 'heun', 'ipndm_4']"),
        ({"trajectories": 4}, "Value 4 smaller than min of 8"),
    ],
)
def test_what_comfyui_can_refuse_it_refuses_once_before_anything_runs(comfyui, widgets, sentence):
    with pytest.raises(Refused) as refused:
        comfyui.run(compiling(toy(salt="never"), **widgets))
    (errors,) = refused.value.said["node_errors"].values()
    (error,) = errors["errors"]
    assert sentence in f"{error['message']} {error['details']}"


@pytest.mark.parametrize(
    ("widgets", "sentence"),
    [
        ({"solver": "heun"}, "heun cannot make exactly 8 denoiser calls. The nearest NFE it can make are 7 and 9."),
        ({"name": "../../etc/cron"}, "'../../etc/cron' cannot be the name of a file. Use letters, digits, spaces and"),
        ({"name": "a/b"}, "'a/b' cannot be the name of a file."),
        ({"name": "a\\b"}, "cannot be the name of a file."),
        ({"name": ""}, "'' cannot be the name of a file."),
    ],
)
def test_the_rest_is_refused_in_a_sentence_before_the_model_is_called(comfyui, widgets, sentence):
    run = comfyui.run(compiling(toy(delay=10.0, salt="never"), **widgets), within=9.0)
    assert run.error["node_type"] == "ArtCompile"
    assert sentence in run.error["exception_message"]
    assert files(comfyui) == []


def test_a_wired_value_is_looked_at_when_it_has_come(comfyui):
    graph = compiling(toy(), nfe=["text", 0])
    graph["text"] = node("PrimitiveString", value="8, nine")
    assert comfyui.run(graph).error["exception_message"].startswith("nfe takes whole numbers from 1 to 9999, not")
    graph["text"] = node("PrimitiveString", value="4")
    assert comfyui.run(graph).succeeded
    assert [held.nfe for held in artc.load(comfyui.artifacts / "toy.art.json").schedules] == [4]


def test_a_folder_that_cannot_be_written_is_named_before_the_work(comfyui):
    away = comfyui.artifacts.rename(comfyui.artifacts.with_name("away"))
    comfyui.artifacts.write_text("a file where the folder should be")
    try:
        run = comfyui.run(compiling(toy(delay=1.0, salt="unwritable")), within=20)
        assert run.error["exception_message"].startswith(f"There is no folder {str(comfyui.artifacts)!r}.")
    finally:
        comfyui.artifacts.unlink()
        away.rename(comfyui.artifacts)


def test_what_makes_a_model_forgetful_of_sigma_is_refused(comfyui):
    cached = node(
        "EasyCache", model=["plain", 0], reuse_threshold=0.2, start_percent=0.15, end_percent=0.95, verbose=False
    )
    run = comfyui.run(compiling(cached) | {"plain": toy()})
    assert run.error["exception_message"].startswith("EasyCache and LazyCache answer from the call before")
    run = comfyui.run(compiling(prompt=node("CompilePrompt", mean=0.5, keyframes=True)))
    assert run.error["exception_message"].startswith("Hook keyframes change the weights while a sample is made")
    assert files(comfyui) == []


def test_what_the_model_itself_raises_is_shown_as_it_is(comfyui):
    graph = compiling(node("CompileTinySD", salt=""), prompt=node("CompilePrompt", mean=0.5, width=8), size=8)
    error = comfyui.run(graph).error
    assert error["exception_type"] == "RuntimeError"
    assert "mat1 and mat2 shapes cannot be multiplied" in error["exception_message"]
    assert files(comfyui) == []


@pytest.mark.parametrize("wait", [0.0, 1.5])
def test_an_interrupt_ends_it_at_the_next_call_and_leaves_nothing_behind(comfyui, wait):
    graph = compiling(toy(delay=0.4, salt=f"interrupted {wait}"), batch=1)
    began = comfyui.ask("/prompt", {"prompt": graph})["prompt_id"]
    while not comfyui.ask("/queue")["queue_running"]:
        time.sleep(0.01)
    time.sleep(wait)
    asked = time.monotonic()
    comfyui.fetch("/interrupt", {})
    while began not in comfyui.ask("/history"):
        assert time.monotonic() < asked + 10
        time.sleep(0.02)
    assert time.monotonic() - asked < 1.5
    kinds = [kind for kind, _ in comfyui.ask(f"/history/{began}")[began]["status"]["messages"]]
    assert "execution_interrupted" in kinds
    assert files(comfyui) == []
    if wait:  # and the next one runs
        assert comfyui.run(compiling(toy(), refine=False)).succeeded


def test_no_widget_is_one_that_comfyui_changes_after_every_run(comfyui):
    assert not {"seed", "noise_seed"} & comfyui.node("ArtCompile")["input"]["required"].keys()
