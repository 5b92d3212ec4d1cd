"""Picking a grid: exact by default, from the warp on request."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from artc.artifact import Artifact, Schedule, dumps, loads
from artc.errors import ArtifactError, BudgetError, UnknownNameError
from tests.golden.example import example

TWO_SOLVERS = example().resampled([4], solver="euler")


def test_a_held_budget_is_returned_as_stored():
    sigmas = example().sigmas(nfe=5, solver="heun")
    assert sigmas.dtype == np.float64
    assert sigmas.tolist() == [63.0, 15.0, 3.0, 0.0]
    # Even with resample: this one was refined, and is not the warp's.
    assert example().sigmas(nfe=3, resample=True).tolist() == [63.0, 6.5, 0.0]


def test_a_missing_budget_lists_what_there_is():
    with pytest.raises(BudgetError, match=r"heun at NFE 11.*holds heun 5, heun 3\..*resample=True.*artc resample"):
        example().sigmas(nfe=11)


def test_a_missing_budget_is_made_from_the_warp_on_request():
    np.testing.assert_allclose(example().sigmas(nfe=11, resample=True), [63, 31, 15, 7, 3, 1, 0], rtol=1e-14)
    np.testing.assert_allclose(example().sigmas(nfe=3, solver="dpmpp_2m", resample=True), [63, 15, 3, 0], rtol=1e-14)
    with pytest.raises(BudgetError, match="nearest NFE it can make are 3 and 5"):
        example().sigmas(nfe=4, resample=True)


def test_the_solver_may_be_left_out_only_when_there_is_one():
    assert example().sigmas(nfe=5).tolist() == example().sigmas(nfe=5, solver="heun").tolist()
    with pytest.raises(BudgetError, match="Name one of heun, euler"):
        TWO_SOLVERS.sigmas(nfe=5)
    assert TWO_SOLVERS.schedule(4, "euler").origin == "resampled"


def test_an_unknown_solver_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean heun"):
        example().sigmas(nfe=5, solver="huen", resample=True)


def test_resampling_adds_unmeasured_schedules_and_keeps_the_rest():
    before = example().sealed()
    after = before.resampled([11, 5, 1, 11])
    assert after.schedules[:2] == before.schedules
    assert [(s.nfe, s.steps, s.origin, s.certificate, s.evaluation) for s in after.schedules[2:]] == [
        (11, 6, "resampled", None, ()),
        (1, 1, "resampled", None, ()),
    ]
    assert after.schedules[3].sigmas == (63.0, 0.0)
    assert after.digest == ""
    assert after.sealed().digest != before.digest
    assert loads(dumps(after)) == after.sealed()
    assert before.resampled([5]) is before
    with pytest.raises(BudgetError, match="nearest"):
        before.resampled([4])


def test_an_artifact_is_immutable_and_consistent_from_the_start():
    artifact = example()
    with pytest.raises(FrozenInstanceError):
        artifact.digest = "x"
    with pytest.raises(ArtifactError) as caught:
        replace(artifact, schedules=artifact.schedules * 2)
    assert (caught.value.code, caught.value.path) == ("duplicate-schedule", "$.schedules[2]")
    with pytest.raises(ArtifactError) as caught:
        replace(artifact, model=replace(artifact.model, sigma_max=64.0))
    assert (caught.value.code, caught.value.path) == ("sigma-max", "$.schedules[0].sigmas[0]")
    assert isinstance(artifact, Artifact)


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"sigmas": (1.0, 2.0, 0.0)}, "not-decreasing", "$.sigmas[1]"),
        ({"sigmas": (2.0, float("nan"), 0.0)}, "not-decreasing", "$.sigmas[1]"),
        ({"sigmas": (2.0, 1.0, 0.5)}, "end", "$.sigmas[2]"),
        ({"sigmas": ()}, "end", "$.sigmas"),
        ({"sigmas": (2.0, 0.0)}, "steps", "$.steps"),
        ({"nfe": 4}, "nfe", "$.nfe"),
        ({"steps": 0, "sigmas": (0.0,)}, "nfe", "$.nfe"),
    ],
)
def test_a_schedule_checks_itself(changes, code, path):
    good = {"solver": "heun", "nfe": 3, "steps": 2, "sigmas": np.array([2.0, 1.0, 0.0]), "origin": "dp"}
    assert Schedule(**good).sigmas == (2.0, 1.0, 0.0)
    with pytest.raises(ArtifactError) as caught:
        Schedule(**{**good, **changes})
    assert (caught.value.code, caught.value.path) == (code, path)
