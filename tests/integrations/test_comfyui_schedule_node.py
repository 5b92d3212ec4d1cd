"""The node ART Schedule, driven as ComfyUI drives it: inputs, results, and what a user reads when it refuses."""

import shutil

import pytest
import torch

import artc
from artc.errors import ArtcError, BudgetError, InputError
from artc.integrations.comfyui import NODE_CLASS_MAPPINGS, folders
from tests.integrations.comfyui_stand_ins import StandInConst, StandInEps, stand_in_model
from tests.integrations.made import MNIST, artifact, flow_artifact

NODE = NODE_CLASS_MAPPINGS["ArtSchedule"]
GRID = (14.6, 7.0, 3.0, 1.5, 0.5, 0.0)


@pytest.fixture
def comfy(comfy):
    folders.register()
    shutil.copy(MNIST, comfy.artifacts / "mnist.art.json")
    return comfy


@pytest.fixture
def save(comfy):
    return lambda made, name="one.art.json": made.save(comfy.artifacts / name, force=True)


def run(**changes):
    inputs = {
        "artifact": "one.art.json", "solver": "auto", "budget": "steps", "count": 5, "missing": "exact", "denoise": 1.0,
    }  # fmt: skip
    shown = NODE().schedule(**{**inputs, **changes})
    sigmas, info = shown["result"]
    assert shown["ui"] == {"text": [info]}
    return sigmas, info


def refusal(kind=ArtcError, **changes):
    with pytest.raises(kind) as caught:
        run(**changes)
    return str(caught.value)


# What it gives


@pytest.mark.parametrize(
    ("solver", "nfe", "steps"), [("heun", 9, 5), ("euler", 9, 9), ("heun", 19, 10), ("euler", 3, 3)]
)
def test_sigmas_are_those_of_the_artifact_by_either_budget(comfy, solver, nfe, steps):
    wanted = torch.tensor(artc.load(MNIST).sigmas(nfe=nfe, solver=solver), dtype=torch.float32)
    for budget, count in (("nfe", nfe), ("steps", steps)):
        sigmas, _ = run(artifact="mnist.art.json", solver=solver, budget=budget, count=count)
        assert torch.equal(sigmas, wanted)
        assert sigmas[-1] == 0
        assert len(sigmas) == steps + 1


def test_the_first_sigma_is_not_rounded_by_more_than_float32(save):
    top = 14.614641229333643
    save(artifact((top, 1.0, 0.0)))
    assert run(count=2)[0][0].item() == torch.tensor(top, dtype=torch.float32).item()


def test_auto_takes_the_only_solver(save):
    save(artifact(GRID, solver="dpmpp_2m"))
    assert run()[0].tolist() == torch.tensor(GRID).tolist()


def test_the_line_says_what_was_measured_beside_what(comfy):
    _, info = run(artifact="mnist.art.json", solver="heun", budget="nfe", count=9)
    done = artc.load(MNIST).schedule(9, "heun").evaluation[0]
    assert info == (
        "mnist · heun · NFE 9 in 5 steps · sigma 80 to 0 (ve) · refined · "
        f"endpoint_rms {done.value:.4f} (by hand: edm-free {done.baselines['edm-free']:.4f}, "
        f"edm {done.baselines['edm']:.4f}, uniform {done.baselines['uniform']:.4f}, "
        f"logsnr {done.baselines['logsnr']:.4f})"
    )


def test_the_line_of_a_guided_artifact_says_how_nfe_counts(save):
    save(artifact(GRID, guidance=4.0))
    assert "NFE 18 in 5 steps (2 calls for each guided step)" in run(budget="nfe", count=18)[1]
    assert "NFE 6 in the last 2 of 5 steps (2 calls" in run(budget="nfe", count=18, denoise=0.4)[1]
    assert "guided" not in run(budget="nfe", count=18, denoise=0.0)[1]


# Budgets


def test_a_missing_budget_lists_what_there_is_in_words_of_the_node(comfy):
    said = refusal(BudgetError, artifact="mnist.art.json", solver="heun", budget="steps", count=4)
    assert said.startswith(
        "mnist.art.json holds no heun schedule of 4 steps. For heun it holds 2 steps (NFE 3), 3 steps"
    )
    assert "7 steps (NFE 13) and 10 steps (NFE 19)" in said
    assert "missing set to resample" in said
    assert "resample=" not in said


@pytest.mark.parametrize(
    ("budget", "count", "advice"),
    [
        ("steps", 9, "It holds one at NFE 9: set budget to nfe."),
        ("nfe", 10, "It holds one of 10 steps: set budget to steps."),
    ],
)
def test_a_budget_of_the_other_kind_is_recognised(comfy, budget, count, advice):
    assert advice in refusal(BudgetError, artifact="mnist.art.json", solver="heun", budget=budget, count=count)


def test_a_solver_that_is_not_held_lists_those_that_are(comfy):
    said = refusal(BudgetError, artifact="mnist.art.json", solver="dpmpp_2m", count=10)
    assert "For heun it holds 2 steps (NFE 3)" in said
    assert "For euler it holds 3 steps (NFE 3)" in said


def test_auto_with_several_solvers_asks_for_one(comfy):
    said = refusal(InputError, artifact="mnist.art.json")
    assert said == "mnist.art.json holds schedules for heun and euler. Set solver to the one that you sample with."


def test_resampling_reads_the_warp_and_says_that_nothing_was_measured(comfy):
    sigmas, info = run(artifact="mnist.art.json", solver="dpmpp_2m", count=8, missing="resample")
    wanted = artc.load(MNIST).warp.grid(8, 0.002)
    assert torch.equal(sigmas, torch.tensor(wanted, dtype=torch.float32))
    assert info == "mnist · dpmpp_2m · NFE 8 in 8 steps · sigma 80 to 0 (ve) · resampled · nothing measured"


def test_resampling_prefers_what_is_held(comfy):
    held = run(artifact="mnist.art.json", solver="heun", count=2)[0]
    assert torch.equal(run(artifact="mnist.art.json", solver="heun", count=2, missing="resample")[0], held)


def test_resampling_refuses_what_a_solver_cannot_spend(comfy):
    said = refusal(BudgetError, artifact="mnist.art.json", solver="heun", budget="nfe", count=4, missing="resample")
    assert said == "heun cannot make exactly 4 denoiser calls. The nearest NFE it can make are 3 and 5."


# Image-to-image


@pytest.mark.parametrize("denoise", [0.1, 0.2, 0.3, 0.35, 0.5, 0.62, 0.8, 0.99, 1.0])
@pytest.mark.parametrize("steps", [5, 9, 10, 19])
def test_denoise_keeps_the_tail_that_align_your_steps_would_keep(comfy, denoise, steps):
    solver = "heun" if steps in (5, 10) else "euler"
    whole = run(artifact="mnist.art.json", solver=solver, count=steps)[0].tolist()
    total = round(steps * denoise)  # the rule of ComfyUI's nodes AlignYourSteps, GITS and OptimalSteps
    if total == 0:
        assert "none of the" in refusal(artifact="mnist.art.json", solver=solver, count=steps, denoise=denoise)
        return
    kept, info = run(artifact="mnist.art.json", solver=solver, count=steps, denoise=denoise)
    assert kept.tolist() == whole[-(total + 1) :]
    assert (f"the last {total} of {steps} steps" in info) == (total < steps)


def test_a_tail_spends_less_and_its_measurement_is_of_the_whole(comfy):
    _, info = run(artifact="mnist.art.json", solver="heun", budget="nfe", count=9, denoise=0.4)
    assert info.startswith(
        "mnist · heun · NFE 3 in the last 2 of 5 steps · sigma 2.27085 to 0 (ve) · refined · as a whole: "
    )


def test_denoise_zero_samples_nothing_as_in_comfyui(comfy):
    sigmas, info = run(artifact="mnist.art.json", solver="heun", denoise=0.0)
    assert sigmas.shape == (0,)
    assert "nothing is sampled" in info


def test_a_denoise_that_leaves_no_step_says_which_does(save):
    save(artifact((80.0, 1.0, 0.0)))
    said = refusal(InputError, count=2, denoise=0.2)
    assert said == "With denoise 0.2, none of the 2 steps is left. One step is left at 0.50."
    assert run(count=2, denoise=0.5)[0].tolist() == [1.0, 0.0]


# Against a model


def test_a_ve_schedule_is_refused_for_a_flow_model_and_the_reverse(save):
    save(artifact(GRID), "ve.art.json")
    save(flow_artifact(), "flow.art.json")
    flow, eps = stand_in_model(StandInConst, 0.001, 1.0, "Flux"), stand_in_model(StandInEps, 0.029, 14.6)
    said = refusal(InputError, artifact="ve.art.json", model=flow)
    assert "compiled for 'written', where x = x0 + sigma n" in said
    assert "in the wired model (Flux) x = (1 - sigma) x0 + sigma n" in said
    assert "in the wired model (SDXL) x = x0 + sigma n" in refusal(
        InputError, artifact="flow.art.json", count=3, model=eps
    )
    assert len(run(artifact="ve.art.json", model=eps)[0]) == 6
    assert len(run(artifact="flow.art.json", count=3, model=flow)[0]) == 4


def test_noise_that_the_model_does_not_know_is_refused(save):
    save(artifact(GRID))
    said = refusal(InputError, model=stand_in_model(StandInEps, 0.029, 10.0))
    assert "starts at sigma = 14.6, and the wired model (SDXL) knows sigma from 0.029 to 10." in said
    said = refusal(InputError, model=stand_in_model(StandInEps, 0.6, 14.6))
    assert "goes down to sigma = 0.5" in said


def test_the_whole_schedule_is_checked_not_only_the_part_that_denoise_leaves(save):
    save(artifact(GRID))
    assert "starts at sigma = 14.6" in refusal(denoise=0.4, model=stand_in_model(StandInEps, 0.029, 10.0))


def test_a_model_that_knows_more_noise_is_a_note_and_the_sigmas_are_the_same(save):
    save(artifact(GRID))
    sigmas, info = run(model=stand_in_model(StandInEps, 0.002, 120.0))
    assert "Note: It starts at sigma = 14.6, below the 120 that the wired model (SDXL) can start from." in info
    assert torch.equal(sigmas, run()[0])


# Files


def test_a_damaged_file_is_named_with_its_defect(comfy):
    text = MNIST.read_text(encoding="utf-8")
    (comfy.artifacts / "cut.json").write_text(text[:700], encoding="utf-8")
    (comfy.artifacts / "edited.json").write_text(text.replace("80.0", "81.0", 1), encoding="utf-8")
    (comfy.artifacts / "other.json").write_text("{}", encoding="utf-8")
    assert refusal(artifact="cut.json").startswith("cut.json cannot be used. $: not JSON")
    assert refusal(artifact="edited.json").startswith("edited.json cannot be used. $.digest: the contents")
    assert "this is not an artc artifact" in refusal(artifact="other.json")
    with pytest.raises(InputError, match=r"edited\.json cannot be used"):
        NODE_CLASS_MAPPINGS["ArtScheduleInfo"]().describe("edited.json")


def test_a_name_outside_the_folder_is_refused_by_the_node_itself(comfy):
    for name in ("../../secret.json", "/etc/passwd"):
        assert "leads out of the folder" in refusal(artifact=name)


def test_a_changed_file_changes_what_comfyui_is_told_and_what_is_given(save):
    save(artifact(GRID))
    asked = {"solver": "auto", "budget": "steps", "count": 5, "missing": "exact", "denoise": 1.0, "model": None}
    before, same = (NODE.IS_CHANGED(artifact="one.art.json", **asked) for _ in range(2))
    assert before == same
    save(artifact((20.0, *GRID[1:])))
    assert NODE.IS_CHANGED(artifact="one.art.json", **asked) != before
    assert run()[0][0] == 20.0


def test_a_name_that_another_node_hands_over_is_looked_at_when_it_has_come(comfy):
    first, second = NODE.IS_CHANGED(artifact=None), NODE.IS_CHANGED(artifact=None)
    assert first != second
    assert refusal(artifact=None) == "artifact is the name of a file in models/art_schedules, not NoneType."
    assert "leads out of the folder" in refusal(artifact="../mnist.art.json")


def test_what_a_stranger_called_the_model_stays_in_the_line(save):
    save(artifact(GRID, name="a\n# b\x1b[31m\u2028c \u68a6"))
    assert run()[1].startswith("a\\n# b\\x1b[31m\\u2028c \u68a6 · heun · NFE 9 in 5 steps")


def test_asking_whether_it_changed_mends_what_a_sampler_wrote(comfy):
    sigmas, _ = run(artifact="mnist.art.json", solver="heun")
    sigmas[-1] = 0.001
    comfy.progress.new_prompt()
    NODE.IS_CHANGED(artifact="mnist.art.json")
    assert sigmas[-1] == 0
    sigmas[-1] = 0.001
    comfy.progress.start_node()
    assert sigmas[-1] == 0
