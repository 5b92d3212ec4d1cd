import math
import subprocess
import sys
from functools import partial
from itertools import groupby

import numpy as np
import pytest
import torch

import artc
from artc.artifact import dumps, loads, violations
from artc.errors import BudgetError, DenoiserError, InputError, UnknownNameError
from artc.learning import methods
from artc.learning.actor_critic import LearnerConfig
from artc.models.score_model import ScoreModel
from artc.pipeline import compile_steps
from artc.progress import Progress, drain
from artc.request import Request

STAGES = ("trajectories", "training", "distilling", "comparing", "refining", "checking")
SMALL = {"nfe": (3, 5), "trajectories": 16, "nodes": 32, "checks": 8, "teacher_steps": 16}


@pytest.fixture
def quick(monkeypatch):
    """A learner that is done before it is good: what it finds is tested elsewhere."""
    hurried = partial(LearnerConfig, steps=24, rollouts=16, iterations=30, warmup=2, knots=6)
    monkeypatch.setattr(methods, "LearnerConfig", hurried)


def compiled(model, on_update=lambda _: None, **changes):
    return drain(compile_steps(model, Request(**{**SMALL, **changes})), on_update)


def gaussian_callable(x, sigma):
    """N(0, 1/4) data, as a user would write it."""
    return x * (0.25 / (0.25 + sigma**2))[:, None]


# --------------------------------------------------------------------------------------------- compile


@pytest.mark.parametrize("method", methods.METHODS)
@pytest.mark.parametrize("name", ["gaussian", "mixture-1d"])
def test_a_compiled_artifact_is_valid_and_survives_the_disk(method, name, load, quick, tmp_path):
    artifact = compiled(load(name), method=method, solvers=("heun", "dpmpp_2m"))
    assert loads(dumps(artifact)) == artifact
    artifact.save(tmp_path / "it.art.json")
    assert violations(tmp_path / "it.art.json") == []
    assert artc.load(tmp_path / "it.art.json") == artifact
    held = [(schedule.solver, schedule.nfe, schedule.steps) for schedule in artifact.schedules]
    assert held == [("heun", 3, 2), ("heun", 5, 3), ("dpmpp_2m", 3, 3), ("dpmpp_2m", 5, 5)]
    assert artifact.model == load(name).info
    for schedule in artifact.schedules:
        assert schedule.certificate.gap >= 0
        assert set(schedule.evaluation[0].baselines) == {"edm", "edm-free", "logsnr", "uniform"}


def test_the_same_seed_makes_the_same_artifact_and_another_another(load, quick):
    digests = [compiled(load("mixture-1d"), seed=seed).digest for seed in (0, 0, 1)]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_the_calls_an_artifact_reports_are_those_the_denoiser_received(load, quick):
    seen, model = [], load("mixture-1d")

    def counted(x, sigma):
        seen.append(len(x))
        return model.denoiser(x, sigma)

    watched = ScoreModel(denoiser=counted, info=model.info, device=model.device, dtype=model.dtype)
    artifact = compiled(watched, solvers=("heun", "euler"), method="closed-form")
    # The bank; each schedule beside four baselines on the quarter of its noises that are watched; the searches on the
    # others, and each result on those that are watched; the teacher, and again each schedule beside four baselines.
    found = artifact.provenance.diagnostics["refinements"]
    searched = sum((facts["walks"] + 4) * int(name.split()[1]) for name, facts in found.items())
    calls = 16 * 32 + 4 * 2 * (3 + 5) * 5 + searched + 8 * (31 + 2 * (3 + 5) * 5)
    assert searched > 0
    assert artifact.provenance.score_evals == sum(seen) == calls


def test_every_setting_of_a_request_that_costs_calls_is_one_of_the_function(load):
    model, seen = load("gaussian"), []

    def counted(x, sigma):
        seen.append(len(x))
        return model.denoiser(x, sigma)

    watched = ScoreModel(denoiser=counted, info=model.info, device=model.device, dtype=model.dtype)
    small = {"trajectories": 12, "nodes": 20, "checks": 3, "teacher_steps": 5, "refine": False}
    artifact = artc.compile(watched, nfe=4, solver="euler", method="closed-form", **small)
    assert sum(seen) == 12 * 20 + 3 * (9 + 5 * 4)  # the bank; Heun's teacher, the schedule and four grids
    assert small.items() <= {**artifact.provenance.config, "refine": False}.items()
    for wrong in ({"nodes": 8}, {"checks": 1}, {"teacher_steps": 0}):
        with pytest.raises(InputError):
            artc.compile(watched, nfe=4, solver="euler", **wrong)


def test_stages_come_in_order_and_count_up_to_their_total(load, quick):
    updates = []
    artifact = compiled(load("mixture-1d"), updates.append)  # whose schedules of few calls do lose
    assert tuple(stage for stage, _ in groupby(updates, lambda update: update.stage)) == STAGES
    for stage in STAGES:
        done = [update.done for update in updates if update.stage == stage]
        total = {update.total for update in updates if update.stage == stage}
        assert done == sorted(done)
        assert total == {done[-1]}
    assert {update.gap for update in updates if update.stage == "trajectories"} == {None}
    assert updates[-1].gap == artifact.provenance.diagnostics["gap"]


def test_the_check_measures_the_distance_from_the_end_of_the_same_noise(load):
    model = load("gaussian")
    artifact = compiled(model, nfe=(5,), method="closed-form", teacher_steps=96, refine=0)
    # For this model every step is a number that multiplies x: Heun by hand, against the exact solution.
    sigmas, factor = artifact.sigmas(nfe=5).tolist(), 80.0
    slopes = [sigma / (0.25 + sigma**2) for sigma in sigmas]  # dx/dsigma = x sigma / (s^2 + sigma^2)
    for k in range(2):
        euler = 1 + (sigmas[k + 1] - sigmas[k]) * slopes[k]
        factor *= 1 + (sigmas[k + 1] - sigmas[k]) * (slopes[k] + slopes[k + 1] * euler) / 2
    factor *= 0.25 / (0.25 + sigmas[2] ** 2)
    noise = model.latents(8, seed=1).noise.square().mean().sqrt()
    wanted = abs(factor - 80 * 0.5 / math.sqrt(0.25 + 80**2)) * float(noise)
    assert artifact.schedules[0].evaluation[0].value == pytest.approx(wanted, rel=0.05)
    assert (artifact.schedules[0].evaluation[0].seed, artifact.schedules[0].evaluation[0].samples) == (1, 8)


def test_noises_of_the_check_are_never_those_of_the_trajectories():
    requests = [Request(**SMALL, seed=seed) for seed in range(50)]
    assert not {request.bank_seed for request in requests} & {request.check_seed for request in requests}


def test_any_callable_compiles_to_the_clock_known_in_closed_form(exact_energy):
    from artc.learning.closed_form import closed_form

    artifact = artc.compile(
        gaussian_callable, shape=[4], sigma_min=0.002, sigma_max=80, nfe=[9], method="closed-form", refine=False
    )
    assert (artifact.model.source, artifact.model.shape, artifact.model.sigma_max) == ("python:callable", (4,), 80.0)
    np.testing.assert_allclose(artifact.sigmas(nfe=9)[1:-1], closed_form(exact_energy).grid(5)[1:-1], rtol=0.02)
    assert artifact.stiffness.state_gain == pytest.approx(0, abs=1e-3)


def test_compile_takes_one_budget_or_several_of_any_whole_kind():
    make = partial(artc.compile, gaussian_callable, shape=(2,), sigma_min=0.01, sigma_max=10, trajectories=8)
    for nfe, held in ((3, [3]), (np.int64(5), [5]), (np.array([1, 3]), [1, 3]), (range(3, 6, 2), [3, 5])):
        artifact = make(nfe=nfe, method="closed-form", solver=["heun"])
        assert [schedule.nfe for schedule in artifact.schedules] == held
    for wrong in (3.0, [3.5], "9", None):
        with pytest.raises(BudgetError, match="whole number of at least 1"):
            make(nfe=wrong)


def test_a_denoiser_that_breaks_in_the_middle_is_named_with_its_sigma():
    def broken(x, sigma):
        return gaussian_callable(x, sigma) + torch.where(sigma < 1, torch.nan, 0.0)[:, None]

    first = next(sigma for sigma in np.geomspace(80, 0.002, 128) if sigma < 1)
    with pytest.raises(DenoiserError, match=f"NaN or infinity in 256 of 256 values at sigma = {first:g}"):
        artc.compile(broken, shape=(4,), sigma_min=0.002, sigma_max=80, nfe=[3])


def test_a_model_of_straight_lines_has_nothing_to_compile():
    with pytest.raises(InputError, match="nothing to compile"):
        artc.compile(lambda x, sigma: torch.ones_like(x), shape=(2,), sigma_min=0.01, sigma_max=10, nfe=[3])


# --------------------------------------------------------------------------------------------- request


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"nfe": (0,)}, BudgetError, "at least 1, not 0"),
        ({"nfe": (-3,)}, BudgetError, "at least 1, not -3"),
        ({"nfe": (3.0,)}, BudgetError, "whole number of at least 1, not 3.0"),
        ({"nfe": (True,)}, BudgetError, "whole number of at least 1, not True"),
        ({"nfe": ("9",)}, BudgetError, "whole number of at least 1, not '9'"),
        ({"nfe": (3, 5, 3)}, InputError, "NFE 3 is given twice"),
        ({"solvers": ("heun", "heun")}, InputError, "solver heun is given twice"),
        ({"nfe": ()}, InputError, "at least one NFE"),
        ({"solvers": ()}, InputError, "one solver"),
        ({"nfe": (4,)}, BudgetError, "heun cannot make exactly 4 denoiser calls. .* are 3 and 5"),
        ({"nfe": (7,), "solvers": ("euler", "rk4")}, BudgetError, "rk4 cannot make exactly 7 .* are 5 and 9"),
        ({"solvers": ("hein",)}, UnknownNameError, "solver 'hein'. Did you mean heun"),
        ({"method": "closed_form"}, UnknownNameError, "method 'closed_form'. Did you mean closed-form"),
        ({"trajectories": 7}, InputError, "at least 8 trajectories"),
        ({"checks": 1}, InputError, "Too little"),
        ({"nodes": 15}, InputError, "Too little"),
        ({"seed": -1}, InputError, "seed must be a whole number of at least 0, not -1"),
        ({"seed": 2**32}, InputError, "less than 2"),
        ({"method": "dp", "nfe": (401,)}, BudgetError, "too coarse for 201 steps"),
    ],
)
def test_requests_that_make_no_sense_are_refused_before_any_work(changes, error, complaint):
    with pytest.raises(error, match=complaint):
        Request(**{"nfe": (3,), **changes})


def test_compile_refuses_a_range_that_is_none():
    for low, high in ((0, 80), (80, 80), (2, 1), (math.nan, 80), (0.1, math.inf)):
        with pytest.raises(InputError, match=r"sigma_m(in|ax) must be|sigma range of custom"):
            artc.compile(gaussian_callable, shape=(4,), sigma_min=low, sigma_max=high, nfe=[3])


# --------------------------------------------------------------------------------- progress and import


def test_draining_shows_every_update_and_keeps_the_result():
    def work():
        yield Progress(done=1, total=2)
        yield Progress(done=2, total=2)
        return "made"

    shown = []
    assert drain(work(), shown.append) == "made"
    assert [update.done for update in shown] == [1, 2]


def test_importing_artc_imports_neither_torch_nor_numpy():
    program = """
import sys, artc, artc.artifact, artc.models.registry
assert "schedules" in artc.__doc__.lower() and artc.load is artc.artifact.read
assert not {"torch", "numpy", "scipy", "matplotlib"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_that_artc_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'compil'"):
        _ = artc.compil


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"shape": ()}, "needs a shape"),
        ({"shape": (2, -1)}, "size in a shape .* not -1"),
        ({"shape": (0,)}, "size in a shape .* not 0"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"trajectories": 8.5}, "number of trajectories must be a whole number"),
        ({"nfe": 2.5}, "NFE must be a whole number"),
    ],
)
def test_arguments_of_the_python_interface_that_make_no_sense_are_named(changes, complaint):
    settings = {"shape": (2,), "sigma_min": 0.002, "sigma_max": 80, "nfe": [3], **changes}
    with pytest.raises(artc.ArtcError, match=complaint):
        artc.compile(lambda x, sigma: x / (1 + sigma[:, None] ** 2), **settings)
