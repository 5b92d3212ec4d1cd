"""The node pack in the real ComfyUI: what its user sees listed, and what a graph with ART Schedule does."""

import shutil
import subprocess

import numpy as np
import pytest

import artc
from artc.integrations.samplers import SAMPLERS
from tests.hosts.comfyui import PYTHON, ROOT, art_schedule, node
from tests.integrations.made import artifact

MNIST = ROOT / "artifacts" / "mnist" / "mnist.art.json"
NODES = {
    "ArtSchedule": "ART Schedule",
    "ArtScheduleInfo": "ART Schedule Info",
    "ArtCompile": "ART Compile",
    "ArtPolicySampler": "ART Policy Sampler",
    "ArtModelSigmas": "ART Model Sigmas",
}
TRIED = ["euler", "heun", "dpmpp_2m", "dpm_2", "dpm_2_ancestral", "dpmpp_sde", "dpmpp_3m_sde"]
TRIED += ["ipndm", "deis", "res_multistep", "uni_pc", "uni_pc_bh2"]
GRID = (20.0, 9.0, 4.0, 1.5, 0.5, 0.1, 0.0)


@pytest.fixture(scope="module")
def mnist(comfyui):
    shutil.copy(MNIST, comfyui.artifacts)
    return artc.load(MNIST)


@pytest.fixture(scope="module")
def written(comfyui):
    """An artifact with one grid of six steps, for one solver."""
    artifact(GRID).save(comfyui.artifacts / "written.art.json")
    return "written.art.json"


def in_float32(sigmas):
    return np.asarray(sigmas, dtype=np.float32).tolist()


def handed_over(comfyui, schedule, **more):
    """What a node after ART Schedule sees."""
    graph = {"sigmas": schedule, "report": node("ToyReport", sigmas=["sigmas", 0], text=["sigmas", 1]), **more}
    return comfyui.run(graph).report()


def test_comfyui_has_none_of_the_libraries_that_artc_asks_for_and_comfyui_does_not():
    names = ["artc", "jsonschema", "typer", "rich", "matplotlib", "onnx", "onnxruntime", "diffusers"]
    code = f"import importlib.util as u; print([name for name in {names} if u.find_spec(name)])"
    assert subprocess.check_output([PYTHON, "-c", code], cwd="/", text=True).strip() == "[]"


def test_the_pack_loads_and_its_nodes_are_listed_by_their_names(comfyui):
    listed = {name: said for name, said in comfyui.ask("/object_info").items() if name.startswith("Art")}
    assert {name: said["display_name"] for name, said in listed.items()} == NODES
    places = {name: said["category"].removeprefix("sampling/custom_sampling/") for name, said in listed.items()}
    assert places == {**dict.fromkeys(NODES, "schedulers"), "ArtPolicySampler": "samplers"}


@pytest.mark.parametrize("name", NODES)
def test_a_node_its_inputs_and_its_outputs_are_explained(comfyui, name):
    said = comfyui.node(name)
    assert len(said["description"]) > 40
    assert len(said["output_tooltips"]) == len(said["output"])
    for widgets in said["input"].values():
        for widget, (_, options) in widgets.items():
            assert len(options["tooltip"]) > 20, widget


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_a_page_of_help(comfyui, name):
    page = comfyui.fetch(f"/extensions/artc/docs/{name}.md").decode()
    assert page.startswith(f"# {NODES[name]}\n")
    inputs = comfyui.node(name)["input"]
    for widget in [*inputs["required"], *inputs.get("optional", {})]:
        assert f"`{widget}`" in page


def test_the_example_workflow_is_offered_as_a_template_and_uses_what_there_is(comfyui):
    (name,) = comfyui.ask("/workflow_templates")["artc"]
    graph = comfyui.ask(f"/api/workflow_templates/artc/{name}.json")
    kinds = {known["type"] for known in graph["nodes"]}
    assert "ArtSchedule" in kinds
    assert kinds - {"Note", "MarkdownNote"} <= set(comfyui.ask("/object_info"))


def test_the_sigmas_of_every_schedule_are_the_artifacts_own_in_float32(comfyui, mnist):
    for held in mnist.schedules:
        for budget in ({"nfe": held.nfe}, {"steps": held.steps}):
            report = handed_over(comfyui, art_schedule(MNIST.name, solver=held.solver, **budget))
            assert report["sigmas"] == in_float32(held.sigmas)
            assert report["tensor"] == ["torch.float32", "cpu", 1]
            assert f"{held.solver} · NFE {held.nfe} in {held.steps} steps" in report["text"]


@pytest.mark.parametrize("sampler", TRIED)
@pytest.mark.parametrize("kind", ["eps", "v", "edm"])
def test_a_sampler_walks_the_compiled_grid_and_spends_what_is_said_of_it(comfyui, written, sampler, kind):
    grid = in_float32(GRID)[2:] if kind != "edm" else in_float32(GRID)  # from 4.0: the discrete models end at 14.6
    schedule = art_schedule(written, steps=6, denoise=1.0 if kind == "edm" else 4 / 6)
    report = comfyui.run(comfyui.sampling(schedule, sampler=sampler, kind=kind)).report()
    assert report["calls"] == SAMPLERS[sampler].nfe(len(grid) - 1)
    assert set(grid[:-1]) <= set(report["seen"])
    assert report["seen"][0] == grid[0]


def test_heun_calls_the_model_at_the_artifacts_sigmas_and_at_no_other(comfyui, written):
    report = comfyui.run(comfyui.sampling(art_schedule(written, steps=6), sampler="heun")).report()
    assert report["seen"] == sorted([*in_float32(GRID[:-1]), *in_float32(GRID[1:-1])], reverse=True)


def test_a_flow_artifact_samples_a_flow_model(comfyui):
    made = artifact((0.99, 0.8, 0.3, 0.05, 0.0), domain="flow", sigma_min=0.01)
    made.save(comfyui.artifacts / "straight.art.json")
    for kind in ("flow", "flux"):
        graph = comfyui.sampling(
            art_schedule("straight.art.json", steps=4, model=["model", 0]), sampler="euler", kind=kind
        )
        assert comfyui.run(graph).report()["seen"] == in_float32([0.99, 0.8, 0.3, 0.05])


def test_uni_pc_does_not_spoil_the_schedule_for_the_samplers_after_it(comfyui, written):
    """They write 0.001 over the last sigma of whatever they are given; an ordinary node's tensor stays like that."""
    for sampler in ("uni_pc", "uni_pc_bh2"):
        for schedule, last in ((art_schedule(written, steps=6, denoise=5 / 6), 0.0), ([4.0, 0.51, 0.0], 0.001)):
            first = comfyui.run(comfyui.sampling(schedule, sampler=sampler))
            assert first.succeeded
            second = comfyui.sampling(schedule, sampler="heun")
            second["report"]["inputs"]["sigmas"] = ["sigmas", 0]
            run = comfyui.run(second)
            assert "sigmas" in run.cached
            assert run.report()["sigmas"][-1] == np.float32(last)
    assert run.report()["sigmas"] != in_float32([4.0, 0.51, 0.0])  # so that this test can fail


def test_both_samplers_in_one_graph_get_the_whole_grid(comfyui, written):
    graph = comfyui.sampling(art_schedule(written, steps=6, denoise=0.51), sampler="uni_pc")
    other = comfyui.sampling(graph["sigmas"], sampler="heun")
    graph |= {
        "model 2": other["model"],
        "sampler 2": other["sampler"],
        # The latent is that of the first, so that this one certainly runs after it.
        "sample 2": node(
            "SamplerCustom",
            **other["sample"]["inputs"]
            | {"model": ["model 2", 0], "sampler": ["sampler 2", 0], "latent_image": ["sample", 0]},
        ),
        "report": node("ToyReport", latent=["sample 2", 0], model=["model 2", 0], sigmas=["sigmas", 0]),
    }
    report = comfyui.run(graph).report()
    assert report["sigmas"] == in_float32(GRID[3:])
    assert report["calls"] == 5


@pytest.mark.parametrize(("denoise", "kept"), [(0.5, 3), (1 / 6, 1), (5 / 6, 5), (0.99, 6), (1.0, 6)])
def test_denoise_walks_the_tail_of_the_schedule(comfyui, written, denoise, kept):
    report = handed_over(comfyui, art_schedule(written, steps=6, denoise=denoise))
    assert report["sigmas"] == in_float32(GRID[-(kept + 1) :])


def test_denoise_0_hands_over_nothing_and_the_latent_comes_back(comfyui, written):
    graph = comfyui.sampling(art_schedule(written, steps=6, denoise=0.0), start=0.25)
    report = comfyui.run(graph).report()
    assert report["calls"] == 0
    assert np.unique(report["samples"]).tolist() == [0.25]


def test_a_wired_model_changes_no_sigma(comfyui, written):
    for kind in ("edm", "v_edm"):
        model = node("ToyModel", kind=kind, salt="")
        report = handed_over(comfyui, art_schedule(written, steps=6, model=["model", 0]), model=model)
        assert report["sigmas"] == in_float32(GRID)


def test_a_new_file_is_seen_without_a_restart_in_folders_too(comfyui):
    for place, name in ((comfyui.artifacts, "new.art.json"), (comfyui.artifacts / "deep" / "er", "newer.art.json")):
        listed = name if place == comfyui.artifacts else f"deep/er/{name}"
        assert listed not in comfyui.choices("ArtSchedule", "artifact")
        place.mkdir(parents=True, exist_ok=True)
        artifact((7.0, 2.0, 0.0)).save(place / name)
        assert listed in comfyui.choices("ArtSchedule", "artifact")
        assert handed_over(comfyui, art_schedule(listed, steps=2))["sigmas"] == [7.0, 2.0, 0.0]


def test_a_folder_named_in_extra_model_paths_is_listed_and_only_its_json(comfyui):
    artifact((6.0, 2.0, 0.0)).save(comfyui.elsewhere / "afar.art.json")
    (comfyui.elsewhere / "readme.txt").write_text("no artifact")
    names = comfyui.choices("ArtSchedule", "artifact")
    assert "afar.art.json" in names
    assert "readme.txt" not in names
    assert handed_over(comfyui, art_schedule("afar.art.json", steps=2))["sigmas"] == [6.0, 2.0, 0.0]


def test_an_edited_artifact_runs_the_node_again_and_an_untouched_one_does_not(comfyui):
    file = comfyui.artifacts / "edited.art.json"
    graph = {
        "sigmas": art_schedule(file.name, steps=2),
        "report": node("ToyReport", sigmas=["sigmas", 0]),
    }
    artifact((7.0, 2.0, 0.0)).save(file)
    assert comfyui.run(graph).report()["sigmas"] == [7.0, 2.0, 0.0]
    assert "sigmas" in comfyui.run(graph).cached
    file.touch()
    assert "sigmas" in comfyui.run(graph).cached
    file.unlink()
    artifact((7.0, 3.0, 0.0)).save(file)
    run = comfyui.run(graph)
    assert "sigmas" not in run.cached
    assert run.report()["sigmas"] == [7.0, 3.0, 0.0]


def test_a_schedule_that_is_wired_to_nothing_does_not_run_and_spoils_nothing(comfyui, written):
    flow, unused = node("ToyModel", kind="flow", salt="of no use"), art_schedule(written, steps=6, model=["flow", 0])
    schedule = art_schedule(written, steps=6)
    assert handed_over(comfyui, schedule, unused=unused, flow=flow)["sigmas"] == in_float32(GRID)
    with pytest.raises(AssertionError, match="flow models have it"):  # so that this test can fail
        handed_over(comfyui, unused, flow=flow)


def test_the_info_node_shows_every_schedule_of_an_artifact(comfyui, mnist):
    run = comfyui.run({"info": node("ArtScheduleInfo", artifact=MNIST.name)})
    (text,) = run.history["outputs"]["info"]["text"]
    rows = [line.split()[:3] for line in text.splitlines()]
    assert mnist.digest in text
    for held in mnist.schedules:
        assert [held.solver, str(held.nfe), str(held.steps)] in rows


def test_the_workflow_of_the_template_has_its_widgets_in_the_nodes_order(comfyui):
    """A saved workflow lists the values of widgets by their places: each must be one that the widget there takes."""
    (name,) = comfyui.ask("/workflow_templates")["artc"]
    graph = comfyui.ask(f"/api/workflow_templates/artc/{name}.json")
    (saved,) = [known for known in graph["nodes"] if known["type"] == "ArtSchedule"]
    widgets = comfyui.node("ArtSchedule")["input"]["required"]
    assert len(saved["widgets_values"]) >= len(widgets)
    for value, (widget, (kind, _)) in zip(saved["widgets_values"], widgets.items(), strict=False):
        if widget == "artifact":
            assert value.endswith(".art.json")
        elif isinstance(kind, list):
            assert value in kind, widget
        else:
            assert isinstance(value, (int, float)), widget
