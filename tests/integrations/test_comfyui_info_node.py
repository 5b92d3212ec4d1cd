"""What the node ART Schedule Info shows: every fact of the artifact that a user chooses by."""

import re
import shutil
from dataclasses import replace

import pytest

import artc
from artc.artifact import Guidance
from artc.integrations.comfyui import NODE_CLASS_MAPPINGS, describing, folders
from tests.integrations.made import MNIST, artifact, flow_artifact

NODE = NODE_CLASS_MAPPINGS["ArtScheduleInfo"]


@pytest.fixture
def comfy(comfy):
    folders.register()
    shutil.copy(MNIST, comfy.artifacts / "mnist.art.json")
    return comfy


def test_every_schedule_is_a_row_with_its_error_under_the_right_heading(comfy):
    shown = NODE().describe("mnist.art.json")
    (text,) = shown["result"]
    assert shown["ui"] == {"text": [text]}
    lines = text.splitlines()
    head = next(k for k, words in enumerate(lines) if words.startswith("solver"))
    headings = lines[head].split()
    loaded = artc.load(MNIST)
    for schedule, words in zip(loaded.schedules, lines[head + 1 :], strict=False):
        row = dict(zip(headings, words.split(), strict=True))
        done = schedule.evaluation[0]
        assert (row["solver"], row["NFE"], row["steps"]) == (schedule.solver, str(schedule.nfe), str(schedule.steps))
        assert row["origin"] == schedule.origin
        assert float(row["error"]) == pytest.approx(done.value, abs=6e-5)
        assert float(row["edm-free"]) == pytest.approx(done.baselines["edm-free"], abs=6e-5)
    assert lines[head + 1 + len(loaded.schedules)] == ""


def test_model_weights_domain_range_and_provenance_are_shown(comfy):
    (text,) = NODE().describe("mnist.art.json")["result"]
    loaded = artc.load(MNIST)
    facts = dict(
        re.findall(r"^(model|weights|domain|sigma|condition|method|made by|digest) +(.+)$", text, re.MULTILINE)
    )
    assert text.startswith("mnist.art.json\n")
    assert facts["model"] == "mnist (embedded:mnist), 1 x 32 x 32, predicts denoised"
    assert facts["weights"] == f"sha256 {loaded.model.sha256}"
    assert facts["domain"].startswith("ve: x = x0 + sigma n")
    assert facts["sigma"] == "80 to 0; the model knows 0.002 and above"
    assert facts["condition"] == "none"
    assert f"{loaded.provenance.diagnostics['gap']:.2%} above the lower bound" in facts["method"]
    assert facts["digest"] == loaded.digest


def test_flow_shift_and_guidance_are_shown():
    flow = describing.screen(replace(flow_artifact(), model=replace(flow_artifact().model, shift=3.0)), "flow.json")
    assert "domain    flow: x = (1 - sigma) x0 + sigma n, as flow models have it; shift 3, already inside sigma" in flow
    guided = artifact((10.0, 1.0, 0.0), guidance=7.5, conditioning="prompt")
    assert "condition prompt; guidance 7.5 (2 calls, in every NFE)" in describing.screen(guided, "guided.json")
    assert guided.model.guidance == Guidance(scale=7.5)


def test_schedules_of_which_nothing_was_measured_have_no_columns_of_errors():
    text = describing.screen(artifact((10.0, 1.0, 0.0), solver="dpmpp_2m"), "one.json")
    assert "solver    NFE  steps  origin\ndpmpp_2m    2      2  refined\n" in text
    assert "error is" not in text


def test_what_a_stranger_called_the_model_adds_no_line_and_no_control_character():
    plain = describing.screen(artifact((10.0, 1.0, 0.0)), "one.json")
    text = describing.screen(artifact((10.0, 1.0, 0.0), name="a\nb\x1b[31m", source="c\r\x85"), "one\n.json")
    assert len(text.splitlines()) == len(plain.splitlines())
    assert "model     a\\nb\\x1b[31m (c\\r\\x85), " in text
    assert text.startswith("one\\n.json\n")


def test_a_schedule_that_was_not_measured_has_dashes_beside_those_that_were(comfy):
    text = describing.screen(artc.load(MNIST).resampled([7], "heun"), "more.json")
    assert re.search(r"^heun +7 +4 +resampled( +-){5}$", text, re.MULTILINE)


def test_relatives_of_a_solver_are_listed_and_no_line_is_too_long_for_the_node():
    text = describing.screen(artifact((10.0, 1.0, 0.0), solver="dpmpp_2m"), "one.json")
    relatives = text.partition("the sampler dpmpp_2m; its relatives take them too: ")[2]
    assert {"uni_pc", "deis", "ipndm"} <= set(re.split(r"[,.\s]+", relatives))
    assert "heun" not in re.split(r"[,.\s]+", relatives)
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("solver", "said"),
    [
        ("ipndm_4", "ipndm_4 schedules are for the sampler ipndm."),
        ("deis_3", "deis_3 schedules are for no sampler here; its relatives take them too: deis."),
        ("unipc_3", "unipc_3 schedules are for no sampler here; its relatives take them too: uni_pc, uni_pc_bh2."),
    ],
)
def test_a_solver_is_told_with_the_samplers_name(solver, said):
    assert describing.screen(artifact((10.0, 1.0, 0.0), solver=solver), "one.json").splitlines()[-1] == said


def test_a_solver_that_comfyui_does_not_have_has_no_relatives():
    assert "relatives" not in describing.screen(artifact((10.0, 1.0, 0.0), solver="rk4"), "one.json")


def test_the_node_runs_again_when_the_contents_change_only(comfy):
    before = NODE.IS_CHANGED("mnist.art.json")
    assert NODE.IS_CHANGED("mnist.art.json") == before
    artifact((10.0, 1.0, 0.0)).save(comfy.artifacts / "mnist.art.json", force=True)
    assert NODE.IS_CHANGED("mnist.art.json") != before


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.1235"), (76.4067, "76.4067"), (0.001, "0.0010"), (6.1e-4, "6.1e-04"), (0, "0.0000")],
)
def test_figures_keep_what_can_be_read(value, shown):
    assert describing.figure(value) == shown
