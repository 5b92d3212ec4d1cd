"""What goes wrong in ComfyUI reaches its user as a sentence in the node that it happened in, and the server goes on."""

import json
import shutil

import pytest

from tests.hosts.comfyui import ROOT, Refused, art_schedule, node
from tests.integrations.made import artifact, flow_artifact

MNIST = ROOT / "artifacts" / "mnist" / "mnist.art.json"


@pytest.fixture(scope="module", autouse=True)
def files(comfyui):
    """Artifacts that are whole, and some that are not."""
    folder = comfyui.artifacts
    text = MNIST.read_text()
    assert text.count('"nfe": 13') == 2
    shutil.copy(MNIST, folder / "whole.art.json")
    (folder / "cut.art.json").write_text(text[: len(text) // 2])
    (folder / "altered.art.json").write_text(text.replace('"nfe": 13', '"nfe": 15', 1))
    (folder / "later.art.json").write_text(json.dumps(json.loads(text) | {"format_version": "2.0"}))
    (folder / "other.json").write_text('{"nodes": [], "links": []}')
    (folder / "binary.art.json").write_bytes(bytes(range(256)))
    flow_artifact().save(folder / "flow.art.json")
    artifact((4.0, 1.0, 0.01, 0.0), sigma_min=0.005).save(folder / "low.art.json")


def refusal(comfyui, schedule, kind="edm", wired=True):
    """The sentence that the user is shown when a schedule is to sample a toy model."""
    schedule["inputs"] |= {"model": ["model", 0]} if wired else {}
    run = comfyui.run(comfyui.sampling(schedule, kind=kind))
    assert not run.succeeded
    error = run.error
    assert error["node_type"] == "ArtSchedule"
    assert error["exception_type"].startswith("artc.errors.")
    message = error["exception_message"].strip()
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cut.art.json", "not JSON"),
        ("altered.art.json", "digest"),
        ("later.art.json", "version"),
        ("other.json", "artifact"),
        ("binary.art.json", "not"),
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_what_is_wrong_with_it(comfyui, name, says):
    message = refusal(comfyui, art_schedule(name, solver="heun", nfe=9), wired=False)
    assert message.startswith(f"{name} cannot be used. ")
    assert says in message


def test_a_budget_that_there_is_none_of_lists_those_there_are(comfyui):
    message = refusal(comfyui, art_schedule("whole.art.json", solver="heun", nfe=11))
    assert "holds no heun schedule at NFE 11." in message
    assert "2 steps (NFE 3), 3 steps (NFE 5), 5 steps (NFE 9), 7 steps (NFE 13) and 10 steps (NFE 19)" in message


def test_a_solver_left_open_where_there_are_two_is_asked_for(comfyui):
    message = refusal(comfyui, art_schedule("whole.art.json", nfe=9))
    assert "heun and euler" in message
    assert "Set solver" in message


def test_a_denoise_that_leaves_no_step_says_how_much_leaves_one(comfyui):
    message = refusal(comfyui, art_schedule("whole.art.json", solver="heun", steps=2, denoise=0.1))
    assert "none of the 2 steps is left" in message
    assert "0.50" in message


@pytest.mark.parametrize("kind", ["flow", "flux"])
def test_a_ve_artifact_wired_to_a_flow_model_is_refused(comfyui, kind):
    message = refusal(comfyui, art_schedule("whole.art.json", solver="heun", nfe=9), kind)
    assert "compiled for 'mnist', where x = x0 + sigma n" in message
    assert "in the wired model (Gaussian) x = (1 - sigma) x0 + sigma n" in message


@pytest.mark.parametrize("kind", ["eps", "v", "edm", "v_edm"])
def test_a_flow_artifact_wired_to_a_ve_model_is_refused(comfyui, kind):
    message = refusal(comfyui, art_schedule("flow.art.json", steps=3), kind)
    assert "where x = (1 - sigma) x0 + sigma n" in message
    assert "in the wired model (Gaussian) x = x0 + sigma n" in message


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_a_schedule_that_leaves_the_models_range_is_refused_with_both_ranges(comfyui, kind):
    message = refusal(comfyui, art_schedule("whole.art.json", solver="heun", nfe=9), kind)
    assert "starts at sigma = 80" in message
    assert "from 0.0291672 to 14.6146" in message
    message = refusal(comfyui, art_schedule("low.art.json", steps=3), kind)
    assert "goes down to sigma = 0.01" in message


def test_a_start_below_the_models_range_is_mentioned_and_sampled(comfyui):
    schedule = art_schedule("whole.art.json", solver="heun", nfe=9, model=["model", 0])
    graph = comfyui.sampling(schedule, sampler="heun")
    graph["report"]["inputs"]["text"] = ["sigmas", 1]
    report = comfyui.run(graph).report()
    assert report["calls"] == 9
    assert "starts at sigma = 80, below the 120" in report["text"]


@pytest.mark.parametrize(
    "name",
    ["../../../../../../etc/passwd", "/etc/passwd", "../art_schedules/whole.art.json", "sub/../whole.art.json", ""],
)
@pytest.mark.parametrize("kind", ["ArtSchedule", "ArtScheduleInfo"])
def test_a_path_that_is_not_in_the_list_never_reaches_the_node(comfyui, name, kind):
    if kind == "ArtSchedule":
        graph = {"art": art_schedule(name, solver="heun", nfe=9), "report": node("ToyReport", sigmas=["art", 0])}
    else:
        graph = {"art": node(kind, artifact=name)}
    with pytest.raises(Refused) as refused:
        comfyui.run(graph)
    assert refused.value.status == 400
    (error,) = refused.value.said["node_errors"]["art"]["errors"]
    assert error["type"] == "value_not_in_list"
    assert "passwd" not in json.dumps(comfyui.ask("/history"))
    good = {"art": art_schedule("whole.art.json", solver="heun", nfe=9), "report": node("ToyReport", sigmas=["art", 0])}
    assert comfyui.run(good).succeeded


def test_a_link_that_leads_out_of_the_folder_is_not_followed(comfyui):
    secret = comfyui.base / "secret.json"
    secret.write_text(MNIST.read_text())
    (comfyui.artifacts / "link.json").symlink_to(secret)
    message = refusal(comfyui, art_schedule("link.json", solver="heun", nfe=9))
    assert message.startswith("'link.json' leads out of the folder ")


def test_a_file_that_went_away_after_it_was_listed_is_missed_by_its_name(comfyui):
    file = comfyui.artifacts / "gone.art.json"
    shutil.copy(MNIST, file)
    assert file.name in comfyui.choices("ArtSchedule", "artifact")
    file.unlink()
    with pytest.raises(Refused, match=r"gone\.art\.json"):
        comfyui.run(comfyui.sampling(art_schedule(file.name, solver="heun", nfe=9)))


def test_after_every_refusal_the_next_prompt_runs(comfyui):
    for name in ("cut.art.json", "flow.art.json", "whole.art.json"):
        schedule = art_schedule(name, solver="heun", nfe=9, model=["model", 0])
        succeeded = comfyui.run(comfyui.sampling(schedule, sampler="heun")).succeeded
        assert succeeded == (name == "whole.art.json")
