"""Whether an artifact that is there already came of a request: what was asked for counts, what came of it does not."""

from dataclasses import replace
from functools import cache

import pytest

from artc.pipeline import compile_steps
from artc.progress import drain
from artc.recording import answers
from artc.request import Request
from tests import fused_model

SMALL = {"nfe": (3,), "trajectories": 8, "nodes": 16, "checks": 2, "teacher_steps": 4, "method": "closed-form"}


@cache
def made():
    return drain(compile_steps(fused_model.made(), Request(**SMALL)))


def test_an_artifact_answers_the_request_it_came_of():
    assert answers(made(), fused_model.made(), Request(**SMALL))
    spent = replace(made().provenance, score_evals=7, diagnostics={})
    assert answers(replace(made(), provenance=spent), fused_model.made(), Request(**SMALL))


@pytest.mark.parametrize(
    "changes",
    [
        {"nfe": (5,)},
        {"solvers": ("euler",)},
        {"method": "dp"},
        {"seed": 1},
        {"trajectories": 9},
        {"nodes": 17},
        {"checks": 3},
        {"teacher_steps": 5},
        {"refine": 0},
        {"trials": 39},
    ],
)
def test_it_answers_no_other_request(changes):
    assert not answers(made(), fused_model.made(), Request(**{**SMALL, **changes}))


def test_it_answers_for_no_other_model_and_no_other_version():
    model, request = fused_model.made(), Request(**SMALL)
    assert not answers(made(), replace(model, info=replace(model.info, sigma_max=79.0)), request)
    assert not answers(made(), replace(model, record={"arguments": {"size": 2}}), request)
    for changes in ({"artc": "0.0.9"}, {"torch": "2.4.0"}, {"device": "a GPU"}):
        older = replace(made(), provenance=replace(made().provenance, **changes))
        assert not answers(older, model, request)
