"""What a compilation is said to cost, before it is begun, and what it does cost."""

import pytest

import artc
from artc.errors import InputError, UnknownNameError
from artc.pipeline import compile_steps
from artc.progress import drain
from artc.request import EFFORTS, Request, requested


def spent(stages):
    return sum(stages.values())


def gaussian(x, sigma):
    return x * (0.25 / (0.25 + sigma**2))[:, None]


SMALL = {"nfe": (2, 5), "solver": ("euler", "dpmpp_2m"), "nodes": 24, "checks": 6, "teacher_steps": 10}


@pytest.mark.parametrize("trajectories", [12, 72])
def test_without_searches_the_plan_is_what_is_spent(trajectories):
    settings = {**SMALL, "trajectories": trajectories, "trials": 0}
    made = artc.compile(gaussian, shape=(3,), sigma_min=0.01, sigma_max=10.0, method="closed-form", **settings)
    plan = artc.planned_calls(**settings)
    assert ("measuring" in plan) == (trajectories == 72)
    assert made.provenance.score_evals == spent(plan)


def test_a_search_costs_no_more_than_planned_and_the_rest_exactly():
    settings = {**SMALL, "trajectories": 64, "trials": 5, "refine": True}
    made = artc.compile(gaussian, shape=(3,), sigma_min=0.01, sigma_max=10.0, method="closed-form", **settings)
    plan = artc.planned_calls(**settings)
    searches = made.provenance.diagnostics["refinements"]
    moved = sum((facts["walks"] + 16) * int(name.split()[1]) for name, facts in searches.items() if "walks" in facts)
    assert 0 < moved <= plan["refining"]
    assert made.provenance.score_evals == spent(plan) - plan["refining"] + moved


def test_model_sigmas_stay_within_the_plan(load):
    request = Request(
        nfe=(3, 6),
        solvers=("euler",),
        trajectories=32,
        nodes=24,
        checks=4,
        teacher_steps=8,
        trials=4,
        model_sigmas=True,
        method="closed-form",
    )
    made = drain(compile_steps(load("mixture-64d"), request))
    plan = artc.planned_calls(
        nfe=(3, 6), solver="euler", trajectories=32, nodes=24, checks=4, teacher_steps=8, trials=4, model_sigmas=True
    )
    assert plan["asking"] > 0
    rest = spent(plan) - plan["asking"] - plan["refining"]
    assert rest - 4 * 9 <= made.provenance.score_evals <= spent(plan)  # with no model sigmas there are none to check


def test_guidance_doubles_what_is_not_counted_in_an_nfe():
    plain = artc.planned_calls(nfe=5, solver="euler", trials=0)
    guided = artc.planned_calls(nfe=10, solver="euler", trials=0, guidance=2.0)
    assert guided == {stage: 2 * calls for stage, calls in plain.items()}


def test_the_stated_budgets():
    """Five budgets at the default effort, what is checked aside, are at most four times GITS's 256 x 60 calls."""
    gits = 256 * 60
    for solver in ("heun", "dpmpp_2m"):
        five = {"nfe": (3, 5, 7, 9, 11), "solver": solver}
        calls = {effort: artc.planned_calls(effort=effort, **five) for effort in EFFORTS}
        made = {effort: spent(plan) - plan["checking"] for effort, plan in calls.items()}
        assert made["default"] <= 4 * gits
        assert made["fast"] <= 1.2 * gits
        assert made["fast"] < made["default"] < made["max"]


def test_an_effort_decides_what_is_not_said():
    assert requested((3,), ("heun",)) == Request(nfe=(3,), trajectories=128, refine=48, trials=10)
    assert requested((3,), ("heun",), effort="max") == Request(nfe=(3,), trajectories=256, refine=128, trials=48)
    words = {"effort": "max", "trajectories": 16, "trials": 0, "refine": False, "seed": 4}
    wanted = Request(nfe=(4, 8), solvers=("euler",), trajectories=16, refine=0, trials=0, seed=4)
    assert requested((4, 8), ("euler",), **words) == wanted
    with pytest.raises(UnknownNameError, match="Unknown effort 'maxx'"):
        requested((3,), ("heun",), effort="maxx")
    with pytest.raises(InputError, match="at least 8 trajectories"):
        requested((3,), ("heun",), trajectories=0)


def test_what_has_no_plan():
    with pytest.raises(InputError, match="is not known before"):
        artc.planned_calls(nfe=3, method="paper")
    with pytest.raises(UnknownNameError, match="Did you mean max"):
        artc.planned_calls(nfe=3, effort="maxx")
