"""What each target of an export prints, read back by a parser of its own."""

import ast
import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

import artc
from artc.artifact import Schedule
from artc.errors import BudgetError, InputError, UnknownNameError
from artc.integrations.exporting import TARGETS, export
from tests.integrations.exported import GRID, lines, scraped, sd
from tests.integrations.made import MNIST, artifact, flow_artifact

# ------------------------------------------------------------------------------------- plain lists


def test_edm_gets_the_positive_sigmas_and_is_told_the_steps():
    made = export(sd(), "edm", nfe=7)
    assert json.loads(made.text) == list(GRID[:-1])
    assert dict(made.notes)["steps"] == "--steps=4"
    assert dict(export(sd(), "edm", nfe=7, denoise=0.5).notes)["steps"] == "--steps=2"
    with pytest.raises(InputError, match="EDM's samplers walk x = x0 \\+ sigma n; written is a flow"):
        export(flow_artifact(), "edm", steps=3)


def test_k_diffusion_gets_a_list_with_the_zero():
    made = export(sd(), "k-diffusion", nfe=7)
    assert ast.literal_eval(made.text) == list(GRID)
    assert made.document()["shift"] is None
    shifted = artifact((0.99, 0.3, 0.0), domain="flow", sigma_min=0.01, shift=3.0)
    for target in ("k-diffusion", "comfyui", "csv"):
        document = export(shifted, target, steps=2).document()
        assert (document["shift"], document["pre_shift"]) == (3.0, False)


OWN_NAMES = {
    "edm": {"heun": "edm_sampler", "euler": "ablation_sampler with solver='euler'"},
    "k-diffusion": {"heun": "sample_heun", "euler": "sample_euler", "dpmpp_2m": "sample_dpmpp_2m"},
    "comfyui": {name: name for name in ("heun", "euler", "dpmpp_2m")} | {"ipndm_4": "ipndm"},
    "a1111": {"heun": "Heun", "euler": "Euler", "dpmpp_2m": "DPM++ 2M"},
}


@pytest.mark.parametrize("solver", ["heun", "euler", "dpmpp_2m", "rk4", "ipndm_4", "deis_3", "unipc_3"])
@pytest.mark.parametrize("target", OWN_NAMES)
def test_a_host_calls_a_solver_by_its_own_name(target, solver):
    said = dict(export(sd(solver=solver), target, steps=4).notes)["sampler"]
    if solver in OWN_NAMES[target]:
        assert said == OWN_NAMES[target][solver]
    else:
        assert f"is {solver}; with another one nothing was measured" in said


def test_comfyui_gets_one_line_with_the_zero():
    made = export(MNIST, "comfyui", steps=5, solver="euler")
    assert scraped(made.text) == artc.load(MNIST).sigmas(steps=5, solver="euler").tolist()
    assert "\n" not in made.text
    assert "shift" not in dict(made.notes)
    flow = export(flow_artifact(), "comfyui", steps=3)
    assert scraped(flow.text) == [0.99, 0.8, 0.3, 0.0]
    assert "ModelSampling" in dict(flow.notes)["shift"]


@pytest.mark.parametrize(
    "made", [export(sd(), "csv", nfe=7), export(flow_artifact(), "csv", steps=3)], ids=["ve", "flow"]
)
def test_csv_has_a_row_for_each_sigma_in_both_domains(made):
    rows = list(csv.DictReader(io.StringIO(made.text)))
    table = np.genfromtxt(io.StringIO(made.text), delimiter=",", names=True)
    assert [int(row["step"]) for row in rows] == list(range(len(made.grid.sigmas)))
    own, other = ("sigma_flow", "sigma_ve") if made.grid.flow else ("sigma_ve", "sigma_flow")
    for row, line, sigma in zip(rows, table, made.grid.sigmas, strict=True):
        assert float(row["sigma"]) == float(row[own]) == line["sigma"] == sigma
        mapped = sigma / (1 - sigma) if made.grid.flow else sigma / (1 + sigma)
        assert float(row[other]) == pytest.approx(mapped, rel=1e-15)
        unscaled = float(row["sigma_ve"])
        assert dict(made.notes)["sigma"].startswith(f"{own};")
        assert float(row["log_snr"]) == (pytest.approx(-2 * math.log(unscaled)) if unscaled else math.inf)


def test_csv_of_a_flow_from_pure_noise_begins_at_infinity():
    made = export(artifact((1.0, 0.5, 0.0), domain="flow", sigma_min=0.01), "csv", steps=2)
    assert made.text.splitlines()[1:] == ["0,1.0,inf,1.0,-inf", "1,0.5,1.0,0.5,-0.0", "2,0.0,0.0,0.0,inf"]


# ------------------------------------------------------------------------------------- the web UIs


def test_the_web_uis_get_the_positive_sigmas_below_the_field_they_go_into():
    made = export(sd(), "a1111", nfe=7)
    custom, reforge, sdnext = lines(made)
    assert json.loads(custom) == json.loads(reforge) == list(GRID[:-1])
    assert (custom[0], custom[-1]) == ("[", "]")
    # Of the distances to the table, computed with NumPy, these are the least.
    assert sdnext == "998,744,422,10"
    comments = made.text.splitlines()
    for host, field, line in (
        ("Forge, or A1111", "# Field: Extra Schedulers: custom function / list", custom),
        ("reForge", "# Field: Settings > Scheduler parameters > Align Your Steps Custom - sigma values", reforge),
        ("SD.Next", "# Field: Timesteps override.", sdnext),
    ):
        place = next(number for number, comment in enumerate(comments) if comment.startswith(f"# {host}"))
        assert comments[place + 1].startswith(field)
        assert line in comments[place + 2 : place + 4]
        assert host == "SD.Next" or "Sampling method: Heun. Sampling steps: 4." in comments[place]
    assert dict(made.notes)["steps"].startswith("exactly 4, ")
    assert export(sd(), "a1111", nfe=7, table="sd").document()["timesteps"] == [998, 744, 422, 10]


def resampled(text, steps, measure, back, low=0.03, high=14.6):
    """What a program does with a list: stretched if from 1.0 to 0.0, interpolated to the steps, and 0 appended.

    Extra Schedulers interpolates ln(sigma), reForge sigma, each over equal intervals.
    """
    values = np.array(json.loads(text))
    if (values[0], values[-1]) == (1.0, 0.0):
        values = low + (high - low) * values
    places = np.linspace(0, 1, len(values))
    return [*back(np.interp(np.linspace(0, 1, steps), places, measure(values))), 0.0]


@pytest.mark.parametrize("grid", [GRID, (1.0, 0.8, 0.3, 0.05, 0.0)], ids=["ve", "flow"])
@pytest.mark.parametrize(("program", "measure", "back"), [(0, np.log, np.exp), (1, np.asarray, np.asarray)])
def test_a_web_ui_walks_the_list_as_it_is_at_its_own_number_of_steps_only(program, measure, back, grid):
    domain = "flow" if grid[0] == 1 else "ve"
    text = lines(export(artifact(grid, domain=domain, sigma_min=0.03), "a1111", steps=4))[program]
    np.testing.assert_allclose(resampled(text, 4, measure, back), grid, rtol=1e-14)
    assert not set(np.round(resampled(text, 5, measure, back)[1:-2], 9)) & set(grid)


def test_sd_next_gets_thousandths_of_a_flow_before_the_shift():
    made = export(artifact((1.0, 0.8, 0.3, 0.0), domain="flow", sigma_min=0.01, shift=3.0), "a1111", steps=3)
    whole = [int(word) for word in lines(made)[2].split(",")]
    before = np.array(whole) / 1000
    np.testing.assert_allclose(3 * before / (1 + 2 * before), [1.0, 0.8, 0.3], atol=1e-3)
    assert whole == [1000, 571, 125]
    errors = np.abs(3 * before / (1 + 2 * before) / [1.0, 0.8, 0.3] - 1)
    np.testing.assert_allclose(made.document()["timestep_errors"], errors, atol=1e-12)
    assert errors.max() > 1e-4
    assert (made.document()["shift"], made.document()["table"]) == (3.0, None)
    assert "Flow shift: 3.0" in made.text
    assert json.loads(lines(made)[0]) == [1.0, 0.8, 0.3]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: export(artifact((14.0, 0.1, 0.0)), "a1111", steps=2), "takes no fewer than 3 timesteps"),
        (lambda: export(MNIST, "a1111", nfe=9, solver="heun"), "sigma = 80 is outside of"),
        (
            lambda: export(artifact((1.0, 0.9999, 0.5, 0.0), domain="flow", sigma_min=0.01), "a1111", steps=3),
            "there two are the same",
        ),
        (
            lambda: export(artifact((1.0, 0.5, 4e-4, 0.0), domain="flow", sigma_min=1e-4), "a1111", steps=3),
            "there two are the same",
        ),
    ],
)
def test_sd_next_gets_nothing_where_whole_timesteps_will_not_do(made, why):
    made = made()
    assert why in dict(made.notes)["sd.next"]
    assert len(lines(made)) == 2
    assert "SD.Next" not in made.text


# --------------------------------------------------------------------------------- budgets and options


def test_a_part_of_a_schedule_is_its_last_steps_and_their_calls():
    made = export(sd(), "comfyui", nfe=7, denoise=0.5)
    assert scraped(made.text) == [1.25, 0.1, 0.0]
    document = made.document()
    assert (document["steps"], document["nfe"], document["denoise"], document["count"]) == (2, 3, 0.5, 3)
    assert "2 steps (the last of 4), 3 denoiser calls" in made.headline
    assert [name for name, _ in made.notes] == ["sampler", "numbers", "paste", "image"]
    assert export(sd(), "comfyui", nfe=7, denoise=0.75).document()["nfe"] == 5
    whole = export(sd(), "comfyui", nfe=7, denoise=0.95)
    assert (whole.document()["nfe"], "last of" in whole.headline, "image" in dict(whole.notes)) == (7, False, False)


@pytest.mark.parametrize(
    ("held", "denoise", "start"),
    [
        (sd(), 1.0, "noise * sigmas[0]"),
        (sd(), 0.5, "image + sigmas[0] * noise"),
        (flow_artifact(), 1.0, "noise * sigmas[0]"),
        (flow_artifact(), 0.7, "(1 - sigmas[0]) * image + sigmas[0] * noise"),
    ],
)
def test_k_diffusion_is_told_where_to_start(held, denoise, start):
    steps = held.schedules[0].steps
    notes = dict(export(held, "k-diffusion", steps=steps, denoise=denoise).notes)
    assert notes["start"] == f"x = {start}"
    assert ("flow" in notes) == (held.model.domain == "flow")


def test_edm_is_told_how_an_image_is_given_to_it():
    assert "image" not in dict(export(sd(), "edm", nfe=7).notes)
    assert "image / t_steps[0] + noise" in dict(export(sd(), "edm", nfe=7, denoise=0.5).notes)["image"]


def test_a_schedule_of_a_newer_artc_is_exported_whole():
    newer = Schedule(solver="newer", nfe=4, steps=4, sigmas=GRID, origin="refined")
    held = replace(sd(), schedules=(newer,))
    assert scraped(export(held, "comfyui", nfe=4).text) == list(GRID)
    with pytest.raises(UnknownNameError, match="Unknown solver 'newer'"):
        export(held, "comfyui", nfe=4, denoise=0.5)


def test_guided_calls_are_counted_twice_and_said_to_be():
    made = export(sd(guidance=7.5), "comfyui", steps=4)
    assert made.document()["nfe"] == 14
    assert "14 denoiser calls (7 guided)" in made.headline
    assert export(sd(guidance=7.5), "comfyui", steps=4, denoise=0.5).document()["nfe"] == 6


def test_a_missing_budget_is_read_from_the_warp_on_request():
    with pytest.raises(BudgetError, match="No schedule for heun at NFE 5; the artifact holds heun 7"):
        export(sd(), "comfyui", nfe=5)
    made = export(sd(), "comfyui", nfe=5, resample=True)
    assert scraped(made.text) == sd().sigmas(nfe=5, resample=True).tolist()
    assert made.document()["origin"] == "resampled"


@pytest.mark.parametrize(
    ("target", "settings", "error", "said"),
    [
        ("comfyu", {"nfe": 7}, UnknownNameError, r"Unknown target 'comfyu'\. Did you mean comfyui"),
        ("comfyui", {}, BudgetError, r"Which schedule.*It holds heun at NFE 7 \(4 steps\)\."),
        ("comfyui", {"nfe": 7, "steps": 4}, BudgetError, "its NFE or its steps, one of them"),
        ("comfyui", {"nfe": 7, "denoise": 0.0}, InputError, "denoise = 0 leaves no step of 4"),
        ("comfyui", {"nfe": 7, "denoise": 1.5}, InputError, r"from 0 to 1, not 1\.5"),
        ("comfyui", {"nfe": 7, "denoise": "0.5"}, InputError, r"from 0 to 1, not '0\.5'"),
        ("comfyui", {"nfe": "7"}, BudgetError, "whole number of at least 1, not '7'"),
        ("comfyui", {"nfe": 7, "solver": 3}, InputError, "A solver is a name, not int"),
        (None, {"nfe": 7}, UnknownNameError, "Unknown target 'None'. Known: a1111"),
        ("diffusers", {"nfe": 7, "denoise": 0.5}, InputError, "cuts the list .* Set its strength instead"),
        ("a1111", {"nfe": 7, "denoise": 0.5}, InputError, "cuts the list .* Set its Denoising strength instead"),
        ("comfyui", {"nfe": 7, "shift": 3.0}, InputError, "comfyui shifts nothing"),
        ("diffusers", {"nfe": 7, "shift": 3.0}, InputError, "of no flow model"),
        ("comfyui", {"nfe": 7, "table": "sd"}, InputError, "comfyui counts in none"),
        ("diffusers", {"nfe": 7, "table": "sdxl"}, UnknownNameError, r"Unknown table 'sdxl'\. Did you mean sd\?"),
    ],
)
def test_what_makes_no_sense_is_refused(target, settings, error, said):
    with pytest.raises(error, match=said):
        export(sd(), target, **settings)


@pytest.mark.parametrize("shift", [0.0, -3.0, math.inf, math.nan, 1e-4, 1e20, "3", True])
@pytest.mark.parametrize("target", ["diffusers", "a1111"])
def test_a_shift_is_one_that_a_flow_may_have(target, shift):
    with pytest.raises(InputError, match=re.escape(f"number from 0.001 to 1000, not {shift!r}.")):
        export(flow_artifact(), target, steps=3, shift=shift)


def test_the_shift_of_an_artifact_is_one_that_a_flow_may_have():
    flow = artifact((0.9, 0.3, 0.0), domain="flow", sigma_min=0.01, shift=1e20)
    with pytest.raises(InputError, match=r"not 1e\+20"):
        export(flow, "diffusers", steps=2)
    assert export(flow, "diffusers", steps=2, shift=2).document()["shift"] == 2.0


def test_a_flow_has_no_table():
    with pytest.raises(InputError, match="a flow model has no such table"):
        export(flow_artifact(), "diffusers", steps=3, table="sd")


@pytest.mark.parametrize("target", TARGETS)
def test_the_document_of_every_target_is_the_same_facts_as_json(target):
    document = export(sd(), target, nfe=7).document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["sigmas"] == list(GRID)
    assert (document["target"], document["solver"], document["nfe"], document["steps"]) == (target, "heun", 7, 4)
    assert document["count"] == len(document["values"]) in (4, 5)
    assert (document["domain"], document["shift"], document["pre_shift"]) == ("ve", None, False)
    assert all(part["text"] in document["text"] for part in document["parts"])
    assert all(name and said for name, said in document["notes"].items())
    assert (document["timesteps"] == [998, 744, 422, 10]) == (target in ("diffusers", "a1111"))
