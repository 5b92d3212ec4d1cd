"""What ART Compile is asked for, what it will cost, and the model as it describes it; without ComfyUI.

The rest is in `tests/hosts/test_comfyui_compile.py`.
"""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import artc
from artc.artifact import nfe_of
from artc.errors import BudgetError, InputError
from artc.integrations.comfyui import compiling, lent
from artc.integrations.comfyui.compile_node import ArtCompile
from artc.integrations.comfyui.jobs import SOLVERS, Job, budgets, planned
from artc.integrations.samplers import SAMPLERS, WALKED_BY
from tests.integrations.comfyui_stand_ins import StandInConst, StandInEps

PAGE = Path(__file__).parents[2] / "integrations/comfyui/pack/web/docs/ArtCompile.md"


@pytest.mark.parametrize("text", ["8, 12", "8 12", " 8,12 ", "8;12", "8,\n12,"])
def test_numbers_are_read_as_people_write_them(text):
    assert budgets(text) == (8, 12)


@pytest.mark.parametrize(
    "text", ["", " ", "abc", "8, x", "8.5", "-8", "1e3", "8-12", "99999", "٨", "0x8", "0", "8, 00"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="nfe takes whole numbers from 1"):
        budgets(text)


@pytest.mark.parametrize("text", ["8 8", "8, 12, 08"])
def test_a_number_is_given_once(text):
    with pytest.raises(InputError, match="nfe takes different numbers"):
        budgets(text)


def test_a_job_that_makes_no_sense_is_refused_when_it_is_made():
    with pytest.raises(BudgetError, match="nearest NFE it can make are 7 and 9"):
        Job(nfe=(5, 8), solver="heun")
    with pytest.raises(BudgetError, match="smallest NFE is 1"):
        Job(nfe=(0,))
    for solver in ("rk4", "ddim", "ipndm", "deis_3", ""):
        with pytest.raises(InputError, match=r"Choose dpmpp_2m, euler, heun, ipndm_4\."):
            Job(nfe=(8,), solver=solver)


def test_every_solver_that_comfyui_has_a_sampler_for_can_be_compiled_for():
    assert {solver: WALKED_BY[solver] for solver in SOLVERS} == WALKED_BY
    assert {solver: name for solver, name in WALKED_BY.items() if name != solver} == {"ipndm_4": "ipndm"}


def test_the_page_names_the_sampler_of_each_solver_and_what_it_spends():
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    assert [(solver, WALKED_BY[solver], str(nfe_of(solver, 8))) for solver in SOLVERS] == rows
    for solver, name in WALKED_BY.items():
        assert SAMPLERS[name].nfe(8) == nfe_of(solver, 8)
    tooltip = ArtCompile.INPUT_TYPES()["required"]["solver"][1]["tooltip"]
    assert all(f"{solver} that is {name}" in tooltip or name == solver for solver, name in WALKED_BY.items())


def test_a_compilation_makes_as_many_calls_as_were_planned():
    def gaussian(x, sigma):
        return x * (0.25 / (0.25 + sigma**2))[:, None]

    jobs = [
        (Job(nfe=(4, 6), trajectories=12), None),
        (Job(nfe=(5,), solver="heun", trajectories=64), None),
        (Job(nfe=(7,), solver="heun", refine=False), 3.0),
        (Job(nfe=(4,), solver="ipndm_4"), None),
    ]
    for job, shift in [*jobs, (Job(nfe=(3,), refine=False), 1.0)]:
        domain = {"domain": "ve"} if shift is None else {"domain": "flow", "shift": shift}
        made = artc.compile(
            gaussian if shift is None else lambda x, s: x * (0.25 * (1 - s) / ((1 - s) ** 2 * 0.25 + s**2))[:, None],
            shape=(3,),
            sigma_min=0.01,
            sigma_max=10.0 if shift is None else 1.0,
            **domain,
            device="cpu",
            method="closed-form",
            nfe=job.nfe,
            solver=job.solver,
            refine=job.refine,
            **job.settings,
        )
        plan, config = planned(job, shift), made.provenance.config
        found = made.provenance.diagnostics["refinements"]
        watched = job.trajectories // 4
        refining = sum((facts["walks"] + watched) * int(name.split()[1]) for name, facts in found.items())
        assert made.provenance.score_evals == sum(plan.values()) - plan.get("refining", 0) + refining
        assert 0 <= refining <= plan.get("refining", 0)
        assert ("refining" in plan) == job.refine
        assert config["nodes"] >= 4 * max(job.steps)


@pytest.mark.parametrize(("trajectories", "checks"), [(8, 4), (64, 32), (1024, 64)])
def test_noises_to_check_on_are_half_as_many_and_at_most_64(trajectories, checks):
    assert Job(nfe=(8,), trajectories=trajectories).settings["checks"] == checks


def test_the_page_tells_the_number_of_calls():
    rows = re.findall(r"^\| `([\d, ]+)` \| ([\d,]+) \| ([\d,]+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 3
    for nfe, calls, refining in rows:
        plan = planned(Job(nfe=budgets(nfe)), None)
        assert plan["refining"] == int(refining.replace(",", ""))
        assert sum(plan.values()) - plan["refining"] == int(calls.replace(",", ""))
    tooltip = ArtCompile.INPUT_TYPES()["required"]["trajectories"][1]["tooltip"]
    plan = planned(Job(nfe=(8,)), 3.0)
    assert f"about {round(sum(plan.values()) - plan['refining'], -2):,} model calls" in tooltip
    assert f"up to {round(plan['refining'], -2):,} more" in tooltip


def test_what_is_no_number_is_refused_before_a_prompt_runs_unless_it_is_wired():
    assert ArtCompile.VALIDATE_INPUTS(nfe="9") is True
    assert ArtCompile.VALIDATE_INPUTS(nfe=None) is True
    assert ArtCompile.VALIDATE_INPUTS(nfe="a").startswith("nfe takes whole numbers from 1 to 9999, not 'a'.")


def test_a_schedule_that_was_given_before_is_mended_and_watched_when_nothing_is_compiled_again(comfy):
    sigmas = lent.lend((14.6, 1.0, 0.0))
    comfy.progress.new_prompt()
    sigmas[-1] = 0.001
    first = ArtCompile.IS_CHANGED(model=None, nfe="8", name="mine")
    assert sigmas[-1] == 0
    sigmas[-1] = 0.001
    comfy.progress.start_node()
    assert sigmas[-1] == 0
    assert ArtCompile.IS_CHANGED(model=None, nfe="8", name="mine") == first


class Wired:
    """A MODEL, as far as compiling looks at it."""

    def __init__(self, sampling, dtype=torch.float16):
        objects = {"model_sampling": sampling, "manual_cast_dtype": None}
        self.get_model_object = objects.__getitem__
        self.model, self.patches, self.model_options = SimpleNamespace(model_config=Tiny()), {}, {}
        self.model_dtype = lambda: dtype


class Tiny:
    pass


def discrete(low, high):
    return type("ModelSampling", (StandInEps,), {"sigma_min": low, "sigma_max": high})()


def shifted(law):
    members = {"sigma_min": 0.001, "sigma_max": 1.0, "percent_to_sigma": staticmethod(lambda percent: law(1 - percent))}
    return Wired(type("ModelSampling", (StandInConst,), members)())


@pytest.mark.parametrize("shift", [1.0, 1.73, 3.0, math.exp(1.15), 12.0])
def test_the_shift_is_read_from_the_sigmas_whatever_the_model_keeps(comfy, shift):
    assert compiling.shift_of(shifted(lambda t: shift * t / (1 + (shift - 1) * t))) == pytest.approx(shift)
    assert compiling.shift_of(shifted(lambda t: math.exp(math.log(shift)) / (shift + 1 / t - 1))) == pytest.approx(
        shift
    )


def test_another_law_has_no_shift_and_neither_has_another_model(comfy):
    assert compiling.shift_of(shifted(lambda t: t**2)) is None
    assert compiling.shift_of(shifted(lambda t: 1.0)) is None
    assert compiling.shift_of(Wired(discrete(0.03, 14.6))) is None


def test_what_the_model_raises_comes_out_as_it_was(comfy):
    class Cancelled(Exception):
        pass

    calls = []

    def denoiser(x, sigma):
        calls.append(len(x))
        if len(calls) == 40:
            raise Cancelled("by its user")
        return x * (0.25 / (0.25 + sigma**2))[:, None]

    model, x = Wired(discrete(0.03, 14.6)), torch.zeros(2, 3)
    with pytest.raises(Cancelled, match="by its user"):
        compiling._compiled(denoiser, x, model, Job(nfe=(4,)), "mine", lambda _: None)
    with pytest.raises(artc.ArtcError, match="returned NaN or infinity in 6 of 6 values"):
        compiling._compiled(lambda x, _: x * math.nan, x, model, Job(nfe=(4,)), "mine", lambda _: None)


def test_it_learns_within_comfyuis_inference_mode_and_says_what_it_compiled(comfy):
    model = Wired(discrete(0.03, 14.6))
    model.patches = {"a": [], "b": []}

    def denoiser(x, sigma):
        return x * (0.25 / (0.25 + sigma**2))[:, None]

    with torch.inference_mode():
        job = Job(nfe=(4,), cfg=7.5, trajectories=8, refine=False, seed=2)
        made = compiling._compiled(denoiser, torch.zeros(3, 5), model, job, "mine", lambda _: None)
    info, config = made.model, made.provenance.config
    assert (info.name, info.source, info.shape, info.conditioning) == ("mine", "comfyui:Tiny", (5,), "text")
    assert (info.guidance.scale, info.guidance.calls, made.schedules[0].steps) == (7.5, 1, 4)
    assert (config["trajectories"], made.provenance.seed, made.provenance.device) == (8, 2, "cpu")
    assert config["model"] == {
        "host": "ComfyUI ",
        "precision": "float16",
        "prompts": 1,
        "patched_weights": 2,
        "batch": 3,
    }
    assert made == made.sealed()
